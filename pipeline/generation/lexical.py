"""Descriptions without a language model: what MATs and MAPs share, as far as counting and WordNet show.

A description is made of those MAPs only that show what the neuron was found to stand for, and lists only
words of which it is true: a token and the words that hold it; one word; numbers; words that begin or end
alike or share letters; kinds of one thing by WordNet, adjectives that tell of one, or words of one closed
class, where these are nearly all words; else the words themselves. Then come words that stand beside the
MATs in at least half of these MAPs, for a phrase with their place. `lexical_rules` reads each description
back. Deterministic.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, compress
from math import fsum

from pipeline.generation.evidence import Evidence
from pipeline.generation.lexical_rules import (
    AFTER,
    BEFORE,
    BEGIN,
    BESIDE,
    END,
    NUMBERS,
    TOKEN,
    WITH,
    WORD,
    kind_said,
    plain,
    quoted,
    read,
)
from pipeline.language import word
from pipeline.language.hypernyms import Hypernyms
from pipeline.language.word_vectors import Vectors

_MOST = 0.8 - 1e-9  # share of the MATs' activation, or of their words, from which a form describes them all
_MINOR = 0.25  # of the activation of the most frequent word: words below are left out of a mere list
_AFFIX, _SPELLING = 3, 2  # letters worth naming: of an affix that is noticed, and where spelling was found
_LONGEST = 40  # letters of a word, from its beginning or end, in which shared ones are looked for
_RARE = 1e-3  # frequency below which a word beside the MAT is worth naming
_LISTED = 5  # words that are listed
_BESIDE = 2  # words that are named beside the MATs
_FEW = 3  # words that are named of the MATs of a phrase


@dataclass(frozen=True)
class _Map:
    """A MAT in its MAP: its name, which is the word that holds it or the token itself, its token, its share
    of the activation, the whole words before and behind it, and whether its own word is surely whole."""

    name: str
    token: str
    share: float
    earlier: list[str]
    later: list[str]
    whole: bool


def _maps(shown: Evidence, chosen: list[bool], known: word.Known) -> list[_Map]:
    """The chosen MAPs; their shares are of their own activation, or of their number where that is 0.

    `known` is as in `word.find`.
    """
    rows = compress(zip(shown.words, shown.mats, shown.marked, shown.activations, strict=True), chosen)
    given = [(name, mat, marked, max(0.0, activation)) for name, mat, marked, activation in rows]
    total = fsum(weight for *_, weight in given)
    return [
        _map(name, mat, marked, weight / total if total > 0 else 1 / len(given), known)
        for name, mat, marked, weight in given
    ]


def _map(name: str, mat: str, marked: str, share: float, known: word.Known) -> _Map:
    """A word that touches the edge of the MAP may be cut there: it is no context."""
    before, _, rest = marked.partition("⟦")
    own, _, after = rest.partition("⟧")
    text = before + own + after
    start, end = len(before), len(before + own)
    found = word.find(text, known)
    inner = [match for match in found if match.start() > 0 and match.end() < len(text)]
    return _Map(
        name.lower() if word.words(name) else plain(mat),
        plain(mat),
        share,
        [match[0].lower() for match in inner if match.end() <= start],
        [match[0].lower() for match in inner if match.start() >= end],
        not text or any(match.start() < end and match.end() > start for match in inner),
    )


@dataclass(frozen=True)
class _Own:
    """The MAPs of which a description is made, at least one, and WordNet."""

    maps: list[_Map]
    hypernyms: Hypernyms

    @cached_property
    def shares(self) -> dict[str, float]:
        """Each name's part of the activation, the largest first, then by name."""
        return _summed((each.name, each.share) for each in self.maps)

    @property
    def names(self) -> list[str]:
        """The names in the same order."""
        return list(self.shares)

    def most(self, names: Iterable[str]) -> bool:
        """Whether some names have nearly all of the activation."""
        return sum(self.shares[name] for name in names) >= _MOST


def _summed(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Sums by name, the largest first, then by name."""
    sums: dict[str, float] = defaultdict(float)
    for name, share in pairs:
        sums[name] += share
    return dict(sorted(sums.items(), key=lambda item: (-round(item[1], 9), item[0])))


def describe(shown: Evidence, vectors: Vectors, hypernyms: Hypernyms) -> str:
    """One line on what the MAPs that are a neuron's `own`, at least one, share. Variants are left out: they
    are copies of their MAPs."""
    maps = _maps(shown, shown.own, vectors.known)
    own = _Own(maps, hypernyms)
    common = set(vectors.words[: int((vectors.frequencies > _RARE).sum())])
    if shown.kind == "phrase" and (places := _template(maps, common)):
        return ", ".join([*_few(own), *places])
    forms = (*_FORMS.get(shown.kind, ()), *_USUAL)
    what = next(said for form in forms if (said := form(own)) is not None)
    beside = _beside(own, common)
    return f"{what}, {BESIDE} {beside}" if beside else what


def covers(description: str, shown: Evidence, hypernyms: Hypernyms) -> float:
    """The share of all MAPs, by the activation of their MATs, whose MAT fits the description where it
    stands: 0..1."""
    rule = read(description, hypernyms)
    covered = (
        each.share
        for each in _maps(shown, [True] * len(shown.mats), rule.known)
        if (rule.fits_word(each.name) or rule.fits_token(each.token))
        and rule.fits_place(each.earlier, each.later)
    )
    return min(1.0, fsum(covered))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(quoted(name) for name in names[:_LISTED]) + more


def _one(own: _Own, name: str) -> str:
    """The one thing that all MATs are: a token where no MAP shows it as a whole word."""
    maps = [each for each in own.maps if each.name == name]
    is_word = word.alphabetic(name) and any(each.whole for each in maps)
    is_token = not is_word and all(each.token == name for each in maps)
    return f"{TOKEN if is_token else WORD} {quoted(name)}"


def _held(own: _Own) -> tuple[str, list[str]] | None:
    """The token that nearly all MATs are, and the words that hold it; None where they are several."""
    tokens = _summed((each.token, each.share) for each in own.maps)
    token = next(iter(tokens))
    if tokens[token] < _MOST:
        return None
    names = _summed((each.name, each.share) for each in own.maps if each.token == token)
    return token, [name for name in names if token in name]


def _token(own: _Own) -> str | None:
    if (held := _held(own)) is None:
        return None
    token, holders = held
    if holders == [token]:
        return _one(own, token)
    return f"{TOKEN} {quoted(token)}" + (f" in {_listed(holders)}" if holders else "")


def _piece(own: _Own) -> str | None:
    """The token where it is part of several words, and no word itself."""
    held = _held(own)
    return _token(own) if held and len(held[1]) > 1 and held[0] not in own.shares else None


def _word(own: _Own) -> str | None:
    name = own.names[0]
    return _one(own, name) if own.most([name]) else None


def _numbers(own: _Own) -> str | None:
    numbers = [name for name in own.names if name.isdecimal()]
    return f"{NUMBERS}: {_listed(numbers)}" if own.most(numbers) else None


def _affix(own: _Own) -> str | None:
    return _spelled(own, (BEGIN, END), _AFFIX)


def _spelling(own: _Own) -> str | None:
    return _spelled(own, (BEGIN, END, WITH), _SPELLING)


def _spelled(own: _Own, places: tuple[str, ...], least: int) -> str | None:
    """The longest run of letters, at least so many, that nearly all words share at one of these places."""
    best: tuple[int, int, str, str] | None = None
    for order, place in enumerate(places):
        counted = Counter(part for name in own.names for part in set(_PARTS[place](name)))
        for part, n in counted.items():
            if len(part) >= least and part.isalnum() and n >= max(2, _MOST * len(own.names)):
                found = (-len(part), order, part, place)
                best = min(best or found, found)
    if best is None:
        return None
    _, _, part, place = best
    return f"{place} {quoted(part)}: {_listed([name for name in own.names if _HOLDS[place](name, part)])}"


# At which places a word is searched for what others share, as far as that is worth naming.
_PARTS: dict[str, Callable[[str], Iterator[str]]] = {
    BEGIN: lambda name: (name[:n] for n in range(1, min(_LONGEST, len(name)) + 1)),
    END: lambda name: (name[-n:] for n in range(1, min(_LONGEST, len(name)) + 1)),
    WITH: lambda name: (
        part[i:j] for part in [name[:_LONGEST]] for i, j in combinations(range(len(part) + 1), 2)
    ),
}
_HOLDS: dict[str, Callable[[str, str], bool]] = {
    BEGIN: str.startswith,
    END: str.endswith,
    WITH: str.__contains__,
}


def _kinds(own: _Own) -> str | None:
    """What nearly all words are kinds of, or which class they are of; only those that are are listed."""
    kind = own.hypernyms.kind_of({name: share for name, share in own.shares.items() if share > 0})
    if kind is None or not own.most(kind.members):
        return None
    listed = _listed([name for name in own.names if name in kind.members])
    return f"{kind_said(kind, own.hypernyms)}: {listed}"


def _members(own: _Own) -> str | None:
    return _one(own, own.names[0]) if len(own.names) == 1 else _listed(own.names)


def _frequent(own: _Own) -> str | None:
    """The words that are not much rarer than the first."""
    least = _MINOR * own.shares[own.names[0]] - 1e-9
    names = [name for name, share in own.shares.items() if share >= least]
    return _one(own, names[0]) if len(names) == 1 else _listed(names)


# What is tried, in order, by what a neuron was found to stand for, and then for any.
_FORMS: dict[str, tuple[Callable[[_Own], str | None], ...]] = {
    "token": (_token,),
    "word": (_word,),
    "spelling": (_piece, _spelling),
    "set": (_numbers, _kinds, _members),
}
_USUAL = (_piece, _word, _numbers, _affix, _kinds, _frequent)


def _in_half(n: int, maps: list[_Map]) -> bool:
    return n >= max(2, len(maps) / 2)


def _is_rare(name: str, common: set[str]) -> bool:
    return name not in common and len(name) > 2


def _beside(own: _Own, common: set[str]) -> str:
    """Rare words, other than the MATs', that stand in at least half of the MAPs."""
    counted = Counter(name for each in own.maps for name in {*each.earlier, *each.later})
    shared = [
        (-n, name)
        for name, n in counted.items()
        if _in_half(n, own.maps) and name not in own.shares and _is_rare(name, common)
    ]
    return ", ".join(quoted(name) for _, name in sorted(shared)[:_BESIDE])


def _template(maps: list[_Map], common: set[str]) -> list[str]:
    """Where the MATs of a phrase stand: words that at least half of the MAPs have together, rare ones
    first, and of them those right before and behind the MAT. A common word counts only there."""
    places = [_places(each, common) for each in maps]
    counted = Counter(place for own in places for place in own)

    def order(place: tuple[str, str]) -> tuple[bool, bool, int, str, str]:
        where, name = place
        elsewhere = where == BESIDE or counted[place] < _MOST * counted[BESIDE, name]
        return not _is_rare(name, common), elsewhere, -counted[place], where, name

    chosen: dict[str, str] = {}
    for where, name in sorted(counted, key=order):
        held = sum(
            {*((place, other) for other, place in chosen.items()), (where, name)} <= own for own in places
        )
        if _in_half(held, maps) and name not in chosen and len(chosen) < _BESIDE:
            chosen[name] = where
    return [
        f"{where} {', '.join(quoted(name) for name in chosen if chosen[name] == where)}"
        for where in (AFTER, BEFORE, BESIDE)
        if where in chosen.values()
    ]


def _places(each: _Map, common: set[str]) -> set[tuple[str, str]]:
    """Each word of a MAP with where it has the MAT."""
    found = {(AFTER, name) for name in each.earlier[-1:]} | {(BEFORE, name) for name in each.later[:1]}
    return found | {(BESIDE, name) for name in (*each.earlier, *each.later) if _is_rare(name, common)}


def _few(own: _Own) -> list[str]:
    """The MATs of a phrase, where they are few words, nearly all one word, or numbers."""
    said = _members(own) if len(own.names) <= _FEW else _word(own) or _numbers(own)
    return [said] if said else []
