"""Each group of a neuron's MAPs is described by its own MAPs, where that was asked for."""

import dataclasses
import json
import os
import shutil
from html import unescape

import pytest
from conftest import SURE, rows, run_sql
from servers.chat import body, completion, error

from pipeline.generation import evidence, lexical
from pipeline.language.hypernyms import hypernyms
from pipeline.language.word_vectors import Vectors
from pipeline.results import database, terminal
from pipeline.results.report import pages
from pipeline.run import run

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])


def group(neuron, number, ranks, *, clean=True):
    mats = [f"m{rank}" for rank in ranks]
    own = dict(n_maps=len(ranks), n_units=2, by="words", score=2.0, p=0.01, coverage=0.4, clean=clean)
    own |= dict(ranks=ranks, mats=mats)
    return dict(neuron=neuron, number=number) | own


def marked(neuron, rank):
    names = dict(
        max_activation=1.0,
        mat=f"m{rank}",
        mat_word=f"w{rank}",
        phrase=f"p{rank}",
        marked_phrase=f"⟦m{rank}⟧",
    )
    return dict(neuron=neuron, rank=rank) | names


GROUPS = [
    group(0, 0, [4, 1]),
    group(0, 1, [0, 2]),
    group(0, 2, [3], clean=False),
    group(1, 0, [0, 1]),
    group(1, 1, [2], clean=False),
]


def shown(describe_groups, *selected):
    inputs = {
        "selected": rows("selected", *selected),
        "groups": rows("groups", *GROUPS),
        "marked": rows("marked", *[marked(neuron, rank) for neuron in (0, 1) for rank in range(5)]),
    }
    return run_sql("340_group_evidence.sql", inputs, describe_groups=describe_groups)


def test_the_clean_groups_of_a_neuron_with_several_are_shown_strongest_first():
    first, second = shown(True)
    assert (first["neuron"], first["number"], first["ranks"]) == (0, 0, [1, 4])
    assert first["mats"] == ["m1", "m4"]
    assert first["mat_words"] == ["w1", "w4"]
    assert first["max_phrases"] == ["p1", "p4"]
    assert first["marked_phrases"] == ["⟦m1⟧", "⟦m4⟧"]
    assert (second["number"], second["ranks"]) == (1, [0, 2])


def test_nothing_is_shown_unless_asked_for_or_the_neuron_stands_for_several_things():
    assert shown(False) == []
    assert shown(False, SURE | {"neuron": 0}) == []
    several = SURE | {"neuron": 0, "kind": "several"}
    assert {row["neuron"] for row in shown(False, several)} == {0}


@pytest.fixture(scope="module")
def grouped(small, tmp_path_factory):
    """The small run in a folder of its own, of whose groups some are clean; finished."""
    data = tmp_path_factory.mktemp("grouped") / "data"
    shutil.copytree(small.data, data, copy_function=os.link)
    config = dataclasses.replace(small, data=str(data), describe_groups=True)
    database.run(config)
    return config


def test_a_group_is_described_by_its_own_maps(grouped):
    found = run(grouped)
    vectors = Vectors.from_table(found["vocabulary"])
    own = {(row["neuron"], row["number"]): row for row in found["group_evidence"].to_pylist()}
    described = found["group_descriptions"].to_pylist()
    assert len(described) == len(own) > 3
    clean = {(r["neuron"], r["number"]) for r in found["groups"].to_pylist() if r["clean"]}
    assert own.keys() <= clean
    for row in described:
        mine = own[row["neuron"], row["number"]]
        seen = evidence.shown(mine, scored=False)
        assert row["description"] == lexical.describe(seen, vectors, hypernyms())
        assert (row["describer"], row["status"]) == ("lexical", "ok")


def test_scoring_holds_nothing_of_a_group_out(grouped):
    plain = run(grouped)["group_descriptions"]
    scored = run(dataclasses.replace(grouped, score=True), until="group_descriptions")
    assert scored["group_descriptions"].equals(plain)


@pytest.fixture(scope="module")
def report(grouped, tmp_path_factory):
    """The folder of the run's report."""
    folder = tmp_path_factory.mktemp("report") / "report"
    with database.connect(grouped) as con:
        pages.write(con, grouped, folder, everything=True)
    return folder


def page_of(report, row):
    """The text of a neuron's page."""
    path = report / "neurons" / row["model"] / str(row["layer"]) / f"{row['neuron']}.html"
    return unescape(path.read_text())


def read(config, query):
    """Rows of the database."""
    with database.connect(config) as con:
        return con.sql(query).to_arrow_table().to_pylist()


def test_macro_report_and_terminal_show_what_groups_are(grouped, report):
    said = {(r["neuron"], r["number"]): r for r in run(grouped)["group_descriptions"].to_pylist()}
    several = read(grouped, "from polysemantic_neurons()")
    assert several
    for row in several:
        told = [group["description"] for group in row["groups"]]
        assert told == [said[row["neuron"], n]["description"] for n in range(len(told))]
    row = several[0]
    page = page_of(report, row)
    with database.connect(grouped) as con:
        screen = terminal.neuron(con, row["neuron"], colour=False)
    for group in row["groups"]:
        assert f"a group of {group['n_maps']} MAPs" in screen
        assert group["description"].replace("\n", "⏎") in screen
        assert group["description"].split('"')[0] in page


def test_a_page_says_that_a_neuron_is_not_a_candidate_for_having_several_groups(grouped, report):
    below = read(grouped, "from overview where not is_candidate and reason is null")
    told = {min(row["n_clean_groups"], 2) for row in below}
    assert told == {0, 1, 2}
    for row in below:
        n_clean = row["n_clean_groups"]
        several = f"; but its phrases fall into {n_clean} groups that are each alike"
        page = page_of(report, row)
        assert "not a feature neuron: " in page
        assert (several in page) == (n_clean > 1)


@pytest.fixture
def paid(grouped, chat, tmp_path):
    """The same in a folder of its own, to be described by the server."""
    shutil.copytree(grouped.data, tmp_path / "data", copy_function=os.link)
    own = dict(data=str(tmp_path / "data"), describer="openai", describer_model="small", connections=1)
    return dataclasses.replace(grouped, **own)


def test_a_language_model_is_paid_once_for_a_group(paid, chat, capsys):
    found = run(paid)
    described = found["group_descriptions"].to_pylist()
    assert {row["status"] for row in described} == {"ok"}
    asked = [json.loads(each["messages"][-1]["content"]) for each in chat.asked]
    shown = [row["marked_phrases"] for row in found["group_evidence"].to_pylist()]
    distinct = {tuple(phrases) for phrases in shown}
    assert distinct <= {tuple(each["phrases"]) for each in asked}
    assert f"group_descriptions: {len(distinct)} calls of small" in capsys.readouterr().err
    n_calls = len(chat.asked)
    other = dataclasses.replace(paid, activation=0.100001)
    assert database.run(other).made
    assert len(chat.asked) == n_calls
    with database.connect(other) as con:
        counted = dict(con.sql("select purpose, count(*) from ledger group by 1").fetchall())
    assert counted["group_descriptions"] == len(distinct)


def test_a_group_whose_call_failed_is_null_counted_and_asked_again(paid, chat, capsys):
    n_neurons = len(run(dataclasses.replace(paid, describe_groups=False))["descriptions"])
    assert len(chat.asked) == n_neurons
    good = body(completion("trees"))  # so that the failure is not taken for the model's way
    chat.faults = [good, error(400, "too long")]
    failed = [row for row in run(paid)["group_descriptions"].to_pylist() if row["status"] != "ok"]
    assert {(row["status"], row["description"]) for row in failed} == {("bad_request", None)}
    assert f"{len(failed)} bad_request" in capsys.readouterr().err
    assert {row["status"] for row in run(paid)["group_descriptions"].to_pylist()} == {"ok"}


def test_a_limit_of_calls_holds_for_groups_too(paid, chat):
    found = run(dataclasses.replace(paid, max_calls=5))
    assert len(chat.asked) == 5
    assert "not_asked" in found["group_descriptions"]["status"].to_pylist()
