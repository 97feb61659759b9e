"""Each group of a neuron's MAPs is described by its own MAPs, where that was asked for."""

import dataclasses
import json
import shutil

import pytest
from chat_server import error
from conftest import rows, run_sql

from pipeline import database, describer, evidence, lexical, report, terminal
from pipeline.config import Config
from pipeline.run import run
from pipeline.word_vectors import Vectors

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])


def group(neuron, number, ranks, *, clean=True):
    mats = [f"m{rank}" for rank in ranks]
    own = dict(n_maps=len(ranks), similarity=0.9, clean=clean, ranks=ranks, mats=mats)
    return dict(neuron=neuron, number=number) | own


def marked(neuron, rank):
    names = dict(mat=f"m{rank}", mat_word=f"w{rank}", phrase=f"p{rank}", marked_phrase=f"⟦m{rank}⟧")
    return dict(neuron=neuron, rank=rank) | names


GROUPS = [
    group(0, 0, [4, 1]),
    group(0, 1, [0, 2]),
    group(0, 2, [3], clean=False),
    group(1, 0, [0, 1]),
    group(1, 1, [2], clean=False),
]


def shown(describe_groups):
    inputs = {
        "groups": rows("groups", *GROUPS),
        "marked": rows("marked", *[marked(neuron, rank) for neuron in (0, 1) for rank in range(5)]),
    }
    return run_sql("128_group_evidence.sql", inputs, describe_groups=describe_groups)


def test_the_clean_groups_of_a_neuron_with_several_are_shown_strongest_first():
    first, second = shown(True)
    assert (first["neuron"], first["number"], first["ranks"]) == (0, 0, [1, 4])
    assert first["mats"] == ["m1", "m4"]
    assert first["mat_words"] == ["w1", "w4"]
    assert first["max_phrases"] == ["p1", "p4"]
    assert first["marked_phrases"] == ["⟦m1⟧", "⟦m4⟧"]
    assert (second["number"], second["ranks"]) == (1, [0, 2])


def test_nothing_is_shown_unless_asked_for(small_tables):
    assert shown(False) == []
    assert len(small_tables["group_descriptions"]) == 0


@pytest.fixture
def grouped(small, tmp_path):
    """The small run in a folder of its own, of whose groups half are clean."""
    shutil.copytree(small.data, tmp_path / "data")
    return dataclasses.replace(small, data=str(tmp_path / "data"), describe_groups=True, group_maps=2)


def test_a_group_is_described_by_its_own_maps(grouped):
    found = run(grouped)
    vectors = Vectors.from_table(found["vocabulary"])
    own = {(row["neuron"], row["number"]): row for row in found["group_evidence"].to_pylist()}
    described = found["group_descriptions"].to_pylist()
    assert len(described) == len(own) > 10
    clean = {(r["neuron"], r["number"]) for r in found["groups"].to_pylist() if r["clean"]}
    assert own.keys() <= clean
    for row in described:
        mine = own[row["neuron"], row["number"]]
        assert row["description"] == lexical.describe(evidence.shown(mine, scored=False), vectors)
        assert (row["describer"], row["status"]) == ("lexical", "ok")


def test_scoring_holds_nothing_of_a_group_out(grouped):
    plain = run(grouped)["group_descriptions"]
    assert run(dataclasses.replace(grouped, score=True))["group_descriptions"].equals(plain)


def test_macro_report_and_terminal_show_what_groups_are(grouped, tmp_path):
    found = {(r["neuron"], r["number"]): r for r in run(grouped)["group_descriptions"].to_pylist()}
    with database.connect(grouped) as con:
        several = con.sql("select neuron, groups from polysemantic_neurons()").fetchall()
        assert several
        for neuron, groups in several:
            told = [g["description"] for g in groups]
            assert told == [found[neuron, n]["description"] for n in range(len(groups))]
        neuron, groups = several[0]
        screen = terminal.neuron(con, neuron, colour=False)
        report.write(con, grouped, tmp_path / "report")
    page = (tmp_path / f"report/neurons/{neuron}.html").read_text()
    for each in groups:
        assert f"a group of {each['n_maps']} MAPs" in screen
        assert each["description"].replace("\n", "⏎") in screen
        assert each["description"].split('"')[0] in page


@pytest.mark.parametrize(("n_clean", "told"), [(2, "; but its phrases fall into 2 groups"), (1, "0.6")])
def test_a_page_says_that_a_neuron_is_no_candidate_for_having_several_groups(n_clean, told):
    row = dict(is_selected=False, is_candidate=False, reason=None)
    why = report._why(row, Config(similarity=0.6), n_clean=n_clean)
    assert why.startswith("no candidate: below SIMILARITY 0.6")
    assert told in why
    assert ("groups" in why) == (n_clean > 1)


@pytest.fixture
def paid(grouped, chat, monkeypatch):
    monkeypatch.setattr(describer, "_WAIT_S", 0.001)
    return dataclasses.replace(grouped, describer="openai", describer_model="small", connections=1)


def test_a_language_model_is_paid_once_for_a_group(paid, chat, capsys):
    found = run(paid)
    described = found["group_descriptions"].to_pylist()
    assert {row["status"] for row in described} == {"ok"}
    asked = [json.loads(each["messages"][1]["content"]) for each in chat.asked]
    shown = [row["marked_phrases"] for row in found["group_evidence"].to_pylist()]
    distinct = {tuple(phrases) for phrases in shown}
    assert distinct <= {tuple(each["phrases"]) for each in asked}
    assert f"group_descriptions: {len(distinct)} calls of small" in capsys.readouterr().err
    n_calls = len(chat.asked)
    run(dataclasses.replace(paid, group_similarity=0.500001))
    assert len(chat.asked) == n_calls
    with database.connect(paid) as con:
        counted = dict(con.sql("select purpose, count(*) from ledger group by 1").fetchall())
    assert counted["group_descriptions"] == len(distinct)


def test_a_group_whose_call_failed_is_null_counted_and_asked_again(paid, chat, capsys):
    n_neurons = len(run(dataclasses.replace(paid, describe_groups=False))["descriptions"])
    assert len(chat.asked) == n_neurons
    chat.faults = [chat_ok, error(400, "too long")]
    failed = [row for row in run(paid)["group_descriptions"].to_pylist() if row["status"] != "ok"]
    assert {(row["status"], row["description"]) for row in failed} == {("bad_request", None)}
    assert f"{len(failed)} bad_request" in capsys.readouterr().err
    assert {row["status"] for row in run(paid)["group_descriptions"].to_pylist()} == {"ok"}


def chat_ok(handler):
    """The first answer, good, so that the next failure is not taken for the model's way."""
    from chat_server import body, completion

    body(completion("trees"))(handler)


def test_a_limit_of_calls_holds_for_groups_too(paid, chat):
    found = run(dataclasses.replace(paid, max_calls=5))
    assert len(chat.asked) == 5
    assert "not_asked" in found["group_descriptions"]["status"].to_pylist()
