"""What a word is: the one definition that phrases, vectors and substitutions share.

A run of letters with their marks, digits and underscores with inner apostrophes (don't), so that an
identifier of code is one word. Half a character (U+FFFD) belongs to the run it stands in, so that "caf" of
a cut "café" is not a word of its own; a marker such as <|endoftext|> holds no words.

Scripts without blanks between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese and others) divide such a
run: from left to right, the longest known word that begins there (maximum matching), else one character, or
a run of Katakana.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import regex

_KATAKANA = r"[\p{Katakana}ー\uff70\uff9e\uff9f]"
_SIGN = (  # a character of a script without blanks; SA are those of South East Asia
    rf"(?![\p{{Nd}}\p{{M}}])(?:{_KATAKANA}|[\p{{Han}}\p{{Hiragana}}\p{{Bopomofo}}\p{{Yi}}\p{{Line_Break=SA}}])"
)
_INNER = r"['’׳״]"
_BEGIN, _LETTER = r"(?![\p{M}\u200c\u200d])[\w\p{N}\ufffd]", r"[\w\p{M}\p{N}\ufffd]"
_RUN = regex.compile(rf"<\|\w+\|>|({_BEGIN}{_LETTER}*(?:{_INNER}{_LETTER}+)*)")
_UNSPACED = regex.compile(_SIGN)
_OTHER = rf"(?:(?!{_SIGN}){_LETTER})+"  # what a run has of other scripts
_PIECE = regex.compile(
    rf"\ufffd*(?:{_KATAKANA}+|(?={_SIGN})\X\p{{M}}*|{_OTHER}(?:{_INNER}{_OTHER})*)\ufffd*"
)
_ALPHABETIC = regex.compile(r"['’׳״]*\p{L}[\p{L}\p{M}\u200c\u200d'’׳״]*")
_MARK, _HALF, _ALL = regex.compile(r"\p{M}"), regex.compile("\ufffd*"), regex.compile(".*", regex.DOTALL)
_LONGEST = 24  # letters of a word that is looked for


def unspaced(text: str) -> bool:
    """Whether a text has a character of a script without blanks between words."""
    return not text.isascii() and _UNSPACED.search(text) is not None


class Known:
    """Those of some words, in lower case, that are of scripts without blanks."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self.words = frozenset(name for name in words if len(name) <= _LONGEST and unspaced(name))
        self._longest: dict[str, int] = {}  # by the first letter
        for name in self.words:
            self._longest[name[0]] = max(len(name), self._longest.get(name[0], 0))

    def end(self, text: str, start: int, stop: int) -> int | None:
        """Where the longest of them that begins at `start` ends, by `stop` at most; None for none."""
        longest = self._longest.get(text[start].lower(), 0)
        for end in range(min(stop, start + longest), start, -1):
            if text[start:end].lower() in self.words and _may_end(text, end, stop):
                return _HALF.match(text, end, stop).end()
        return None


def _may_end(text: str, end: int, stop: int) -> bool:
    """Whether a word may end there: before no mark, and not within what is of other scripts."""
    if end == stop:
        return True
    return not _MARK.match(text, end) and bool(unspaced(text[end - 1 : end + 1]))


_NONE = Known()


def find(text: str, known: Known = _NONE) -> Iterator[regex.Match[str]]:
    """The words of a text in order, as matches with their place in it; `known` as in `Known.end`."""
    runs = (match for match in _RUN.finditer(text) if match[1])
    if not unspaced(text):
        return runs
    return (piece for run in runs for piece in (_pieces(run, known) if unspaced(run[0]) else [run]))


def _pieces(run: regex.Match[str], known: Known) -> Iterator[regex.Match[str]]:
    text, (start, stop) = run.string, run.span()
    while start < stop:
        end = known.end(text, start, stop)
        if end is None:
            piece = _PIECE.match(text, start, stop)
            end = piece.end() if piece else start
        if end > start:
            yield _ALL.match(text, start, end)
        start = max(end, start + 1)


def words(text: str, known: Known = _NONE) -> list[str]:
    """The words of a text in order, in lower case."""
    return [match[0].lower() for match in find(text, known)]


def runs(text: str) -> list[str]:
    """The same, where what is written without blanks is not divided."""
    return [match[0].lower() for match in _RUN.finditer(text) if match[1]]


def alphabetic(word: str) -> bool:
    """Whether a word has only letters with their marks and inner apostrophes."""
    return _ALPHABETIC.fullmatch(word) is not None
