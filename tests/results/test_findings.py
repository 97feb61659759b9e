"""What was found, in words."""

from collections import Counter

import pytest

from pipeline.config import Config
from pipeline.results import findings
from pipeline.results.findings import Layer


def layer(way="chance", n_found=145, worst_q=0.0493, kinds=None):
    kinds = Counter(kinds or {"set": 140, "word": 5})
    return Layer("demo", 1, "positive", way, 512, 344, n_found, worst_q, kinds)


def test_by_chance_the_rate_and_the_number_expected_to_be_false_are_told():
    assert findings.headline(layer(), Config()) == (
        "demo, layer 1: 512 neurons, 344 candidates, 145 feature neurons at a false discovery rate of 0.05 "
        "(about 8 of them expected to be false)"
    )


def test_less_than_one_expected_to_be_false_is_no_number():
    told = findings.headline(layer(n_found=10, worst_q=0.0493), Config())
    assert told.endswith(
        "10 feature neurons at a false discovery rate of 0.05 (fewer than 1 of them expected to be false)"
    )


def test_of_nothing_found_nothing_is_expected_to_be_false():
    assert findings.headline(layer(n_found=0, worst_q=None), Config(fdr=0.01)).endswith(
        "0 feature neurons at a false discovery rate of 0.01"
    )


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        (dict(similarity=0.4), ("0.4", "0.3")),
        (dict(activation=0.2), ("0.6", "0.2")),
        (dict(), ("0.6", "0.3")),
    ],
)
def test_by_thresholds_those_that_held_are_told_given_or_not(given, numbers):
    told = findings.headline(layer("thresholds"), Config(**given))
    assert told == (
        f"demo, layer 1: 512 neurons, 344 candidates (similarity >= {numbers[0]}), "
        f"145 feature neurons (normalised activation >= {numbers[1]})"
    )


def test_that_chance_could_not_decide_is_told_where_nobody_gave_thresholds():
    undecided = "too few neurons or words to tell what is by chance: thresholds decide"
    assert findings.remarks(layer("thresholds"), Config())[0] == undecided
    assert undecided not in findings.remarks(layer("thresholds"), Config(similarity=0.6))
    assert undecided not in findings.remarks(layer(), Config())


def test_kinds_are_counted_the_most_frequent_first():
    found = layer(kinds={"set": 77, "phrase": 28, "spelling": 8, "word": 8, "none": 1})
    assert findings.remarks(found, Config()) == ["77 set, 28 phrase, 8 spelling, 8 word, 1 of no kind"]


def test_what_was_asked_for_is_told():
    config = Config(kinds="set,word", selectivity=0.1)
    assert findings.remarks(layer(n_found=0), config) == [
        "only of KINDS word,set",
        "only with SELECTIVITY from 0.1",
    ]


def test_where_nothing_is_found_a_value_is_named_that_finds_the_nearest():
    near = [dict(setting="FDR", value=0.062), dict(setting="COVERAGE", value=0.4)]
    assert findings.missing(near, Config()) == "No feature neuron; try FDR=0.062."
    assert findings.missing([], Config(kinds="word")) == "No feature neuron; try without KINDS."
    assert "none comes near" in findings.missing([], Config())


def test_why_a_neuron_is_not_one_is_its_near_miss_or_what_chance_says():
    row = dict(reason=None, q=0.41, n_clean_groups=0)
    near = dict(likely_kind="set", reason="q is 0.062: FDR=0.062 would take it")
    assert findings.why_not(row, near) == f"not a feature neuron: nearest to the kind set: {near['reason']}"
    assert findings.why_not(row, None) == (
        "not a feature neuron: what its phrases share may be chance, q is 0.41"
    )
    few = row | dict(reason="fewer than two MAPs with a vector", n_clean_groups=2)
    assert findings.why_not(few, None) == (
        "not a feature neuron: not compared, fewer than two MAPs with a vector; but its phrases fall into "
        "2 groups that are each alike"
    )


def test_shares_and_probabilities_have_the_digits_that_matter():
    assert [findings.percent(0.844), findings.percent(None)] == ["84 %", "-"]
    assert [findings.sure(2.83e-07), findings.sure(0.0493), findings.sure(None)] == [
        "2.8e-07",
        "0.049",
        "-",
    ]


def test_a_description_has_the_share_that_it_fits_where_that_is_known():
    row = dict(description="colours", description_coverage=0.84)
    assert findings.described(row) == "colours (covers 84 %)"
    assert findings.described(row | dict(description_coverage=None)) == "colours"
    assert findings.described(dict(description=None, description_coverage=None)) == "-"
