"""Do related words keep the activation where unrelated ones lose it: the test by shuffled labels."""

from itertools import combinations, product

import numpy as np
import pyarrow as pa
import pytest
from by_hand import AFTER, MAT, map_row, places, retentions, variant
from conftest import rows
from given import Given

from pipeline import tables
from pipeline.config import Config
from pipeline.verification import substitution


def p_of(words, seed=0):
    return substitution.p_of(words, np.random.default_rng(seed))


def exact(words):
    """The mean difference, and the share of all ways to give out the labels that reach it."""
    total = sum(weight for _, _, weight in words)

    def difference(own, other):
        return np.mean(own) - np.mean(other)

    effect = sum(weight / total * difference(own, other) for own, other, weight in words)
    ways = []
    for own, other, weight in words:
        values = [*own, *other]
        places = set(range(len(values)))
        ways.append(
            [
                weight
                / total
                * difference([values[i] for i in chosen], [values[i] for i in places - set(chosen)])
                for chosen in combinations(range(len(values)), len(own))
            ]
        )
    found = [sum(way) for way in product(*ways)]
    return effect, np.mean(np.array(found) >= effect - 1e-6)


@pytest.mark.parametrize(
    "words",
    [
        [([0.9], [0.1], 1.0)],
        [([0.1], [0.9], 1.0)],
        [([0.9, 0.8], [0.1, 0.85], 1.0)],
        [([0.9, 0.8, 0.3], [0.1, 0.2, 0.4], 1.0)],
        [([0.9], [0.1, 0.2, 0.3], 1.0), ([0.6], [0.5, 0.7], 3.0)],
        [([0.9, 0.2], [0.1, 0.3], 2.0), ([0.8, 0.7], [0.1, 0.4], 1.0), ([0.5], [0.5], 1.0)],
        [([0.5, 0.5], [0.5, 0.5], 1.0)],
    ],
)
def test_p_is_that_of_all_ways_to_give_out_the_labels(words):
    effect, p = exact(words)
    found = p_of(words)
    assert found[0] == pytest.approx(effect)
    assert found[1] == pytest.approx(p, abs=0.04)


def test_a_small_p_is_exact_too():
    words = [([0.9, 0.8, 0.95], [0.1, 0.2, 0.15, 0.3], 1.0)] * 3
    assert exact(words)[1] == pytest.approx(35.0**-3)
    rare = [([0.9, 0.8, 0.95], [0.1, 0.2, 0.15, 0.3], 1.0)] * 2
    assert p_of(rare)[1] == pytest.approx(exact(rare)[1], abs=5e-4)


def test_synonyms_that_keep_and_controls_that_lose_have_a_small_p_above_0():
    words = [([0.9] * 5, [0.1] * 15, 1.0)] * 4
    effect, p = p_of(words)
    assert effect == pytest.approx(0.8)
    assert 0 < p <= 1e-4


def test_controls_that_keep_more_than_synonyms_have_a_large_p():
    effect, p = p_of([([0.1] * 5, [0.9] * 15, 1.0)] * 2)
    assert (effect, p) == (pytest.approx(-0.8), pytest.approx(1))


def test_equal_retentions_tell_nothing():
    assert p_of([([0.4] * 5, [0.4] * 15, 2.0)]) == (pytest.approx(0), pytest.approx(1))


def drawn_words(rng, n_words):
    """Words whose synonyms and controls keep as much; some words keep all, as they are not what counts."""
    return [
        (*(np.clip(rng.normal(level, 0.2, n), 0, 1).tolist() for n in (5, 15)), float(rng.uniform(1, 3)))
        for level in rng.uniform(0, 1, n_words)
    ]


@pytest.mark.parametrize("n_words", [1, 2, 8])
def test_p_is_uniform_where_synonyms_and_controls_are_alike(n_words):
    rng = np.random.default_rng(n_words)
    p = np.array([p_of(drawn_words(rng, n_words), seed)[1] for seed in range(500)])
    assert np.mean(p <= 0.05) <= 0.075
    assert np.mean(p <= 0.5) == pytest.approx(0.5, abs=0.07)


def test_words_of_equal_values_are_shuffled_each_by_itself():
    """Three words that are alike reach what one of them reaches three times as seldom each."""
    one = ([0.9], [0.1, 0.2], 1.0)
    assert p_of([one] * 3)[1] == pytest.approx(1 / 27, abs=0.015)


def test_a_word_counts_by_its_weight():
    keeps, loses = ([0.9] * 5, [0.1] * 5), ([0.2] * 5, [0.2] * 5)
    assert p_of([(*keeps, 3.0), (*loses, 1.0)])[0] == pytest.approx(0.6)
    assert p_of([(*keeps, 0.0), (*loses, 0.0)])[0] == pytest.approx(0.4)


def test_the_same_seed_gives_the_same_p():
    words = drawn_words(np.random.default_rng(0), 3)
    assert p_of(words, 5) == p_of(words, 5)


def replaced(word, replacement, kind, retention, **more):
    """A row of what is tested: `replacement` in the place of `word` in a MAP."""
    own = dict(word=word, replacement=replacement, kind=kind, retention=retention)
    return own | dict(mat=word, rank=0, baseline=4.0) | more


def test_what_is_kept_is_the_share_of_the_way_from_the_maps_controls_to_the_map_itself():
    given = [
        replaced("red", " green", "synonym", 0.75),
        replaced("red", " blue", "relative", 0.25),
        *(replaced("red", f" odd{n}", "control", value) for n, value in enumerate((0.5, 0.25, 0.625))),
    ]
    [(own, other, _)] = substitution.words_of(given)
    assert (own, other) == ([0.5, 0.0], [0.0, 0.0, 0.25])  # of the way from 0.5, the controls' median, to 1


def test_a_replacement_counts_once_for_a_word_with_its_mean_over_the_words_maps():
    given = [
        replaced("red", " green", "synonym", 0.5),
        replaced("red", " odd", "control", 0.0),
        replaced("red", "Green", "synonym", 0.75, rank=1),
        replaced("red", " so", "control", 0.5, rank=1),
    ]
    [(own, other, weight)] = substitution.words_of(given)
    assert (own, other) == ([0.5], [0.0, 0.0])
    assert weight == pytest.approx(np.sqrt(8))


def test_a_map_whose_activation_stands_without_the_word_tells_nothing():
    given = [replaced("red", "ab", "synonym", 1.0), replaced("red", "cd", "control", 0.95)]
    assert substitution.words_of(given) == []


def test_the_weight_of_a_word_is_the_root_of_the_activation_of_its_maps():
    pair = [("synonym", "ab"), ("control", "cd")]
    given = [
        replaced(word, name, kind, 0.5 if kind == "synonym" else 0.0, rank=rank, baseline=2.0)
        for word, ranks in (("red", (0, 1, 2)), ("tin", (3,)))
        for rank in ranks
        for kind, name in pair
    ]
    weights = [weight for _, _, weight in substitution.words_of(given)]
    assert weights == pytest.approx([np.sqrt(6), np.sqrt(2)])


def test_what_keeps_more_than_all_or_less_than_nothing_counts_as_all_or_nothing():
    given = [replaced("red", "ab", "synonym", 1.5), replaced("red", "cd", "control", -0.5)]
    assert substitution.words_of(given)[0][:2] == ([1.0], [0.0])


@pytest.mark.parametrize(
    ("word", "mat", "replacement"),
    [
        ("hammer", " hammer", " hammers"),
        ("hammer", " hammer", " sledgehammer"),
        ("decide", " decide", " decision"),
        ("figment", " fig", " figure"),
        ("figment", " fig", " Prefigure"),
        ("figment", " Fig", " figurine"),
    ],
)
def test_synonyms_that_are_spelled_alike_or_hold_the_mat_are_left_out(word, mat, replacement):
    kept = replaced(word, "other", "synonym", 0.25, mat=mat)
    given = [
        kept,
        replaced(word, replacement, "synonym", 1.0, mat=mat),
        replaced(word, "qqq", "control", 0.0, mat=mat),
    ]
    [(own, _, _)] = substitution.words_of(given)
    assert own == [0.25]
    assert substitution.words_of(given[1:]) == []


def test_a_mat_of_blanks_is_in_no_replacement():
    given = [replaced("red", " x y", "synonym", 0.5, mat=" "), replaced("red", "cd", "control", 0.5)]
    assert len(substitution.words_of(given)) == 1


def test_words_without_synonyms_or_without_controls_are_left_out():
    given = [
        replaced("red", "ab", "synonym", 0.5),
        replaced("blue", "cd", "control", 0.5, rank=1),
        replaced("tin", "ab", "synonym", 0.5, rank=2),
        replaced("tin", "cd", "control", 0.0, rank=2),
    ]
    assert [word[:2] for word in substitution.words_of(given)] == [([0.5], [0.0])]
    assert substitution.words_of([]) == []


def results_of(maps, given):
    """The rows of the stage for variants with their activations."""
    inputs = Given(
        dict(
            retentions=retentions(given),
            places=places(*(row for row, _ in given)),
            maps=rows("maps", *maps),
        )
    )
    stage, config = substitution.STAGE, Config()
    work = stage.worker(inputs, config)
    parts = [work(shard) for shard in stage.shards(inputs, config)]
    found = pa.concat_tables([tables.empty("substitution"), *parts])
    assert list(tables.TABLES["substitution"].in_order([found])) == [found]
    return found.to_pylist()


def variants_of(key, synonyms, controls, *, word="red", place=MAT):
    """A MAP, by neuron and rank, with the baseline 2.0 and the activation of each replacement of a word."""
    key = dict(zip(("neuron", "rank"), key, strict=True))
    given = [(variant(0, "baseline", **key), 2.0)]
    for kind, values in (("synonym", synonyms), ("control", controls)):
        for n, value in enumerate(values):
            own = dict(word=word, replacement=f" {kind[0]}{n}{word[::-1]}"[:5], **key, **place)
            given.append((variant(len(given), kind, **own), value))
    return given


def test_each_neuron_with_replaced_mats_has_one_row():
    given = [
        *variants_of((4, 0), [2.0] * 4, [0.25] * 6),
        *variants_of((2, 0), [0.5] * 4, [0.5] * 6),
        *variants_of((3, 0), [2.0] * 4, [0.25] * 6, place=AFTER),
        *variants_of((5, 0), [None] * 4, [0.25] * 6),
    ]
    found = results_of([map_row(0, neuron=n, mat=" red") for n in range(2, 6)], given)
    assert [(row["neuron"], row["n_words"]) for row in found] == [(2, 1), (4, 1)]
    assert found[0]["effect"] == pytest.approx(0)
    assert found[1]["effect"] == pytest.approx(1)
    assert found[0]["p"] == pytest.approx(1)
    assert found[1]["p"] == pytest.approx(1 / 210, abs=0.003)


def test_a_neurons_p_does_not_depend_on_the_other_neurons():
    one = variants_of((1, 0), [1.5, 1.0, 0.7], [0.2, 1.2, 0.9, 0.4])
    maps = [map_row(0, neuron=n, mat=" red") for n in (0, 1)]
    alone = results_of(maps[1:], one)
    assert results_of(maps, [*variants_of((0, 0), [1.0], [0.5]), *one])[1:] == alone


def test_words_of_several_maps_are_one_test():
    given = [
        *variants_of((0, 0), [2.0] * 3, [0.0] * 3),
        *variants_of((0, 1), [2.0] * 3, [0.0] * 3, word="tin"),
    ]
    maps = [map_row(0, mat=" red"), map_row(1, mat=" tin")]
    [row] = results_of(maps, given)
    assert (row["n_words"], row["effect"]) == (2, pytest.approx(1))
    assert row["p"] == pytest.approx(1 / 400, abs=0.0015)


def test_nothing_gives_nothing():
    assert results_of([], []) == []
