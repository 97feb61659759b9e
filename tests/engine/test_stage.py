"""A stage sees what it declares and nothing else."""

import dataclasses
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import CANDIDATE, rows
from given import Given

from pipeline.config import Config
from pipeline.engine.stage import Inputs, Stage, runs_of
from pipeline.errors import UndeclaredError
from pipeline.plan import CONTENTS, STAGES

FIELDS = {field.name for field in dataclasses.fields(Config)} | {"by_chance"}  # made of two of them
# What decides no row anywhere: where and how fast, at what price, and whether to ask at all.
HOW = {
    "device",
    "memory_mb",
    "data",
    "connections",
    "rate",
    "refresh",
    "timeout_s",
    "tries",
    "retry_wait_s",
}
HOW |= {"price", "max_calls", "max_cost", "dry_run", "answer_tokens", "answer_timeout_s"}


def test_a_declared_setting_can_be_read_and_another_raises_an_error_that_names_stage_and_setting():
    settings = Stage("m", "110", "words", settings=("seed",), uses=("device",)).handed(Config(seed=3))
    assert (settings.seed, settings.device) == (3, "auto")
    with pytest.raises(
        UndeclaredError, match="stage words reads the setting layer, which it does not decl"
    ):
        _ = settings.layer


def test_a_property_can_be_read_where_all_that_it_is_made_of_is_declared():
    stage = Stage("m", "110", "words", settings=("model", "weights"))
    assert stage.handed(Config()).model_name == "demo"
    with pytest.raises(UndeclaredError, match="stage words reads the setting weights"):
        _ = Stage("m", "110", "words", settings=("model",)).handed(Config()).model_name


def test_settings_with_other_values_and_in_another_process_are_guarded_as_well():
    settings = Stage("m", "110", "words", settings=("seed",), uses=("max_calls",)).handed(Config())
    other = pickle.loads(pickle.dumps(settings.replaced(max_calls=2)))
    assert (other.seed, other.max_calls, settings.max_calls) == (0, 2, None)
    with pytest.raises(UndeclaredError, match="stage words reads the setting layer"):
        _ = other.layer


def test_a_declared_table_can_be_read_and_another_raises_an_error_that_names_stage_and_table(tmp_path):
    candidates = rows("candidates", CANDIDATE)
    pq.write_table(candidates, tmp_path / "part.parquet")
    inputs = pickle.loads(pickle.dumps(Inputs({"candidates": tmp_path / "part.parquet"}, "words")))
    assert inputs["candidates"].equals(candidates)
    assert inputs.columns("candidates", ["neuron"]).to_pylist() == [{"neuron": 0}]
    assert len(inputs.rows("candidates")) == 1
    for read in (inputs.__getitem__, inputs.file, inputs.rows, inputs.get, inputs.__contains__):
        with pytest.raises(
            UndeclaredError, match="stage words reads the table maps, which it does not decl"
        ):
            read("maps")


def test_runs_of_a_table_are_all_of_its_rows_in_order():
    inputs = Given({"candidates": rows("candidates", *(CANDIDATE | dict(neuron=n) for n in range(10)))})
    parts = list(runs_of("candidates", 4)(inputs, Config()))
    assert [len(part) for part in parts] == [4, 4, 2]
    assert pa.concat_tables(parts).equals(inputs["candidates"])


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: f"{stage.number}-{stage.table}-{stage.where}")
def test_what_a_stage_declares_exists_once_and_what_it_uses_decides_no_row(stage):
    declared = [*stage.settings, *stage.uses]
    assert set(declared) | set(stage.where) <= FIELDS
    assert len(set(declared)) == len(declared)
    assert not set(stage.where) & set(stage.uses)
    assert set(stage.decided_by) <= {*stage.settings, *stage.reads}
    covered = {
        "pages": {"model", "weights", "layer", "neurons"},  # the pages' fingerprint is of these neurons
        "samples": {
            "model",
            "weights",
            "layer",
            "neurons",
            "signs",
        },  # likewise; a scan is of the whole layer
        "activations": {"batch_tokens"},  # beyond rounding
        "deviations": {"batch_tokens"},
        "encodings": {"layer", "sign", "precision"},  # with which the model is loaded for its tokenizer
        "windows": {"layer", "sign"},  # that of the rows, which the model must have
        "descriptions": {"score_control", "windows_per_call", "seed"},  # what is announced of scoring
    }
    assert set(stage.uses) <= HOW | covered.get(stage.table, set())


def test_a_setting_that_names_something_stands_in_keys_by_what_it_names():
    named = {"model", "text", "fasttext", "exact_tokens", "site", "describer_model"}
    assert set(CONTENTS) == named


def test_each_choice_of_a_source_makes_samples_and_each_describer_describes():
    for setting, table in (
        ("source", "samples"),
        ("describer", "descriptions"),
        ("describer", "judgements"),
    ):
        [field] = [field for field in dataclasses.fields(Config) if field.name == setting]
        made_by = {stage.where[setting] for stage in STAGES if stage.table == table}
        assert made_by == set(field.metadata["choices"])
