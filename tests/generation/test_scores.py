"""Descriptions scored by windows of text that their describer was not shown."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from conftest import rows, run_sql
from hypothesis import given
from hypothesis import strategies as st

from pipeline import tables
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.generation import evidence, judgement_calls, prompts
from pipeline.models import language_model
from pipeline.run import run

KEY = ("model", "layer", "sign", "neuron")
WINDOW = dict(from_neuron=0, from_rank=0, start=0, tokens=["a"], activations=[1.0], activation=1.0)


@pytest.fixture(scope="module")
def scored(small, tmp_path_factory):
    """The small run with its lexical descriptions scored, and its tables."""
    data = tmp_path_factory.mktemp("scored") / "data"
    shutil.copytree(small.data, data, copy_function=os.link)
    config = dataclasses.replace(small, data=str(data), score=True, score_control=True)
    return config, run(config)


def by_neuron(table):
    groups = {}
    for row in table.to_pylist():
        groups.setdefault(row["neuron"], []).append(row)
    return groups


def test_windows_are_held_out_and_measured_in_their_texts(scored, demo):
    config, found = scored
    samples = {(row["neuron"], row["rank"]): row for row in found["samples"].to_pylist()}
    shown = {row["neuron"]: row for row in found["evidence"].to_pylist()}
    windows = found["windows"].to_pylist()
    assert {row["kind"] for row in windows} == {"activating", "near", "other"}
    for row in windows:
        sample = samples[row["from_neuron"], row["from_rank"]]
        end = row["start"] + len(row["tokens"])
        assert sample["tokens"][row["start"] : end] == row["tokens"]
        assert row["start"] <= sample["mat_index"] < end
        assert len(row["tokens"]) <= 32
        assert row["start"] >= sample["text_start"]
        own = shown[row["neuron"]]
        for phrase in evidence.shown(own, scored=True).phrases:
            assert phrase not in "".join(row["tokens"])
        if row["kind"] == "activating":
            assert row["from_neuron"] == row["neuron"]
            assert row["from_rank"] in evidence.held_out(own)
        else:
            assert row["from_neuron"] != row["neuron"]
    for row in windows[::7]:  # one pass for each
        ids = samples[row["from_neuron"], row["from_rank"]]["token_ids"]
        [values] = demo.activations(torch.tensor([ids]), config.layer)[:, :, row["neuron"]].tolist()
        expected = values[row["start"] : row["start"] + len(row["tokens"])]
        assert row["activations"] == pytest.approx(expected, rel=1e-5, abs=1e-6)
        assert row["activation"] == max(row["activations"])


def test_quiet_windows_are_far_below_activating_ones_and_have_as_many_marks(scored):
    _, found = scored
    for own in by_neuron(found["windows"]).values():
        active = [row for row in own if row["kind"] == "activating"]
        quiet = [row for row in own if row["kind"] != "activating"]
        assert len(quiet) <= len(active)
        weakest = min(row["activation"] for row in active)
        assert all(row["activation"] < weakest / 2 for row in quiet)
        assert [row["window"] for row in own] == list(range(len(own)))
        for row in active:
            marked = [row["activations"][i] for i in row["marked"]]
            rest = [v for i, v in enumerate(row["activations"]) if i not in row["marked"]]
            assert min(marked) >= 0.3 * row["activation"] > max(rest, default=-1)
        counts = {len(row["marked"]) for row in active}
        assert {len(row["marked"]) for row in quiet} <= counts
    places = [row["window"] for row in found["windows"].to_pylist() if row["kind"] == "activating"]
    assert len(set(places)) > 4  # shuffled


def test_what_is_held_out_is_in_no_prompt_nor_are_its_variants():
    row = dict(
        mats=["a", "b", "c"],
        mat_words=["a", "b", "c"],
        max_phrases=["a1", "b1", "c1"],
        marked_phrases=["⟦a⟧1", "⟦b⟧1", "⟦c⟧1"],
        ranks=[0, 2, 5],
        raised_phrases=["b9", "c9"],
        raised_ranks=[2, 5],
    )
    assert evidence.held_out(row) == [2]
    seen = evidence.shown(row, scored=True)
    assert (seen.mats, seen.words, seen.phrases) == (["a", "c"], ["a", "c"], ["a1", "c1"])
    assert (seen.marked, seen.raised) == (["⟦a⟧1", "⟦c⟧1"], ["c9"])
    assert evidence.shown(row, scored=False).raised == ["b9", "c9"]
    assert "b" not in prompts.describe(seen).data.replace('"phrases"', "")


def test_a_lexical_description_tells_more_than_that_of_another_neuron(scored):
    _, found = scored
    means = {}
    for row in found["scores"].to_pylist():
        means.setdefault((row["control"], row["method"]), []).append(row["balanced_accuracy"])
    for method in prompts.METHODS:
        assert np.mean(means["none", method]) > np.mean(means["other", method]) + 0.1
    own = {row["neuron"]: row["f1"] for row in found["scores"].to_pylist() if row["control"] == "none"}
    assert own.keys() == {row["neuron"] for row in found["feature_neurons"].to_pylist()}
    assert run(scored[0]).made is False


def test_the_control_is_another_neuron_with_other_words(scored):
    _, found = scored
    said = {row["neuron"]: row["description"] for row in found["descriptions"].to_pylist()}
    for row in found["scores"].to_pylist():
        if row["control"] == "other":
            assert said[row["described"]] != said[row["neuron"]]
        else:
            assert row["described"] == row["neuron"]


def test_one_more_described_neuron_changes_few_controls():
    said = [dict(model="m", layer=0, sign="positive", neuron=n, description=f"d{n}") for n in range(40)]
    windows = rows(
        "windows", *[WINDOW | dict(neuron=n, window=0, kind="near", marked=[0]) for n in range(40)]
    )

    def controls(said):
        calls = judgement_calls.calls(said, windows, Config(score=True, score_control=True))
        return {call["neuron"]: call["described"] for call in calls if call["control"] == "other"}

    before, after = controls(said[:-1]), controls(said)
    assert len(set(before.values())) > 15  # not one decoy for all
    assert sum(before[n] != after[n] for n in before) <= 6
    assert controls([row | dict(description="same") for row in said]) == {}


def test_without_scoring_there_is_nothing_to_judge(small_tables):
    assert [len(small_tables[name]) for name in ("windows", "judgements", "scores")] == [0, 0, 0]
    assert set(small_tables["feature_neurons"]["detection_f1"].to_pylist()) == {None}


def judged(part, answers, **more):
    own = dict(control="none", described=0, method="detection", part=part, answers=answers)
    return own | dict(status="ok" if answers else "malformed") | more


def test_scores_count_both_kinds_of_errors_and_failed_calls_apart():
    kinds = ["activating", "near", "activating", "other", "other", "activating", "activating"]
    windows = [WINDOW | dict(window=i, kind=kind, marked=[0]) for i, kind in enumerate(kinds)]
    [found] = run_sql(
        "380_scores.sql",
        dict(
            windows=rows("windows", *windows),
            judgements=rows("judgements", judged(0, [True, True, False, False, False]), judged(1, None)),
        ),
        windows_per_call=5,
    )
    counts = ("true_positives", "false_positives", "true_negatives", "false_negatives", "n_failed")
    assert [found[name] for name in counts] == [1, 1, 2, 1, 1]
    assert found["f1"] == pytest.approx(0.5)
    assert found["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_scores_that_cannot_be_are_null():
    windows = rows("windows", WINDOW | dict(window=0, kind="other", marked=[0]))
    [found] = run_sql(
        "380_scores.sql",
        dict(windows=windows, judgements=rows("judgements", judged(0, [False]))),
        windows_per_call=5,
    )
    assert (found["f1"], found["balanced_accuracy"]) == (None, None)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("[1, 0, 1]", [True, False, True]),
        ("```json\n[0,0,0]\n```", [False] * 3),
        ("[1, 0]", None),
        ("[1, 0, 1, 1]", None),
        ("[1, 0, 2]", None),
        ("[1, 0, 0.5]", None),
        ("1, 0, 1", None),
        ("[1,0,1] or [0,0,0]", None),
        ("[]", None),
    ],
)
def test_an_answer_is_a_list_of_as_many_judgements_or_none(answer, expected):
    assert prompts.judgements(answer, 3) == expected


@given(st.lists(st.text(max_size=4), min_size=1, max_size=8), st.data())
def test_marks_in_texts_are_never_taken_for_ours(tokens, data):
    places = data.draw(st.lists(st.integers(0, len(tokens) - 1), unique=True))
    text = judgement_calls.marked(tokens, places)
    assert text.count("⟦") == text.count("⟧") <= len(places)
    plain = "".join(tokens).replace("⟦", "[").replace("⟧", "]")
    assert text.replace("⟦", "").replace("⟧", "") == plain


def test_a_call_holds_five_windows_of_one_neuron():
    near = [WINDOW | dict(window=i, kind="near", tokens=[str(i)], marked=[0]) for i in range(7)]
    windows = rows("windows", *near)
    said = [dict(model="m", layer=0, sign="positive", neuron=0, description="d")]
    calls = judgement_calls.calls(said, windows, Config(score=True, score_control=True))
    assert [(c["control"], c["method"], c["part"], len(c["tokens"])) for c in calls] == [
        ("none", "detection", 0, 5),
        ("none", "fuzzing", 0, 5),
        ("none", "detection", 1, 2),
        ("none", "fuzzing", 1, 2),
    ]
    shown = [json.loads(judgement_calls.prompt(call).data)["windows"] for call in calls]
    assert shown[2:] == [["5", "6"], ["⟦5⟧", "⟦6⟧"]]


def test_random_weights_are_a_model_of_their_own_that_is_always_the_same(small, tmp_path):
    texts = next(Path(small.text).glob("*.parquet"))
    pq.write_table(pq.read_table(texts).slice(0, 50), tmp_path / "texts.parquet")
    own = dict(text=str(tmp_path / "texts.parquet"), weights="random", neurons="0-9")
    config = dataclasses.replace(small, data=str(tmp_path / "data"), **own)
    first = run(config, until="samples")["samples"]
    assert set(first["model"].to_pylist()) == {"demo-random"}
    random = parameters(config)
    trained = parameters(small)  # another model is loaded, so that the next one is made anew
    other = dataclasses.replace(config, data=str(tmp_path / "again"))
    assert run(other, until="samples")["samples"].equals(first)
    for name, parameter in trained.items():
        assert parameter.shape == random[name].shape
        assert parameter.numel() < 2 or not parameter.equal(random[name])
        assert parameter.flatten().sort().values.equal(random[name].flatten().sort().values)
    with pytest.raises(UserError, match="WEIGHTS is random; only SOURCE=scan"):
        Config(weights="random")


def parameters(config):
    """The parameters of a run's model by name."""
    return dict(language_model.load(config).bridge.original_model.named_parameters())


def test_every_table_of_scoring_has_its_schema(scored):
    for name in ("windows", "judgements", "scores"):
        tables.check(name, scored[1][name])
