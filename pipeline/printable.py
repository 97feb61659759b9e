"""Texts from outside, made harmless for a terminal and a table."""

from __future__ import annotations

import re
import unicodedata

# control characters of C0 and C1, those that turn the direction of writing, other ends of a line
_CONTROL = dict.fromkeys(
    (
        *range(32),
        *range(127, 160),
        0x061C,
        0x200E,
        0x200F,
        *range(0x2028, 0x202F),
        *range(0x2066, 0x2070),
    )
)
STEERS = re.compile("[" + "".join(re.escape(chr(code)) for code in _CONTROL) + "]")
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
_NAMED = {"\n": r"\n", "\t": r"\t", "\r": r"\r"}


def plain(text: str) -> str:
    """A text on one line, without characters that steer a terminal."""
    return text.replace("\n", "\u23ce").replace("\t", " ").translate(_CONTROL)


def line(text: str) -> str:
    """The words of a text on one line, without characters that steer a terminal or are none at all."""
    return plain(" ".join(text.encode("utf-8", "replace").decode().split()))


def escaped(text: str, *, keep: str = "", colours: bool = False) -> str:
    r"""A text in which each character that steers a terminal is written out, as \x1b, and none is lost.

    Those in `keep` stay; with `colours` also the sequences that set them, of which nothing from outside may
    be part.
    """

    def written(match: re.Match[str]) -> str:
        char = match[0]
        if char in keep:
            return char
        return _NAMED.get(char) or (f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}")

    parts = _COLOUR.split(text) if colours else [text]
    return "".join(part if i % 2 else STEERS.sub(written, part) for i, part in enumerate(parts))


def cells(text: str) -> int:
    """The columns that a text takes on a terminal: two for a wide character, none for a mark on another."""
    return sum(map(_cells, text))


def _cells(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def fitted(text: str, width: int) -> str:
    """The start of a text that takes at most `width` columns."""
    used = 0
    for place, char in enumerate(text):
        used += _cells(char)
        if used > width:
            return text[:place]
    return text
