"""Which neurons of a layer have words, or phrases, that are more alike than chance has them."""

import numpy as np
import pyarrow as pa
import pytest
from conftest import rows
from given import Given

from pipeline import tables
from pipeline.config import Config
from pipeline.identification import likeness
from pipeline.language.word_vectors import Vectors

N_WORDS, N_NEURONS, N_MATS, N_AROUND = 500, 30, 8, 6
LETTERS = "bcdfghjklmnpqrstvwxz"  # words of these only are not in WordNet, and no two begin alike


def vocabulary():
    """Words with random vectors; the last 20 are of one kind, the 20 before them of another."""
    rng = np.random.default_rng(0)
    names = ["".join(rng.choice(list(LETTERS), 7)) for _ in range(N_WORDS)]
    matrix = rng.normal(size=(N_WORDS, 25))
    for start in (N_WORDS - 20, N_WORDS - 40):
        matrix[start : start + 20] += 2 * rng.normal(size=25)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    return Vectors(names, np.full(N_WORDS, 1 / N_WORDS), matrix.astype(np.float32))


VOCABULARY = vocabulary()
NAMES = VOCABULARY.words
ONE_KIND, ANOTHER_KIND, OTHERS = NAMES[-20:], NAMES[-40:-20], NAMES[:-40]


def neuron(number, words, **how):
    """The rows of `mat_words` and of `words` of a neuron with a MAP for each word: `around` are words to
    draw those beside it from, `activations` those of the MAPs, `duplicates` the ranks that are such."""
    layer, around, activations, duplicates = (
        how.get(name, usual)
        for name, usual in (("layer", 0), ("around", OTHERS), ("activations", None), ("duplicates", ()))
    )
    rng = np.random.default_rng([layer, number])
    key = dict(layer=layer, neuron=number)
    mats, beside = [], []
    for rank, name in enumerate(words):
        activation = activations[rank] if activations else 2.0 - rank / 100
        mats.append(
            key
            | dict(rank=rank, duplicate=rank in duplicates, token=name or ",", word=name, whole_word=name)
            | dict(activation=activation)
        )
        for index, other in enumerate(rng.choice(around, N_AROUND, replace=False).tolist()):
            beside.append(
                key
                | dict(rank=rank, word_index=index, text=other, word=other, blank=" ", first_token=index)
                | dict(end_token=index + 1, replaceable=True, is_mat=False, upto_mat=True)
            )
    return mats, beside


def noise(numbers, layer=0):
    """Neurons of words that are drawn at random."""
    rng = np.random.default_rng([5, layer])
    return [neuron(n, rng.choice(OTHERS, N_MATS, replace=False).tolist(), layer=layer) for n in numbers]


def inputs_of(neurons, known=VOCABULARY):
    return dict(
        mat_words=rows("mat_words", *(row for mats, _ in neurons for row in mats)),
        words=rows("words", *(row for _, beside in neurons for row in beside)),
        vocabulary=known.to_table(),
    )


def made(stage, inputs, config=None):
    """The rows that a stage makes of some tables, checked against its schema."""
    config = config or Config()
    inputs = Given(inputs)
    work = stage.worker(inputs, config)
    parts = [work(shard) for shard in stage.shards(inputs, config)]
    whole = pa.concat_tables([tables.empty(stage.table), *parts])
    assert list(tables.TABLES[stage.table].in_order([whole])) == [whole]
    return whole.to_pylist()


def found_in(neurons, **how):
    found = made(likeness.STAGE, inputs_of(neurons), **how)
    return {(row["layer"], row["neuron"], row["test"]): row for row in found}


RELATED, PHRASES, REPEATED, UNKNOWN, COPIED = 100, 101, 102, 103, 104
UNTESTED = {110: [ONE_KIND[0]] * 5, 111: [None] * 5, 112: ["unknown", "vowels", ONE_KIND[0]]}


@pytest.fixture(scope="module")
def neurons():
    return [
        *noise(range(N_NEURONS)),
        neuron(RELATED, ONE_KIND[:N_MATS]),
        neuron(PHRASES, OTHERS[:N_MATS], around=ANOTHER_KIND),
        neuron(REPEATED, [ONE_KIND[0]] * 6 + [ONE_KIND[0] + "s", OTHERS[0]]),
        neuron(UNKNOWN, [*ONE_KIND[:4], "unknown", "vowels"]),
        neuron(COPIED, [*OTHERS[:2], *ONE_KIND[:6]], duplicates=range(2, 8)),
        *(neuron(number, words) for number, words in UNTESTED.items()),
    ]


@pytest.fixture(scope="module")
def found(neurons):
    return found_in(neurons)


def test_a_neuron_of_related_words_is_found_by_its_words_only(found):
    row = found[0, RELATED, "words"]
    assert (row["n_units"], row["p"]) == (N_MATS, pytest.approx(0, abs=5e-4))
    assert row["score"] > 2
    assert found[0, RELATED, "phrases"]["p"] > 0.01


def test_a_neuron_of_related_phrases_is_found_by_its_phrases_only(found):
    assert found[0, PHRASES, "phrases"]["p"] < 0.001
    assert found[0, PHRASES, "words"]["p"] > 0.01


@pytest.mark.parametrize("test", ["words", "phrases"])
def test_neurons_of_any_words_are_not_found(found, test):
    p = np.array([found[0, n, test]["p"] for n in range(N_NEURONS)])
    assert min(p) > 0.001
    assert 0.2 < np.mean(p <= 0.5) < 0.8


def test_a_null_is_drawn_often_enough_for_the_smallest_p_that_decides():
    for n_neurons, fdr in ((10, 0.05), (4096, 0.05), (4096, 0.2), (16_384, 0.1)):
        assert 1 / (1 + likeness.n_draws(n_neurons, fdr)) < fdr / n_neurons
    assert likeness.n_draws(10, 0.05) == 2000
    assert likeness.n_draws(10**6, 0.05) == 400_000


def test_of_units_that_are_alike_by_spelling_only_one_counts(found):
    row = found[0, REPEATED, "words"]
    assert (row["n_units"], row["p"] > 0.01) == (2, True)


def test_a_neuron_of_one_word_of_punctuation_or_of_unknown_words_is_not_tested_by_words(found):
    assert not {(0, number, "words") for number in UNTESTED} & found.keys()
    assert (0, 112, "phrases") in found


def test_words_without_a_vector_are_left_out(found):
    row = found[0, UNKNOWN, "words"]
    assert (row["n_units"], row["p"] < 0.001) == (4, True)


def test_near_duplicates_are_no_evidence(found):
    row = found[0, COPIED, "words"]
    assert (row["n_units"], row["p"] > 0.01) == (2, True)


def test_a_layer_of_few_neurons_or_few_words_has_no_rows():
    assert found_in(noise(range(19))) == {}
    few = [neuron(n, OTHERS[:3], around=OTHERS[:20]) for n in range(25)]
    assert {test for _, _, test in found_in(few)} <= {"phrases"}
    assert found_in([neuron(n, [name]) for n, name in enumerate(OTHERS[:30])]) == {}


def test_layers_are_told_apart():
    related = neuron(RELATED, ONE_KIND[:6], layer=1)
    found = found_in([*noise(range(22)), *noise(range(20), layer=1), related])
    assert {layer for layer, _, _ in found} == {0, 1}
    assert found[1, RELATED, "words"]["p"] < 0.001
    assert found_in(noise(range(22))) == {key: row for key, row in found.items() if key[0] == 0}


def test_no_neuron_depends_on_the_order_of_the_words_of_its_maps(neurons, found):
    inputs = inputs_of(neurons)
    order = np.random.default_rng(1).permutation(len(inputs["words"]))
    again = made(likeness.STAGE, inputs | dict(words=inputs["words"].take(order)))
    assert again == list(found.values())


def test_no_test_by_words_depends_on_which_neuron_comes_first(neurons, found):
    again = found_in(neurons[::-1])
    for key, row in found.items():
        if key[2] == "words":
            assert again[key]["p"] == row["p"]
            assert again[key]["score"] == pytest.approx(row["score"])


def test_another_seed_gives_nearly_the_same(neurons, found):
    other = found_in(neurons, config=Config(seed=8))
    p = [(row["p"], other[key]["p"]) for key, row in found.items()]
    assert any(one != another for one, another in p)
    assert max(abs(one - another) for one, another in p) < 0.15


def test_nothing_gives_nothing():
    assert found_in([]) == {}
