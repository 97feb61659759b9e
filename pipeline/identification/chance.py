"""How alike two things are, measured by how alike things of the same layer are by chance.

The score of a pair is the normal quantile of its cosine among random pairs of the layer: of words as
frequent as these two, since rare words are alike in published vectors merely for being rare. So 0 is what a
random pair has, 1.64 what one in twenty has, whatever the vectors. Where WordNet knows both words, what it
says of them is scored in the same way and added with 0.7 of the weight: the information content of the
narrowest synset above both, which is -log of its share of all words (Resnik 1995).

The null of a neuron with k units is the mean score over the pairs of k things drawn from the layer, many
times, with a seed: words of one stratum of frequency where the neuron's are, which share more than their
pairs tell (a permutation test: Fisher 1935; Phipson and Smyth 2010 for p = (1 + b) / (1 + n), which is
never 0). It needs no assumption about the scores' distribution; it assumes that the words of a neuron that
responds to nothing in particular are like words drawn from those of its layer.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.language.content import SharedContent
from pipeline.language.hypernyms import Hypernyms
from pipeline.language.word_vectors import Vectors
from pipeline.progress import progress

MOST_UNITS = 20
LEAST_POINTS = 100  # things of a layer from which pairs can be drawn
_FEW = 60  # words of a stratum at least
_EDGES = (30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)  # places by frequency at which strata begin
_PAIRS = 20_000  # random pairs that the distribution of a score is taken from
_STEPS = 400  # of that distribution's quantiles
_CHUNK = 500  # draws computed together
_MANY = 500  # things of which 20 are drawn at once without looking for equal ones
_ROUNDING = 1e-3  # cosines that differ by less are equal
_NAMES = 0.7  # weight of what WordNet says beside that of the vectors
_DRAWN_WORDS = 3000  # words of the layer that draws are made of, at most


def strata(places: list[int]) -> np.ndarray:
    """A number for each word, by its place in the order of frequency, ascending.

    Words of one stratum are as frequent, to a factor of about three; one of few words is joined to that
    before it.
    """
    found = np.searchsorted(_EDGES, places, side="right")
    for edge in range(len(_EDGES), 0, -1):
        if 0 < np.count_nonzero(found == edge) < _FEW:
            found[found == edge] = edge - 1
    if np.count_nonzero(found == found.min()) < _FEW:  # the first has none before it
        found[found == found.min()] = min(
            (own for own in set(found.tolist()) if own > found.min()), default=0
        )
    return np.unique(found, return_inverse=True)[1]


def _some(strata: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Places of the words that draws are made of, in order; of a stratum of few words all are there."""
    order = draw.permutation(len(strata))
    rank = np.empty(len(strata), np.int64)  # of a word among those of its stratum, as they are drawn
    for stratum in np.unique(strata):
        own = np.flatnonzero(strata[order] == stratum)
        rank[own] = np.arange(len(own))
    return np.sort(order[(np.arange(len(order)) < _DRAWN_WORDS) | (rank < _FEW)])


class Likeness:
    """Scores of pairs among the points of a layer: unit vectors (points, dimensions), centred here, whose
    distribution by chance is that of points of the same strata, a number for each point."""

    def __init__(self, matrix: np.ndarray, strata: np.ndarray, draw: np.random.Generator) -> None:
        self.matrix = _unit(matrix - matrix.mean(0)).astype(np.float32)
        self.strata = strata
        n_strata = int(strata.max()) + 1
        members = [np.flatnonzero(strata == stratum) for stratum in range(n_strata)]
        self.quantiles = np.zeros((n_strata, n_strata, _STEPS + 1))
        for one in range(n_strata):
            for other in range(one, n_strata):
                pairs = draw.choice(members[one], _PAIRS), draw.choice(members[other], _PAIRS)
                differ = pairs[0] != pairs[1]
                cosines = np.einsum("nd,nd->n", *(self.matrix[part[differ]] for part in pairs))
                steps = np.quantile(cosines, np.linspace(0, 1, _STEPS + 1))
                self.quantiles[one, other] = self.quantiles[other, one] = steps
        self.normal = _normal((np.arange(_STEPS + 1) + 0.5) / (_STEPS + 1))

    def scores(self, points: np.ndarray) -> np.ndarray:
        """The score of each pair of `points` (..., k): (..., k, k), 0 on the diagonal."""
        own = self.matrix[points]
        cosines = own @ np.swapaxes(own, -1, -2)
        strata = self.strata[points]
        n_strata = len(self.quantiles)
        cell = strata[..., :, None] * n_strata + strata[..., None, :]
        found = np.zeros(cosines.shape)
        for each in np.unique(cell):
            here = cell == each
            found[here] = self._scored(cosines[here], self.quantiles[divmod(int(each), n_strata)])
        diagonal = np.arange(points.shape[-1])
        found[..., diagonal, diagonal] = 0
        return found

    def drawn(self, points: np.ndarray) -> np.ndarray:
        """The scores of the pairs of each row of `points` (n, k): (n, pairs), i < j."""
        own = self.matrix[points]
        one, other = np.triu_indices(points.shape[1], 1)
        cosines = (own @ np.swapaxes(own, -1, -2))[:, one, other]
        strata = self.strata[points]
        n_strata = len(self.quantiles)
        cell = (strata[:, one] * n_strata + strata[:, other]).ravel()
        order = cell.argsort(kind="stable")
        ends = np.searchsorted(cell[order], np.arange(n_strata**2 + 1))
        flat, found = cosines.ravel(), np.empty(cell.shape, np.float32)
        for each in np.flatnonzero(np.diff(ends)):
            here = order[ends[each] : ends[each + 1]]
            found[here] = self._scored(flat[here], self.quantiles[divmod(int(each), n_strata)])
        return found.reshape(cosines.shape)

    def _scored(self, cosines: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
        scores = np.interp(cosines, quantiles, self.normal)
        width = (quantiles[3 * _STEPS // 4] - quantiles[_STEPS // 4]) / 1.349  # of a normal distribution
        beyond = np.maximum(cosines - quantiles[-1], 0) / max(width, _ROUNDING)
        return scores + beyond


class Names:
    """Scores of pairs of words by the narrowest synset above both; 0 where WordNet lacks one of them."""

    def __init__(self, words: list[str], hypernyms: Hypernyms) -> None:
        self.hypernyms = hypernyms
        content, known = self.content(words)
        pairs = content[np.triu_indices(len(words), 1)][_pairs_of(known)]
        values, counts = np.unique(pairs, return_counts=True)
        self.values = values if len(values) else np.zeros(1)
        middle = (np.cumsum(counts) - counts / 2) / max(1, counts.sum())  # half of those that are equal
        self.normal = _normal(np.clip(middle, 1e-5, 1 - 1e-5)) if len(values) else np.zeros(1)

    def content(self, words: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """The information content, nats, of the narrowest synset above each pair (k, k), 0 where there is
        none; and which words are known (k,)."""
        shared = SharedContent(words, self.hypernyms)
        return np.stack([shared.row(word) for word in words]), shared.known

    def scores(self, words: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """The scores of all pairs (k, k), and which pairs are known."""
        content, known = self.content(words)
        pairs = known[:, None] & known
        scores = np.interp(content, self.values, self.normal)
        return np.where(pairs, scores, 0).astype(np.float32), pairs


class Words:
    """Scores of pairs of words of a layer: by their vectors, and by WordNet.

    `own` are the places in the vocabulary of those of the layer that have a vector, in order.
    """

    def __init__(
        self, own: list[int], vectors: Vectors, hypernyms: Hypernyms, draw: np.random.Generator
    ) -> None:
        self.likeness = Likeness(vectors.matrix[own], strata(own), draw)
        words = [vectors.words[place] for place in own]
        self.places = {word: place for place, word in enumerate(words)}
        self.drawn = _some(self.likeness.strata, draw)
        drawn = [words[place] for place in self.drawn]
        self.names = Names(drawn, hypernyms)
        self._of_drawn = self.names.scores(drawn)

    def evenness(self, words: list[str]) -> float:
        """The share of the pairs of some words of the layer that are of one stratum of frequency, 0..1."""
        strata = self.likeness.strata[[self.places[word] for word in words]]
        same = (strata[:, None] == strata).sum() - len(strata)
        return float(same / (len(strata) * (len(strata) - 1)))

    def points(self, count: int, draw: np.random.Generator, *, even: bool = False) -> np.ndarray:
        """Places of drawn words, (count, 20); where `even`, those of a draw are all of one stratum."""
        if not even:
            return _distinct(len(self.drawn), count, draw)
        strata = self.likeness.strata[self.drawn]
        ends = np.searchsorted(strata, np.arange(strata.max() + 2))
        own = strata[draw.integers(0, len(strata), count)]
        points = np.zeros((count, MOST_UNITS), np.int64)
        for each in np.unique(own):
            here = own == each
            points[here] = ends[each] + _distinct(ends[each + 1] - ends[each], here.sum(), draw)
        return points

    def scores(self, words: list[str]) -> np.ndarray:
        """The score of each pair of words of the layer, (k, k), 0 on the diagonal."""
        by_vector = self.likeness.scores(np.array([self.places[word] for word in words], np.int64))
        scores = _joined(by_vector, *self.names.scores(words))
        np.fill_diagonal(scores, 0)
        return scores

    def drawn_scores(self, points: np.ndarray) -> np.ndarray:
        """Those of drawn words, by their places among these, (n, k): (n, pairs), i < j."""
        by_name, known = self._of_drawn
        one, other = (points[:, part] for part in np.triu_indices(points.shape[1], 1))
        return _joined(self.likeness.drawn(self.drawn[points]), by_name[one, other], known[one, other])


class Phrases:
    """Scores of pairs of phrases of a layer by their vectors (phrases, dimensions)."""

    def __init__(self, matrix: np.ndarray, draw: np.random.Generator) -> None:
        self.likeness = Likeness(matrix, np.zeros(len(matrix), np.int64), draw)

    def points(self, count: int, draw: np.random.Generator, *, even: bool = False) -> np.ndarray:
        """Places of drawn phrases, (count, 20)."""
        return _distinct(len(self.likeness.matrix), count, draw)

    def scores(self, points: np.ndarray) -> np.ndarray:
        """The score of each pair of phrases, by their places, (..., k): (..., k, k)."""
        return self.likeness.scores(points)

    def drawn_scores(self, points: np.ndarray) -> np.ndarray:
        """Those of drawn phrases, (n, k): (n, pairs), i < j."""
        return self.likeness.drawn(points)


Scores = Words | Phrases


def draws(
    scores: Scores, count: int, draw: np.random.Generator, what: str, *, even: bool = False
) -> Iterator[np.ndarray]:
    """The scores of the pairs of 20 drawn things, `count` times, in chunks (chunk, pairs), i < j."""
    starts = range(0, count, _CHUNK)
    for start in progress(starts, what, unit="500 draws", total=len(starts)):
        yield scores.drawn_scores(scores.points(min(_CHUNK, count - start), draw, even=even))


class MeanScore:
    """The null distribution of the mean score over all pairs of k things, k = 2 to 20."""

    def __init__(
        self, scores: Scores, count: int, draw: np.random.Generator, what: str, *, even: bool = False
    ) -> None:
        last = np.triu_indices(MOST_UNITS, 1)[1]
        within = (last[:, None] < np.arange(2, MOST_UNITS + 1)).astype(np.float32)  # (pair, k - 2)
        parts = [chunk @ (within / within.sum(0)) for chunk in draws(scores, count, draw, what, even=even)]
        self.means = np.sort(np.concatenate(parts).T, 1)  # (k - 2, draw)

    def p(self, k: int, mean: float) -> float:
        """How likely k things drawn from the layer are at least as alike."""
        null = self.means[k - 2]
        return float((1 + len(null) - np.searchsorted(null, mean - 1e-6)) / (1 + len(null)))


def mean_score(scores: np.ndarray) -> float:
    """The mean over all pairs of a matrix of scores (k, k) with 0 on its diagonal; k is at least 2."""
    k = len(scores)
    return float(scores.sum() / (k * (k - 1)))


def _joined(by_vector: np.ndarray, by_name: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Both scores added by weight, with the variance of one where they are independent."""
    return np.where(known, (by_vector + _NAMES * by_name) / np.float32(np.hypot(1, _NAMES)), by_vector)


def _pairs_of(known: np.ndarray) -> np.ndarray:
    return (known[:, None] & known)[np.triu_indices(len(known), 1)]


def _unit(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.maximum(np.linalg.norm(matrix, axis=-1, keepdims=True), 1e-9)


def _normal(shares: np.ndarray) -> np.ndarray:
    """The quantiles of a normal distribution."""
    from scipy.special import ndtri

    return ndtri(shares)


def as_matrices(pairs: np.ndarray, k: int) -> np.ndarray:
    """The scores of pairs i < j of things, (n, pairs), as matrices (n, k, k) with 0 on the diagonal."""
    one, other = np.triu_indices(k, 1)
    found = np.zeros((len(pairs), k, k), pairs.dtype)
    found[:, one, other] = found[:, other, one] = pairs
    return found


def _distinct(size: int, count: int, draw: np.random.Generator) -> np.ndarray:
    """Places below `size`, (count, 20), those of a row distinct; of many things so few are equal by chance
    that it is not worth the time."""
    if size > _MANY:
        return draw.integers(0, size, (count, MOST_UNITS))
    return draw.random((count, size)).argpartition(MOST_UNITS - 1)[:, :MOST_UNITS]
