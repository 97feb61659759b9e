"""Groups of a neuron's MAPs: two meanings are two groups."""

import numpy as np
import pytest
from conftest import rows
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import Config
from pipeline.identification import groups

CONFIG = Config(similarity=0.6, group_similarity=0.5, group_maps=2)
TREES, NUMBERS = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]


def maps_and_vectors(*given):
    """`given` are (neuron, rank, vector, duplicate), or with a layer in front."""
    given = [each if len(each) == 5 else (0, *each) for each in given]
    usual = dict(mat_index=0, start=0, tokens=["a"], activations=[1.0], phrase="a", max_activation=1.0)
    usual |= dict(text_before="", text_after="")
    maps = [
        usual | dict(layer=layer, neuron=n, rank=r, mat=f"m{r}", duplicate=d) for layer, n, r, _, d in given
    ]
    vectors = [
        dict(layer=layer, neuron=n, rank=r, n_words=1, n_known=1, vector=v) for layer, n, r, v, _ in given
    ]
    return dict(maps=rows("maps", *maps), vectors=rows("vectors", *vectors))


def grouped(*given, config=CONFIG):
    inputs = maps_and_vectors(*given)
    work = groups.STAGE.worker(inputs, config)
    return [row for shard in groups.STAGE.shards(inputs, config) for row in work(shard).to_pylist()]


def test_two_meanings_are_two_clean_groups_the_larger_first():
    given = [(0, rank, NUMBERS if rank % 3 == 0 else TREES, False) for rank in range(6)]
    first, second = grouped(*given)
    assert (first["number"], first["n_maps"], first["ranks"]) == (0, 4, [1, 2, 4, 5])
    assert (second["number"], second["n_maps"], second["mats"]) == (1, 2, ["m0", "m3"])
    assert first["similarity"] == pytest.approx(1)
    assert first["clean"] and second["clean"]


def test_near_duplicates_and_maps_without_a_vector_are_in_no_group():
    found = grouped((0, 0, TREES, False), (0, 1, TREES, True), (0, 2, None, False), (1, 0, NUMBERS, False))
    assert [(row["neuron"], row["ranks"]) for row in found] == [(0, [0]), (1, [0])]
    assert [(row["similarity"], row["clean"]) for row in found] == [(None, False)] * 2


def test_a_group_that_is_small_or_less_alike_than_a_candidate_is_not_clean():
    apart = [[1.0, 0.0, 0.0], [0.55, float(np.sqrt(1 - 0.55**2)), 0.0]]
    [found] = grouped(*[(0, rank, vector, False) for rank, vector in enumerate(apart)])
    assert (found["similarity"], found["clean"]) == (pytest.approx(0.55), False)
    small = Config(group_maps=3)
    assert not any(
        row["clean"] for row in grouped((0, 0, TREES, False), (0, 1, TREES, False), config=small)
    )


def test_neurons_of_one_number_in_two_layers_are_two_neurons():
    alike = grouped(*[(layer, 7, rank, TREES, False) for layer in (0, 1) for rank in range(2)])
    assert [(row["layer"], row["neuron"], row["ranks"]) for row in alike] == [
        (0, 7, [0, 1]),
        (1, 7, [0, 1]),
    ]
    apart = grouped((0, 7, 0, TREES, False), (0, 7, 1, TREES, False), (1, 7, 2, NUMBERS, False))
    assert [(row["layer"], row["ranks"]) for row in apart] == [(0, [0, 1]), (1, [2])]


def test_a_neuron_is_in_one_shard_whatever_the_number_of_rows():
    sizes = (4100, 3000, 3000, 20)  # a shard has 4096 rows, or more where a neuron has
    many = [(layer, 7, rank, TREES, False) for layer, size in enumerate(sizes) for rank in range(size)]
    shards = list(groups.STAGE.shards(maps_and_vectors(*many), CONFIG))
    assert [len(shard) for shard in shards] == [4100, 6000, 20]
    assert [set(shard["layer"].to_pylist()) for shard in shards] == [{0}, {1, 2}, {3}]


def test_nothing_gives_nothing():
    assert grouped() == []


def slow_clusters(matrix, least):
    """Join the two groups of the highest mean cosine as long as it is high enough: the definition."""
    found = [[i] for i in range(len(matrix))]
    while len(found) > 1:
        mean, a, b = max(
            (float(np.mean(matrix[x] @ matrix[y].T)), -i, -j)
            for i, x in enumerate(found)
            for j, y in enumerate(found[:i])
        )
        if mean < least:
            break
        found[-b] += found.pop(-a)
    return {frozenset(group) for group in found}


@given(st.integers(2, 9), st.integers(0, 10**6), st.floats(-0.5, 0.9))
@settings(deadline=None)
def test_groups_are_those_of_the_definition(count, seed, least):
    matrix = np.random.default_rng(seed).normal(size=(count, 4))
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    labels = groups.cluster(matrix, least)
    found = {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist())}
    assert found == slow_clusters(matrix, least)


def test_every_distinct_map_with_a_vector_is_in_one_group(small_tables):
    found = [(r["neuron"], rank) for r in small_tables["groups"].to_pylist() for rank in r["ranks"]]
    known = {
        (row["neuron"], row["rank"])
        for row in small_tables["vectors"].to_pylist()
        if row["vector"] is not None
    }
    wanted = {
        (row["neuron"], row["rank"]) for row in small_tables["maps"].to_pylist() if not row["duplicate"]
    }
    assert len(found) == len(set(found))
    assert set(found) == known & wanted
