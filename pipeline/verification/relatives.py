"""The words of a vocabulary that are most alike to a word, by vectors and by WordNet together.

Nearest neighbours by vectors of a small text are often no relatives at all (morning: beard), and WordNet
knows no use (gun: ammunition). So both are standardised over the vocabulary and added.
"""

from __future__ import annotations

import numpy as np

from pipeline.language.content import SharedContent
from pipeline.language.hypernyms import Hypernyms
from pipeline.language.spelling import spelled_alike
from pipeline.language.word_vectors import Vectors

_COMMON = 20_000  # words, the most frequent, that may be relatives: a model knows them
_NAMES = 0.5  # weight of what WordNet says beside that of the vectors
_LOOKED_AT = 5  # times the relatives wanted, since those that are spelled alike are left out


class Relatives:
    """The relatives of any word among the common words of `vectors`."""

    def __init__(self, vectors: Vectors, hypernyms: Hypernyms) -> None:
        self.vectors = vectors
        self.words = vectors.words[:_COMMON]
        self.content = SharedContent(self.words, hypernyms)

    def of(self, word: str, wanted: int) -> list[tuple[int, float]]:
        """The places of the words that are most alike to one that has a vector, with their cosines; none
        that is spelled alike."""
        cosines = self.vectors.matrix[: len(self.words)] @ self.vectors.matrix[self.vectors.places[word]]
        known = self.content.known
        scores = _standard(cosines, np.ones_like(known))
        scores += _NAMES * _standard(self.content.row(word), known)
        best = np.argsort(-scores, kind="stable")[: _LOOKED_AT * wanted].tolist()
        found = [i for i in best if not spelled_alike(word, self.words[i])]
        return [(place, float(cosines[place])) for place in found[:wanted]]


def _standard(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Values as standard deviations from the mean of those that are known; 0 for the others."""
    own = values[known]
    if len(own) < 2 or not own.std():
        return np.zeros(len(values))
    return np.where(known, (values - own.mean()) / own.std(), 0)
