"""Descriptions without a language model: what MATs and MAPs share, as far as counting shows.

A description names the words of the MATs, a prefix or suffix they share, or the nearest other word of their
mean, and the words that stand beside them in at least half of the phrases. Read back, it is a rule that a
text fits or does not fit, taken literally: a word or token is itself, "words that begin with" is every such
word, "words like" is every word as near to the middle of those listed as the farthest of them, and "beside"
requires one of its words in the same text. `_FORMS` lists all forms, for writing and reading.
Deterministic.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, takewhile

import numpy as np

from pipeline.generation.evidence import Evidence
from pipeline.language import word
from pipeline.language.word_vectors import Vectors

_MOST = 0.8  # share of the MATs from which one word or affix describes them all
_AFFIX = 3  # letters of a prefix or suffix worth naming
_ALIKE = 0.3  # mean cosine of pairs of words from which they count as alike
_RARE = 1e-3  # frequency below which a word beside the MAT is worth naming
_LISTED = 5
_BESIDE = ", beside "
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_TOKEN, _WORD, _NUMBERS = "the token", "the word", "numbers"
_BEGIN, _END, _LIKE, _LIST = "words that begin with", "words that end in", "words like", ""


def describe(shown: Evidence, vectors: Vectors) -> str:
    """One line on what a neuron's MATs and phrases share; there is at least one MAT. Variants are left out:
    they are copies of their MAPs."""
    counted = Counter(name.lower() for name in shown.words)
    names = _by_count(counted)
    shared = _token(shown, names) or _what(names, counted, vectors)
    beside = _beside(shown.phrases, set(names), vectors)
    return shared + (f"{_BESIDE}{beside}" if beside else "")


def _by_count(counted: Counter[str]) -> list[str]:
    return [name for name, _ in sorted(counted.items(), key=lambda item: (-item[1], item[0]))]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(_quoted(name) for name in names[:_LISTED]) + more


def _token(shown: Evidence, names: list[str]) -> str | None:
    """The description where nearly all MATs are the same part of several words; None elsewhere."""
    counted = Counter(mat.strip().lower() for mat in shown.mats)
    piece = _by_count(counted)[0]
    if len(names) < 2 or piece in names or counted[piece] < _MOST * counted.total():
        return None
    return f"{_TOKEN} {_quoted(piece)} in {_listed(names)}"


def _what(names: list[str], counted: Counter[str], vectors: Vectors) -> str:
    total = counted.total()
    if counted[names[0]] >= _MOST * total:
        return f"{_WORD if word.alphabetic(names[0]) else _TOKEN} {_quoted(names[0])}"
    listed = _listed(names)
    if sum(n for name, n in counted.items() if name.isdecimal()) >= _MOST * total:
        return f"{_NUMBERS}: {listed}"
    if prefix := _affix(names):
        return f"{_BEGIN} {_quoted(prefix)}: {listed}"
    if suffix := _affix([name[::-1] for name in names]):
        return f"{_END} {_quoted(suffix[::-1])}: {listed}"
    if near := _nearest(names, vectors):
        return f"{_LIKE} {_quoted(near)}: {listed}"
    return listed


def _affix(names: list[str]) -> str:
    """The longest beginning that at least `_MOST` of the words share; empty if too short."""
    best = ""
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            shared = _shared_beginning(one, other)
            holders = sum(name.startswith(shared) for name in names)
            longer = len(shared) >= max(_AFFIX, len(best) + 1)
            if longer and shared.isalpha() and holders >= _MOST * len(names):
                best = shared
    return best


def _shared_beginning(one: str, other: str) -> str:
    return "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _nearest(names: list[str], vectors: Vectors) -> str | None:
    """The word nearest to the mean of the names' vectors, other than themselves; None where they differ."""
    known = [vectors.places[name] for name in names if name in vectors.places]
    if len(known) < 2 or len(known) < len(names) / 2:
        return None
    total = vectors.matrix[known].sum(0)
    pairs = len(known) * (len(known) - 1)
    if (total @ total - len(known)) / pairs < _ALIKE:
        return None
    for place in np.argsort(-(vectors.matrix @ total), kind="stable")[: len(known) + 50]:
        near = vectors.words[place]
        if near not in names and word.alphabetic(near):
            return near
    return None


def _beside(phrases: list[str], mats: set[str], vectors: Vectors) -> str:
    """Rare words, other than the MATs', that stand in at least half of the phrases."""
    common = set(vectors.words[: int((vectors.frequencies > _RARE).sum())])
    counted = Counter(name for phrase in phrases for name in set(word.words(phrase)))
    shared = [
        (-n, name)
        for name, n in counted.items()
        if n >= len(phrases) / 2 and name not in mats and name not in common and len(name) > 2
    ]
    return ", ".join(_quoted(name) for _, name in sorted(shared)[:2])


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


@dataclass(frozen=True)
class Rule:
    """Which words and tokens fit, and the words of which one must stand beside them, if there are any."""

    fits_word: Callable[[str], bool]
    fits_token: Callable[[str], bool]
    beside: frozenset[str]

    def fits(self, tokens: list[str], places: list[int] | None = None) -> bool:
        """Whether a text holds what fits; with `places` only what one of these tokens is part of counts."""
        text = "".join(tokens)
        begins = list(accumulate(map(len, tokens), initial=0))
        words = list(word.find(text))
        hits = {i for i, token in enumerate(tokens) if self.fits_token(token.strip().lower())}
        for match in words:
            if self.fits_word(match[0].lower()):
                first = bisect_right(begins, match.start()) - 1
                hits |= set(range(first, bisect_right(begins, match.end() - 1)))
        if self.beside and not self.beside & {match[0].lower() for match in words}:
            return False
        return bool(hits if places is None else hits & set(places))


def read(description: str, vectors: Vectors) -> Rule:
    """The rule that a description by `describe` states."""
    names = [json.loads(string) for string in _STRING.findall(description)]
    frame = _STRING.sub('""', description)
    main, _, beside = frame.partition(_BESIDE)
    count = main.count('""')
    own, near = names[:count], frozenset(names[count : count + beside.count('""')])
    form = next(form for form in _FORMS if main.startswith(form))
    return Rule(*_FORMS[form](own, vectors), near)


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


def _none(name: str) -> bool:
    return False


_Fits = tuple[Callable[[str], bool], Callable[[str], bool]]
# Each form of a description by how it begins: from the names in it, which words fit and which tokens.
_FORMS: dict[str, Callable[[list[str], Vectors], _Fits]] = {
    _TOKEN: lambda own, vectors: (_none, own[0].__eq__),
    _WORD: lambda own, vectors: (own[0].__eq__, _none),
    _NUMBERS: lambda own, vectors: (str.isdecimal, _none),
    _BEGIN: lambda own, vectors: (lambda name: name.startswith(own[0]), _none),
    _END: lambda own, vectors: (lambda name: name.endswith(own[0]), _none),
    _LIKE: lambda own, vectors: (_alike(own[1:], vectors), set(own[1:]).__contains__),
    _LIST: lambda own, vectors: (set(own).__contains__, set(own).__contains__),
}
