"""Everything that is printed goes through here: nothing of it can steer a terminal.

Results go to stdout, progress and errors to stderr. Where the package was installed by pip, what is said of
`make` is said of the command `feature-neurons` and its options instead.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import TextIO

from pipeline.config import OPTIONS
from pipeline.printable import escaped
from pipeline.resources import in_checkout

_WIDEST = 116  # columns; longer lines are hard to read
_NARROWEST = 20
_COMMANDS = {"data": "run"}  # of make, where the command's name is another
_SETTING = re.compile(rf"\b({'|'.join(option.name.upper() for option in OPTIONS)}|PUBLIC)=(?=\S)")


def tell(text: str) -> None:
    """Print one line of progress, a warning or an error."""
    _print(sys.stderr, escaped(spoken(text)) + "\n")


def show(text: str, *, coloured: bool = False, end: str = "\n") -> None:
    """Print results, of one line or more; `coloured` if colours are set in them, by us alone."""
    _print(sys.stdout, escaped(text, keep="\n\t", colours=coloured) + end)


def _print(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()


def spoken(text: str, *, checkout: bool | None = None) -> str:
    """A text that says what to type: a checkout's make, or where there is none, the command."""
    if in_checkout() if checkout is None else checkout:
        return text
    command = lambda match: f"feature-neurons {_COMMANDS.get(match[1], match[1])}"  # noqa: E731
    text = re.sub(r"\bmake (data|plan|report|publish|sql|check)\b", command, text)
    text = text.replace("python -m pipeline", "feature-neurons").replace("REPO=", "")
    text = re.sub(r"(`[^`]+`) or \1", r"\1", text)  # make's and the command's own are one now
    return _SETTING.sub(lambda match: f"--{match[1].lower().replace('_', '-')} ", text)


def width(elsewhere: int = _WIDEST) -> int:
    """Columns that a line of results may take: COLUMNS or the terminal's, 116 at most; else `elsewhere`."""
    found = shutil.get_terminal_size(fallback=(0, 0)).columns
    return max(_NARROWEST, min(_WIDEST, found)) if found else elsewhere


def colours() -> bool:
    """Whether results are coloured: not with NO_COLOR, else with FORCE_COLOR, else if a terminal can."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
