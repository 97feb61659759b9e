"""What people type, and the answers and errors they get."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, command, no_file_grows

from pipeline import cli
from pipeline.config import OPTIONS
from pipeline.results import database, terminal


def asked(capsys, *args):
    """Run a command in this process; its exit code, stdout and stderr."""
    code = cli.main([*map(str, args)])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model", "./nowhere"], "MODEL: no such folder: nowhere"),
        (["--layer", "2"], "LAYER is 2; demo has the layers 0 to 1"),
        (["--neurons", "600"], "layer 1 of demo has 512 neurons, 0 to 511"),
        (["--neurons", "a-b"], "NEURONS is 'a-b'; give a count (64), a range (0-63)"),
        (["--similarity", "1.5"], "SIMILARITY is 1.5; it must be from -1 to 1"),
        (["--activation", "-0.5"], "ACTIVATION is -0.5; it must be from 0 to 1"),
        (["--memory-mb", "0"], "MEMORY_MB is 0; it must be 1 or more"),
        (["--exact-tokens", "{empty}"], "EXACT_TOKENS: no Parquet in"),
        (["--text", "./nowhere"], "TEXT: no such file or folder: nowhere"),
        (["--text", "{empty}"], "TEXT: no text files in"),
        (["--fasttext", "nowhere.vec"], "FASTTEXT: no file 'nowhere.vec'"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(capsys, tmp_path, args, message):
    args = [a.format(empty=tmp_path) for a in args]
    code, out, err = asked(capsys, "run", "--data", tmp_path / "data", *args)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "args", [["--synonyms", "x"], ["--phrases", "sum"], ["--refresh", "x"], ["--nothing"], []]
)
def test_what_the_parser_refuses_has_exit_code_2_too(capsys, args):
    with pytest.raises(SystemExit) as caught:
        cli.main([*(["run"] if args else []), *args])
    assert caught.value.code == 2


def test_a_vectors_file_of_another_form_leaves_the_store_as_it_was(small, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(small.data, data)
    before = sorted(data.rglob("*.parquet"))
    (tmp_path / "odd.vec").write_text("no vectors\n")
    args = [*small_args(small), "--fasttext", tmp_path / "odd.vec"]
    code, _, err = asked(capsys, "run", "--data", data, *args)
    assert code == 2
    assert "holds no vectors in a form" in err
    assert sorted(data.rglob("*.parquet")) == before


def small_args(small):
    fields = ("source", "text", "data", "signs", "neurons", "similarity", "activation", "synonyms")
    return [x for f in fields for x in (f"--{f}", getattr(small, f))]


def test_a_finished_run_says_that_nothing_is_left_and_prints_the_results(small, capsys):
    code, out, err = asked(capsys, "run", *small_args(small))
    assert code == 0
    assert "nothing left to do" in err
    assert out.startswith("demo, layer 1: 96 neurons, ")
    assert "feature neurons (normalised activation >= 0.1)" in " ".join(out.split())
    assert "[" in out


def test_a_second_run_imports_nothing_heavy(small):
    code = (
        "import sys; from pipeline import cli; assert cli.main(sys.argv[1:]) == 0; "
        "assert not {'torch', 'transformer_lens', 'gensim', 'datasets'} & set(sys.modules)"
    )
    args = [sys.executable, "-c", code, "run", *map(str, small_args(small))]
    subprocess.run(args, check=True, capture_output=True, cwd=ROOT)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from pipeline.cli import parser; parser().format_help(); "
        "assert not {'torch', 'pyarrow', 'duckdb', 'pandas', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_plan_says_what_is_done_and_what_would_run_and_why(small, capsys):
    code, out, _ = asked(capsys, "plan", *small_args(small))
    assert code == 0
    assert all(" done " in line for line in out.splitlines())
    _, out, _ = asked(capsys, "plan", *small_args(small), "--activation", "0.4")
    lines = {line.split()[1]: line for line in out.splitlines()}
    assert "done" in lines["activations"]
    assert "to do  activation 0.1 -> 0.4" in lines["selected"]
    assert "to do  selected changed" in lines["evidence"]
    assert re.search(r"to do  activation 0\.1 -> 0\.4; from [1-9][\d,]* \w+$", lines["selected"])
    assert " from " not in lines["evidence"]  # of how many rows is not known yet


def test_sql_answers_as_table_csv_and_json(small, capsys):
    question = "select neuron, mats from feature_neurons order by neuron limit 2"
    data = ["--data", small.data]
    _, table, _ = asked(capsys, "sql", *data, question)
    assert "neuron" in table
    _, text, _ = asked(capsys, "sql", *data, question, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    _, text, _ = asked(capsys, "sql", *data, question, "--format", "json")
    records = json.loads(text)
    assert [int(row["neuron"]) for row in rows] == [row["neuron"] for row in records]
    assert json.loads(rows[0]["mats"]) == records[0]["mats"]


def test_json_holds_what_json_can(small, capsys):
    question = "select map{date '2020-01-01': 'nan'::double} as m, 1 as a, 2 as a, 'inf'::float as b"
    _, text, _ = asked(capsys, "sql", "--data", small.data, question, "--format", "json")
    assert json.loads(text) == [{"m": {"2020-01-01": None}, "a": 1, "a_1": 2, "b": None}]


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_data_folder_that_is_not_a_folder_is_refused(small, tmp_path, capsys, kind):
    data = tmp_path / "data"
    data.write_text("x") if kind == "file" else data.symlink_to(tmp_path / "nowhere")
    for name in ("run", "plan"):
        code, _, err = asked(capsys, name, "--data", data)
        assert (code, err.count("\n")) == (2, 1)
        assert "is not a folder; give another with DATA" in err


@pytest.mark.parametrize("value", ["~nosuchuser/x", "x" * 5000])
@pytest.mark.parametrize("option", ["model", "text", "fasttext", "data", "neurons"])
def test_odd_values_end_in_one_line(tmp_path, capsys, option, value):
    code, _, err = asked(capsys, "plan", "--data", tmp_path, f"--{option}", value)
    if (option, value[0]) not in {("data", "~"), ("model", "x")}:  # a folder and a name like any other
        assert code in (1, 2)
        assert err.startswith("error: ")
        assert err.count("\n") == 1


def test_a_mistake_in_sql_is_told_and_nothing_can_be_written(small, capsys):
    code, _, err = asked(capsys, "sql", "--data", small.data, "select nothing from nowhere")
    assert (code, "Traceback" in err) == (2, False)
    assert "nowhere" in err
    code, _, err = asked(capsys, "sql", "--data", small.data, "drop table maps")
    assert code == 2
    assert "read-only" in err


def test_sql_without_results_says_how_to_make_them(tmp_path, capsys):
    code, _, err = asked(capsys, "sql", "--data", tmp_path, "select 1")
    assert code == 2
    assert "make it with `make data`" in err


def test_the_prompt_answers_statements_and_goes_on_after_a_mistake(small):
    typed = "select count(*)\nfrom similarity;\nselect nothing;\nselect 41 + 1;\n"
    found = command("sql", "--data", small.data, input=typed, cwd=ROOT)
    assert found.returncode == 0
    assert "96" in found.stdout
    assert "42" in found.stdout
    assert "error: SQL" in found.stderr


def test_show_marks_the_mat_or_colours_by_activation(small, small_tables, capsys):
    row = small_tables["maps"].to_pylist()[0]
    code, out, _ = asked(capsys, "show", "--data", small.data, row["neuron"])
    assert code == 0
    assert f"[{terminal.plain(row['mat'])}]" in out
    assert len(out.splitlines()) == 3 + 20
    with database.connect(small) as con:
        coloured = terminal.neuron(con, row["neuron"], colour=True)
    assert "\x1b[48;2;75;255;75;" in coloured  # the MAT has the full colour


def test_show_refuses_a_neuron_outside_the_run(small, capsys):
    code, _, err = asked(capsys, "show", "--data", small.data, 96)
    assert code == 2
    assert "neuron 96 is not in the last run, which had NEURONS=0-95" in err


def test_tokens_cannot_steer_the_terminal():
    assert terminal.plain("a\x1b[31m\x07b\u009bc\nd\te") == "a[31mbc\u23ced e"


def test_check_counts_the_faults_of_a_store(small, tmp_path, capsys):
    code, out, err = asked(capsys, "check", "--data", small.data)
    assert (code, out) == (0, "")
    assert err.startswith("0 faults")
    shutil.copytree(small.data, tmp_path / "data")
    part = next((tmp_path / "data/store/maps").glob("*/*.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    code, out, _ = asked(capsys, "check", "--data", tmp_path / "data")
    assert code == 1
    assert "is damaged (its size has changed); a run that needs it sets it aside and makes it anew" in out
    code, _, err = asked(capsys, "check", "--data", tmp_path / "nowhere")
    assert code == 2
    assert "no store" in err


def changed_args(small, data):
    return ["run", *small_args(small), "--data", data, "--activation", "0.2"]


def test_a_damaged_table_is_told_in_one_line_and_made_anew(small, tmp_path, capsys):
    shutil.copytree(small.data, tmp_path / "data")
    part = next((tmp_path / "data/store/maps").glob("*/*.parquet"))
    content = bytearray(part.read_bytes())
    content[200] ^= 0xFF
    part.write_bytes(content)
    args = [*small_args(small), "--data", tmp_path / "data", "--similarity", 0.3]
    code, _, err = asked(capsys, "run", *args)
    assert code == 0
    assert err.startswith(f"WARNING: {part} is damaged (its checksum has changed); ")
    assert err.count("is damaged") == 1
    assert "030 maps " in err


def test_a_full_disk_ends_a_run_with_one_line_and_the_store_as_it_was(small, tmp_path, capsys):
    shutil.copytree(small.data, tmp_path / "data")
    before = {p: p.stat().st_size for p in (tmp_path / "data/store").rglob("*.parquet")}

    with no_file_grows():
        code, _, err = asked(capsys, *changed_args(small, tmp_path / "data"))
    assert code == 1
    assert err.splitlines()[-1].startswith("error: cannot write")
    assert "free some space" in err.splitlines()[-1]
    after = {p: p.stat().st_size for p in (tmp_path / "data/store").rglob("*.parquet")}
    assert after == before
    assert asked(capsys, *changed_args(small, tmp_path / "data"))[0] == 0


def test_a_read_only_folder_ends_a_run_with_one_line(small, tmp_path):
    without_override = []
    if os.geteuid() == 0:  # root passes every permission unless it gives the right up
        if not shutil.which("setpriv"):
            pytest.skip("running as root without setpriv, permissions cannot be tested")
        without_override = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    data = tmp_path / "data"
    shutil.copytree(small.data, data)
    folders = [data, *(p for p in data.rglob("*") if p.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        args = [*without_override, sys.executable, "-m", "pipeline", *changed_args(small, data)]
        found = subprocess.run([*map(str, args)], capture_output=True, text=True, check=False)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert found.returncode == 1
    assert "Permission denied" in found.stderr
    assert "choose another folder with DATA (--data)" in found.stderr
    assert "Traceback" not in found.stderr


def test_every_option_has_help_and_a_default_that_is_allowed(capsys):
    with pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    out = capsys.readouterr().out
    for option in OPTIONS:
        name = option.name.upper()
        value = name if option.metadata["alone"] is None else f"[{name}]"
        assert f"--{option.name.replace('_', '-')} {value}" in out


@pytest.mark.parametrize("name", ["q?x", "b\udcff"])
def test_a_folder_that_can_have_no_database_is_refused_at_once(tmp_path, name, capsys):
    code, _, err = asked(capsys, "run", "--data", tmp_path / name)
    assert (code, err.count("\n")) == (2, 1)
    assert "no database can have such a path; give another" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x:y", "~", "s3:"])
def test_a_folder_named_like_an_address_or_a_home_is_a_folder(small, tmp_path, monkeypatch, name, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(small.data, tmp_path / name)
    (tmp_path / name / "neurons.duckdb").unlink()
    given = [
        f"--{k}={getattr(small, k)}"
        for k in ("source", "text", "signs", "neurons", "similarity", "synonyms")
    ]
    assert asked(capsys, "run", *given, "--activation=0.9", f"--data={name}")[0] == 0
    question = "select count(*) as n from maps"
    assert asked(capsys, "sql", question, "--format=csv", f"--data={name}")[1] == "n\n1920\n"
    assert [path.name for path in tmp_path.iterdir()] == [name]
