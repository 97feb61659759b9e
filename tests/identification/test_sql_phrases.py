"""The SQL stages from samples to candidates, on rows written by hand."""

import numpy as np
import pytest
from by_hand import map_row
from conftest import rows, run_sql

ALL = [[0, 10**6]]


def sample(rank, tokens, mat, *, neuron=0, text_start=0):
    return {
        "neuron": neuron,
        "rank": rank,
        "tokens": tokens,
        "activations": [1.0 if i == mat else 0.25 for i in range(len(tokens))],
        "text_start": text_start,
        "mat_index": mat,
        "max_activation": 1.0,
        "source": "scan",
    }


def maps(*samples, context_tokens=5, max_overlap=0.8, neurons=ALL):
    params = {"context_tokens": context_tokens, "max_overlap": max_overlap, "neurons": neurons}
    return run_sql("030_maps.sql", {"samples": rows("samples", *samples)}, **params)


def test_a_map_is_the_mat_with_five_tokens_on_each_side():
    tokens = [f" t{i}" for i in range(30)]
    [found] = maps(sample(0, tokens, 12))
    assert found["tokens"] == tokens[7:18]
    assert found["phrase"] == "".join(tokens[7:18])
    assert (found["mat"], found["mat_index"], found["start"]) == (" t12", 12, 7)
    assert (found["text_before"], found["text_after"]) == (" t4 t5 t6", " t18 t19 t20")
    assert found["activations"] == [0.25] * 5 + [1.0] + [0.25] * 5


def test_a_map_is_never_shorter_than_its_text_allows():
    """Every MAT of every text of up to 24 tokens, with and without a BOS."""
    texts = [
        (length, text_start, mat)
        for length in range(1, 25)
        for text_start in range(min(2, length))
        for mat in range(length)
    ]
    tokens = [f" t{i}" for i in range(24)]
    samples = [
        sample(0, tokens[:length], mat, neuron=number, text_start=text_start)
        for number, (length, text_start, mat) in enumerate(texts)
    ]
    for found, (length, text_start, mat) in zip(maps(*samples), texts, strict=True):
        first = max(text_start, mat - 5) if mat >= text_start else mat
        assert found["tokens"] == tokens[first : min(length, mat + 6)]
        assert found["start"] == first
        assert found["text_before"] == "".join(tokens[max(0, first - 3) : first])
        assert found["text_after"] == "".join(tokens[mat + 6 : min(length, mat + 9)])


def test_the_bos_is_not_part_of_a_map_unless_it_is_the_mat():
    tokens = ["<|endoftext|>", "green", " leaves"]
    first, second = maps(sample(0, tokens, 1, text_start=1), sample(1, tokens, 0, text_start=1))
    assert first["phrase"] == "green leaves"
    assert second["tokens"][0] == "<|endoftext|>"


def test_only_the_neurons_asked_for_have_maps():
    samples = [sample(0, ["a"], 0, neuron=n) for n in range(8)]
    found = maps(*samples, neurons=[[1, 2], [6, 6]])
    assert [row["neuron"] for row in found] == [1, 2, 6]


def test_near_identical_maps_count_once_and_the_stronger_stays():
    found = maps(
        sample(0, ["Changed", " in", " version", " 3", ".", "5"], 1),
        sample(1, ["Changed", " in", " version", " 3", ".", "6"], 1),
        sample(2, ["changed", " IN", " Version"], 1),
        sample(5, ["Changed", " in", " version", " 3", ".", "7"], 5),  # another MAT
        sample(6, ["Changed", " in", " version", " 3", ".", "8"], 5),
        sample(3, ["the", " green", " leaves", " of", " spring"], 1),
        sample(4, ["changed", " in", " version", " 3", ".", "6"], 1, neuron=1),
    )
    assert [row["duplicate"] for row in found] == [False, True, True, False, False, False, False]


def test_the_overlap_from_which_maps_are_one_is_a_setting():
    pair = [sample(0, ["a", " b c d"], 0), sample(1, ["a", " b c e"], 0)]  # 3 of 5 words
    assert [row["duplicate"] for row in maps(*pair, max_overlap=0.6)] == [False, True]
    assert [row["duplicate"] for row in maps(*pair, max_overlap=0.7)] == [False, False]


def test_maps_without_words_are_one_only_when_they_are_equal():
    found = maps(sample(0, ["+", "+"], 0), sample(1, ["+", "+"], 0), sample(2, ["-", "-"], 0))
    assert [row["duplicate"] for row in found] == [False, True, False]


def vector_row(rank, vector, *, mat_vector=None, neuron=0):
    known = {"n_words": 1, "n_known": 1, "vector": vector, "mat_vector": mat_vector}
    return {"neuron": neuron, "rank": rank} | known


def test_near_duplicates_are_found_where_no_blanks_stand_between_words():
    texts = ["我们喜欢学习中国语言", "他们喜欢学习中国语言", "老师昨天看见北京音乐"]
    found = maps(*(sample(rank, list(text), 5) for rank, text in enumerate(texts)))
    assert [row["duplicate"] for row in found] == [False, True, False]


def similarity(vectors, duplicates=None, mat_vectors=None):
    count = len(vectors)
    duplicates = duplicates or [False] * count
    mat_vectors = mat_vectors or [None] * count
    given = [
        vector_row(rank, vector, mat_vector=mat_vector)
        for rank, (vector, mat_vector) in enumerate(zip(vectors, mat_vectors, strict=True))
    ]
    maps = [map_row(rank, duplicate=duplicate) for rank, duplicate in enumerate(duplicates)]
    inputs = {"maps": rows("maps", *maps), "vectors": rows("vectors", *given)}
    return run_sql("140_similarity.sql", inputs)


def test_similarity_is_the_mean_cosine_over_pairs_and_no_map_meets_itself():
    [found] = similarity([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    assert found["similarity"] == pytest.approx((0 + 0.6 + 0.8) / 3)
    assert (found["n_maps"], found["n_distinct"], found["reason"]) == (3, 3, None)


def test_similarity_equals_the_slow_double_loop():
    """For neurons with 2 to 20 MAPs, twice each."""
    draw = np.random.default_rng(0)
    vectors = [draw.normal(size=(count, 5)).astype(np.float32) for count in (*range(2, 21), *range(2, 21))]
    vectors = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in vectors]
    places = [(neuron, rank) for neuron, each in enumerate(vectors) for rank in range(len(each))]
    given = [vector_row(rank, vectors[neuron][rank].tolist(), neuron=neuron) for neuron, rank in places]
    maps = [map_row(rank, neuron=neuron) for neuron, rank in places]
    inputs = {"maps": rows("maps", *maps), "vectors": rows("vectors", *given)}
    found = run_sql("140_similarity.sql", inputs)
    for row, own in zip(found, vectors, strict=True):
        slow = [float(one @ other) for i, one in enumerate(own) for other in own[:i]]
        assert row["similarity"] == pytest.approx(sum(slow) / len(slow), abs=1e-6)


def test_near_duplicates_are_no_evidence():
    [found] = similarity([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [False, True, False])
    assert (found["similarity"], found["n_distinct"]) == (pytest.approx(0), 2)


def test_fewer_than_two_distinct_maps_give_null_and_the_reason():
    [found] = similarity([[1.0, 0.0], [1.0, 0.0]], [False, True])
    assert (found["similarity"], found["reason"]) == (None, "fewer than two distinct MAPs")
    [found] = similarity([[1.0, 0.0], None])
    assert found["reason"] == "fewer than two distinct MAPs with known words"


def test_the_mats_words_have_a_similarity_of_their_own():
    mats = [[1.0, 0.0], [1.0, 0.0], None]
    [found] = similarity([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], mat_vectors=mats)
    assert found["mat_similarity"] == pytest.approx(1)
