"""Groups of a neuron's MAPs that are alike, so that one that stands for two things is seen as such.

In: `maps`, `vectors`. Out: `groups`. Distinct MAPs are joined, the most alike first, as long as the mean
cosine between two groups is at least `group_similarity` (agglomerative clustering with average linkage;
Sokal and Michener 1958). A group is clean if it holds at least `group_maps` MAPs whose mean cosine reaches
SIMILARITY, as a candidate's does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.config import Config
from pipeline.engine import Worker

_NEURON = ["model", "layer", "neuron"]
_SHARD_ROWS = 4096


def shards(inputs: Mapping[str, pa.Table]) -> Iterator[pa.Table]:
    """Distinct MAPs with their vectors, in order; no neuron is in two of them."""
    order = [(name, "ascending") for name in (*_NEURON, "rank")]
    maps = inputs["maps"].select([*_NEURON, "rank", "mat", "duplicate"])
    vectors = inputs["vectors"].sort_by(order)["vector"]  # one for each map
    rows = maps.sort_by(order).append_column("vector", vectors)
    rows = rows.filter(~pc.field("duplicate") & pc.field("vector").is_valid())
    neurons = rows["neuron"].to_numpy()
    start = 0
    for stop in [*(np.flatnonzero(np.diff(neurons)) + 1).tolist(), len(rows)]:
        if stop - start >= _SHARD_ROWS or (stop == len(rows) and stop > start):
            yield rows.slice(start, stop - start)
            start = stop


def worker(config: Config, inputs: Mapping[str, pa.Table]) -> Worker:
    """The function from MAPs to the groups of each neuron."""

    def grouped(shard: pa.Table) -> pa.Table:
        neurons: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for row in shard.to_pylist():
            neurons.setdefault(tuple(row[name] for name in _NEURON), []).append(row)
        found = [
            dict(zip(_NEURON, neuron, strict=True)) | group
            for neuron, maps in neurons.items()
            for group in _groups(maps, config)
        ]
        return pa.Table.from_pylist(found, schema=tables.TABLES["groups"].schema)

    return grouped


def _groups(maps: list[dict[str, Any]], config: Config) -> Iterator[dict[str, Any]]:
    """A neuron's groups, the largest first, of equals that with the strongest MAP."""
    matrix = np.array([row["vector"] for row in maps], np.float64)
    labels = cluster(matrix, config.group_similarity)
    members = [np.flatnonzero(labels == label) for label in set(labels.tolist())]
    for number, own in enumerate(sorted(members, key=lambda own: (-len(own), own[0]))):
        similarity = _mean_cosine(matrix[own])
        yield dict(
            number=number,
            n_maps=len(own),
            similarity=similarity,
            clean=len(own) >= max(2, config.group_maps) and similarity >= config.similarity,
            ranks=[maps[i]["rank"] for i in own],
            mats=[maps[i]["mat"] for i in own],
        )


def cluster(matrix: np.ndarray, least: float) -> np.ndarray:
    """A label for each row of a unit `matrix`: average linkage down to a mean cosine of `least`."""
    if len(matrix) < 2:
        return np.zeros(len(matrix), int)
    from scipy.cluster.hierarchy import fcluster, linkage

    distances = 1 - matrix @ matrix.T
    condensed = np.maximum(distances[np.triu_indices(len(matrix), 1)], 0)
    return fcluster(linkage(condensed, "average"), 1 - least, "distance")


def _mean_cosine(matrix: np.ndarray) -> float | None:
    """Over pairs of rows; null for one row."""
    count = len(matrix)
    if count < 2:
        return None
    return float(((matrix @ matrix.T).sum() - count) / (count * (count - 1)))
