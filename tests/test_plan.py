"""What has to be made anew after a change, and what has not."""

import dataclasses
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import Config
from pipeline.generation.answers import ANSWERED_AS
from pipeline.plan import NUMBERS, STAGES, plan, reason, stages
from pipeline.run import store_of

TABLES = list(NUMBERS)
SCAN = Config(source="scan")


def changed(before=SCAN, **given):
    """The tables whose key differs, of runs that scan unless another is given."""
    one, other = plan(before), plan(dataclasses.replace(before, **given))
    return [table for table in TABLES if one[table].key != other[table].key]


def after(*first, config=SCAN):
    """These tables and all that are made from them."""
    found = set(first)
    for stage in stages(config):
        if found & set(stage.reads):
            found.add(stage.table)
    return [table for table in TABLES if table in found]


def test_stages_are_numbered_in_order_and_read_only_what_came_before():
    numbers = list(NUMBERS.values())
    assert numbers == sorted(set(numbers))
    for stage in STAGES:
        assert stage.number == NUMBERS[stage.table]
        assert set(stage.reads) <= set(TABLES[: TABLES.index(stage.table)])


def test_the_first_digit_of_a_stage_is_its_step():
    steps = {"samples": "0", "identification": "1", "verification": "2", "generation": "3"}
    for stage in STAGES:
        if stage.module:
            assert stage.number[0] == steps[stage.module.split(".")[1]]


@pytest.mark.parametrize(
    "config",
    [SCAN, Config(), Config(describer="openai", score=True), Config(precision="bfloat16", score=True)],
    ids=["scan", "pages", "paid", "scored"],
)
def test_every_table_has_one_stage_under_any_settings(config):
    assert [stage.table for stage in stages(config)] == TABLES
    assert list(plan(config)) == TABLES


def test_the_same_config_plans_the_same_keys():
    assert changed() == []


@pytest.mark.parametrize(
    ("settings", "first"),
    [
        ({"selectivity": 0.1}, ["selected"]),
        ({"kinds": "set"}, ["selected"]),
        ({"coverage": 0.4}, ["verdicts"]),
        ({"fdr": 0.1}, ["likeness", "candidates", "verdicts"]),
        ({"synonyms": 3}, ["synonyms"]),
        ({"inflections": "skip"}, ["synonyms"]),
        ({"describe_groups": True}, ["group_evidence"]),
    ],
)
def test_a_changed_setting_makes_anew_only_what_depends_on_it(settings, first):
    assert changed(**settings) == after(*first)


def test_a_changed_threshold_makes_anew_only_what_it_decides():
    given = dataclasses.replace(SCAN, similarity=0.5, activation=0.2)
    assert changed(given, activation=0.7) == after("selected")
    assert changed(given, similarity=0.8) == after("candidates")


def test_a_threshold_that_is_left_out_is_the_methods_where_the_other_one_is_given():
    given = dataclasses.replace(SCAN, similarity=0.6)
    assert changed(given, activation=0.3) == []
    assert "candidates" in changed(SCAN, similarity=0.6)  # else chance decides


def test_a_changed_method_for_phrases_touches_neither_samples_nor_vocabulary():
    assert changed(phrases="mean") == after("vectors")


def test_the_longest_text_decides_windows_where_they_are_cut_and_nothing_else():
    assert changed(Config(score=True), max_tokens=64) == after("windows")
    assert changed(Config(), max_tokens=64) == []
    assert changed(max_tokens=64) == after("samples")  # a scan cuts texts by it


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device", "cpu"),
        ("memory_mb", 64),
        ("connections", 1),
        ("price", "1,2"),
        ("rate", 9.0),
        ("tries", 2),
    ],
)
def test_where_how_fast_and_at_what_price_decides_no_row(name, value):
    for config in (SCAN, Config(), Config(describer="openai", score=True)):
        assert changed(config, **{name: value}) == []


def test_other_neurons_keep_samples_and_vocabulary():
    assert set(TABLES) - set(changed(neurons="0-3")) == {
        "pages",
        "samples",
        "vocabulary",
        "deviations",
        "windows",
    }


def test_neurons_named_in_another_way_are_the_same():
    assert changed(dataclasses.replace(SCAN, neurons="64"), neurons="0-63") == []


def test_other_vectors_keep_samples_maps_and_words(tmp_path):
    (tmp_path / "v.vec").write_text("1 2\na 1 0\n")
    assert changed(fasttext=str(tmp_path / "v.vec")) == after("vocabulary")


def test_published_vectors_do_not_depend_on_the_text(tmp_path, small_text):
    (tmp_path / "v.vec").write_text("1 2\na 1 0\n")
    pages = Config(fasttext=str(tmp_path / "v.vec"))
    assert changed(pages, text=str(small_text)) == []


def test_another_text_makes_everything_anew(small_text):
    assert changed(text=str(small_text)) == after("samples", "vocabulary")


def test_files_of_one_name_in_two_folders_are_two_files(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "part.txt").write_text("some text")
    before = plan(Config(source="scan", text=str(tmp_path)))["samples"].key
    (tmp_path / "a" / "part.txt").write_text("other text")
    assert plan(Config(source="scan", text=str(tmp_path)))["samples"].key != before


def test_activations_are_kept_whatever_the_vectors_and_not_for_another_model(tmp_path):
    (tmp_path / "v.vec").write_text("1 2\na 1 0\n")
    own = plan(Config())["activations"].kept_as
    assert plan(Config(fasttext=str(tmp_path / "v.vec")))["activations"].kept_as == own
    assert plan(SCAN)["activations"].kept_as == own
    for other in ({"weights": "random", "source": "scan"}, {"layer": 0}, {"precision": "bfloat16"}):
        assert plan(Config(**other))["activations"].kept_as != own


def test_answers_are_kept_by_what_was_asked_alone():
    for config in (Config(describer="openai"), Config(describer="openai", describer_model="x", score=True)):
        assert plan(config)["descriptions"].kept_as == f"answers-{ANSWERED_AS}"


def test_a_copy_of_the_model_under_its_name_is_the_same_model(tmp_path):
    shutil.copytree(Config().model_folder, tmp_path / "demo")
    assert changed(model=str(tmp_path / "demo")) == []
    (tmp_path / "demo/notes.json").write_text("{}")  # no part of the model
    assert changed(model=str(tmp_path / "demo")) == []
    (tmp_path / "demo/config.json").write_text("{}")
    assert "samples" in changed(model=str(tmp_path / "demo"))


@settings(max_examples=10, deadline=None)  # each makes two plans
@given(st.floats(-1, 1), st.floats(-1, 1))
def test_keys_differ_exactly_when_a_threshold_does(one, other):
    keys = [plan(Config(similarity=s))["candidates"].key for s in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


def test_the_reason_says_what_changed(small):
    config = dataclasses.replace(small, similarity=0.3)
    planned = plan(config)
    store = store_of(small)
    assert reason(planned["candidates"], store) == "similarity 0.25 -> 0.3"
    assert reason(planned["synonyms"], store) == "candidates changed"
    assert reason(planned["samples"], store_of(dataclasses.replace(small, data="nowhere"))) == "never made"
