"""Questions in SQL: the macros give what counting by hand gives, and the examples run."""

import dataclasses
import shutil

import duckdb
import numpy as np
import pytest
from conftest import ROOT, rows

from pipeline import cli, tables
from pipeline.results import database, questions

QUERIES = sorted((ROOT / "sql/queries").glob("*.sql"))


@pytest.fixture(scope="module")
def con(small):
    with database.connect(small) as found:
        yield found


def answers(con, query):
    return con.sql(query).to_arrow_table().to_pylist()


@pytest.mark.parametrize("path", QUERIES, ids=lambda p: p.stem)
def test_an_example_has_an_answer_and_says_what_it_asks(con, path):
    text = path.read_text()
    assert con.sql(text).columns
    assert text.startswith("-- ")


def test_a_file_can_be_asked(small, capsys):
    path = ROOT / "sql/queries/funnel.sql"
    assert cli.main(["sql", str(path), "--data", small.data, "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("what,neurons,taken_away,why\nlooked at,96,0,\n")
    assert cli.main(["sql", "nowhere.sql", "--data", small.data]) == 1
    assert capsys.readouterr() == ("", "error: nowhere.sql: No such file or directory\n")


def test_every_table_view_and_column_says_what_it_is(con):
    told = dict(con.sql("select table_name, comment from duckdb_tables()").fetchall())
    told |= dict(con.sql("select view_name, comment from duckdb_views()").fetchall())
    for name, table in (tables.TABLES | tables.VIEWS).items():
        assert told[name] == table.grain
        columns = con.execute(
            "select column_name, comment from duckdb_columns() where table_name = ?", [name]
        ).fetchall()
        assert columns == [(column.name, column.doc) for column in table.columns]


def test_every_macro_says_what_it_is(con):
    told = con.sql("select function_name, comment from duckdb_functions() where not internal").fetchall()
    assert len(told) == 6 + 5  # of macros.sql and prelude.sql
    assert all(comment for _, comment in told)


def test_neurons_with_a_word_are_those_whose_maps_hold_it(con, small_tables):
    holding = {}
    for row in small_tables["words"].to_pylist():
        if row["word"] == "genus":
            own = holding.setdefault(row["neuron"], {})
            own[row["rank"]] = own.get(row["rank"], False) or row["is_mat"]
    assert holding
    found = answers(con, "from neurons_with_word('Genus')")
    assert {row["neuron"]: (row["n_maps"], row["n_mats"]) for row in found} == {
        neuron: (len(ranks), sum(ranks.values())) for neuron, ranks in holding.items()
    }
    assert answers(con, "from neurons_with_word('nosuchword')") == []


def test_neighbours_are_the_most_alike_by_all_pairs_of_maps(con, small_tables):
    vectors = {}
    for row in small_tables["vectors"].to_pylist():
        if row["vector"] is not None:
            vectors.setdefault(row["neuron"], []).append(row["vector"])
    own = np.array(vectors.pop(7), np.float64)
    expected = {n: float((own @ np.array(v, np.float64).T).mean()) for n, v in vectors.items()}
    found = answers(con, "from neighbours_of(7, most := 6)")
    best = sorted(expected, key=lambda n: (-expected[n], n))[:6]
    assert [row["neuron"] for row in found] == best
    assert [row["similarity"] for row in found] == pytest.approx([expected[n] for n in best], abs=1e-5)


def test_a_histogram_counts_every_token_once(con, small_tables):
    own = [row for row in small_tables["samples"].to_pylist() if row["neuron"] == 3]
    values = np.array([v for row in own for v in row["activations"][row["text_start"] :]], np.float64)
    counts, edges = np.histogram(values, bins=5)
    found = answers(con, "from activation_histogram(3, bins := 5)")
    assert [row["n_tokens"] for row in found] == [n for n in counts.tolist() if n]
    assert found[0]["from_activation"] == pytest.approx(edges[0])
    assert found[-1]["to_activation"] == pytest.approx(edges[-1])
    top = next(row for row in own if row["rank"] == 0)
    assert found[-1]["example"] == top["tokens"][top["mat_index"]]


def test_polysemantic_neurons_have_two_clean_groups_of_half_their_activation(con, small_tables):
    clean = {}
    for row in small_tables["groups"].to_pylist():
        if row["clean"]:
            clean.setdefault(row["neuron"], []).append(row["coverage"])
    expected = {n: sum(c) for n, c in clean.items() if len(c) >= 2 and sum(c) >= 0.5}
    found = answers(con, "from polysemantic_neurons()")
    assert expected
    assert {row["neuron"]: row["coverage"] for row in found} == pytest.approx(expected)


def group(layer, number, coverage, mats, *, clean=True):
    """A row of `groups` of neuron 7."""
    own = dict(layer=layer, neuron=7, number=number, n_maps=len(mats), n_units=len(mats))
    sure = dict(by="words", score=1.0, p=0.001, coverage=coverage, clean=clean)
    return own | sure | dict(ranks=list(range(len(mats))), mats=mats)


def test_groups_of_phrases_are_those_of_one_layer():
    groups = rows(
        "groups",
        group(0, 0, 0.5, ["red", "blue"]),
        group(0, 1, 0.25, ["cat", "dog"]),
        group(1, 0, 0.5, ["of"]),
        group(1, 1, 0.375, ["to", "of"]),
        group(1, 2, 0.125, ["at"], clean=False),
    )
    compared = [dict(layer=n, neuron=7, n_maps=9, n_distinct=9, similarity=0.5) for n in (0, 1)]
    given = {"groups": groups, "similarity": rows("similarity", *compared)}
    with duckdb.connect() as con:
        for name in tables.TABLES:
            con.register(name, given.get(name, tables.empty(name)))
        con.execute(database.macros())
        found = answers(con, "from polysemantic_neurons()")
    told = [(r["layer"], r["neuron"], r["n_groups"], r["coverage"], r["mats_apart"]) for r in found]
    assert told == [(1, 7, 2, 0.875, False), (0, 7, 2, 0.75, True)]


def test_neurons_found_at_another_rate_are_those_with_a_q_and_a_coverage_in_it(con, small_tables):
    expected = [
        row["neuron"]
        for row in sorted(small_tables["verdicts"].to_pylist(), key=lambda r: (r["q"], r["p"]))
        if row["q"] <= 0.5 and row["coverage"] is not None and row["coverage"] >= 0.3
    ]
    found = answers(con, "from found_at(max_q := 0.5, min_coverage := 0.3)")
    assert expected
    assert sorted(row["neuron"] for row in found) == sorted(expected)
    assert [row["q"] for row in found] == sorted(row["q"] for row in found)


@pytest.mark.parametrize("bins", ["0", "-3", "2.5", "null"])
def test_bins_that_cannot_be_are_refused(con, bins):
    with pytest.raises(duckdb.Error, match="bins is .* give a whole number from 1"):
        con.sql(f"from activation_histogram(3, bins := {bins})").fetchall()


def test_a_later_connection_sees_the_later_run(small, tmp_path):
    shutil.copytree(small.data, tmp_path / "data")
    config = dataclasses.replace(small, data=str(tmp_path / "data"))
    ask = "select value from settings where name = 'similarity'"
    with database.connect(config) as first:
        assert first.sql(ask).fetchall() == [("0.25",)]
        database.run(dataclasses.replace(config, similarity=0.5))
        with database.connect(config) as second:
            assert second.sql(ask).fetchall() == [("0.5",)]
        assert database.run(config).made  # back again: the database is the other run's
        with database.connect(config) as third:
            assert third.sql(ask).fetchall() == [("0.25",)]


def test_a_file_that_is_not_text_is_one_line_of_error(small, tmp_path, capsys):
    (tmp_path / "q.sql").write_bytes(b"select \xff")
    assert cli.main(["sql", str(tmp_path / "q.sql"), "--data", small.data]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_struct_answer_can_be_taken_along_as_json(con):
    assert questions.answer(con, "from polysemantic_neurons()", "json").startswith("[")
