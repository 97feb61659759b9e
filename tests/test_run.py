"""Whole runs on the embedded model with a small text."""

import dataclasses
import multiprocessing
import os
import signal

import duckdb
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import assert_same_rows

import pipeline
from pipeline import activations, database, measurement, notes, tables
from pipeline.errors import StoreError, UserError
from pipeline.plan import plan
from pipeline.run import run, store_of


def all_rows(config):
    store = store_of(config)
    return {table: store.read(table, p.key) for table, p in plan(config).items()}


@pytest.fixture
def copy(small, tmp_path):
    """The small run in a folder of its own, to be changed."""
    import shutil

    shutil.copytree(small.data, tmp_path / "data")
    return dataclasses.replace(small, data=str(tmp_path / "data"))


def test_every_table_of_a_run_fits_its_schema_and_holds_rows(small_tables):
    for name, data in small_tables.items():
        tables.check(name, data)
        # of a scan, in float32, without scores and descriptions of groups
        nothing = ("pages", "deviations", "windows", "judgements", "scores")
        nothing += ("group_evidence", "group_descriptions")
        assert bool(len(data)) == (name not in nothing), name


def test_a_second_run_has_nothing_to_do(copy, monkeypatch):
    monkeypatch.setattr("pipeline.run._make", None)
    assert run(copy).made is False


def test_two_runs_on_fresh_stores_give_the_same_rows(small, small_tables, tmp_path):
    again = dataclasses.replace(small, data=str(tmp_path))
    run(again)
    for name, data in all_rows(again).items():
        assert data.equals(small_tables[name]), name


def test_a_changed_threshold_measures_nothing_again(copy, monkeypatch):
    measured = []
    monkeypatch.setattr(measurement, "measure", lambda *a: measured.append(a))
    assert run(dataclasses.replace(copy, activation=0.5, similarity=0.3)).made
    assert measured == []


def watched(monkeypatch):
    """The rows that are measured from now on, apart from the phrases they are variants of."""
    measure, seen = measurement.measure, []

    def watch(encodings, model, config):
        seen.extend(encodings.filter(pc.not_equal(encodings["variant"], 0)).to_pylist())
        return measure(encodings, model, config)

    monkeypatch.setattr(measurement, "measure", watch)
    return seen


def test_more_neurons_measure_only_what_is_new(copy, monkeypatch):
    seen = watched(monkeypatch)
    run(dataclasses.replace(copy, neurons="0-127"))
    assert seen
    assert min(row["neuron"] for row in seen) > 95


def test_another_number_of_synonyms_measures_only_what_is_new(copy, small_tables, monkeypatch):
    seen = watched(monkeypatch)
    fewer = dataclasses.replace(copy, synonyms=1)
    assert run(fewer).made
    assert seen == []
    more = dataclasses.replace(copy, synonyms=3)
    tables_ = run(more)
    known = set(small_tables["encodings"]["key"].to_pylist())
    new = [key for key in tables_["encodings"]["key"].to_pylist() if key not in known]
    assert sorted({row["key"] for row in seen}) == sorted(set(new))
    assert len(seen) == len({row["key"] for row in seen})


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
    run(other)
    with database.connect(other) as con:
        assert con.sql(question.format("feature_neurons")).fetchall() == by_macro
    assert by_macro


def test_the_macro_refuses_what_was_never_verified(small):
    with database.connect(small) as con, pytest.raises(duckdb.Error, match="run again with a lower"):
        con.sql("select * from feature_neurons_at(0.1, 0.0)").fetchall()


def test_the_database_holds_every_table_with_its_rows(small, small_tables):
    with database.connect(small) as con:
        for name, data in small_tables.items():
            [(count,)] = con.sql(f"select count(*) from {name}").fetchall()
            assert count == len(data)
        settings = dict(con.sql("select name, value from settings").fetchall())
    assert (settings["similarity"], settings["model"]) == ("0.25", "demo")


def test_the_seeds_function_returns_its_four_columns(copy):
    found = pipeline.id_feature_neuron_results(1, "demo", 96, 0.25, 0.1, 2, text=copy.text, data=copy.data)
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


def killed_run(config, after):
    """A run that dies, as by SIGKILL, when some shards have been measured."""
    measure, done = measurement.measure, []

    def counted(*given):
        if len(done) == after:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(1)
        return measure(*given)

    measurement.measure, activations._SHARD_ROWS = counted, 300
    run(config)


def test_a_killed_run_continues_and_ends_with_the_same_rows(small, small_tables, tmp_path, monkeypatch):
    config = dataclasses.replace(small, data=str(tmp_path))
    process = multiprocessing.get_context("spawn").Process(target=killed_run, args=(config, 2))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    parts = list((tmp_path / "store/activations/kept").glob("*/*.parquet"))
    assert len(parts) == 2
    kept = {key for part in parts for key in pq.read_table(part)["key"].to_pylist()}
    seen = watched(monkeypatch)
    run(config)
    assert not kept & {row["key"] for row in seen}
    for name, data in all_rows(config).items():
        assert_same_rows(data, small_tables[name])


def test_a_damaged_table_is_reported_and_made_anew_once_deleted(copy, small_tables):
    import shutil

    folder = store_of(copy).path("maps", plan(copy)["maps"].key)
    [part] = folder.glob("*.parquet")
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(StoreError, match=r"delete .*/maps/.* and run again"):
        run(copy)
    shutil.rmtree(folder)
    assert run(copy).made
    assert all_rows(copy)["maps"].equals(small_tables["maps"])


def test_no_candidates_give_an_empty_result_and_no_error(copy):
    none = dataclasses.replace(copy, similarity=1.0)
    assert run(none).made
    with database.connect(none) as con:
        assert con.sql("select * from feature_neurons").fetchall() == []
        assert con.sql("select * from feature_neurons_at(1.0, 0.5)").fetchall() == []
        with pytest.raises(duckdb.Error, match="run again with a lower SIMILARITY"):
            con.sql(
                "select * from feature_neurons_at(0.5, 0.5)"
            ).fetchall()  # also where nothing was verified


def test_neurons_outside_the_layer_are_refused_with_the_range(copy):
    with pytest.raises(UserError, match="has 512 neurons, 0 to 511"):
        run(dataclasses.replace(copy, neurons="513"))


def test_baselines_that_differ_from_the_source_are_told_loudly(small, small_tables):
    measured = small_tables["activations"]
    assert notes.warnings("activations", measured, small_tables, small) == []
    off = measured.set_column(
        measured.column_names.index("activation"),
        measured.schema.field("activation"),
        pc.multiply(measured["activation"], 1.2).cast("float"),
    )
    [warning] = notes.warnings("activations", off, small_tables, small)
    assert "differ from the source's by 20.0% in the median" in warning
    assert "model demo, layer 1; worst: neuron" in warning
    assert "hook" in warning


def test_a_run_is_not_answered_from_another_runs_database(copy):
    import shutil

    mine = run(copy)["feature_neurons"]
    other = dataclasses.replace(copy, similarity=0.4)
    run(other)
    assert not run(copy)["feature_neurons"].equals(run(other)["feature_neurons"])
    assert run(copy)["feature_neurons"].equals(mine)
    shutil.copy(database.path_of(copy), f"{copy.data}/kept.duckdb")
    with duckdb.connect(str(database.path_of(copy))) as con:
        con.execute("drop table maps")
    assert run(copy).made  # a database that lacks a table is made anew
    with database.connect(copy) as con:
        assert con.sql("select count(*) from maps").fetchall() == [(96 * 20,)]


def whole_run(config):
    run(config)


def test_two_runs_at_once_on_one_store_end_with_the_same_rows(small, small_tables, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # two runs that each take all cores slow each other tenfold
    config = dataclasses.replace(small, data=str(tmp_path), neurons="0-15")
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=whole_run, args=(config,)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert list(store_of(config).faults()) == []
    assert all_rows(config)["samples"].equals(small_tables["samples"])
    assert run(config).made is False


def test_vectors_of_another_form_are_refused_before_the_model_works(small, tmp_path):
    (tmp_path / "odd.vec").write_text("no vectors\n")
    config = dataclasses.replace(small, data=str(tmp_path / "data"), fasttext=str(tmp_path / "odd.vec"))
    with pytest.raises(UserError, match="is not read"):
        run(config)
    assert not list((tmp_path / "data/store").glob("samples/*"))
