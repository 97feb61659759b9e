"""The database is whole and current, or made anew, whatever happened to its file, the disk or a reader."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from conftest import ROOT, disk_of, no_file_grows, tables_of

from pipeline import cli
from pipeline.errors import PipelineError, StoreError
from pipeline.results import database

READER = """
import sys, time
import duckdb
path, only_read = sys.argv[1], sys.argv[2] == "True"
ask = "select value, (select count(*) from candidates) from settings where name = 'similarity'"
print("ready", flush=True)
n, seen, failed = 0, set(), []
while not sys.stdin.closed and not __import__("select").select([sys.stdin], [], [], 0.002)[0]:
    n += 1
    try:
        with duckdb.connect(path, read_only=only_read) as con:
            seen.update(con.execute(ask).fetchall())
    except duckdb.Error as exc:
        failed.append(str(exc))
print(n, sorted(seen), failed)
"""


@pytest.fixture
def copy(small, tmp_path):
    """The small run in a folder of its own, to be changed."""
    shutil.copytree(small.data, tmp_path / "data")
    return dataclasses.replace(small, data=str(tmp_path / "data"))


def assert_whole(config):
    tables = tables_of(config)
    with database.connect(config) as con:
        for table in tables:
            assert con.sql(f"select count(*) from {table}").fetchall() == [(tables.n_rows(table),)], table
        assert con.sql("select count(*) from overview").fetchall() == [(96,)]


def options(config):
    names = ("source", "text", "signs", "neurons", "similarity", "activation", "synonyms", "data")
    return [f"--{name}={getattr(config, name)}" for name in names]


def cut(share):
    return lambda content: content[: round(len(content) * share)]


def flipped(*shares):
    def flip(content):
        changed = bytearray(content)
        for share in shares:
            for at in range(round(len(content) * share), round(len(content) * share) + 64):
                changed[at] ^= 0xFF
        return bytes(changed)

    return flip


HARM = {
    "empty": cut(0.0),
    "cut in its header": lambda content: content[:5000],
    "cut by a little": cut(0.99),
    "another file": lambda content: b"name,value\n" * 9999,
    "its header changed": flipped(0.0),
    "a block changed": flipped(0.3),
    "many blocks changed": flipped(*(n / 40 for n in range(1, 40))),
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_a_damaged_database_is_one_line_of_error_to_a_reader_and_made_anew_by_a_run(copy, harm, capsys):
    path = database.path_of(copy)
    path.write_bytes(harm(path.read_bytes()))
    for command in (["show", "1"], ["sql", "select sum(hash(s)) from samples as s"]):
        code = cli.main([*command, "--data", copy.data])
        err = capsys.readouterr().err
        assert (code == 0) == (err == "") and err.count("\n") <= 1, err
    assert cli.main(["run", *options(copy)]) == 0
    assert "nothing left to do" not in capsys.readouterr().err
    assert_whole(copy)
    assert not database.run(copy).made


def test_a_report_over_a_damaged_database_is_made_of_a_new_one(copy, capsys):
    path = database.path_of(copy)
    path.write_bytes(HARM["many blocks changed"](path.read_bytes()))
    assert cli.main(["report", *options(copy)]) == 0
    assert "96 neurons, " in capsys.readouterr().out
    assert_whole(copy)


def test_what_a_killed_client_left_beside_it_is_not_read_into_a_new_one(copy):
    log = Path(f"{database.path_of(copy)}.wal")
    log.write_bytes(b"rubbish" * 1000)
    assert database.run(copy).made
    assert not log.exists()
    assert_whole(copy)


def test_what_is_read_of_a_damaged_database_says_what_makes_it_anew(copy):
    path = database.path_of(copy)
    path.write_bytes(HARM["many blocks changed"](path.read_bytes()))
    with (
        pytest.raises(PipelineError, match=r"cannot read .*neurons.duckdb.*run` makes it anew"),
        database.opened(copy) as con,
    ):
        con.execute("select sum(hash(s)) from samples as s").fetchall()


SHARES = (0.02, 0.6, 0.9)  # of the database's size, which differs by some blocks from time to time


@pytest.mark.parametrize("share", SHARES)
def test_a_database_that_cannot_be_written_whole_leaves_the_old_one(copy, share):
    path = database.path_of(copy)
    before, size = path.read_bytes(), path.stat().st_size
    with no_file_grows(round(size * share)), pytest.raises(StoreError, match=r"cannot write .*; free some"):
        database.build(copy, tables_of(copy))
    assert path.read_bytes() == before
    assert list(path.parent.glob(".writing-*")) == []
    assert_whole(copy)


@pytest.mark.parametrize("share", SHARES)
def test_on_a_full_disk_a_run_ends_with_an_error_and_prints_no_results(small, tmp_path, share, capsys):
    size = database.path_of(small).stat().st_size
    stored = sum(path.stat().st_blocks * 512 for path in Path(small.data, "store").rglob("*"))
    with disk_of(round(stored * 1.1 + 2**20), tmp_path / "disk") as resize:
        own = dataclasses.replace(small, data=str(tmp_path / "disk"))
        shutil.copytree(Path(small.data, "store"), tmp_path / "disk/store")
        used = shutil.disk_usage(tmp_path / "disk").used
        resize(used + round(size * share) - 2**17)
        assert cli.main(["run", *options(own)]) == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert "error: cannot write" in told.err and "free some space" in told.err
        assert not database.path_of(own).exists()
        resize(used + 3 * size)
        assert cli.main(["run", *options(own)]) == 0
        assert_whole(own)


@pytest.mark.slow
@pytest.mark.parametrize("only_read", [True, False])
def test_a_reader_in_another_process_never_fails_while_runs_rewrite_it(copy, only_read):
    other = dataclasses.replace(copy, similarity=0.4)
    expected = sorted((str(c.similarity), database.run(c)["candidates"].num_rows) for c in (copy, other))
    given = [sys.executable, "-c", READER, database.path_of(copy), str(only_read)]
    with subprocess.Popen(given, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout.readline() == "ready\n"
        for n in range(4):
            assert database.run((copy, other)[n % 2]).made
            assert not database.run((copy, other)[n % 2]).made  # it looks whether the database is current
        told, _ = reader.communicate("enough\n")
    n_opened, seen, failed = told.split(" ", 1)[0], *told.split(" ", 1)[1].rsplit(" [", 1)
    assert int(n_opened) > 10
    assert seen == str(expected)
    assert failed == "]\n"


def test_every_version_from_the_oldest_can_open_the_file(copy):
    with duckdb.connect() as con:
        con.execute(f"attach '{database.path_of(copy)}' as it (read_only)")
        [tags] = con.execute("select tags from duckdb_databases() where database_name = 'it'").fetchone()
    assert tags["storage_version"].startswith("v1.0.0")


@pytest.mark.parametrize("opens", [True, False])
def test_make_sql_takes_the_client_that_can_open_the_file_and_else_our_own_prompt(small, tmp_path, opens):
    client = tmp_path / "duckdb"
    client.write_text(
        '#!/bin/sh\n[ "$4" ] || echo "the client has $2"\n' if opens else "#!/bin/sh\nexit 1\n"
    )
    client.chmod(0o755)
    found = subprocess.run(
        ["make", "-C", ROOT, "sql", "--assume-old=.venv/.installed", f"DATA={small.data}"],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        input="select 6 * 7 as answer;\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0
    assert ("the client has" in found.stdout) == opens
    assert (" 42 " in found.stdout) != opens
    assert ("the duckdb client here cannot open" in found.stderr) != opens
