"""What has to be made anew after a change, and what has not."""

import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import plan as plan_module
from pipeline.config import Config
from pipeline.plan import STAGES, plan, reason
from pipeline.run import store_of

TABLES = [stage.table for stage in STAGES]


def changed(**settings):
    """The tables whose key differs, of runs that scan."""
    before, after = plan(Config(source="scan")), plan(Config(source="scan", **settings))
    return [table for table in TABLES if before[table].key != after[table].key]


def after(*first):
    """These tables and all that are made from them."""
    found = set(first)
    for stage in STAGES:
        if found & set(stage.reads):
            found.add(stage.table)
    return [table for table in TABLES if table in found]


def test_stages_are_numbered_in_order_and_read_only_what_came_before():
    numbers = [stage.number for stage in STAGES]
    assert numbers == sorted(set(numbers))
    for index, stage in enumerate(STAGES):
        assert set(stage.reads) <= set(TABLES[:index])


def test_the_same_config_plans_the_same_keys():
    assert changed() == []


@pytest.mark.parametrize(
    ("settings", "first"),
    [
        ({"activation": 0.7}, ["selected"]),
        ({"selectivity": 0.1}, ["selected"]),
        ({"similarity": 0.8}, ["groups", "candidates"]),
        ({"synonyms": 3}, ["synonyms"]),
        ({"inflections": "skip"}, ["synonyms"]),
        ({"describe_groups": True}, ["group_evidence"]),
    ],
)
def test_a_changed_setting_makes_anew_only_what_depends_on_it(settings, first):
    assert changed(**settings) == after(*first)


def test_a_changed_method_for_phrases_touches_neither_samples_nor_vocabulary():
    assert changed(phrases="mean") == after("vectors")


def test_other_neurons_keep_samples_and_vocabulary():
    assert set(TABLES) - set(changed(neurons="0-3")) == {"pages", "samples", "vocabulary"}


def test_other_vectors_keep_samples_maps_and_words(tmp_path):
    (tmp_path / "v.vec").write_text("1 2\na 1 0\n")
    assert changed(fasttext=str(tmp_path / "v.vec")) == after("vocabulary")


def test_another_text_makes_everything_anew(small_text):
    assert changed(text=str(small_text)) == after("samples", "vocabulary")


def test_files_of_one_name_in_two_folders_are_two_files(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "part.txt").write_text("some text")
    before = plan(Config(source="scan", text=str(tmp_path)))["samples"].key
    (tmp_path / "a" / "part.txt").write_text("other text")
    assert plan(Config(source="scan", text=str(tmp_path)))["samples"].key != before


def test_descriptions_of_other_vectors_are_not_kept(tmp_path):
    (tmp_path / "v.vec").write_text("1 2\na 1 0\n")
    plans = [plan(Config()), plan(Config(fasttext=str(tmp_path / "v.vec")))]
    assert plans[0]["descriptions"].own != plans[1]["descriptions"].own
    assert plans[0]["activations"].own == plans[1]["activations"].own


def test_a_copy_of_the_model_under_its_name_is_the_same_model(tmp_path):
    shutil.copytree(Config().model_folder, tmp_path / "demo")
    assert changed(model=str(tmp_path / "demo")) == []
    (tmp_path / "demo/notes.json").write_text("{}")  # no part of the model
    assert changed(model=str(tmp_path / "demo")) == []
    (tmp_path / "demo/config.json").write_text("{}")
    assert "samples" in changed(model=str(tmp_path / "demo"))


def test_changed_code_makes_its_table_anew(monkeypatch):
    before = plan(Config())
    of_file = plan_module.fingerprint.of_file
    monkeypatch.setattr(
        plan_module.fingerprint,
        "of_file",
        lambda path: "new" if path.name == "synonyms.py" else of_file(path),
    )
    after_ = plan(Config())
    assert [t for t in TABLES if before[t].key != after_[t].key] == after("synonyms")


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_keys_differ_exactly_when_a_threshold_does(one, other):
    keys = [plan(Config(similarity=s))["candidates"].key for s in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


def test_the_reason_says_what_changed(small):
    import dataclasses

    config = dataclasses.replace(small, similarity=0.3)
    planned = plan(config)
    store = store_of(small)
    assert reason(planned["candidates"], store) == "similarity 0.25 -> 0.3"
    assert reason(planned["synonyms"], store) == "candidates changed"
    assert reason(planned["samples"], store_of(dataclasses.replace(small, data="nowhere"))) == (
        "never made"
    )
