"""What a lexical description says, read as a rule that a text fits or does not.

Taken at its word: a word or token is itself, "words that begin with" is every such word, "words like"
every word as near to the middle of those listed as the farthest of them, and "beside" wants one of its
words in the same text.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from pipeline import word
from pipeline.word_vectors import Vectors

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_BESIDE = ", beside "


@dataclass(frozen=True)
class Rule:
    """Which words and tokens fit, and of which one must stand beside them, if any are named."""

    fits_word: Callable[[str], bool]
    fits_token: Callable[[str], bool]
    beside: frozenset[str]

    def fits(self, tokens: list[str], places: list[int] | None = None) -> bool:
        """Whether a text holds what fits; with `places` only what one of these tokens is part of counts."""
        text = "".join(tokens)
        begins = list(accumulate(map(len, tokens), initial=0))
        found = list(word.find(text))
        hits = {i for i, token in enumerate(tokens) if self.fits_token(token.strip().lower())}
        for match in found:
            if self.fits_word(match[0].lower()):
                first = bisect_right(begins, match.start()) - 1
                hits |= set(range(first, bisect_right(begins, match.end() - 1)))
        if self.beside and not self.beside & {match[0].lower() for match in found}:
            return False
        return bool(hits if places is None else hits & set(places))


def read(description: str, vectors: Vectors) -> Rule:
    """The rule that a description of `lexical` states."""
    names = [json.loads(found) for found in _STRING.findall(description)]
    frame = _STRING.sub('""', description)
    main, _, beside = frame.partition(_BESIDE)
    count = main.count('""')
    own, near = names[:count], frozenset(names[count : count + beside.count('""')])
    head = own[0] if own else ""
    none, listed = frozenset[str]().__contains__, set(own).__contains__
    forms: dict[str, tuple[Callable[[str], bool], Callable[[str], bool]]] = {
        "the token": (none, head.__eq__),
        "the word": (head.__eq__, none),
        "numbers": (str.isdecimal, none),
        "words that begin with": (lambda name: name.startswith(head), none),
        "words that end in": (lambda name: name.endswith(head), none),
        "words like": (_alike(own[1:], vectors), set(own[1:]).__contains__),
        "": (listed, listed),
    }
    form = next(found for begin, found in forms.items() if main.startswith(begin))
    return Rule(*form, near)


def _alike(names: list[str], vectors: Vectors) -> Callable[[str], bool]:
    """Whether a word is one of some, or as near to their mean as the farthest of them."""
    known = [vectors.places[name] for name in names if name in vectors.places]
    if not known:
        return set(names).__contains__
    middle = vectors.matrix[known].mean(0)
    least = float((vectors.matrix[known] @ middle).min()) - 1e-6

    def alike(name: str) -> bool:
        place = vectors.places.get(name)
        return name in names or (place is not None and float(vectors.matrix[place] @ middle) >= least)

    return alike
