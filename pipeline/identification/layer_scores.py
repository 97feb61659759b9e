"""The scores of a layer: what its neurons' words and phrases are compared with.

Made of the tables `mat_words`, `words` and `vocabulary`, one layer at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.engine.stage import Inputs
from pipeline.identification import mats
from pipeline.identification.chance import LEAST_POINTS, MOST_UNITS, Phrases, Scores, Words
from pipeline.identification.mats import Key, Mat, Unit
from pipeline.language.hypernyms import hypernyms
from pipeline.language.word_vectors import Vectors

TESTS = ("words", "phrases")  # what units are compared by
_EVEN = 0.4  # share of a neuron's pairs of words of one stratum, from which they are as frequent
_LEAST_NEURONS = 20  # of which a layer's chance can be told
SIF_A = 1e-3


@dataclass(frozen=True)
class Compared:
    """Things of a neuron that are compared: its units, the scores of each pair (k, k), and whether they are
    words that are as frequent as each other."""

    units: list[Unit]
    scores: np.ndarray
    even: bool = False


class LayerScores:
    """The MATs and units of each neuron of one layer, and how likely the likeness of words and phrases is.

    `words` and `phrases` are None where the layer has too few of them for a null.
    """

    def __init__(self, mat_words: pa.Table, words: pa.Table, vectors: Vectors, seed: int) -> None:
        self.vectors = vectors
        self.mats = mats.mats_of(mat_words, words)
        self.units = {key: mats.units(own) for key, own in self.mats.items()}
        self._weights = (SIF_A / (SIF_A + vectors.frequencies)).astype(np.float32)
        self.words = self._words(np.random.default_rng([seed, 1]))
        self.phrases = self._phrases(np.random.default_rng([seed, 2]))

    def compared(self, key: Key, by: str) -> Compared | None:
        """A neuron's units that have vectors, by "words" or by "phrases"; None for less than two."""
        if by == "words":
            known = [unit for unit in self.units[key] if unit.word in self.vectors.places]
            own = {unit.word: unit for unit in known[:MOST_UNITS]}
            if self.words is None or len(own) < 2:
                return None
            words = [str(word) for word in own]
            even = self.words.evenness(words) >= _EVEN
            return Compared(list(own.values()), self.words.scores(words), even)
        places = dict(list(self._places.get(key, {}).items())[:MOST_UNITS])
        if self.phrases is None or len(places) < 2:
            return None
        return Compared(list(places), self.phrases.scores(np.array(list(places.values()))))

    def scores(self, by: str) -> Scores | None:
        """What pairs of words, or of phrases, are scored by; None where there is no null."""
        return self.words if by == "words" else self.phrases

    def _words(self, draw: np.random.Generator) -> Words | None:
        names = {unit.word for own in self.units.values() for unit in own if unit.word}
        places = sorted(self.vectors.places[name] for name in names if name in self.vectors.places)
        if len(places) < LEAST_POINTS or len(self.units) < _LEAST_NEURONS:
            return None
        return Words(places, self.vectors, hypernyms(), draw)

    def _phrases(self, draw: np.random.Generator) -> Phrases | None:
        """Phrases without the MAT's word, one for each unit: that of its strongest MAP."""
        found: list[np.ndarray] = []
        self._places: dict[Key, dict[Unit, int]] = {}
        for key, own in self.units.items():
            for unit in own:
                vector = self._context(unit.mats[0])
                if vector is not None:
                    self._places.setdefault(key, {})[unit] = len(found)
                    found.append(vector)
        if len(found) < LEAST_POINTS or len(self.units) < _LEAST_NEURONS:
            return None
        return Phrases(np.array(found), draw)

    def _context(self, mat: Mat) -> np.ndarray | None:
        """The mean of the words around a MAT, weighted by rarity (SIF; Arora et al. 2017)."""
        places = [self.vectors.places[word] for word in mat.context if word in self.vectors.places]
        if not places:
            return None
        return self._weights[places] @ self.vectors.matrix[places] / len(places)


def maker(inputs: Inputs, seed: int) -> Callable[[pa.Table], LayerScores]:
    """The function from a layer's MATs to its scores, with words and vectors loaded."""
    words, vectors = inputs.columns("words", mats.OF_WORDS), Vectors.from_table(inputs["vocabulary"])
    return lambda mat_words: LayerScores(mat_words, words, vectors, seed)
