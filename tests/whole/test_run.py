"""Whole runs on the embedded model with a small text."""

import dataclasses
import multiprocessing
import os
import re
import shutil
import signal
from multiprocessing import forkserver
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import assert_same_rows

import pipeline
from pipeline import cli, tables
from pipeline.engine.engines import InProcess
from pipeline.errors import UserError
from pipeline.plan import plan
from pipeline.results import database
from pipeline.run import part_of, run, store_of
from pipeline.verification import activations, measurement

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.whole.warm"])  # else each would import for ten seconds
PROCESSES_TALK = pytest.mark.block_network(allowed_hosts=["/.*"])  # by sockets that are files


@pytest.fixture(scope="module", autouse=True)
def _server():
    """Start the server of these processes, which imports beside the first tests."""
    forkserver.ensure_running()


def all_rows(config):
    store = store_of(config)
    return {table: store.read(table, p.key) for table, p in plan(config).items()}


@pytest.fixture
def copy(small, tmp_path):
    """The small run in a folder of its own, to be changed."""
    shutil.copytree(small.data, tmp_path / "data")
    return dataclasses.replace(small, data=str(tmp_path / "data"))


@pytest.fixture
def scanned(small, tmp_path):
    """The config of the small run over a folder that has its samples and nothing else."""
    shutil.copytree(Path(small.data) / "store/samples", tmp_path / "data/store/samples")
    return dataclasses.replace(small, data=str(tmp_path / "data"))


@pytest.fixture
def unmeasured(copy):
    """The config of the small run over a folder that has all tables before `activations`."""
    names = list(plan(copy))
    for name in names[names.index("activations") :]:
        shutil.rmtree(Path(copy.data) / "store" / name)
    return copy


class Watching(InProcess):
    """An engine that notes which rows are measured, apart from the phrases they are variants of."""

    def __init__(self):
        self.measured = []

    def map(self, make, shards):
        """Shards of encodings are those to be measured; a stage without shards makes nothing."""
        for shard in shards:
            if "token_ids" in shard.column_names:
                self.measured += shard.filter(pc.not_equal(shard["variant"], 0)).to_pylist()
            yield from super().map(make, [shard])


class Dying(InProcess):
    """An engine that measures few variants at once, and dies as by SIGKILL once some shards are done."""

    def map(self, make, shards):
        """Shards of encodings are those to be measured."""
        n_done, worker = 0, None
        for shard in shards:
            worker = worker or make()
            parts = [shard]
            if "token_ids" in shard.column_names:
                parts = measurement.by_text(shard, pa.array([True] * len(shard)), 300)
            for part in parts:
                if n_done == 2 and "token_ids" in part.column_names:
                    os.kill(os.getpid(), signal.SIGKILL)
                n_done += "token_ids" in part.column_names
                yield worker(part)


def test_every_table_of_a_run_fits_its_schema_and_holds_rows(small_tables):
    for name, data in small_tables.items():
        tables.check(name, data)
        # of a scan, in float32, without scores and descriptions of groups
        nothing = ("pages", "deviations", "windows", "judgements", "scores")
        nothing += ("group_evidence", "group_descriptions", "unreplaced")
        assert bool(len(data)) == (name not in nothing), name


def test_a_second_run_has_nothing_to_do(copy):
    files = {path: path.stat().st_mtime_ns for path in Path(copy.data).rglob("*")}
    assert database.run(copy, engine=None).made is False
    assert {path: path.stat().st_mtime_ns for path in Path(copy.data).rglob("*")} == files


@pytest.mark.slow
def test_two_runs_on_fresh_stores_give_the_same_rows(small, small_tables, tmp_path):
    again = dataclasses.replace(small, data=str(tmp_path))
    run(again)
    for name, data in all_rows(again).items():
        assert data.equals(small_tables[name]), name


def test_a_changed_threshold_measures_nothing_again(copy):
    engine = Watching()
    assert run(dataclasses.replace(copy, activation=0.5, similarity=0.3), engine).made
    assert engine.measured == []


def test_more_neurons_measure_only_what_is_new(copy):
    engine = Watching()
    run(dataclasses.replace(copy, neurons="0-127"), engine, until="activations")
    assert engine.measured
    assert min(row["neuron"] for row in engine.measured) > 95


def test_another_number_of_synonyms_measures_only_what_is_new(copy, small_tables):
    engine = Watching()
    fewer = dataclasses.replace(copy, synonyms=1)
    assert run(fewer, engine, until="activations").made
    assert engine.measured == []
    more = dataclasses.replace(copy, synonyms=3)
    encodings = run(more, engine, until="activations")["encodings"]
    known = set(small_tables["encodings"]["key"].to_pylist())
    new = [key for key in encodings["key"].to_pylist() if key not in known]
    measured = [row["key"] for row in engine.measured]
    assert sorted(set(measured)) == sorted(set(new))
    assert len(measured) == len(set(measured))


@pytest.mark.parametrize(("similarity", "activation"), [(0.25, 0.1), (0.3, 0.3), (0.4, 0.0)])
def test_the_macro_for_other_thresholds_equals_a_run_with_them(copy, similarity, activation):
    question = (
        "select neuron, avg_activation, normalised_activation, selectivity, similarity, max_phrases "
        "from {} order by neuron"
    )
    with database.connect(copy) as con:
        source = f"feature_neurons_at({similarity}, {activation})"
        by_macro = con.sql(question.format(source)).fetchall()
    other = dataclasses.replace(copy, similarity=similarity, activation=activation)
    with database.over(other, run(other)) as con:
        assert con.sql(question.format("feature_neurons")).fetchall() == by_macro
    assert by_macro


def test_the_macro_refuses_what_was_never_verified(small):
    with database.connect(small) as con, pytest.raises(duckdb.Error, match="run again with SIMILARITY=0.1"):
        con.sql("select * from feature_neurons_at(0.1, 0.0)").fetchall()


def test_the_database_holds_every_table_with_its_rows(small, small_tables):
    with database.connect(small) as con:
        for name, data in small_tables.items():
            [(count,)] = con.sql(f"select count(*) from {name}").fetchall()
            assert count == len(data)
        settings = dict(con.sql("select name, value from settings").fetchall())
    assert (settings["similarity"], settings["model"]) == ("0.25", "demo")


def test_the_seeds_function_returns_its_four_columns(copy):
    settings = dict(source="scan", text=copy.text, data=copy.data)
    found = pipeline.id_feature_neuron_results(1, "demo", 96, 0.25, 0.1, 2, **settings)
    assert list(found.columns) == ["index", "avg_activation", "desc", "max_phrases"]
    assert len(found)
    assert found["avg_activation"].is_monotonic_decreasing
    assert all(isinstance(phrase, str) for phrases in found["max_phrases"] for phrase in phrases)
    with database.connect(copy) as con:
        rows = con.sql("select neuron, description from feature_neurons order by neuron").fetchall()
    assert sorted(zip(found["index"], found["desc"], strict=True)) == rows


def test_the_seeds_function_refuses_bad_arguments():
    with pytest.raises(UserError, match="SIMILARITY is 2"):
        pipeline.id_feature_neuron_results(1, "demo", 64, 2, 0.5, 5)


@PROCESSES_TALK
def test_a_killed_run_continues_and_ends_with_the_same_rows(unmeasured, small_tables):
    process = PROCESSES.Process(target=run, args=(unmeasured, Dying()))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    parts = list(Path(unmeasured.data).glob("store/activations/kept/*/*.parquet"))
    assert len(parts) == 2
    kept = {key for part in parts for key in pq.read_table(part)["key"].to_pylist()}
    assert kept
    engine = Watching()
    run(unmeasured, engine)
    assert not kept & {row["key"] for row in engine.measured}
    for name, data in all_rows(unmeasured).items():
        assert_same_rows(data, small_tables[name])


class DyingAtWinners(InProcess):
    """An engine that dies as by SIGKILL once a scan has found its winners and measured some of them."""

    def map(self, make, shards):
        """The last shards are not made."""
        for part in super().map(make, shards):
            yield part
            if "values" in part.column_names:
                os.kill(os.getpid(), signal.SIGKILL)


@PROCESSES_TALK
def test_a_run_killed_in_its_scan_continues_there_and_leaves_nothing_behind(
    small, small_tables, tmp_path, capfd
):
    fresh = dataclasses.replace(small, data=str(tmp_path))
    process = PROCESSES.Process(target=run, args=(fresh, DyingAtWinners()), kwargs=dict(until="samples"))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    [unfinished] = tmp_path.glob("store/samples/.unfinished-*")
    assert (unfinished / "winners.npz").stat().st_size
    assert run(fresh, until="samples")["samples"].equals(small_tables["samples"])
    assert "scan: continues after" in capfd.readouterr().err
    assert not unfinished.exists()


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def test_all_that_is_damaged_is_set_aside_and_made_anew_in_one_run(copy, small_tables, capsys):
    store, planned = store_of(copy), plan(copy)
    harm = {"maps": cut, "words": flip, "similarity": empty, "vectors": Path.unlink}
    for table, harmed in harm.items():
        harmed(store.path(table, planned[table].key) / "part-00000.parquet")
    manifests = {"verdicts": empty, "encodings": cut, "descriptions": lambda path: path.write_text("[]")}
    for table, harmed in manifests.items():
        harmed(store.manifest_path(table, planned[table].key))
    engine = Watching()
    assert run(copy, engine).made
    err = capsys.readouterr().err
    for table in (*harm, *manifests):
        assert len(re.findall(f"WARNING: .*/{table}/.* is damaged .*makes it anew", err)) == 1, table
    assert engine.measured == []
    for name, data in all_rows(copy).items():
        assert data.equals(small_tables[name]), name
    assert list(store.faults()) == []
    assert not run(copy).made


def test_the_plan_says_what_is_damaged_and_changes_nothing(copy, capsys):
    cut(store_of(copy).path("maps", plan(copy)["maps"].key) / "part-00000.parquet")
    given = [
        f"--{n}={getattr(copy, n)}"
        for n in ("source", "text", "signs", "neurons", "similarity", "activation")
    ]
    before = sorted(Path(copy.data).rglob("*"))
    assert cli.main(["plan", *given, f"--synonyms={copy.synonyms}", f"--data={copy.data}"]) == 0
    assert re.search(r"^030 maps +to do +.* is damaged", capsys.readouterr().out, re.M)
    assert sorted(Path(copy.data).rglob("*")) == before


def test_no_candidates_give_an_empty_result_and_no_error(copy):
    none = dataclasses.replace(copy, similarity=1.0)
    assert database.run(none).made
    with database.connect(none) as con:
        assert con.sql("select * from feature_neurons").fetchall() == []
        assert con.sql("select * from feature_neurons_at(1.0, 0.5)").fetchall() == []
        with pytest.raises(duckdb.Error, match="run again with SIMILARITY"):
            con.sql(
                "select * from feature_neurons_at(0.5, 0.5)"
            ).fetchall()  # also where nothing was verified


def test_neurons_outside_the_layer_are_refused_with_the_range(copy):
    with pytest.raises(UserError, match="has 512 neurons, 0 to 511"):
        run(dataclasses.replace(copy, neurons="513"))


def test_baselines_that_differ_from_the_source_give_a_warning(small, small_tables):
    measured = small_tables["activations"]
    inputs = part_of(small).inputs(activations.STAGE)
    assert activations.STAGE.warn(measured, inputs, small) == []
    off = measured.set_column(
        measured.column_names.index("activation"),
        measured.schema.field("activation"),
        pc.multiply(measured["activation"], 1.2).cast("float"),
    )
    [warning] = activations.STAGE.warn(off, inputs, small)
    assert "differ from the source's by 20.0% in the median" in warning
    assert "model demo, layer 1; worst: neuron" in warning
    assert "hook" in warning


def test_a_run_is_not_answered_from_another_runs_database(copy, small_tables):
    mine = small_tables["feature_neurons"]
    other = dataclasses.replace(copy, similarity=0.4)
    theirs = database.run(other)["feature_neurons"]
    assert not theirs.equals(mine)
    again = database.run(copy)
    assert again.made
    assert again["feature_neurons"].equals(mine)
    ask = "select neuron from feature_neurons order by neuron"
    with database.connect(copy) as con:
        assert [neuron for (neuron,) in con.sql(ask).fetchall()] == mine["neuron"].to_pylist()
    assert run(other)["feature_neurons"].equals(theirs)
    with duckdb.connect(str(database.path_of(copy))) as con:
        con.execute("drop table maps")
    assert database.run(copy).made  # a database that lacks a table is made anew
    with database.connect(copy) as con:
        assert con.sql("select count(*) from maps").fetchall() == [(96 * 20,)]


@pytest.mark.slow
@PROCESSES_TALK
def test_two_runs_at_once_on_one_store_end_with_the_same_rows(scanned, small_tables):
    both = [PROCESSES.Process(target=database.run, args=(scanned,)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert list(store_of(scanned).faults()) == []
    for name, data in all_rows(scanned).items():
        assert_same_rows(data, small_tables[name])
    assert database.run(scanned).made is False


def test_vectors_of_another_form_are_refused_before_the_model_works(small, tmp_path):
    (tmp_path / "odd.vec").write_text("no vectors\n")
    config = dataclasses.replace(small, data=str(tmp_path / "data"), fasttext=str(tmp_path / "odd.vec"))
    with pytest.raises(UserError, match="holds no vectors in a form"):
        run(config)
    assert not list((tmp_path / "data/store").glob("samples/*"))
