"""Descriptions without a language model: what MATs and MAPs share as far as counting can tell.

Says the words of the MATs, a prefix or suffix they share, the nearest other word of their mean, and
the words that stand beside them in at least half of the phrases. Deterministic.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import takewhile

import numpy as np

from pipeline import word
from pipeline.evidence import Evidence
from pipeline.word_vectors import Vectors

_MOST = 0.8  # share of the MATs from which one word or one affix speaks for all
_AFFIX = 3  # letters of a prefix or suffix worth naming
_ALIKE = 0.3  # mean cosine of pairs of words from which they have something in common
_RARE = 1e-3  # frequency below which a word beside the MAT is worth naming
_LISTED = 5


def describe(shown: Evidence, vectors: Vectors) -> str:
    """One line about what a neuron's MATs and phrases share; there is at least one MAT. Variants are left
    out: they are copies of their MAPs."""
    counted = Counter(name.lower() for name in shown.words)
    names = _by_count(counted)
    found = _token(shown, names) or _what(names, counted, vectors)
    beside = _beside(shown.phrases, set(names), vectors)
    return found + (f", beside {beside}" if beside else "")


def _by_count(counted: Counter[str]) -> list[str]:
    return [name for name, _ in sorted(counted.items(), key=lambda item: (-item[1], item[0]))]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(_quoted(name) for name in names[:_LISTED]) + more


def _token(shown: Evidence, names: list[str]) -> str | None:
    """What to say where nearly all MATs are one piece of several words."""
    counted = Counter(mat.strip().lower() for mat in shown.mats)
    piece = _by_count(counted)[0]
    if len(names) < 2 or piece in names or counted[piece] < _MOST * counted.total():
        return None
    return f"the token {_quoted(piece)} in {_listed(names)}"


def _what(names: list[str], counted: Counter[str], vectors: Vectors) -> str:
    total = counted.total()
    if counted[names[0]] >= _MOST * total:
        kind = "word" if word.alphabetic(names[0]) else "token"
        return f"the {kind} {_quoted(names[0])}"
    listed = _listed(names)
    if sum(n for name, n in counted.items() if name.isdecimal()) >= _MOST * total:
        return f"numbers: {listed}"
    if prefix := _affix(names):
        return f'words that begin with "{prefix}": {listed}'
    if suffix := _affix([name[::-1] for name in names]):
        return f'words that end in "{suffix[::-1]}": {listed}'
    if near := _nearest(names, vectors):
        return f'words like "{near}": {listed}'
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
    """The word nearest to the mean of the names' vectors that is none of them, if they are alike."""
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
    """Rare enough words, other than the MATs', that stand in at least half of the phrases."""
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
