"""What words have in common by their meaning: physicist, astronomer and biochemist are kinds of scientist.

Reads the tables of `data/wordnet`, which hold the nouns, verbs and adjectives of WordNet 3.0. A synset is
one sense with the words for it; it has hypernyms, of which it is a kind or, such as a country, an instance.
Those of an adjective are what it is like (cold, of chilly), it with its opposites (hot or cold), these with
what is near them, the nouns of which it tells (temperature), and those to which it pertains (science, of
scientific). A synset covers a word if one of the word's senses that count is that synset or lies below it.
The classes of `closed_classes`, such as prepositions, are synsets as well, with nothing above them.

Method. A word is looked up by the rules of morphy(7WN): as it stands, in a list of exceptions, else without
its ending. Only its common senses count, as rare ones would make nonsense of common words. Of the synsets
that cover enough of the words, the best is that with the largest log-likelihood ratio of a binomial
(Dunning 1993): the lemmas that it covers of those given, against the share of all nouns, verbs or
adjectives that it covers. Closed classes have no rare words, as other parts of speech have: the share of
one is that of its words against the words that occur in WordNet's tagged texts. Of all words in the
dictionary it would be too small for words as frequent as these, and of closed words alone too large: they
are few. Deterministic.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.language.closed_classes import ADJECTIVES, CLASSES, CLOSED
from pipeline.resources import resource

# SHA-256 of the files, so that the code changes with them, and with it the keys of tables that follow.
FILES = {
    "inflections.parquet": "3c8d016c2f11554c0d80a516ae5fb4f84800509b64f481f6bef555d6fa296550",
    "synsets.parquet": "ed54b8ff659307121a200446b133bb7d198440b67a564d8b05e20572bfc332c3",
    "words.parquet": "241bfe10d3aad434c8bc31ec04b448f6deca7f1cfa672a8dd87c4588ae5245be",
}
NOUN, VERB, ADJECTIVE, OPPOSITES, RELATED, QUALITY, PERTAINED, CLASS = ALL = "nvaorqpc"
_COMPARED = ((NOUN, VERB), (ADJECTIVE,))  # parts whose lemmas are compared by how often they occur
_PARTS = (NOUN, VERB, ADJECTIVE)  # that words have senses of
_ENDINGS = {  # of inflected forms, with the ending of the lemma
    NOUN: ("s ", "ses s", "xes x", "zes z", "ches ch", "shes sh", "men man", "ies y"),
    VERB: ("s ", "ies y", "es e", "es ", "ed e", "ed ", "ing e", "ing "),
    ADJECTIVE: ("er ", "est ", "er e", "est e"),
}
_ROUNDING = 1e-9  # of sums of weights
_SENSES = 3  # of a word as a noun, as a verb, and as an adjective, that count at most
_LEAST_TAGGED = 0.05  # of a word's occurrences in WordNet's tagged texts: from here a sense counts
_LEAST_PART = 0.02  # of them: below, what else an adjective is does not count
_OF_KNOWN = 0.7  # the least part of the words that WordNet knows, by weight, and
_OF_ALL = 0.5  # of all the words, that a kind covers
_TOLD = 1.1  # times the evidence of what adjectives tell of: it says more than an adjective as evident
_LEAST_WORDS = 3  # that a kind covers, or both where there are two
_LEAST_LEMMAS = 2
_GENERAL = 0.03  # rarity above which a synset says too little
_EVIDENCE = 10.0  # least log-likelihood ratio, nats; three of three lemmas under a synset of 0.03 have 10.5


@dataclass(frozen=True)
class Kind:
    """What words are: the `name` of a synset as WordNet has it, or of a closed class, its number, the words
    that it covers in the order given, their `share` of the words given by weight, and its `rarity` as in
    `Hypernyms.rarity`, both 0..1."""

    name: str
    synset: int
    members: tuple[str, ...]
    share: float
    rarity: float


def counted(tagged: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Which senses of a word count: for each part of speech their places, in order.

    `tagged` has, for each part of speech, how often each sense occurs in tagged texts, in WordNet's order.
    Of each the first three count, but those with less than a twentieth of the word's occurrences; so all
    three of a word that does not occur. What it is as an adjective does not count against nouns and verbs
    (bitter is a taste, too) unless these together, and one more, have less than a fiftieth (possible).
    """
    total = sum(map(sum, tagged.values()))
    others = total - sum(tagged.get(ADJECTIVE, ()))
    of_others = total if others + 1 < _LEAST_PART * total else others
    least = {pos: _LEAST_TAGGED * (total if pos == ADJECTIVE else of_others) for pos in tagged}
    return {
        pos: [i for i, n in enumerate(part[:_SENSES]) if n >= least[pos]] for pos, part in tagged.items()
    }


def closed(word: str, pos: str) -> bool:
    """Whether a word is a single character or of a closed class, such as a preposition: none of its senses
    as this part of speech counts."""
    return len(word) < 2 or (word in CLOSED and not (pos == ADJECTIVE and word in ADJECTIVES))


def evidence(n: int, of: int, rarity: float) -> float:
    """The log-likelihood ratio, in nats, of `n` of `of` lemmas covered, `n` at least 1, against a share
    `rarity` of them; below 0 where they are fewer than that share."""
    ratio = n * math.log(n / of / rarity)
    if missed := of - n:
        ratio += missed * math.log(missed / of / (1 - rarity))
    return ratio if n >= of * rarity else -ratio


class Hypernyms:
    """WordNet's nouns, verbs and adjectives in memory, from the tables that `data/wordnet/README.md`
    describes, each in one chunk, and closed classes. A synset is known by its number, its row in the table,
    those of closed classes after these; words are in lower case."""

    def __init__(self, inflections: pa.Table, synsets: pa.Table, words: pa.Table) -> None:
        self._names = pa.concat_arrays([synsets["name"].chunk(0), pa.array(CLASSES)])
        self._hypernyms = synsets["hypernyms"].chunk(0)
        self._pos = [*synsets["pos"].to_pylist(), *[CLASS] * len(CLASSES)]
        self._first_class = len(synsets)
        senses = words["synsets"].chunk(0)
        self._rows = {name: row for row, name in enumerate(words["word"].to_pylist())}
        self._offsets, self._senses = senses.offsets.to_numpy(), senses.values.to_numpy()
        self._tagged = words["tagged"].chunk(0).values.to_numpy()
        self._rarity = self._shares(synsets["n_words"].to_numpy())
        self._lemmas: dict[tuple[str, str], list[str]] = {}
        for row in inflections.to_pylist():
            self._lemmas.setdefault((row["pos"], row["word"]), []).append(row["lemma"])
        self._above: dict[int, frozenset[int]] = {}
        self._covering: dict[str, frozenset[int]] = {}

    def _shares(self, n_words: np.ndarray) -> np.ndarray:
        """The rarity of each synset; one that covers no lemma may still cover a form, and counts as one."""
        rows = np.repeat(np.arange(len(self._rows)), np.diff(self._offsets))
        parts = np.array(self._pos)[self._senses]
        n = {pos: len(np.unique(rows[parts == pos])) for pos in _PARTS}
        n_occurring = len(np.unique(rows[self._tagged > 0]))
        of = np.array([n.get(pos, n[ADJECTIVE]) for pos in self._pos[: len(n_words)]])
        classes = [len(own) / n_occurring for own in CLASSES.values()]
        return np.concatenate([np.maximum(n_words, 1) / of, classes])

    def kind_of(self, words: Mapping[str, float] | Iterable[str]) -> Kind | None:
        """The kind that most of some words are; None where they are of none.

        A mapping has each word's weight, above 0; else each weighs 1, however often it is there. A kind
        covers at least 0.7 of the words that are known, and half of all, by weight; three words (or both of
        two) of two lemmas; and its rarity is at most 0.03, less where there are few lemmas. What adjectives
        tell of goes before them where it is about as evident. Of equal evidence the largest weight goes
        first, then the rarest, then the first in number.
        """
        weights = words if isinstance(words, Mapping) else dict.fromkeys(words, 1.0)
        covering = {word: above for word in weights if (above := self.synsets(word))}
        total, known = sum(weights.values()), sum(weights[word] for word in covering)
        least = max(_OF_KNOWN * known, _OF_ALL * total) - _ROUNDING
        n_known = len({self._lemma(word) for word in covering})
        best: tuple[tuple[float, float, float, int], Kind] | None = None
        for synset in sorted(set().union(*covering.values())):
            members = tuple(word for word, above in covering.items() if synset in above)
            weight, rarity = sum(weights[word] for word in members), float(self._rarity[synset])
            n_lemmas = len({self._lemma(word) for word in members})
            if n_lemmas < _LEAST_LEMMAS or len(members) < min(_LEAST_WORDS, len(weights)):
                continue
            if weight < least or rarity > _GENERAL:
                continue
            found = evidence(n_lemmas, n_known, rarity)
            order = (found * _TOLD if self.pos(synset) == QUALITY else found, weight, -rarity, -synset)
            if found >= _EVIDENCE and (best is None or order > best[0]):
                best = order, Kind(self.name(synset), synset, members, weight / total, rarity)
        return best and best[1]

    def name(self, synset: int) -> str:
        """The first of the words for a synset."""
        return self._names[synset].as_py()

    def pos(self, synset: int) -> str:
        """What the synset is, as in `data/wordnet/README.md`, or a closed class ("c")."""
        return self._pos[synset]

    def rarity(self, synset: int) -> float:
        """The share of all nouns, of all verbs, or of all adjectives, that the synset covers, 0..1; for a
        closed class the number of its words over that of words that occur in WordNet's tagged texts."""
        return float(self._rarity[synset])

    def covers(self, synset: int, word: str) -> bool:
        """Whether a sense of the word that counts is the synset or lies below it, or the closed class has
        the word."""
        return synset in self.synsets(word)

    def synsets(self, word: str) -> frozenset[int]:
        """All synsets that cover a word."""
        if word not in self._covering:
            senses = frozenset().union(*map(self._upwards, self._counting(word)))
            self._covering[word] = senses.union(self._classes(word))
        return self._covering[word]

    def named(self, name: str, members: Iterable[str], pos: Container[str] = ALL) -> int | None:
        """The synset that a name beside some of its words means, as several may have one name: of those
        that are such a part of speech it covers most of the words; of several the rarest, then the first.
        None where none of that name covers any. With the name, all members and the part of a kind it is the
        kind's."""
        places = pc.indices_nonzero(pc.equal(self._names, name)).to_pylist()
        words = list(members)
        covered = {
            place: sum(self.covers(place, word) for word in words)
            for place in places
            if self._pos[place] in pos
        }
        order = sorted((-n, self._rarity[place], place) for place, n in covered.items() if n)
        return order[0][-1] if order else None

    def lemmas(self, word: str, pos: str) -> list[str]:
        """The lemmas of which a word in lower case may be a form, as a noun ("n"), a verb ("v") or an
        adjective ("a")."""
        if closed(word, pos):
            return []
        irregular = self._lemmas.get((pos, word), [])
        if known := [word] * self._has(word, pos) + irregular:
            return known
        endings = (ending.split(" ") for ending in _ENDINGS[pos])
        stems = [word.removesuffix(end) + new for end, new in endings if word.endswith(end)]
        return list(dict.fromkeys(stem for stem in stems if self._has(stem, pos)))

    def _has(self, lemma: str, pos: str) -> bool:
        return bool(self._parts(lemma)[pos])

    def _parts(self, lemma: str) -> dict[str, list[tuple[int, int]]]:
        """The senses of a lemma by their part of speech, each with its number in tagged texts."""
        row = self._rows.get(lemma)
        own = slice(0, 0) if row is None else slice(self._offsets[row], self._offsets[row + 1])
        parts: dict[str, list[tuple[int, int]]] = {pos: [] for pos in _PARTS}
        for synset, n in zip(self._senses[own].tolist(), self._tagged[own].tolist(), strict=True):
            parts[self._pos[synset]].append((synset, n))
        return parts

    def _lemma(self, word: str) -> str:
        """The one lemma by which a word is told from its other forms; those of verbs go first. That of a
        closed word is itself."""
        return [*(lemma for pos in (VERB, NOUN, ADJECTIVE) for lemma in self.lemmas(word, pos)), word][0]

    def _classes(self, word: str) -> Iterator[int]:
        """The closed classes of a word, whose apostrophe may be a curved one."""
        straight = word.replace("’", "'")
        return (i for i, own in enumerate(CLASSES.values(), self._first_class) if straight in own)

    def _counting(self, word: str) -> Iterator[int]:
        """The senses of a word that count. A lemma that never occurs has none beside one that does: born is
        a form of bear, not the physicist."""
        for group in _COMPARED:
            found = [(pos, self._parts(lemma)) for pos in group for lemma in self.lemmas(word, pos)]
            occurs = [any(n for pos in group for _, n in parts[pos]) for _, parts in found]
            for (pos, parts), common in zip(found, occurs, strict=True):
                if common or not any(occurs):
                    places = counted({part: [n for _, n in senses] for part, senses in parts.items()})
                    yield from (parts[pos][place][0] for place in places[pos])

    def _upwards(self, synset: int) -> frozenset[int]:
        """A synset and all above it."""
        if synset not in self._above:
            above = self._hypernyms[synset].as_py()
            self._above[synset] = frozenset({synset}.union(*map(self._upwards, above)))
        return self._above[synset]


@cache
def hypernyms() -> Hypernyms:
    """The tables that ship with the package, read once."""
    folder = resource("data/wordnet")
    return Hypernyms(*(pq.ParquetFile(folder / name).read().combine_chunks() for name in FILES))
