"""Both ends of a neuron: the negative one is as a neuron whose values have the other sign."""

import dataclasses

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from pipeline import cli
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.results import database, export
from pipeline.run import run


@pytest.fixture(scope="module")
def both(small, tmp_path_factory):
    """A run over both ends of some neurons, and its config."""
    data = str(tmp_path_factory.mktemp("ends") / "data")
    config = dataclasses.replace(
        small, signs="both", neurons="3-12", similarity=-1.0, activation=0.0, data=data
    )
    return config, database.run(config)


def test_the_samples_of_the_negative_end_are_where_values_are_lowest(both, demo):
    _, tables = both
    samples = tables["samples"].filter(pc.field("sign") == "negative").filter(pc.field("neuron") == 7)
    for row in samples.slice(0, 5).to_pylist():
        values = demo.activations(torch.tensor([row["token_ids"]]), 1)[0, :, 7].numpy()
        assert np.allclose(row["activations"], -values, atol=1e-5)
        assert row["mat_index"] == 1 + values[1:].argmin()
        assert row["max_activation"] == pytest.approx(-values[1:].min(), abs=1e-5)
    peaks = samples["max_activation"].to_pylist()
    assert peaks == sorted(peaks, reverse=True)


def test_variants_are_measured_at_the_same_end(both):
    _, tables = both
    samples = {
        (row["sign"], row["neuron"], row["rank"]): row["max_activation"]
        for row in tables["samples"].to_pylist()
    }
    baselines = tables["activations"].filter(pc.field("variant") == 0).to_pylist()
    assert {row["sign"] for row in baselines} == {"positive", "negative"}
    for row in baselines:
        expected = samples[row["sign"], row["neuron"], row["rank"]]
        assert row["activation"] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_each_end_is_normalised_by_its_own_strongest_neuron(both):
    config, tables = both
    with database.connect(config) as con:
        found = con.sql("select sign, max(normalised_activation) from normalised group by sign").fetchall()
    assert dict(found) == {"positive": 1.0, "negative": 1.0}
    assert set(tables["descriptions"]["sign"].to_pylist()) == {"positive", "negative"}


def test_the_screen_the_report_and_exports_tell_ends_apart(both, tmp_path, capsys):
    config, tables = both
    assert cli.main(["show", "7", "--data", config.data]) == 0
    out = capsys.readouterr().out
    assert "demo, layer 1, neuron 7: " in out and "demo, layer 1, negative, neuron 7: " in out
    own = [run_.id for run_ in database.past.runs(tables.store)]
    assert cli.main(["report", str(tmp_path / "report"), "--run", own[0], "--data", config.data]) == 0
    assert (tmp_path / "report/neurons/demo/1-negative/7.html").is_file()
    assert (tmp_path / "report/neurons/demo/1/7.html").is_file()
    export.write("neuronpedia", config, tables, tmp_path / "pedia")
    sets = sorted(path.name for path in (tmp_path / "pedia/demo").iterdir())
    assert sets == ["1-feature-neurons", "1-feature-neurons-negative"]
    export.write("neuron-record", config, tables, tmp_path / "records")
    assert "no place for the negative ends" in capsys.readouterr().err


def test_by_default_negative_ends_of_gelu_are_left_out_and_it_is_said(small, tmp_path, capsys):
    config = dataclasses.replace(small, signs=None, neurons="3-5", data=str(tmp_path))
    assert set(run(config)["samples"]["sign"].to_pylist()) == {"positive"}
    assert (
        "0% of the neurons reach farther below zero than above; only positive ends are"
        in capsys.readouterr().err
    )
    assert not run(config).made
    assert "layer 1, negative" not in capsys.readouterr().err


def test_where_values_reach_as_far_below_zero_both_ends_are_looked_at(small, tmp_path, monkeypatch, capsys):
    import model_folders

    model = model_folders.save(tmp_path / "llama", "llama")
    config = dataclasses.replace(
        small, model=str(model), signs=None, neurons="3-5", data=str(tmp_path / "d")
    )
    assert set(run(config, until="samples")["samples"]["sign"].to_pylist()) == {"positive", "negative"}
    assert "both ends are looked at" in capsys.readouterr().err


@pytest.mark.parametrize("given", [dict(signs="both"), dict(sign="negative")])
def test_a_site_has_positive_ends_only(given):
    with pytest.raises(UserError, match="SIGNS is both; a site's pages have the positive end only"):
        Config(**given)
