"""285, 290 and near_misses: what a neuron stands for, whether it is found, and what would find it."""

import numpy as np
import pyarrow as pa
import pytest
from conftest import rows, run_sql
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import KINDS
from pipeline.tables import query

WEIGHTS = dict(words=0.5, phrases=0.06, group=0.08, token=0.2, word=0.2, spelling=0.05, before=0.1)
OFF = float("-inf")


def chance(test, p, *, coverage=0.9, n_groups=0, is_evidence=True, **more):
    """A row of `chances`."""
    kind = dict(words="set", group="set", phrases="phrase", before="phrase").get(test, test)
    ranks = [list(WEIGHTS).index(test)]
    own = dict(
        test=test, kind=kind, p=p, weighed_p=min(1, p / WEIGHTS[test]), coverage=coverage, ranks=ranks
    )
    return own | dict(n_groups=n_groups, is_evidence=is_evidence) | more


def tables(neurons, substitution=(), similarity=0.7, extra=0):
    """The tables of a layer: the tests of each of its neurons; `extra` neurons more have none."""
    count = len(neurons) + extra
    alike = similarity if isinstance(similarity, list) else [similarity] * count
    return dict(
        similarity=rows(
            "similarity",
            *(dict(neuron=n, n_maps=9, n_distinct=9, similarity=s) for n, s in enumerate(alike)),
        ),
        chances=rows("chances", *(dict(neuron=n) | row for n, own in enumerate(neurons) for row in own)),
        substitution=rows(
            "substitution",
            *(dict(neuron=n, n_words=2, effect=0.1, p=p) for n, p in dict(substitution).items()),
        ),
    )


def verdicts(given, *, fdr=0.05, coverage=0.5):
    return run_sql("285_verdicts.sql", given, fdr=fdr, coverage=coverage)


def kind(*tests, **how):
    """What a neuron of these tests is, beside one that is barely found."""
    found, other = verdicts(tables([tests, [chance("words", 0.01)]]), **how)
    assert other["kind"] == "set"
    return found["kind"]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("words", "set"),
        ("group", "set"),
        ("phrases", "phrase"),
        ("token", "token"),
        ("word", "word"),
        ("spelling", "spelling"),
        ("before", "phrase"),
    ],
)
def test_a_neuron_is_of_the_kind_of_the_test_that_finds_it(test, expected):
    [found] = verdicts(tables([[chance(test, 1e-4, coverage=0.8)]]))
    assert (found["kind"], found["likely_kind"]) == (expected, expected)
    assert (found["coverage"], found["ranks"]) == (0.8, [list(WEIGHTS).index(test)])


def test_a_neuron_without_tests_is_none():
    [found] = verdicts(tables([[]]))
    assert (found["kind"], found["likely_kind"], found["p"], found["q"]) == ("none", "none", 1, 1)
    assert (found["coverage"], found["ranks"], found["p_words"]) == (None, [], None)


def test_what_is_not_sure_is_none_and_the_kind_it_comes_nearest_to_is_told():
    [found] = verdicts(tables([[chance("words", 0.2), chance("spelling", 0.02)]]))
    assert (found["kind"], found["likely_kind"]) == ("none", "spelling")


def test_of_kinds_that_cover_nearly_as_much_it_is_the_simplest():
    tests = ["word", "token", "spelling", "words", "phrases"]
    for n, expected in enumerate(["word", "token", "spelling", "set", "phrase"]):
        assert kind(*(chance(test, 1e-4, coverage=0.8) for test in tests[n:])) == expected
    more = chance("words", 1e-4, coverage=0.9)
    assert kind(chance("word", 1e-4, coverage=0.77), more) == "word"
    assert kind(chance("word", 1e-4, coverage=0.76), more) == "set"


def test_what_a_neuron_responds_to_goes_before_what_that_comes_after():
    after = chance("before", 1e-4, coverage=1.0)
    assert kind(chance("words", 1e-4, coverage=0.74), after) == "set"
    assert kind(chance("words", 1e-4, coverage=0.7), after) == "phrase"


def test_a_simpler_kind_that_is_not_sure_is_not_taken():
    assert kind(chance("word", 0.2), chance("words", 1e-4)) == "set"


def test_a_thing_that_covers_too_little_is_not_found():
    assert kind(chance("words", 1e-6, coverage=0.49)) == "none"
    assert kind(chance("words", 1e-6, coverage=0.5)) == "set"
    assert kind(chance("words", 1e-6, coverage=0.49), coverage=0.4) == "set"
    assert kind(chance("words", 1e-6, coverage=None)) == "none"


def test_a_thing_that_covers_enough_is_found_beside_a_surer_one_that_does_not():
    found = [chance("words", 1e-6, coverage=0.3), chance("phrases", 1e-3, coverage=0.9)]
    assert kind(*found) == "phrase"


def test_what_has_an_equal_beside_it_is_no_evidence():
    [found] = verdicts(tables([[chance("token", 1e-9, is_evidence=False), chance("words", 0.3)]]))
    assert (found["kind"], found["likely_kind"], found["p"]) == ("none", "set", pytest.approx(0.3 / 0.5))
    assert found["p_token"] == 1e-9


def test_several_clean_groups_are_several_things():
    assert kind(chance("words", 1e-4, n_groups=2)) == "several"
    assert kind(chance("phrases", 1e-4, n_groups=2)) == "several"
    assert kind(chance("words", 1e-4, n_groups=1)) == "set"
    assert kind(chance("word", 1e-4), chance("words", 1e-4, n_groups=2)) == "word"


def p_of(*tests, substitution=None):
    given = {} if substitution is None else {0: substitution}
    [found] = verdicts(tables([tests], given))
    assert found["p_substitution"] == substitution
    return found["p"]


def fisher(*ps):
    """How likely several p are as low as these together: by 200,000 draws."""
    drawn = np.random.default_rng(0).random((200_000, len(ps)))
    return np.mean(np.prod(drawn, 1) <= np.prod(ps))


@pytest.mark.parametrize(("words", "substitution"), [(0.2, 0.1), (0.05, 0.3), (0.01, 0.01)])
def test_words_and_substitution_together_count_as_fishers_product(words, substitution):
    together = fisher(words, substitution) / 0.5 / 0.25
    alone = words / 0.5 / 0.6
    found = p_of(chance("words", words), substitution=substitution)
    assert found == pytest.approx(min(1, together, alone), rel=0.08)


def test_substitution_that_tells_nothing_costs_two_fifths():
    assert p_of(chance("words", 0.009)) == pytest.approx(0.018)
    assert p_of(chance("words", 0.009), substitution=1.0) == pytest.approx(0.018 / 0.6)


def test_substitution_counts_alone_only_beside_one_word_that_stands_out():
    assert p_of(chance("word", 0.3), substitution=0.0045) == pytest.approx(0.009)
    beside = p_of(chance("word", 0.3), chance("words", 1.0), substitution=0.0045)
    assert beside == pytest.approx(0.0045 / 0.5 / 0.15)
    assert p_of(chance("word", 0.3), chance("words", 1.0), substitution=0.5) > 0.5
    assert p_of(chance("word", 0.3, is_evidence=False), substitution=0.002) == 1
    assert p_of(chance("token", 0.3), substitution=0.002) == 1
    assert p_of(substitution=0.002) == 1


def test_one_word_of_a_set_is_a_set_that_its_synonyms_show():
    [found] = verdicts(tables([[chance("word", 0.3, coverage=0.8)]], {0: 0.0001}))
    assert (found["kind"], found["coverage"], found["ranks"]) == ("set", 0.8, [4])


def test_the_p_of_each_test_stands_as_it_is():
    tests = [chance(test, 0.1 + n / 100) for n, test in enumerate(WEIGHTS)]
    [found] = verdicts(tables([tests], {0: 0.7}))
    names = ("words", "phrases", "group", "token", "spelling", "substitution")
    assert [found[f"p_{name}"] for name in names] == pytest.approx([0.1, 0.11, 0.12, 0.13, 0.15, 0.7])


def slow_q(p):
    """Benjamini and Hochberg's q, by its definition, with Storey's number of neurons of no meaning."""
    none = min(len(p), max(len(p) / 2, 2 * (1 + sum(each > 0.5 for each in p))))
    return [
        min(1, *(other * none / sum(each <= other for each in p) for other in p if other >= own))
        for own in p
    ]


@given(
    st.lists(st.one_of(st.floats(1e-6, 0.05), st.sampled_from([1e-4, 0.01, 0.4])), min_size=1, max_size=25)
)
@settings(deadline=None, max_examples=8)
def test_found_is_what_benjamini_and_hochbergs_q_allows(p):
    found = verdicts(tables([[chance("words", value)] for value in p], extra=5))
    q = slow_q([min(1, value / 0.5) for value in p] + [1.0] * 5)
    assert [row["q"] for row in found] == pytest.approx(q)
    assert [row["kind"] for row in found] == ["set" if value <= 0.05 else "none" for value in q]


def test_a_second_thing_is_found_as_sure_as_the_last_of_the_layer():
    """What a neuron is besides counts where its p is below that at which neurons are found."""
    both = [chance("words", 1e-9, coverage=0.6), chance("phrases", 0.003)]
    assert [row["kind"] for row in verdicts(tables([both]))] == ["phrase"]  # 0.03 is below 0.05 of 1 of 1
    other = [[chance("words", 0.4)]] * 3
    assert (
        next(row["kind"] for row in verdicts(tables([both, *other]))) == "set"
    )  # and above 0.05 of 1 of 4


def normalised_row(neuron, activation=0.5, selectivity=None):
    return dict(
        neuron=neuron, avg_activation=1.0, normalised_activation=activation, selectivity=selectivity
    )


class Layer:
    """The tables of a layer of which all neurons were verified."""

    def __init__(self, neurons, activation=0.5, **how):
        self.given = tables(neurons, **how)
        count = len(self.given["similarity"])
        values = activation if isinstance(activation, list) else [activation] * count
        self.normalised = rows("normalised", *(normalised_row(n, value) for n, value in enumerate(values)))

    def settled(self, *, fdr=0.05, coverage=0.5, similarity=None, activation=None, kinds=None):
        """The numbers of the feature neurons, and of the near misses with setting and value."""
        own = self.given | dict(normalised=self.normalised)
        by_chance = similarity is None and activation is None
        params = dict(fdr=fdr, by_chance=by_chance, similarity=0.6 if similarity is None else similarity)
        own["candidates"] = rows("candidates", *run_sql("160_candidates.sql", own, **params))
        own["verdicts"] = rows("verdicts", *verdicts(own, fdr=fdr, coverage=coverage))
        asked = list(KINDS) if kinds is None else kinds.split(",")
        least = 0.3 if activation is None else activation
        params = dict(activation=least, selectivity=OFF, kinds=asked)
        own["selected"] = rows("selected", *run_sql("290_selected.sql", own, **params))
        given = dict(fdr=fdr, coverage=coverage, similarity=similarity, activation=activation, kinds=kinds)
        values = [
            None if value is None else str(value) for value in (given | dict(selectivity=None)).values()
        ]
        own["settings"] = pa.table(
            {"name": [*given, "selectivity"], "value": pa.array(values, pa.string())}
        )
        near = query.run(query.query("views/near_misses.sql"), own, {}).to_pylist()
        return own["selected"]["neuron"].to_pylist(), [
            (row["neuron"], row["setting"], row["value"]) for row in near
        ]

    def found_by(self, neuron, **given):
        """The setting and value that would find a neuron; that they do is checked."""
        found, near = self.settled(**given)
        [(setting, value)] = [miss[1:] for miss in near if miss[0] == neuron]
        assert neuron not in found
        again, _ = self.settled(**given | {setting.lower(): value})
        assert neuron in again
        return setting, value


def test_by_chance_feature_neurons_are_those_of_which_a_thing_is_found():
    layer = Layer(
        [[chance("words", 1e-6)], [chance("words", 0.9)], [chance("word", 1e-6)]], activation=0.01
    )
    assert layer.settled()[0] == [0, 2]


def test_by_thresholds_feature_neurons_are_those_that_keep_their_activation():
    layer = Layer([[chance("words", 1e-6)], [chance("words", 0.9)], []], activation=[0.29, 0.3, None])
    assert layer.settled(activation=0.3)[0] == [1]
    assert layer.settled(similarity=0.5)[0] == [1]


def test_a_layer_without_chance_goes_by_thresholds():
    layer = Layer([[chance("token", 1e-6)], [chance("token", 0.9)]], activation=[0.29, 0.31])
    assert layer.settled()[0] == [1]


def test_only_kinds_that_are_asked_for_are_feature_neurons():
    layer = Layer([[chance("words", 1e-6)], [chance("word", 1e-6)], [chance("words", 0.9)]])
    assert layer.settled(kinds="word,token")[0] == [1]
    assert layer.settled(kinds="set", activation=0.3)[0] == [0]
    assert layer.settled(activation=0.3)[0] == [0, 1, 2]


SURE = [[chance("words", 1e-6)]] * 3


def test_what_is_not_sure_enough_is_found_at_the_rate_that_is_told():
    layer = Layer([*SURE, [chance("words", 0.04)], [chance("words", 0.06)]], extra=2)
    assert layer.found_by(3) == ("FDR", 0.12)
    assert layer.found_by(4) == ("FDR", 0.144)


def test_the_rate_that_is_told_finds_each_near_miss():
    p = np.random.default_rng(3).uniform(0.02, 0.2, 5)
    layer = Layer([*SURE, *([chance("words", float(value))] for value in p)], extra=2)
    missed = layer.settled()[1]
    assert len(missed) > 2
    for neuron, setting, value in missed:
        assert setting == "FDR"
        assert neuron in layer.settled(fdr=value)[0]


def test_what_covers_too_little_is_found_at_the_coverage_that_is_told():
    layer = Layer([*SURE, [chance("words", 1e-5, coverage=0.488)], [chance("words", 1e-5, coverage=0.1)]])
    assert layer.found_by(3) == ("COVERAGE", 0.48)
    assert [miss[0] for miss in layer.settled()[1]] == [3]


def test_a_kind_that_is_not_asked_for_is_found_without_kinds():
    assert Layer([[chance("word", 1e-6)]]).found_by(0, kinds="set") == ("KINDS", None)


def test_by_thresholds_activation_or_similarity_would_find_what_is_missed():
    layer = Layer([[], [], []], similarity=[0.7, 0.55, 0.8], activation=[0.255, 0.9, 0.9])
    assert layer.found_by(0, activation=0.3) == ("ACTIVATION", 0.25)
    assert layer.found_by(1, activation=0.3) == ("SIMILARITY", 0.55)
    assert [miss[0] for miss in layer.settled(activation=0.3)[1]] == [0, 1]


def test_by_chance_nothing_is_missed_for_its_activation_or_similarity():
    layer = Layer([[chance("words", 0.99)]] * 3, similarity=[0.7, 0.5, 0.1], activation=[0.2, 0.9, 0.1])
    assert layer.settled() == ([], [])
