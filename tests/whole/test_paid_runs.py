"""Runs that pay: each answer once, within limits, failures counted and asked again."""

import dataclasses
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import ROOT
from servers.chat import KEY, ChatServer, body, completion, error, silent, slow_header

from pipeline.config import OPTIONS
from pipeline.generation.chat import TRIES
from pipeline.results import database
from pipeline.results.report import pages
from pipeline.run import run

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])


@pytest.fixture(scope="module")
def judged(small, tmp_path_factory):
    """A data folder with the small run, and with the windows that its descriptions are judged by."""
    folder = tmp_path_factory.mktemp("judged") / "data"
    shutil.copytree(small.data, folder)
    run(dataclasses.replace(small, data=str(folder), score=True, score_control=True))
    return folder


@pytest.fixture
def paid(small, judged, tmp_path):
    """The small run in a folder of its own, to be described by the server."""
    shutil.copytree(judged, tmp_path / "data")
    own = dict(data=str(tmp_path / "data"), describer="openai", describer_model="small", connections=1)
    return dataclasses.replace(small, **own)


def ledger(config):
    with database.connect(config) as con:
        return con.sql("select * from ledger").to_arrow_table().to_pylist()


def test_every_answer_is_paid_once_and_stands_in_the_ledger(paid, chat, capsys):
    config = dataclasses.replace(paid, price="1.0,10")
    found = database.run(config)["descriptions"].to_pylist()
    assert len(found) > 3
    assert {row["status"] for row in found} == {"ok"}
    assert all(row["description"].startswith("tokens such as ") for row in found)
    err = capsys.readouterr().err
    assert f"descriptions: {len(found)} calls of small, about " in err
    assert " tokens, about $0.0" in err
    entries = ledger(config)
    assert len(entries) == len(chat.asked) == len(found)
    assert all(row["price_usd"] == pytest.approx((100 * 1 + 10 * 10) / 1e6) for row in entries)
    n_calls = len(chat.asked)
    run(dataclasses.replace(config, activation=0.2))
    assert run(config).made is False
    assert len(chat.asked) == n_calls
    assert chat.keys == [f"Bearer {KEY}"] * n_calls
    for path in Path(config.data).rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes()


def test_what_failed_is_null_counted_and_asked_again(paid, chat, capsys):
    chat.faults = [error(400, "odd"), body(completion("x", "length"))]
    found = run(paid)["descriptions"].to_pylist()
    assert [row["status"] for row in found[:2]] == ["bad_request", "length"]
    assert [row["description"] for row in found[:2]] == [None, None]
    assert "1 bad_request; 1 length" in capsys.readouterr().err
    n_calls = len(chat.asked)
    again = database.run(paid)
    assert again.made
    assert {row["status"] for row in again["descriptions"].to_pylist()} == {"ok"}
    assert len(chat.asked) == n_calls + 2
    assert all(again["feature_neurons"]["description"].to_pylist())
    assert len(ledger(paid)) == n_calls + 2
    assert database.run(paid).made is False


@pytest.mark.parametrize(
    "fault", [error(429, "q", code="insufficient_quota"), error(401, "key"), error(404, "m")]
)
def test_no_more_is_asked_where_the_next_call_would_fail_too(paid, chat, fault):
    chat.always = fault
    found = run(paid)["descriptions"].to_pylist()
    assert len(chat.asked) == 1
    assert {row["status"] for row in found[1:]} == {"not_asked"}
    assert {row["reason"] for row in found} == {found[0]["reason"]}


def test_a_server_that_is_always_in_trouble_is_left_alone(paid, chat):
    chat.always = error(503, "trouble", {"Retry-After-Ms": "1"})
    found = run(paid)["descriptions"].to_pylist()
    assert len(chat.asked) == 3 * TRIES
    assert [row["status"] for row in found[:4]] == [*["server_error"] * 3, "not_asked"]


@pytest.mark.parametrize(
    ("limit", "why"),
    [
        (dict(max_calls=2), "MAX_CALLS is reached"),
        (dict(max_cost=0.01, price="1.0,10"), "MAX_COST would be passed"),
        (dict(dry_run=True), "DRY_RUN"),
    ],
)
def test_limits_stop_before_they_are_passed_and_the_next_run_goes_on(paid, chat, limit, why):
    chat.always = body(completion("x") | {"usage": None})  # so each may have cost the most it can
    found = run(dataclasses.replace(paid, **limit))["descriptions"].to_pylist()
    asked = len(chat.asked)
    least, most = {"max_calls": (2, 2), "max_cost": (1, len(found) - 1), "dry_run": (0, 0)}[
        next(iter(limit))
    ]
    assert least <= asked <= most
    assert [row["status"] for row in found] == ["ok"] * asked + ["not_asked"] * (len(found) - asked)
    assert {row["reason"] for row in found[asked:]} == {why}
    assert {row["status"] for row in run(paid)["descriptions"].to_pylist()} == {"ok"}
    assert len(chat.asked) == len(found)


def settings_of(config):
    """A config as the command takes it."""
    given = {f.name: getattr(config, f.name) for f in OPTIONS}
    kept = {k: v for k, v in given.items() if v not in (None, False)}
    return [part for k, v in kept.items() for part in (f"--{k.replace('_', '-')}", str(v))]


@pytest.mark.slow
@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_loses_no_answer_and_a_kill_only_those_under_way(scored, chat, kill):
    scored = dataclasses.replace(scored, score_control=False, connections=4)
    chat.delay_s = 0.2
    args = [sys.executable, "-m", "pipeline", "run", *settings_of(scored)]
    with subprocess.Popen(args, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        while len(chat.asked) < 12:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(kill)
        _, told = process.communicate(timeout=20)
    asked = len(chat.asked)
    chat.delay_s = 0.0
    if kill == signal.SIGINT:
        assert process.returncode == 130
        assert told.endswith("interrupted; what was finished is kept, the same command continues\n")
    found = run(scored)
    n_rows = len(found["descriptions"]) + len(found["judgements"])
    lost = 0 if kill == signal.SIGINT else scored.connections
    assert asked < n_rows
    assert n_rows <= len(chat.asked) <= n_rows + lost


@pytest.mark.slow
@pytest.mark.parametrize("fault", [silent, slow_header, error(429, "slow", {"retry-after": "60"})])
def test_the_first_ctrl_c_ends_a_run_that_waits_for_a_describer(paid, chat, fault):
    chat.always = fault
    args = [sys.executable, "-m", "pipeline", "run", *settings_of(paid)]
    with subprocess.Popen(args, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        while not chat.asked:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)  # the limit of an answer is 60 s
    assert process.returncode == 130
    assert "Traceback" not in told
    assert told.endswith("interrupted; what was finished is kept, the same command continues\n")
    database.run(dataclasses.replace(paid, dry_run=True))
    [entry] = ledger(paid)
    assert entry["status"] == ("interrupted" if fault in (silent, slow_header) else "rate_limited")
    chat.always = None
    assert {row["status"] for row in run(paid)["descriptions"].to_pylist()} == {"ok"}


def test_calls_under_way_at_once_are_as_many_as_asked_for_and_a_bad_key_is_shown_once(paid, chat):
    config = dataclasses.replace(paid, connections=3)
    chat.always = error(401, "key")
    assert {row["status"] for row in run(config)["descriptions"].to_pylist()} == {
        "unauthorised",
        "not_asked",
    }
    assert len(chat.asked) == 1
    chat.always, chat.delay_s = None, 0.3
    assert {row["status"] for row in run(config)["descriptions"].to_pylist()} == {"ok"}
    assert chat.most_at_once == 3


def test_a_description_that_is_not_a_phrase_is_null(paid, chat):
    chat.faults = [body(completion("so " * 200))]
    first = run(paid)["descriptions"].to_pylist()[0]
    assert (first["status"], first["description"]) == ("malformed", None)
    assert first["reason"].startswith("it said 599 letters: 'so so")


def test_what_cannot_be_read_stands_in_the_ledger_as_it_came_and_is_told_in_short(paid, chat, capsys):
    long = "They look alike.\n\n" + "word after word " * 60
    unread = {
        "malformed": completion(long),
        "empty": completion("<think>\nthey look alike: a, b"),
        "length": completion("<think>\nthey", "length"),
        "content_filter": completion("they loo", "content_filter"),
    }
    chat.faults = [body(each) for each in unread.values()]
    assert database.run(paid).made
    entries = {row["status"]: row["reason"] for row in ledger(paid)}
    assert entries.keys() == {*unread, "ok"}
    for status, sent in unread.items():
        assert f"'{sent['choices'][0]['message']['content']}'" in entries[status]
    assert entries["length"].startswith(
        "the answer was cut off; ANSWER_TOKENS (--answer-tokens) is 100, reasoning included; it said '"
    )
    [warning] = [line for line in capsys.readouterr().err.splitlines() if "rows are missing" in line]
    assert len(warning) < 500


def test_the_limits_of_an_answer_are_those_of_the_settings(paid, chat):
    chat.delay_s = 0.3
    config = dataclasses.replace(paid, answer_tokens=777, answer_timeout_s=0.1, max_calls=1)
    found = run(config)["descriptions"].to_pylist()
    assert (found[0]["status"], found[0]["reason"].split(";")[0]) == ("timeout", "no whole answer in 0.1 s")
    assert chat.asked[0]["max_tokens"] == 777
    config = dataclasses.replace(paid, answer_tokens=777, price="0,1000", max_cost=0.5)
    assert {row["reason"] for row in run(config)["descriptions"].to_pylist()} == {
        "MAX_COST would be passed"
    }
    chat.delay_s = 0.0
    longer = dataclasses.replace(config, answer_tokens=400)
    assert {row["status"] for row in run(longer)["descriptions"].to_pylist()} == {"ok"}


@pytest.mark.parametrize("joint", ["", "\x1b[31m", r"\u001b[0m\n"])
def test_a_key_that_a_server_repeats_is_nowhere(paid, chat, tmp_path, capsys, joint):
    broken = joint.join([KEY[:4], KEY[4:8], KEY[8:]])
    wrong = [
        error(400, broken),
        completion(broken),
        completion(f"<think>{broken}"),
        completion(broken, "length"),
    ]
    wrong += [completion("a", refusal=broken), completion(f"of {broken} and so on " * 30)]
    chat.faults = [each if callable(each) else body(each) for each in wrong]
    assert database.run(paid).made
    with database.connect(paid) as con:
        shown = [
            str(con.sql(f"from {table}").fetchall())
            for table in ("ledger", "descriptions", "feature_neurons")
        ]
        pages.write(con, paid, tmp_path / "report")
    files = [*Path(paid.data).rglob("*"), *(tmp_path / "report").rglob("*")]
    shown += [path.read_bytes().decode("utf-8", "replace") for path in files if path.is_file()]
    shown += capsys.readouterr()
    assert sum("***" in text for text in shown) >= 3
    for text in shown:
        assert KEY not in "".join(char for char in text if char in KEY)


def test_a_server_spelt_in_other_ways_is_asked_and_paid_once(paid, chat, monkeypatch):
    n_rows = len(database.run(paid)["descriptions"])
    port = chat.address.rpartition(":")[2].removesuffix("/v1")
    for spelling in (
        f"http://127.0.0.1:{port}/v1/",
        f"http://localhost:{port}/v1",
        f"HTTP://LocalHost:{port}//v1",
    ):
        monkeypatch.setenv("OPENAI_BASE_URL", spelling)
        assert database.run(paid).made is False
    assert len(chat.asked) == len(ledger(paid)) == n_rows
    assert {row["server"] for row in ledger(paid)} == {chat.address}


def test_a_model_that_never_answers_well_is_left_alone(paid, chat):
    chat.always = body(completion("thinking...", "length"))
    found = run(paid)["descriptions"]
    assert len(chat.asked) == 3
    assert found["status"].to_pylist()[:4] == ["length"] * 3 + ["not_asked"]


def test_another_server_is_another_answer_and_the_same_model(paid, chat, monkeypatch):
    n_rows = len(run(paid)["descriptions"])
    other = ChatServer()
    monkeypatch.setenv("OPENAI_BASE_URL", other.address)
    assert database.run(paid).made
    assert len(other.asked) == len(chat.asked) == n_rows
    other.close()
    assert {row["server"] for row in ledger(paid)} == {chat.address, other.address}


def test_calls_of_a_run_that_died_are_in_the_ledger_of_the_next(paid, small, chat):
    lexical = dataclasses.replace(small, data=paid.data)
    run(paid, until="descriptions")  # and no further
    assert ledger(paid) == []
    assert database.run(lexical).made
    assert len(ledger(paid)) == len(chat.asked) > 0


def test_answers_from_before_a_column_was_added_are_not_paid_again(paid, chat):
    n_rows = len(run(paid)["descriptions"])
    kept = [*Path(paid.data).glob("store/descriptions/kept/answers*/*.parquet")]
    assert len(kept) == n_rows
    for path in kept:
        old = pq.read_table(path).drop_columns(["server", "most_usd"]).append_column("gone", [["x"]])
        pq.write_table(old, path)
    for path in Path(paid.data).glob("store/descriptions/*.json"):
        path.unlink()
    assert {row["status"] for row in run(paid)["descriptions"].to_pylist()} == {"ok"}
    assert len(chat.asked) == n_rows


@pytest.fixture
def scored(paid):
    """The same, with descriptions scored."""
    return dataclasses.replace(paid, score=True, score_control=True)


def test_descriptions_and_judgements_are_announced_paid_once_and_in_the_ledger(scored, chat, capsys):
    config = dataclasses.replace(scored, price="1,10")
    found = database.run(config)
    err = capsys.readouterr().err
    n_described, n_judged = len(found["descriptions"]), len(found["judgements"])
    assert f"descriptions: {n_described} calls of small" in err
    assert f"then judgements, at most: {n_judged} calls of small" in err
    with database.connect(config) as con:
        paid_for = dict(con.sql("select purpose, count(*) from ledger group by 1").fetchall())
    assert sum(paid_for.values()) == len(chat.asked)
    assert set(paid_for) == {"descriptions", "judgements"}
    assert set(found["judgements"]["status"].to_pylist()) == {"ok"}
    again = dataclasses.replace(config, activation=0.2)
    n_asked = len(chat.asked)
    run(again)
    own = [call for call in chat.asked[n_asked:] if "phrases" in call["messages"][1]["content"]]
    assert own == []


def test_the_limit_of_calls_is_one_for_both(scored, chat):
    n_described = len(run(dataclasses.replace(scored, dry_run=True))["descriptions"])
    limit = n_described + 3
    found = run(dataclasses.replace(scored, max_calls=limit))
    assert len(chat.asked) == limit
    said = found["judgements"].to_pylist()
    assert [row["status"] for row in said].count("ok") == 3
    assert {row["answers"] is None for row in said if row["status"] != "ok"} == {True}


def test_a_judgement_that_fails_is_null_counted_apart_and_asked_again(scored, chat, capsys):
    run(dataclasses.replace(scored, score=False))
    chat.faults = [*[body(completion("[1, 0]"))] * 2, error(400, "odd")]
    chat.faults = [body(completion("tokens such as a"))] * len(
        run(dataclasses.replace(scored, dry_run=True))["descriptions"]
    ) + chat.faults
    found = run(scored)
    failed = [row for row in found["judgements"].to_pylist() if row["status"] != "ok"]
    assert sorted(row["status"] for row in failed) == ["bad_request", "malformed", "malformed"]
    assert [row["answers"] for row in failed] == [None] * 3
    assert sum(row["n_failed"] for row in found["scores"].to_pylist()) == 3
    assert "2 malformed; 1 bad_request" in capsys.readouterr().err
    n_asked = len(chat.asked)
    again = run(scored)
    assert len(chat.asked) == n_asked + 3
    assert sum(row["n_failed"] for row in again["scores"].to_pylist()) == 0
