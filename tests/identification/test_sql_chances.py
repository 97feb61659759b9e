"""156 and 160: from tests to chances and candidates, on rows written by hand."""

import numpy as np
import pytest
from conftest import rows, run_sql
from hypothesis import given, settings
from hypothesis import strategies as st


def likeness(p, *, test="words", **more):
    return dict(test=test, n_units=5, score=1.0, p=p) | more


def group(number, *, by="words", clean=True, coverage=0.5, ranks=(0, 1), **more):
    usual = dict(n_maps=2, n_units=2, score=2.0, p=0.01, mats=["a", "b"])
    return usual | dict(number=number, by=by, clean=clean, coverage=coverage, ranks=list(ranks)) | more


def dominance(p, test, coverage=0.9, **more):
    return dict(test=test, thing="a", p=p, coverage=coverage, ranks=[0, 2]) | more


def chances(likely=(), dominant=(), grouped=()):
    inputs = dict(
        likeness=rows("likeness", *likely),
        dominance=rows("dominance", *dominant),
        groups=rows("groups", *grouped),
    )
    return {(row["neuron"], row["test"]): row for row in run_sql("156_chances.sql", inputs)}


def test_words_that_are_alike_stand_for_a_set_of_what_their_clean_groups_hold():
    given = [group(0, ranks=[0, 3], coverage=0.5), group(1, ranks=[1], coverage=0.25)]
    loose = group(2, clean=False, ranks=[2], coverage=0.1)
    row = chances([likeness(0.009)], grouped=[*given, loose])[0, "words"]
    assert (row["kind"], row["p"], row["weighed_p"]) == ("set", 0.009, pytest.approx(0.018))
    assert (row["coverage"], row["ranks"], row["n_groups"]) == (pytest.approx(0.75), [0, 1, 3], 2)
    assert row["is_evidence"]


def test_without_a_clean_group_the_largest_is_what_shows_it():
    given = [group(n, clean=False, ranks=[n], coverage=0.5 / (n + 1)) for n in range(2)]
    row = chances([likeness(0.009)], grouped=given)[0, "words"]
    assert (row["coverage"], row["ranks"], row["n_groups"]) == (pytest.approx(0.5), [0], 0)


def test_without_a_group_nothing_shows_it():
    row = chances([likeness(0.009)])[0, "words"]
    assert (row["coverage"], row["ranks"], row["n_groups"]) == (None, [], 0)


def test_phrases_that_are_alike_count_where_they_have_groups():
    given = [likeness(0.5), likeness(0.01, test="phrases")]
    found = chances(given, grouped=[group(0, by="phrases", coverage=0.75)])
    row = found[0, "phrases"]
    assert (row["kind"], row["weighed_p"], row["coverage"]) == ("phrase", pytest.approx(0.01 / 0.06), 0.75)
    assert (0, "phrases") not in chances(given, grouped=[group(0, by="words")])


def test_groups_of_phrases_do_not_show_that_words_are_alike():
    given = [likeness(0.001), likeness(0.01, test="phrases")]
    row = chances(given, grouped=[group(0, by="phrases", coverage=0.75)])[0, "words"]
    assert (row["coverage"], row["ranks"], row["n_groups"]) == (None, [], 0)


def test_the_clean_group_that_covers_most_is_a_test_of_its_own():
    given = [
        group(0, clean=False, coverage=0.5, p=1e-6),
        group(1, coverage=0.375, ranks=[4, 5], p=0.008),
        group(2, coverage=0.25, p=1e-6),
    ]
    row = chances([likeness(0.5)], grouped=given)[0, "group"]
    assert (row["kind"], row["p"], row["weighed_p"]) == ("set", 0.008, pytest.approx(0.1))
    assert (row["coverage"], row["ranks"], row["n_groups"]) == (0.375, [4, 5], 2)
    row = chances([likeness(0.5)], grouped=[group(0, by="phrases", p=0.008)])[0, "group"]
    assert (row["kind"], row["weighed_p"]) == ("phrase", pytest.approx(0.8))


def test_a_neuron_without_a_clean_group_has_no_test_of_groups():
    assert (0, "group") not in chances([likeness(0.5)], grouped=[group(0, clean=False)])


@pytest.mark.parametrize(
    ("test", "kind", "weight"),
    [
        ("token", "token", 0.2),
        ("word", "word", 0.2),
        ("spelling", "spelling", 0.05),
        ("before", "phrase", 0.1),
    ],
)
def test_what_stands_out_is_of_its_own_kind(test, kind, weight):
    row = chances(dominant=[dominance(0.003, test)])[0, test]
    assert (row["kind"], row["p"]) == (kind, 0.003)
    assert row["weighed_p"] == pytest.approx(0.003 / weight)
    assert (row["coverage"], row["ranks"], row["n_groups"]) == (0.9, [0, 2], 0)


def test_a_weighed_p_is_at_most_1():
    assert chances([likeness(0.9)])[0, "words"]["weighed_p"] == 1


@pytest.mark.parametrize(("coverage", "is_evidence"), [(0.66, False), (2 / 3, True), (0.7, True)])
def test_what_stands_out_is_evidence_with_twice_the_activation_of_all_else(coverage, is_evidence):
    assert chances(dominant=[dominance(0.001, "word", coverage)])[0, "word"]["is_evidence"] == is_evidence


def test_token_and_word_are_one_test_where_they_are_the_same():
    found = chances(dominant=[dominance(0.003, test) for test in ("token", "word")])
    assert [row["weighed_p"] for row in found.values()] == pytest.approx([0.015, 0.015])


def test_weights_of_the_tests_of_one_neuron_sum_to_at_most_1():
    found = chances(
        [likeness(1e-6), likeness(1e-6, test="phrases")],
        [
            dominance(p, test)
            for p, test in ((1e-6, "before"), (1e-6, "spelling"), (1e-6, "token"), (2e-6, "word"))
        ],
        [group(0, p=1e-6)],
    )
    assert sum(row["p"] / row["weighed_p"] for row in found.values()) <= 1 + 1e-9


def test_neurons_are_told_apart():
    given = [likeness(0.1, neuron=n, layer=layer) for layer in (0, 1) for n in (3, 4)]
    found = run_sql(
        "156_chances.sql",
        dict(
            likeness=rows("likeness", *given),
            dominance=rows("dominance"),
            groups=rows("groups", group(0, neuron=4, layer=1)),
        ),
    )
    assert [(row["layer"], row["neuron"], row["test"], row["n_groups"]) for row in found] == [
        (0, 3, "words", 0),
        (0, 4, "words", 0),
        (1, 3, "words", 0),
        (1, 4, "group", 1),
        (1, 4, "words", 1),
    ]


def chance(neuron, weighed_p, *, test="words", is_evidence=True, layer=0):
    own = dict(neuron=neuron, layer=layer, test=test, weighed_p=weighed_p, is_evidence=is_evidence)
    return own | dict(kind="set", p=weighed_p / 2, coverage=0.9, ranks=[0], n_groups=1)


def similar(neuron, similarity=0.1, layer=0):
    return dict(neuron=neuron, layer=layer, n_maps=20, n_distinct=20, similarity=similarity)


def candidates(similarity, given, *, by_chance=True, least=0.6, fdr=0.05):
    inputs = dict(similarity=rows("similarity", *similarity), chances=rows("chances", *given))
    return run_sql("160_candidates.sql", inputs, fdr=fdr, by_chance=by_chance, similarity=least)


def numbers(*args, **how):
    return [row["neuron"] for row in candidates(*args, **how)]


def slow_q(p):
    """Benjamini and Hochberg's q, by its definition, with Storey's number of neurons of no meaning."""
    none = min(len(p), max(len(p) / 2, 2 * (1 + sum(each > 0.5 for each in p))))
    return [
        min(1, *(other * none / sum(each <= other for each in p) for other in p if other >= own))
        for own in p
    ]


P = st.one_of(st.floats(1e-6, 1), st.sampled_from([1e-4, 0.01, 0.5, 1.0]))


@given(st.lists(P, min_size=1, max_size=30))
@settings(deadline=None, max_examples=12)
def test_q_is_benjamini_and_hochbergs(p):
    every = [similar(n, 0.9) for n in range(len(p))]
    found = candidates(every, [chance(n, value) for n, value in enumerate(p)])
    assert [row["p"] for row in found] == pytest.approx(p)
    assert [row["q"] for row in found] == pytest.approx(slow_q(p))


def test_q_is_taken_over_each_layer_and_over_neurons_without_a_test_too():
    p = {0: [0.01, 0.02], 1: [0.01, 0.5, 0.6]}
    given = [chance(n, value, layer=layer) for layer in p for n, value in enumerate(p[layer])]
    every = [similar(n, 0.9, layer) for layer in p for n in range(len(p[layer]))]
    found = candidates([*every, similar(9, 0.9, 1)], given)
    assert [row["q"] for row in found] == pytest.approx([*slow_q(p[0]), *slow_q([*p[1], 1.0])])


def test_the_p_of_a_neuron_is_the_smallest_of_its_tests_that_are_evidence():
    given = [
        chance(0, 0.2),
        chance(0, 0.03, test="phrases"),
        chance(0, 1e-9, test="token", is_evidence=False),
        chance(1, 1e-9, test="token", is_evidence=False),
    ]
    assert [row["p"] for row in candidates([similar(0, 0.9), similar(1, 0.9)], given)] == [0.03, 1]


def test_by_chance_those_of_six_times_the_rate_are_worth_verifying():
    p = [0.04, 0.1, 0.2, 0.3]
    given = [chance(n, value) for n, value in enumerate(p)]
    every = [similar(n) for n in range(4)]
    q = slow_q(p)
    assert numbers(every, given, fdr=q[1] / 6) == [n for n in range(4) if q[n] <= q[1]] == [0, 1]
    assert {row["way"] for row in candidates(every, given, fdr=0.2)} == {"chance"}


def test_one_word_with_two_thirds_of_the_activation_is_worth_verifying_whatever_its_q():
    given = [
        chance(0, 1.0),
        chance(0, 1.0, test="word"),
        chance(1, 1.0, test="word", is_evidence=False),
        chance(2, 1.0, test="token"),
    ]
    assert numbers([similar(n) for n in range(3)], given) == [0]


def test_maps_as_alike_as_the_method_asks_are_worth_verifying_by_chance_too():
    given = [chance(n, 1.0) for n in range(3)]
    assert numbers([similar(0, 0.59), similar(1, 0.6), similar(2, None)], given) == [1]


def test_where_thresholds_are_given_only_likeness_counts():
    given = [chance(0, 1e-9), chance(1, 1.0, test="word"), chance(2, 1.0)]
    every = [similar(0, 0.39), similar(1, None), similar(2, 0.4)]
    [found] = candidates(every, given, by_chance=False, least=0.4)
    assert (found["neuron"], found["way"]) == (2, "thresholds")


def test_a_layer_that_has_no_chance_goes_by_thresholds():
    given = [chance(0, 1e-9, test="token"), chance(0, 1e-9, layer=1)]
    found = candidates([similar(0, 0.7), similar(1, 0.2), similar(0, 0.2, layer=1)], given)
    assert [(row["layer"], row["neuron"], row["way"]) for row in found] == [
        (0, 0, "thresholds"),
        (1, 0, "chance"),
    ]


def test_at_the_rate_given_few_neurons_of_no_meaning_are_found():
    """Of 400 layers of 50 neurons with uniform p, in about one in twenty any has a q of 0.05."""
    p = np.random.default_rng(0).random((400, 50))
    given = [chance(n, float(p[layer, n]), layer=layer) for layer in range(400) for n in range(50)]
    every = [similar(n, layer=layer) for layer in range(400) for n in range(50)]
    found = {row["layer"] for row in candidates(every, given, fdr=0.05 / 6)}
    assert len(found) / 400 == pytest.approx(0.05, abs=0.025)
