import numpy as np
import pytest
from by_hand import map_row, word
from conftest import rows
from given import Given

from pipeline.config import Config
from pipeline.identification import vectors
from pipeline.language.word_vectors import Vectors

DRAW = np.random.default_rng(5)
MATRIX = DRAW.normal(size=(40, 6)).astype(np.float32) + 0.7
MATRIX /= np.linalg.norm(MATRIX, axis=1, keepdims=True)
FREQUENCIES = (1 / np.arange(1, 41)) / np.sum(1 / np.arange(1, 41))
VOCABULARY = Vectors([f"w{i}" for i in range(40)], FREQUENCIES, MATRIX)


def test_a_vocabulary_table_gives_its_vectors_back():
    found = Vectors.from_table(VOCABULARY.to_table())
    assert found.words == VOCABULARY.words
    assert np.array_equal(found.matrix, VOCABULARY.matrix)
    assert np.array_equal(found.frequencies, VOCABULARY.frequencies)


def test_sif_weighs_by_frequency_and_removes_the_common_component():
    method = vectors.PhraseVectors(VOCABULARY, "sif", 0)
    common = method.component
    words = ["w0", "w7", "w7", "unknown", "w39"]
    slow = sum(MATRIX[i] * (1e-3 / (1e-3 + FREQUENCIES[i])) for i in (0, 7, 7, 39)) / 4
    slow = slow - (slow @ common) * common
    assert method.vector(words) == pytest.approx(slow / np.linalg.norm(slow), abs=1e-5)
    assert abs(method.vector(words) @ common) < 1e-5


def test_the_common_component_is_what_phrases_drawn_by_frequency_share():
    component = vectors.PhraseVectors(VOCABULARY, "sif", 0).component
    weights = FREQUENCIES * 1e-3 / (1e-3 + FREQUENCIES)
    mean = weights @ MATRIX
    assert abs(component @ mean) / np.linalg.norm(mean) > 0.99
    assert np.linalg.norm(component) == pytest.approx(1)


def test_mean_is_the_plain_mean():
    method = vectors.PhraseVectors(VOCABULARY, "mean", 0)
    slow = MATRIX[0] + MATRIX[1]
    assert method.vector(["w0", "w1"]) == pytest.approx(slow / np.linalg.norm(slow), abs=1e-6)


def test_a_phrase_without_known_words_has_no_vector():
    method = vectors.PhraseVectors(VOCABULARY, "sif", 0)
    assert method.vector([]) is None
    assert method.vector(["unknown"]) is None
    assert method.mat_vector(["unknown"]) is None


def test_a_phrase_has_the_same_vector_whatever_else_is_analysed():
    def first_of(*neurons):
        maps = [map_row(0, neuron=n) for n in neurons]
        words = [word("w5", 0, is_mat=True, neuron=n) for n in neurons]
        words += [word("w9", 1, neuron=n) for n in neurons]
        inputs = Given(
            {
                "maps": rows("maps", *maps),
                "words": rows("words", *words),
                "vocabulary": VOCABULARY.to_table(),
            }
        )
        work = vectors.STAGE.worker(inputs, Config())
        shards = vectors.STAGE.shards(inputs, Config())
        return next(row for shard in shards for row in work(shard).to_pylist())

    alone, among_others = first_of(0), first_of(0, 1, 2)
    assert alone == among_others
    assert (alone["n_words"], alone["n_known"]) == (2, 2)
    assert alone["mat_vector"] == pytest.approx(MATRIX[5].tolist())
