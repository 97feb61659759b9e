"""What is put into the place of a word, on a vocabulary written by hand."""

import numpy as np
from by_hand import map_row, word
from conftest import CANDIDATE, rows
from given import Given

from pipeline.config import Config
from pipeline.language.word_vectors import Vectors
from pipeline.verification import synonyms

UNRELATED = ["table", "chair", "sofa", "idea", "law", "soup", "rain", "salt"]
NAMES = ["green", "greens", "red", "blue", "b2", "white", "pink", "mauve", *UNRELATED]
ANGLES = [0.0, 0.05, 0.1, 0.15, 0.01, 0.2, 0.25, 0.3, *np.linspace(1.7, 1.8, 8)]
MATRIX = np.array([[np.cos(a), np.sin(a)] for a in ANGLES], np.float32)
VOCABULARY = Vectors(NAMES, np.full(16, 1 / 16), MATRIX)


def found(words, **settings):
    maps = rows("maps", map_row(0), map_row(1, duplicate=True), map_row(0, neuron=1))
    given = {
        "candidates": rows("candidates", CANDIDATE),
        "maps": maps,
        "words": rows("words", *words),
        "vocabulary": VOCABULARY.to_table(),
    }
    inputs, stage, config = Given(given), synonyms.STAGE, Config(**settings)
    work = stage.worker(inputs, config)
    return [row for shard in stage.shards(inputs, config) for row in work(shard).to_pylist()]


def of_kind(kind, name, words, **settings):
    rows_ = found(words, **settings)
    return [r["neighbour"] for r in rows_ if r["kind"] == kind and r["word"] == name]


def test_synonyms_are_the_nearest_alphabetic_words_nearest_first():
    assert of_kind("synonym", "green", [word("green", 0)], synonyms=3) == ["greens", "red", "blue"]


def test_inflections_stay_unless_they_are_to_be_skipped():
    kept = of_kind("synonym", "green", [word("green", 0)], synonyms=2, inflections="skip")
    assert kept == ["red", "blue"]


def test_controls_are_unrelated_and_the_same_whatever_else_is_asked():
    green = word("green", 0, is_mat=True)
    controls = of_kind("control", "green", [green], relatives=1)
    assert len(controls) >= 6 and set(controls) <= set(UNRELATED)
    both = of_kind("control", "green", [green, word("red", 1), word("blue", 2)], relatives=1)
    assert both == controls


def test_relatives_are_alike_by_vectors_and_wordnet_but_no_controls_or_forms():
    green = [word("green", 0, is_mat=True)]
    kinds = {
        kind: set(of_kind(kind, "green", green, synonyms=2, relatives=1))
        for kind in ("synonym", "relative", "control")
    }
    assert kinds["synonym"] == {"greens", "red"}
    assert len(kinds["relative"]) == 3 and "blue" in kinds["relative"]
    assert not kinds["relative"] & (kinds["control"] | {"green", "greens"})


def test_only_words_that_hold_a_mat_have_relatives_and_controls():
    words = [word("green", 0, is_mat=True), word("red", 1)]
    assert {row["word"] for row in found(words) if row["kind"] != "synonym"} == {"green"}
    elsewhere = [word("green", 0), word("green", 1, is_mat=True)]
    assert of_kind("relative", "green", elsewhere)


def test_only_words_of_candidates_distinct_maps_that_can_be_replaced_are_looked_up():
    words = [
        word("green", 0),
        word("Green", 1),
        word("red", 0, rank=1),  # of a near duplicate
        word("blue", 0, neuron=1),  # of no candidate
        word("b2", 2, replaceable=False),
        word("unheard", 3),  # without a vector
    ]
    assert {row["word"] for row in found(words)} == {"green"}


def test_no_words_give_no_rows():
    assert found([]) == []
