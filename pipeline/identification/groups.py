"""Groups of a neuron's MAPs that are alike: a neuron that stands for two things has two.

In: `mat_words`, `words`, `vocabulary`. Out: `groups`. The units of a neuron (`mats.py`) are joined, the
most alike first (agglomerative clustering with average linkage; Sokal and Michener 1958), by the scores of
their words (`chance.py`), or by those of their phrases where only these are alike. Each group has at least
two units: a single word in many MAPs is no group.

Two parts of the tree are two groups if their units are more alike within than between by several standard
errors of independent pairs, hardly alike between, and each is rare by chance. Else what is left together
down to a mean score of `_JOINED` is one. The p of a group is how often as many units drawn from the layer
hold a group at least as large and as alike, so that having searched for it is part of the chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import tables
from pipeline.config import Config
from pipeline.engine.engines import Worker
from pipeline.engine.stage import Inputs, Stage
from pipeline.identification import layer_scores, mats
from pipeline.identification.chance import MOST_UNITS, Scores, as_matrices, draws, mean_score
from pipeline.identification.layer_scores import Compared, LayerScores
from pipeline.identification.mats import Key, Mat
from pipeline.tables.columns import NEURON_KEY

_JOINED = 1.0  # mean score between two groups at which they are one
_APART = 3.0  # standard errors by which two groups are more alike within than between
_BETWEEN = 2.0  # mean score between two groups at most, however alike each is within
_WITHIN = 1.5  # mean score within a group at least: what one random pair in fifteen has
_FEW = 5  # units of a set that is hardly alike, at most
_PART = 0.1  # of the activation that each of several groups has at least
_RARE = 0.05  # p at most of a group that is clean by itself,
_RARE_BESIDE = 0.2  # and of each of several
_DRAWS = 1000
_CLEARLY = 1.0  # standard errors by which a unit is more alike to a group than to the next best if it moves
_ROUNDS = 10  # in which units move between groups at most


class Tree:
    """Average linkage of a matrix of scores (k, k), 0 on its diagonal: nodes from the lowest to the root.

    `members` (nodes, k) are true for a node's units; `between` is the mean score of its two parts, `within`
    that of all its pairs, both (nodes,).
    """

    def __init__(self, scores: np.ndarray) -> None:
        from scipy.cluster.hierarchy import linkage

        k = len(scores)
        top = max(0.0, float(scores.max())) + 1
        condensed = top - scores[np.triu_indices(k, 1)]
        joined = linkage(condensed, "average")
        size, total = [1] * k, [0.0] * k
        own = list(np.eye(k, dtype=bool))
        for one, other, height, _ in joined.tolist():
            a, b = int(one), int(other)
            size.append(size[a] + size[b])
            total.append(total[a] + total[b] + (top - height) * size[a] * size[b])
            own.append(own[a] | own[b])
        self.sizes = np.array(size[k:])
        self.within = np.array(total[k:]) / (self.sizes * (self.sizes - 1) / 2)
        self.between = top - joined[:, 2]
        self.members = np.array(own[k:])


def contrasts(tree: Tree, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """By how many standard errors each two nodes are more alike within than between, (nodes, nodes); minus
    infinity where they are no two things. `weights` (k,) are the units' shares of the activation."""
    size, members = tree.sizes, tree.members.astype(float)
    able = (size >= 2) & (tree.within >= _WITHIN) & (members @ weights >= _PART)
    between = members @ scores @ members.T / np.outer(size, size)
    n_pairs = size * (size - 1) / 2
    own = n_pairs[:, None] + n_pairs
    total = tree.within * n_pairs
    within = (total[:, None] + total) / own
    apart = (members @ members.T == 0) & able[:, None] & able & (between <= _BETWEEN)
    return np.where(apart, (within - between) / np.sqrt(1 / own + 1 / np.outer(size, size)), -np.inf)


def separate(contrast: np.ndarray) -> list[int]:
    """The nodes that stand for different things, by their contrasts: two or more, or none."""
    best = np.unravel_index(contrast.argmax(), contrast.shape)
    if contrast[best] < _APART:
        return []
    chosen = [int(node) for node in best]
    while True:
        least = contrast[:, chosen].min(1)
        if least.max() < _APART:
            return chosen
        chosen.append(int(least.argmax()))


class GroupNull:
    """How alike the best group of some size is among k things drawn from a layer, k = 2 to 20."""

    def __init__(self, scores: Scores, draw: np.random.Generator, what: str) -> None:
        pairs = np.concatenate(list(draws(scores, _DRAWS, draw, what)))
        self.drawn = as_matrices(pairs, MOST_UNITS)
        self.best: dict[int, np.ndarray] = {}

    def _best(self, k: int) -> np.ndarray:
        """The highest mean score of a node of at least g units, sorted over the draws; (k + 1, draw)."""
        found = np.full((k + 1, len(self.drawn)), -np.inf)
        for number, scores in enumerate(self.drawn):
            tree = Tree(scores[:k, :k])
            np.maximum.at(found[:, number], tree.sizes, tree.within)
        return np.sort(np.maximum.accumulate(found[::-1])[::-1], 1)

    def p(self, k: int, size: int, within: float) -> float:
        """How likely k things hold a group of at least `size` that is at least as alike."""
        if k not in self.best:
            self.best[k] = self._best(k)
        null = self.best[k][size]
        return float((1 + len(null) - np.searchsorted(null, within - 1e-6)) / (1 + len(null)))


def together(tree: Tree) -> list[int]:
    """The largest nodes whose parts are alike all the way down to `_JOINED`."""
    found: list[int] = []
    taken = np.zeros(tree.members.shape[1], bool)
    for node in range(len(tree.sizes) - 1, -1, -1):
        if tree.between[node] >= _JOINED and not (tree.members[node] & taken).any():
            found.append(node)
            taken |= tree.members[node]
    return found


def hardly(tree: Tree) -> list[int]:
    """The largest node of few units that are alike on the whole, be it hardly: the mean of a few pairs says
    little. None if there is none."""
    return [int(node) for node in np.flatnonzero((tree.within >= _JOINED) & (tree.sizes <= _FEW))[-1:]]


def _worker(inputs: Inputs, settings: Config) -> Worker:
    """The function from a layer's MATs to the groups of its neurons."""
    scored = layer_scores.maker(inputs, settings.seed)

    def grouped(mat_words: pa.Table) -> pa.Table:
        layer = scored(mat_words)
        nulls: dict[str, GroupNull] = {}
        for number, by in enumerate(layer_scores.TESTS):
            if (scores := layer.scores(by)) is not None:
                draw = np.random.default_rng([settings.seed, 20 + number])
                nulls[by] = GroupNull(scores, draw, f"groups by chance, {by}")
        rows = [
            dict(zip(NEURON_KEY, key, strict=True)) | dict(number=number) | group
            for key in layer.units
            for number, group in enumerate(_groups(key, layer, nulls))
        ]
        return pa.Table.from_pylist(rows, schema=tables.TABLES["groups"].schema)

    return grouped


def _groups(key: Key, layer: LayerScores, nulls: dict[str, GroupNull]) -> list[dict[str, Any]]:
    """A neuron's groups, the largest first: by words, or by phrases where none of words is clean."""
    found: dict[str, list[dict[str, Any]]] = {}
    for by, null in nulls.items():
        compared = layer.compared(key, by)
        found[by] = list(_by(by, compared, layer.mats[key], null)) if compared else []
    chosen = next((by for by in found if any(group["clean"] for group in found[by])), "words")
    return sorted(found.get(chosen, []), key=lambda group: (-group["coverage"], group["ranks"]))


def _by(by: str, compared: Compared, of: list[Mat], null: GroupNull) -> Iterator[dict[str, Any]]:
    scores, k = compared.scores, len(compared.units)
    tree = Tree(scores)
    weights = np.array([unit.activation for unit in compared.units])
    total = sum(mat.activation for mat in of)
    contrast = contrasts(tree, scores, weights / total if total > 0 else weights)
    parts = settled(tree.members[separate(contrast)], scores)
    several = _surely(parts, scores, null)
    alike = [node for node in together(tree) if tree.within[node] >= _WITHIN] or hardly(tree)
    found = several or [(tree.members[node], _p(tree.members[node], scores, null, k)) for node in alike]
    for members, p in found:
        units = [compared.units[place] for place in np.flatnonzero(members)]
        own = [mat for unit in units for mat in unit.mats]
        names = {mat.rank: mat for mat in own}
        ranks = mats.ranks(own)
        within = mean_within(members, scores)
        yield dict(
            by=by,
            n_maps=len(own),
            n_units=len(units),
            score=within,
            p=p,
            coverage=mats.coverage(own, of),
            clean=bool(several) or (p <= _RARE and within >= _WITHIN),
            ranks=ranks,
            mats=[names[rank].token for rank in ranks],
        )


def mean_within(members: np.ndarray, scores: np.ndarray) -> float:
    """The mean score of the pairs of a group, whose units are true in `members` (k,)."""
    return mean_score(scores[np.ix_(members, members)])


def settled(parts: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Groups (groups, k) after each unit went to that whose other units it is most alike to, as long as any
    moves; average linkage never takes back what it joined early. A unit stays, or stays out, where another
    group is not clearly better, and is in none where it is alike to none. As it was where a group would be
    left with less than two units."""
    each = np.arange(len(scores))
    for _ in range(_ROUNDS if len(parts) else 0):
        others = np.maximum(1, parts.sum(1, keepdims=True) - parts)
        alike = parts @ scores / others  # 0 on the diagonal
        second, first = alike.argsort(0)[-2:]
        error = np.sqrt(1 / others[first, each] + 1 / others[second, each])
        clear = alike[first, each] - alike[second, each] >= _CLEARLY * error
        best = np.arange(len(parts))[:, None] == first
        moved = np.where(clear, best, parts) & (alike >= _JOINED)
        if (moved == parts).all() or (moved.sum(1) < 2).any():
            break
        parts = moved
    return parts


def _p(members: np.ndarray, scores: np.ndarray, null: GroupNull, k: int) -> float:
    """How likely k drawn units hold a group like this one."""
    return null.p(k, int(members.sum()), mean_within(members, scores))


def _surely(parts: np.ndarray, scores: np.ndarray, null: GroupNull) -> list[tuple[np.ndarray, float]]:
    """Several groups with the p of each, if none is likely by chance: the rarest among all units, each
    further one among those that are left. None where one is likely."""
    left, found = len(scores), []
    by_rarity = sorted(parts, key=lambda members: (_p(members, scores, null, left), members.tolist()))
    for members in by_rarity:
        found.append((members, _p(members, scores, null, left)))
        left -= int(members.sum())
    return found if all(p <= _RARE_BESIDE for _, p in found) else []


STAGE = Stage(
    __name__,
    "150",
    "groups",
    reads=("mat_words", "words", "vocabulary"),
    settings=("seed",),
    shards=mats.shards,
    worker=_worker,
)
