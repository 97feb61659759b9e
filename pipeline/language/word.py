"""What a word is: the one definition that phrases, vectors and substitutions share.

A run of letters, digits and underscores with inner apostrophes (don't). Half a character (U+FFFD)
belongs to the run it stands in, so that "caf" of a cut "café" is not a word of its own; a marker such
as <|endoftext|> holds no words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_PART = r"[\w\ufffd]+"
_WORD = re.compile(rf"<\|\w+\|>|({_PART}(?:['’]{_PART})*)")


def find(text: str) -> Iterator[re.Match[str]]:
    """The words of a text in order, as matches with their place in it."""
    return (match for match in _WORD.finditer(text) if match[1])


def words(text: str) -> list[str]:
    """The words of a text in order, in lower case."""
    return [match[0].lower() for match in find(text)]


def alphabetic(word: str) -> bool:
    """Whether a word has only letters and inner apostrophes."""
    return word.replace("'", "").replace("’", "").isalpha()
