"""Changed code is noticed where it decides rows, and nowhere else: in a copy of the package."""

import ast
import dataclasses
import io
import json
import re
import shutil
import subprocess
import sys
import tokenize

import pytest
from conftest import ROOT, after

from pipeline.plan import STAGES
from pipeline.run import run


@pytest.fixture
def package(tmp_path):
    """A copy of the package that can be edited."""
    for name in ("pipeline", "sql"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("data", "cassettes"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


WORDS_KNOWN = 'word.Known(inputs["vocabulary"]["word"].to_pylist())'


def edit(package, module, old, new):
    """Replace a text that stands in a module once."""
    path = package / "pipeline" / module
    text = path.read_text()
    assert text.count(old) == 1, (module, old)
    path.write_text(text.replace(old, new))


def ask(package, command, config, *more, data=None):
    """Run a command of the copy with the settings of the small run."""
    names = ("source", "text", "signs", "neurons", "similarity", "activation", "synonyms")
    given = [f"--{name}={getattr(config, name)}" for name in names]
    return subprocess.run(
        [sys.executable, "-m", "pipeline", command, *given, f"--data={data or config.data}", *more],
        cwd=package,
        capture_output=True,
        text=True,
        check=False,
    )


def planned(package, config, *more, data=None):
    """What the copy's plan says of each table: None where it is done, else why it is to do."""
    found = ask(package, "plan", config, *more, data=data)
    assert found.returncode == 0, found.stderr
    rows = re.findall(r"^\d{3} (\w+) +(done|to do) +(.*)$", found.stdout, re.M)
    assert len(rows) == len({stage.table for stage in STAGES})
    return {table: None if state == "done" else why.split("; from ")[0] for table, state, why in rows}


def to_do(plan):
    return {table for table, why in plan.items() if why}


def test_doubled_activations_are_to_do_with_all_that_follows_and_nothing_before(package, small):
    assert to_do(planned(package, small)) == set()
    edit(
        package,
        "verification/activations.py",
        "found = measurement.measure(shard, model, settings)",
        "found = twice(measurement.measure(shard, model, settings))",
    )
    with (package / "pipeline/verification/activations.py").open("a") as module:
        module.write(
            "\n\ndef twice(found):\n"
            "    doubled = pc.multiply(found['activation'], 2).cast('float')\n"
            "    return found.set_column(0, 'activation', doubled)\n"
        )
    plan = planned(package, small)
    assert to_do(plan) == after(small, "activations")
    assert plan["activations"] == "its code has changed (verification.activations)"
    assert plan["retentions"] == "activations changed"


def test_training_text_in_capitals_is_noticed_by_what_reads_it(package, small):
    edit(package, "language/texts.py", "yield each\n", "yield each.upper()\n")
    plan = planned(package, small)
    assert plan["vocabulary"] == "its code has changed (language.texts)"
    assert plan["samples"] == "its code has changed (language.texts)"  # a scan reads the text too
    by_code = {table for table, why in plan.items() if why and "its code" in why}
    assert by_code == {"samples", "vocabulary"}
    assert plan["encodings"] == "places changed; samples changed"


def test_training_text_in_capitals_leaves_pages_alone(package, small, tmp_path):
    config = dataclasses.replace(
        small, source="neuroscope", neurons="0-3", similarity=-1.0, data=str(tmp_path / "own")
    )
    shutil.copytree(small.data, config.data)  # with its vocabulary
    run(config)
    edit(package, "language/texts.py", "yield each\n", "yield each.upper()\n")
    plan = planned(package, config)
    assert plan["vocabulary"] == "its code has changed (language.texts)"
    assert plan["encodings"] == "places changed"
    assert to_do(plan) == after(config, "vocabulary")


def reworded(text):
    """A module with other words in every docstring and comment."""
    lines = text.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start[0] - 1, token.start[1]
            lines[row] = f"{lines[row][:column]}# in other words: {token.string[2:]}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            row = node.body[0].lineno - 1
            lines[row] = lines[row].replace('"""', '"""In other words: ', 1)
    return "\n".join([*lines, "# the end", ""])


def test_words_about_the_code_change_nothing(package, small):
    for path in (package / "pipeline").rglob("*.py"):
        path.write_text(reworded(path.read_text()))
    for path in (package / "sql").rglob("*.sql"):
        text = path.read_text()
        path.write_text(
            text.replace("-- ", "-- In other words: ", 1).replace("\nselect", "\n  -- and\nselect")
        )
    assert to_do(planned(package, small)) == set()
    again = ask(package, "run", small)
    assert again.returncode == 0, again.stderr
    assert "nothing left to do" in again.stderr


def n_kept(package, config):
    """How many measured activations the copy would not measure again."""
    code = (
        "import sys; from pipeline.config import Config; from pipeline.plan import plan; "
        "from pipeline.run import store_of; config = Config(data=sys.argv[1]); "
        "kept_as = plan(config)['activations'].kept_as; "
        "print(len(store_of(config).kept('activations', kept_as)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, config.data], cwd=package, capture_output=True, text=True, check=True
    )
    return int(found.stdout)


@pytest.mark.slow
def test_kept_activations_are_used_until_the_method_has_another_version(package, small, tmp_path):
    edit(package, "models/resumed_passes.py", "_OF_TEXT = 64 ", "_OF_TEXT = 32 ")
    own = dataclasses.replace(small, data=str(tmp_path / "own"))
    shutil.copytree(small.data, own.data)
    assert planned(package, own)["activations"] == "its code has changed (models.resumed_passes)"

    def kept():
        return sorted((tmp_path / "own/store/activations/kept").rglob("*.parquet"))

    before = kept()
    assert before
    assert ask(package, "run", own).returncode == 0
    assert kept() == before  # nothing was measured
    assert n_kept(package, own) > 1000
    edit(package, "verification/activations.py", "MEASURED_AS = 1", "MEASURED_AS = 2")
    assert n_kept(package, own) == 0  # everything would be measured anew


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (
            "word.Known([settings.layer])",
            "stage words reads the setting layer, which it does not declare",
        ),
        (
            'word.Known(inputs["samples"]["text_set"].to_pylist())',
            "stage words reads the table samples, which it does not declare",
        ),
    ],
)
def test_a_stage_that_reads_what_it_does_not_declare_is_refused_with_both_names(
    package, small, tmp_path, new, message
):
    edit(package, "identification/words.py", WORDS_KNOWN, new)
    shutil.copytree(small.data, tmp_path / "own")
    refused = ask(package, "run", small, data=tmp_path / "own")
    assert refused.returncode == 1
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_plan_tells_of_tables_made_with_another_version_of_a_package_that_decides_numbers(
    small, tmp_path
):
    shutil.copytree(small.data, tmp_path / "data")
    for path in (tmp_path / "data/store").glob("*/*.json"):
        manifest = json.loads(path.read_text())
        manifest["packages"] |= {"torch": "0.0.1"} if "torch" in manifest["packages"] else {}
        path.write_text(json.dumps(manifest))
    found = ask(ROOT, "plan", small, data=tmp_path / "data")
    told = re.findall(r"^\d{3} (\w+) +done .*; made with torch 0\.0\.1, here is 2", found.stdout, re.M)
    # of those that are not empty, all whose code imports torch, by way of other modules too
    assert set(told) >= {"samples", "synonyms", "encodings", "activations"}
    assert not set(told) & {"maps", "words", "similarity", "chances", "windows", "feature_neurons"}
