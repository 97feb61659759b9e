"""The documents say what is so."""

import os
import re
import subprocess

import docs
import pytest
from conftest import ROOT
from generation.test_recorded_answers import FAILURES

from pipeline import cli
from pipeline.config import OPTIONS
from pipeline.generation import chat
from pipeline.plan import STAGES
from pipeline.resources import resource
from pipeline.results import database
from pipeline.tables import TABLES

DOCUMENTS = docs.written()
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text() for path in DOCUMENTS}
MAKEFILE = (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("path", docs.documents(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_what_a_document_holds_of_the_code_is_as_make_docs_writes_it(path):
    assert docs.generated(path.read_text()) == path.read_text()


def test_every_generated_part_stands_in_one_document_and_says_something():
    placed = re.findall(r"<!-- generated: (\w+) -->", "".join(TEXTS.values()))
    assert sorted(placed) == sorted(docs.PARTS)
    parts = {name: part() for name, part in docs.PARTS.items()}
    assert all(f"`{stage.table}`" in parts["stages"] for stage in STAGES)
    assert all(f"`{option.name.upper()}`" in parts["settings"] for option in OPTIONS)
    assert all(f"### `{table}`" in parts["tables"] for table in TABLES)
    assert parts["queries"].count("```sql") == len(list((resource("sql") / "queries").glob("*.sql")))
    assert parts["macros"].count("\n- ") == database.macros().count("create or replace macro") - 1


def test_the_readme_is_short_and_says_early_what_was_not_tried():
    readme = TEXTS["README.md"]
    assert len(readme.encode()) < 10_000
    assert readme.index("MAT") < readme.index("## Limitations") < readme.index("## Start")


@pytest.mark.parametrize("name", TEXTS)
def test_every_link_leads_to_a_file_and_every_anchor_to_a_heading(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[name]):
        file, _, anchor = target.partition("#")
        if not re.match(r"https?:", target):
            path = ((ROOT / name).parent / file).resolve() if file else ROOT / name
            assert path.exists(), target
            if anchor:
                heads = re.findall(r"^#+ (.+)$", path.read_text(), re.M)
                slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
                assert anchor in slugs, target


@pytest.mark.parametrize("name", TEXTS)
def test_every_module_that_a_document_names_exists(name):
    for file in re.findall(r"`((?:pipeline|sql|tests|cassettes|data)/[\w/]+\.\w+)`", TEXTS[name]):
        assert (ROOT / file).exists() or re.search("NNN|^data/", file), file


def test_the_makefile_passes_every_setting_on():
    shown = subprocess.run(["make", "-C", ROOT, "help"], capture_output=True, text=True, check=True).stdout
    names = re.search(r"^Variables of data, plan, report and publish: (.*)$", shown, re.M)[1]
    assert names.split() == [option.name.upper() for option in OPTIONS]


def test_the_failures_are_those_that_the_code_knows():
    text = TEXTS["pipeline/generation/README.md"]
    table = text.partition("<!-- failures -->")[2].partition("<!-- end of failures -->")[0]
    told = set(re.findall(r"\| `(\w+)` \|", table))
    names = ("chat", "budget", "judgements", "descriptions")
    source = "".join((ROOT / f"pipeline/generation/{name}.py").read_text() for name in names)
    for status in told:
        assert f'"{status}"' in source, status
    assert told >= {*chat.STOP, *chat.TROUBLE, "malformed", "bad_request"}
    assert told == FAILURES.keys() | {*chat.TROUBLE, "malformed", "interrupted", "not_asked"}


@pytest.mark.parametrize(
    "question", [q for text in TEXTS.values() for q in re.findall(r"```sql\n(.+?)```", text, re.S)]
)
def test_every_question_in_sql_has_an_answer(small, question):
    with database.connect(small) as con:
        assert con.sql(question).columns


def test_every_command_exists():
    text = "".join(TEXTS.values())
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.M))
    assert set(re.findall(r"(?:`|^ {4})make ([a-z]+)\b", text, re.M)) <= targets
    for name in re.findall(r"python -m pipeline (\w+)", text):
        needed = {"show": ["1"], "export": ["neuronpedia"], "publish": ["a/b"]}.get(name, [])
        assert cli.parser().parse_args([name, *needed])


def test_variables_of_a_shell_do_not_reach_a_command():
    shell = dict(
        DATA="elsewhere", DEVICE="cuda", REPO="a/b", PUBLIC="1", PYTHON="nowhere", SIMILARITY="0.1"
    )
    for target in ("data", "plan", "report", "check", "sql"):
        found = subprocess.run(
            ["make", "-C", ROOT, "-n", target, "--assume-old=.venv/.installed"],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | shell,
        )
        assert not re.search("elsewhere|cuda|nowhere|0\\.1", found.stdout), target
    published = subprocess.run(
        ["make", "-C", ROOT, "-n", "publish", "--assume-old=.venv/.installed"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | shell,
    )
    assert "REPO is missing" in published.stdout
    assert "a/b" not in published.stdout


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
