"""Descriptions without a language model: what MATs and MAPs share as far as counting can tell.

Says the words of the MATs, a prefix or suffix they share, the nearest other word of their mean, and
the words that stand beside them in at least half of the phrases. Deterministic.
"""

from __future__ import annotations

from collections import Counter
from os.path import commonprefix  # of strings, letter by letter

import numpy as np

from pipeline import fasttext, word

_MOST = 0.8  # share of the MATs from which one word or one affix speaks for all
_AFFIX = 3  # letters of a prefix or suffix worth naming
_ALIKE = 0.3  # mean cosine of pairs of words from which they have something in common
_RARE = 1e-3  # frequency below which a word beside the MAT is worth naming
_LISTED = 5


def describe(mats: list[str], phrases: list[str], vectors: fasttext.Vectors) -> str:
    """One line about what the MATs (their words, or tokens that hold none) and phrases share.

    `mats` has one entry per MAP and at least one in all; `phrases` are MAPs and raised variants.
    """
    counted = Counter(mat.lower() for mat in mats)
    names = [name for name, _ in sorted(counted.items(), key=lambda item: (-item[1], item[0]))]
    found = _what(names, counted, vectors)
    beside = _beside(phrases, set(names), vectors)
    return found + (f", beside {beside}" if beside else "")


def _what(names: list[str], counted: Counter[str], vectors: fasttext.Vectors) -> str:
    total = counted.total()
    if counted[names[0]] >= _MOST * total:
        kind = "word" if word.alphabetic(names[0]) else "token"
        return f"the {kind} {_quoted(names[0])}"
    listed = ", ".join(_quoted(name) for name in names[:_LISTED])
    listed += f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    if prefix := _affix(names, counted):
        return f'words that begin with "{prefix}": {listed}'
    if suffix := _affix([name[::-1] for name in names], {k[::-1]: n for k, n in counted.items()}):
        return f'words that end in "{suffix[::-1]}": {listed}'
    if near := _nearest(names, vectors):
        return f'words like "{near}": {listed}'
    return listed


def _affix(names: list[str], counted: dict[str, int]) -> str:
    """The longest beginning that at least `_MOST` of the MATs share; empty if too short."""
    total = sum(counted.values())
    best = ""
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            shared = commonprefix([one, other])
            holders = sum(n for name, n in counted.items() if name.startswith(shared))
            longer = len(shared) >= max(_AFFIX, len(best) + 1)
            if longer and shared.isalpha() and holders >= _MOST * total:
                best = shared
    return best


def _nearest(names: list[str], vectors: fasttext.Vectors) -> str | None:
    """The word nearest to the mean of the names' vectors that is none of them, if they are alike."""
    places = {name: place for place, name in enumerate(vectors.words)}
    known = [places[name] for name in names if name in places]
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


def _beside(phrases: list[str], mats: set[str], vectors: fasttext.Vectors) -> str:
    """Rare enough words, other than the MATs', that stand in at least half of the phrases."""
    common = {w for w, p in zip(vectors.words, vectors.frequencies, strict=True) if p > _RARE}
    counted = Counter(name for phrase in phrases for name in set(word.words(phrase)))
    shared = [
        (-n, name)
        for name, n in counted.items()
        if n >= len(phrases) / 2 and name not in mats and name not in common and len(name) > 2
    ]
    return ", ".join(_quoted(name) for _, name in sorted(shared)[:2])


def _quoted(name: str) -> str:
    return f'"{name}"' if word.alphabetic(name) else repr(name).replace("'", '"', 2)
