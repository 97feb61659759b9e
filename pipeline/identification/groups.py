"""Groups of a neuron's MAPs that are alike: a neuron that stands for two things has two large ones.

In: `maps`, `vectors`. Out: `groups`. Distinct MAPs are joined, the most alike first, as long as the mean
cosine between two groups is at least `group_similarity` (agglomerative clustering with average linkage;
Sokal and Michener 1958). A group is clean if it holds at least `group_maps` MAPs whose mean cosine reaches
SIMILARITY, as a candidate's does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.config import Config
from pipeline.engine.engines import Worker
from pipeline.engine.stage import Inputs, Stage
from pipeline.tables.columns import NEURON_KEY, SAMPLE_KEY

_SHARD_ROWS = 4096


def _shards(inputs: Inputs, settings: Config) -> Iterator[pa.Table]:
    """Distinct MAPs with their vectors, in order; no neuron is in two shards."""
    order = [(name, "ascending") for name in SAMPLE_KEY]
    maps = inputs["maps"].select([*SAMPLE_KEY, "mat", "duplicate"])
    vectors = inputs["vectors"].sort_by(order)["vector"]  # one for each map
    rows = maps.sort_by(order).append_column("vector", vectors)
    rows = rows.filter(~pc.field("duplicate") & pc.field("vector").is_valid())
    start = 0
    for stop in [*_ends(rows), len(rows)]:
        if stop - start >= _SHARD_ROWS or (stop == len(rows) and stop > start):
            yield rows.slice(start, stop - start)
            start = stop


def _ends(rows: pa.Table) -> list[int]:
    """One past the last row of each neuron except the last one; the rows are in order."""
    differs = np.zeros(max(0, len(rows) - 1), bool)
    for name in NEURON_KEY:
        key = rows[name].combine_chunks()
        differs |= pc.not_equal(key[:-1], key[1:]).to_numpy(zero_copy_only=False)
    return (np.flatnonzero(differs) + 1).tolist()


def _worker(inputs: Inputs, settings: Config) -> Worker:
    """The function from MAPs to the groups of each neuron."""

    def grouped(shard: pa.Table) -> pa.Table:
        neurons: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for row in shard.to_pylist():
            neurons.setdefault(tuple(row[name] for name in NEURON_KEY), []).append(row)
        rows = [
            dict(zip(NEURON_KEY, neuron, strict=True)) | group
            for neuron, maps in neurons.items()
            for group in _groups(maps, settings)
        ]
        return pa.Table.from_pylist(rows, schema=tables.TABLES["groups"].schema)

    return grouped


def _groups(maps: list[dict[str, Any]], settings: Config) -> Iterator[dict[str, Any]]:
    """A neuron's groups, the largest first; of equal ones that with the strongest MAP."""
    matrix = np.array([row["vector"] for row in maps], np.float64)
    labels = cluster(matrix, settings.group_similarity)
    members = [np.flatnonzero(labels == label) for label in set(labels.tolist())]
    for number, own in enumerate(sorted(members, key=lambda own: (-len(own), own[0]))):
        similarity = _mean_cosine(matrix[own])
        is_alike = similarity is not None and similarity >= settings.similarity
        yield dict(
            number=number,
            n_maps=len(own),
            similarity=similarity,
            clean=len(own) >= settings.group_maps and is_alike,
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
    """The mean cosine over pairs of rows; None for one row."""
    count = len(matrix)
    if count < 2:
        return None
    return float(((matrix @ matrix.T).sum() - count) / (count * (count - 1)))


STAGE = Stage(
    __name__,
    "150",
    "groups",
    reads=("maps", "vectors"),
    settings=("group_similarity", "group_maps", "similarity"),
    shards=_shards,
    worker=_worker,
)
