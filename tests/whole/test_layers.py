"""A run of several layers is those of each layer put together; what fails in one leaves the others."""

import contextlib
import dataclasses
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.compute as pc
import pytest
from conftest import ROOT, rows
from datasets import load_dataset
from two_layers import together

from pipeline import cli, id_feature_neuron_results
from pipeline.config import Config
from pipeline.errors import NoLayerError, PipelineError, UserError
from pipeline.plan import plan
from pipeline.results import database, export, neuroscope_site, past
from pipeline.results.publish import dataset
from pipeline.run import run, store_of
from pipeline.tables import TABLES

N_NEURONS = 12


@pytest.fixture(scope="module")
def apart(small, tmp_path_factory):
    """A run of each layer of the embedded model, in one store, and its config."""
    config = dataclasses.replace(small, data=str(tmp_path_factory.mktemp("layers") / "data"), neurons="3-9")
    shutil.copytree(small.data, config.data)
    return config, [database.run(dataclasses.replace(config, layer=layer)) for layer in (0, 1)]


@pytest.fixture(scope="module")
def whole(apart):
    """The run of both layers, and its config."""
    config = dataclasses.replace(apart[0], layer="all")
    return config, database.run(config)


def told(*command):
    """The exit code, output and messages of a command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([str(each) for each in command])
    return code, out.getvalue(), err.getvalue()


def options(config):
    names = ("source", "text", "signs", "neurons", "similarity", "activation", "synonyms", "data", "layer")
    return [f"--{name}={getattr(config, name)}" for name in names]


def n_versions(config, table):
    return len(store_of(config).versions(table))


@pytest.mark.parametrize(
    ("given", "layers"), [(6, (6,)), ("0-3", (0, 1, 2, 3)), ("5,2,2", (2, 5)), (" 1 ", (1,)), ("all", None)]
)
def test_layers_are_named_as_neurons_are(given, layers):
    assert Config(layer=given).layers == layers


@pytest.mark.parametrize("given", ["x", "", "3-1", "-1", "0-99999", "1.5"])
def test_what_names_no_layers_is_refused(given):
    with pytest.raises(UserError, match="LAYER is .*; give a number"):
        Config(layer=given)


def test_a_run_of_all_layers_has_the_rows_of_a_run_of_each(apart, whole):
    _, tables = whole
    for name in tables:
        found, expected = tables[name], together(name, [each[name] for each in apart[1]])
        by_key = [(column, "ascending") for column in TABLES[name].key]
        assert (found if TABLES[name].of_layers else found.sort_by(by_key)).equals(expected), name
        assert tables.n_rows(name) == len(found)


def test_the_database_holds_all_layers_and_what_they_share_once(whole):
    config, tables = whole
    with database.connect(config) as con:
        for name in tables:
            [(n_rows,)] = con.sql(f"select count(*) from {name}").fetchall()
            key = ", ".join(f'"{column}"' for column in TABLES[name].key)
            [(n_keys,)] = con.sql(f"select count(*) from (select distinct {key} from {name})").fetchall()
            assert n_rows == n_keys == tables.n_rows(name), name
        strongest = con.sql("select layer, max(normalised_activation) from normalised group by layer")
        assert strongest.order("layer").fetchall() == [(0, 1.0), (1, 1.0)]
        assert con.sql("select value from settings where name = 'layer'").fetchall() == [("all",)]


def test_layers_share_what_they_have_in_common_and_are_made_once(apart, whole):
    config, _ = whole
    assert n_versions(config, "vocabulary") == 1
    assert n_versions(config, "samples") == n_versions(config, "maps") - 1 == 2  # of the small run, too
    assert not run(config).made


def test_other_thresholds_run_sql_only(whole):
    config, _ = whole
    other = dataclasses.replace(config, activation=0.3)
    store = store_of(config)
    for layer in (0, 1):
        planned = plan(dataclasses.replace(other, layer=layer))
        missing = [each.stage for table, each in planned.items() if not store.manifest(table, each.key)]
        assert missing[0].table == "selected"
        assert not {"activations", "encodings", "samples"} & {stage.table for stage in missing}


def test_show_takes_a_neuron_of_a_layer(whole):
    config, _ = whole
    code, out, _ = told("show", "0:4", "--data", config.data)
    assert code == 0 and out.startswith("demo, layer 0, neuron 4")
    code, out, _ = told("show", "4", "--data", config.data)
    assert out.count("neuron 4") == 2
    with pytest.raises(SystemExit):
        told("show", "0:x", "--data", config.data)


def test_the_function_for_python_names_the_layer_where_there_are_several(whole):
    config, tables = whole
    given = {name: getattr(config, name) for name in ("source", "text", "data")}
    found = id_feature_neuron_results("all", "demo", "3-9", 0.25, 0.1, 2, **given)
    assert list(found.columns) == ["layer", "index", "avg_activation", "desc", "max_phrases"]
    assert sorted(found["layer"].tolist()) == tables["feature_neurons"]["layer"].to_pylist()


def test_earlier_runs_are_listed_and_can_be_asked(apart, whole):
    config, _ = whole
    code, out, _ = told("runs", "--data", config.data)
    assert code == 0
    ids = {run.layers: run.id for run in past.runs(store_of(config)) if run.settings["neurons"] == "3-9"}
    assert set(ids) == {(0,), (1,), (0, 1)}
    for layers, own in ids.items():
        assert own in out and f"layer{'s' * (len(layers) > 1)} {', '.join(map(str, layers))}" in out
        query = "select distinct layer from similarity order by layer"
        code, answer, _ = told("sql", query, "--format", "json", "--run", own, "--data", config.data)
        assert [row["layer"] for row in json.loads(answer)] == list(layers)
    assert "SIMILARITY=0.25" in out and config.data not in out
    assert told("show", "1:4", "--run", ids[0,], "--data", config.data)[0] == 2
    assert told("show", "0:4", "--run", ids[0,][:6], "--data", config.data)[0] == 0


def test_a_report_of_an_earlier_run_is_written_without_a_run(apart, whole, tmp_path):
    config, _ = whole
    [own] = [run.id for run in past.runs(store_of(config)) if run.layers == (0,)]
    code, _, err = told("report", tmp_path / "report", "--run", own, "--data", config.data)
    assert code == 0, err
    assert "layer 0" in (tmp_path / "report/index.html").read_text()
    assert not (tmp_path / "report/neurons/demo/1").exists()


@pytest.mark.parametrize("asked", ["", "zzzz"])
def test_a_run_that_is_not_there_is_one_line_of_error(whole, asked):
    config, _ = whole
    code, _, err = told("sql", "from overview", "--run", asked, "--data", config.data)
    assert (code, err.count("\n")) == (2, 1) and "runs` lists them" in err


def test_a_run_whose_tables_are_gone_says_so(apart, tmp_path):
    shutil.copytree(apart[0].data, tmp_path / "data")
    config = dataclasses.replace(apart[0], data=str(tmp_path / "data"))
    own = past.runs(store_of(config))[0].id
    shutil.rmtree(tmp_path / "data/store/maps")
    with pytest.raises(UserError, match=f"maps of {own} is gone; run again"):
        past.tables(store_of(config), own)


def test_a_layer_outside_is_refused_with_the_range(small, tmp_path):
    config = dataclasses.replace(small, layer="0-2", data=str(tmp_path))
    with pytest.raises(UserError, match="LAYER is 2; demo has the layers 0 to 1"):
        run(config)
    assert not (tmp_path / "store").exists()


@pytest.fixture
def site(small, small_tables, tmp_path):
    """A mirror with three layers of pages, and a config that has their vectors already."""
    own = small_tables["samples"].filter(pc.field("neuron") < N_NEURONS)
    given = [row | dict(layer=layer) for layer in (0, 1, 2) for row in own.to_pylist()]
    neuroscope_site.write(rows("samples", *given), tmp_path / "site")
    shutil.copytree(Path(small.data) / "store/vocabulary", tmp_path / "data/store/vocabulary")
    return dataclasses.replace(
        small,
        source="neuroscope",
        site=str(tmp_path / "site"),
        neurons="all",
        layer="0-1",
        data=str(tmp_path / "data"),
    )


def without(config, layer):
    shutil.rmtree(Path(config.site) / "demo" / str(layer))


def unreadable(config, layer):
    for path in (Path(config.site) / "demo" / str(layer)).iterdir():
        path.write_text("<html>nothing</html>")


def test_of_all_layers_those_that_the_site_has_are_run_and_it_is_said(site, capsys):
    without(site, 0)
    assert cli.main(["run", *options(site), "--site", site.site, "--layer", "all"]) == 0
    said = capsys.readouterr()
    assert "WARNING: layer 0 is left out: SITE: none of the 12 pages" in said.err
    assert "demo, layer 1: 12 neurons" in said.out
    assert set(run(dataclasses.replace(site, layer="all"))["maps"]["layer"].to_pylist()) == {1}


@pytest.mark.parametrize(("harm", "code"), [(unreadable, 1), (without, 2)])
def test_a_layer_that_fails_leaves_the_others_and_is_told(site, capsys, harm, code):
    harm(site, 0)
    assert cli.main(["run", *options(site), "--site", site.site]) == code
    said = capsys.readouterr()
    assert "layer 0 failed, the others go on" in said.err
    assert said.err.splitlines()[-1].startswith("error: without layer 0: SITE: ")
    assert "demo, layer 1: 12 neurons" in said.out
    with database.connect(site) as con:
        assert con.sql("select distinct layer from similarity").fetchall() == [(1,)]


def test_where_every_layer_fails_the_last_reason_is_the_error(site):
    for layer in (0, 1):
        without(site, layer)
    with pytest.raises(NoLayerError, match="none of the 12 pages"):
        run(site)
    for layer in (0, 1):
        (Path(site.site) / "demo" / str(layer)).mkdir()
        (Path(site.site) / "demo" / str(layer) / "0.html").write_text("nothing")
    with pytest.raises(PipelineError):
        run(site)


def test_nothing_is_published_of_a_run_with_a_failed_layer(site, capsys):
    unreadable(site, 1)
    command = ["publish", "a/b", *options(site), "--site", site.site, "--dry-run"]
    assert cli.main(command) == 1
    assert "nothing is published" in capsys.readouterr().err
    assert not Path(site.data, "dataset").exists()


@pytest.mark.slow
def test_a_run_killed_in_a_later_layer_goes_on_there(small, tmp_path):
    config = dataclasses.replace(small, layer="0-1", data=str(tmp_path), neurons="all")
    command = [sys.executable, "-m", "pipeline", "run", *options(config)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("layer 1"):
                break
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not run(dataclasses.replace(config, layer=0)).made
    assert run(config).made
    assert set(run(config)["similarity"]["layer"].to_pylist()) == {0, 1}


def test_layers_of_different_size_are_each_what_they_are(site):
    folder = Path(site.site) / "demo"
    for neuron in range(8, N_NEURONS):
        (folder / "1" / f"{neuron}.html").unlink()
    tables = database.run(dataclasses.replace(site, layer="all"))
    counted = tables["similarity"].group_by("layer").aggregate([("neuron", "count")]).to_pylist()
    assert {row["layer"]: row["neuron_count"] for row in counted} == {0: 12, 1: 8}
    with database.connect(site) as con:
        funnel = con.sql("select layer, neurons from funnel where step = 1 order by layer").fetchall()
    assert funnel == [(0, 12), (1, 8)]


def test_a_data_set_holds_all_layers_of_a_run(whole, tmp_path):
    config, tables = whole
    made = dataset.write(config, tables, tmp_path / "set", "ada/neurons")
    assert {"samples/train-00000-of-00002.parquet", "vocabulary/train-00000-of-00001.parquet"} < set(
        made.files
    )
    for name in ("samples", "feature_neurons", "synonyms"):
        found = load_dataset(str(made.folder), name, split="train", cache_dir=str(tmp_path / "cache"))
        assert found.data.table.cast(TABLES[name].schema).equals(tables[name]), name
    facts = json.loads((made.folder / "feature-neurons.json").read_text())
    assert facts["settings"]["layer"] == [0, 1]
    assert (
        len(facts["tables"]["samples"]["parts"]) == 2 and len(facts["tables"]["vocabulary"]["parts"]) == 1
    )
    assert "demo, all layers" in (made.folder / "README.md").read_text()
    again = dataset.write(config, tables, tmp_path / "again", "ada/neurons")
    alone = dataclasses.replace(config, layer=1)
    assert again.tag == made.tag != dataset.write(alone, run(alone), tmp_path / "one", "ada/neurons").tag


def test_exports_have_a_source_for_each_layer(whole, tmp_path):
    config, tables = whole
    assert export.write("neuronpedia", config, tables, tmp_path / "pedia") == 14
    sources = sorted(path.name for path in (tmp_path / "pedia/demo").iterdir())
    assert sources == ["0-feature-neurons", "1-feature-neurons"]
    assert export.write("neuron-record", config, tables, tmp_path / "records") == 14
    assert sorted(path.name for path in (tmp_path / "records/neurons").iterdir()) == ["0", "1"]


def test_the_report_is_that_of_all_layers(whole):
    config, _ = whole
    code, out, err = told("report", *options(config))
    assert code == 0, err
    assert out.startswith("14 neurons")
    assert "demo, layers 0 to 1" in Path(config.data, "report/index.html").read_text()


@pytest.mark.slow
def test_a_scan_killed_between_the_tables_that_it_writes_reads_the_text_no_more(small, tmp_path):
    config = dataclasses.replace(small, layer="0-1", data=str(tmp_path))
    command = [sys.executable, "-m", "pipeline", "run", *options(config)]
    written = tmp_path / "store/samples"
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        while not list(written.glob("[!.]*.json")) and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    [before] = [path for path in written.glob("[!.]*.json")]
    changed = before.stat().st_mtime_ns
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        said = process.stderr.read()
    assert process.returncode == 0, said
    assert re.search(r"scan: continues after \d{3} windows", said) and "winners again" not in said
    assert before.stat().st_mtime_ns == changed
    assert list(written.glob(".unfinished-*")) == []
    again = dataclasses.replace(config, data=str(tmp_path / "again"))
    assert run(config)["samples"].equals(run(again, until="samples")["samples"])
