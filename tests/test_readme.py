"""The README says what is so."""

import re
import subprocess

import pytest
from conftest import ROOT
from test_recorded_answers import FAILURES

from pipeline import cli, database, describer
from pipeline.config import OPTIONS
from pipeline.plan import STAGES

README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def test_the_settings_are_those_of_the_config():
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.+) \| (.*) \|$", README, re.M)
    expected = [
        (
            f.name.upper(),
            f.metadata["help"],
            "" if f.default is None or f.default is False else f"`{f.default}`",
        )
        for f in OPTIONS
    ]
    assert rows == expected


def test_the_makefile_passes_every_setting_on():
    names = re.search(r"^OPTIONS := ((?:.*\\\n)*.*)$", MAKEFILE, re.M)[1]
    assert names.replace("\\", "").split() == [f.name.upper() for f in OPTIONS]


def test_the_stages_are_those_of_the_plan():
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \| `(.+?)` \| (.*) \|$", README, re.M)
    assert [(number, table) for number, table, *_ in rows] == [(s.number, s.table) for s in STAGES]
    for (_, _, file, reads), stage in zip(rows, STAGES, strict=True):
        assert (ROOT / file).is_file()
        assert (stage.sql or "pipeline/") in file
        assert tuple(re.findall(r"\w+", reads)) == stage.reads


def test_the_failures_are_those_that_the_code_knows():
    table = README.partition("<!-- failures -->")[2].partition("<!-- end of failures -->")[0]
    told = set(re.findall(r"\| `(\w+)` \|", table))
    source = "".join((ROOT / f"pipeline/{n}.py").read_text() for n in ("describer", "budget", "judgements"))
    for status in told:
        assert f'"{status}"' in source, status
    assert told >= {*describer.STOP, *describer.TROUBLE, "malformed", "bad_request"}
    assert told == FAILURES.keys() | {"server_error", "timeout", "no_connection", "malformed", "not_asked"}


@pytest.mark.parametrize("question", re.findall(r"```sql\n(.+?)```", README, re.S))
def test_every_question_in_sql_has_an_answer(small, question):
    with database.connect(small) as con:
        assert con.sql(question).columns


def test_every_command_exists():
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.M))
    assert set(re.findall(r"\bmake ([a-z]+)\b(?= |`|\.|,|;|$)", README)) - {"anew"} <= targets
    for name in re.findall(r"python -m pipeline (\w+)", README):
        needed = {"show": ["1"], "export": ["neuronpedia"], "publish": ["a/b"]}.get(name, [])
        assert cli._parser().parse_args([name, *needed])


def test_bare_make_prints_the_commands():
    found = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True)
    for target in ("data", "plan", "sql", "test", "lint", "bench"):
        assert re.search(rf"^  {target} +\w", found.stdout, re.M)


def test_values_reach_the_command_as_they_are():
    odd = "a b'c\"`touch y`;* &"
    found = subprocess.run(
        ["make", "-C", ROOT, "-n", "data", "NEURONS=3,7", "--assume-old=.venv/.installed", f"DATA={odd}"],
        capture_output=True,
        text=True,
        check=True,
    )
    line = next(line for line in found.stdout.splitlines() if "pipeline run" in line)
    echoed = subprocess.run(
        ["bash", "-c", line.replace(".venv/bin/python -m pipeline", "printf '%s\\n'").lstrip("@")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert echoed.stdout.splitlines() == [
        "run",
        "--neurons",
        "3,7",
        "--data",
        odd,
    ]


@pytest.mark.parametrize("version", ["3.9.2", None])
def test_an_old_or_missing_python_is_said_clearly(tmp_path, version):
    name = tmp_path / "python-old"
    if version:
        name.write_text(f'#!/bin/sh\n[ "$1" = -V ] && echo "Python {version}"\nexit 1\n')
        name.chmod(0o755)
    found = subprocess.run(
        ["make", "-C", ROOT, f"PYTHON={name}", "--always-make", "data"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode != 0
    assert (f"is {version}" if version else "there is no") in found.stderr
    assert "make PYTHON=python3.12" in found.stderr
