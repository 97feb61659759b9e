"""What may be asked in SQL, and that every type of value is answered in every form."""

import csv
import io
import json
import subprocess

import duckdb
import pytest
from conftest import ROOT, command

from pipeline.errors import UserError
from pipeline.results import database, questions
from pipeline.results.questions import answer

# each type of DuckDB: a value, and how it is told
VALUES = {
    "now() > '2020-01-01'::timestamptz": True,
    "'2020-01-02 03:04:05+00'::timestamptz": "2020-01-02 03:04:05+00",
    "'2020-01-02'::timestamptz_ns": "2020-01-02 00:00:00+00",
    "'12:00:00+02'::timetz": "12:00:00+02",
    "'infinity'::timestamp": "infinity",
    "'-infinity'::date": "-infinity",
    "'0044-03-15 (BC)'::date": "0044-03-15 (BC)",
    "'12:00:00.123456789'::time_ns": "12:00:00.123456789",
    "'24:00:00'::time": "24:00:00",
    "'2020-01-01'::timestamp_s": "2020-01-01 00:00:00",
    "'2020-01-01'::timestamp_ms": "2020-01-01 00:00:00",
    "'2020-01-01 00:00:00.000000001'::timestamp_ns": "2020-01-01 00:00:00.000000001",
    "interval '1 month'": "1 month",
    "'101'::bit": "101",
    "'\\xFF'::blob": "\\xFF",
    "'00000000-0000-0000-0000-000000000001'::uuid": "00000000-0000-0000-0000-000000000001",
    "'b'::enum('a', 'b')": "b",
    "1.50::decimal(10, 2)": "1.50",
    "170141183460469231731687303715884105727::hugeint": 170141183460469231731687303715884105727,
    "255::utinyint": 255,
    "1::bignum": "1",
    "0.5::float": 0.5,
    "null": None,
    "'{\"a\": 1}'::json": '{"a": 1}',
    "'POINT(1 2)'::geometry": "POINT (1 2)",
    "1::variant": "1",
    "union_value(a := '2020-01-01'::timestamptz)": "2020-01-01 00:00:00+00",
    "row(1, '2020-01-01'::timestamptz)": "(1, '2020-01-01 00:00:00+00')",
    "['2020-01-01'::timestamptz]": ["2020-01-01 00:00:00+00"],
    "[['2020-01-01'::timestamptz]]::timestamptz[1][1]": [["2020-01-01 00:00:00+00"]],
    "{'a b': '2020-01-01'::timestamptz, 'c\"': [1, null]}": {
        "a b": "2020-01-01 00:00:00+00",
        'c"': [1, None],
    },
    "map{'2020-01-01'::timestamptz: 'nan'::double}": {"2020-01-01 00:00:00+00": None},
    "map{[1]: 2}": {"[1]": 2},
    "map{{'a': 1}: 2}": {"{'a': 1}": 2},
    "[]": [],
    "map{}": {},
}


@pytest.fixture
def con():
    with duckdb.connect(config={"python_enable_replacements": False}) as con:
        con.execute("set timezone = 'UTC'")
        con.execute("create table t as select 1 as a")
        yield con


@pytest.mark.parametrize("value", VALUES)
def test_a_value_of_every_type_is_answered_exactly_in_every_form(con, value):
    question = f"select {value} as v, 1 as n"
    assert json.loads(answer(con, question, "json")) == [{"v": VALUES[value], "n": 1}]
    told = VALUES[value]
    text = "" if told is None else json.dumps(told) if isinstance(told, list | dict) else str(told)
    [row] = csv.DictReader(io.StringIO(answer(con, question, "csv")))
    assert row["v"].removeprefix("'" if text.startswith("-") else "") == text
    assert "│" in answer(con, question, "table")


def test_types_that_duckdb_itself_cannot_tell_end_in_one_line(con):
    for form in questions.FORMS:
        with pytest.raises(UserError, match="^SQL: [^\n]*$"):
            answer(con, "select typeof(1)::type", form)


@pytest.mark.parametrize(
    "query",
    [
        "select a from t",
        "from t",
        "table t",
        "values (1)",
        "with x as (from t) from x",
        "describe t",
        "summarize t",
        "show tables",
        "explain from t",
        "pivot t on a using count(*)",
        "select a from t; -- the end",
        "/* first; */ select ';é' from t ;; ",
    ],
)
def test_whatever_reads_is_answered_in_every_form(con, query):
    questions.restrict(con)
    for form in questions.FORMS:
        assert answer(con, query, form).strip()


@pytest.mark.parametrize(
    "query",
    [
        "create table x as from t",
        "create temp table x as from t",
        "create view x as from t",
        "create macro x() as 1",
        "drop table t",
        "insert into t values (2)",
        "update t set a = 2",
        "delete from t",
        "truncate t",
        "alter table t add column b int",
        "copy t to '{folder}/x.csv'",
        "export database '{folder}/x'",
        "import database '{folder}'",
        "attach '{folder}/x.duckdb'",
        "detach memory",
        "use memory",
        "install httpfs",
        "load httpfs",
        "set threads = 1",
        "reset threads",
        "set variable x = 1",
        "pragma enable_profiling",
        "call enable_logging()",
        "checkpoint",
        "vacuum",
        "begin",
        "prepare x as select 1",
        "comment on table t is 'x'",
        "create secret (type http, bearer_token 'x')",
        "from read_text('{folder}/a.txt')",
        "from read_blob('{folder}/a.txt')",
        "from read_csv('{folder}/a.txt')",
        "from '{folder}/a.csv'",
        "from glob('{folder}/*')",
        "from parquet_metadata('{folder}/a.parquet')",
        "from read_json('http://127.0.0.1:1/a.json')",
        "select (select content from read_text('{folder}/a.txt'))",
        "explain analyze copy t to '{folder}/x.csv'",
        "from query('from read_text(''{folder}/a.txt'')')",
    ],
)
def test_nothing_is_written_and_nothing_outside_is_read(con, tmp_path, query):
    for name in ("a.txt", "a.csv"):
        (tmp_path / name).write_text("secret\n1\n")
    questions.restrict(con)
    with pytest.raises(UserError, match="^SQL: [^\n]*$"):
        answer(con, query.format(folder=tmp_path), "csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.txt"]
    assert con.execute("from t").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("", "no statement"),
        (" ; ", "no statement"),
        ("-- nothing", "no statement"),
        ("select 1; select 2", "2 statements"),
        ("select 1; drop table t", "2 statements"),
        ("drop table t; select 1; select 2", "3 statements"),
    ],
)
@pytest.mark.parametrize("unsafe", [False, True])
def test_a_question_is_one_statement(con, query, told, unsafe):
    with pytest.raises(UserError, match=f"this holds {told}; ask for one at a time"):
        answer(con, query, "table", unsafe=unsafe)
    assert con.execute("from t").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "query",
    [
        "selec",
        "select nothing",
        "select $1",
        "select error('a\nb')",
        "select 'a'::int",
        "(" * 4000,
        "select \udcff",
        "select '\\xff'::blob::varchar::int",
    ],
)
def test_what_duckdb_refuses_is_told_on_one_line(con, query):
    for form in questions.FORMS:
        with pytest.raises(UserError, match="^SQL: [^\n]+$"):
            answer(con, query, form)


def test_unsafe_reads_and_writes_files(small, tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    asked = lambda *args: command("sql", "--data", small.data, *args, cwd=ROOT)  # noqa: E731
    question = f"select content from read_text('{tmp_path}/a.txt')"
    refused = asked(question)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert "--unsafe allows what is outside the database" in refused.stderr
    assert "hello" in asked(question, "--unsafe").stdout
    assert asked(f"copy (select 1 as a) to '{tmp_path}/b.csv'", "--unsafe").returncode == 0
    assert (tmp_path / "b.csv").read_text() == "a\n1\n"
    dropped = asked("drop table maps", "--unsafe")
    assert (dropped.returncode, "read-only" in dropped.stderr) == (2, True)


def test_the_prompt_only_reads_too_and_answers_each_statement(small, tmp_path):
    written = f"attach '{tmp_path}/x.duckdb';\nset threads = 1;\n"
    typed = f"select 41 + 1; select 7 * 9;\n{written}select 1000 + 1;\n"
    found = command("sql", "--data", small.data, input=typed, cwd=ROOT)
    assert found.returncode == 0
    assert all(number in found.stdout for number in ("42", "63", "1001"))
    assert found.stderr.count("is no question") == 2
    assert list(tmp_path.iterdir()) == []


# what a spreadsheet would run, or move to another cell
FORMULAS = [
    "=1+1",
    '=HYPERLINK("http://x", "y")',
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    " =1+1",
    "\u00a0=1",
    "\ufeff=1",
    "\uff1d1+1",
    "\uff0b1",
    "\uff0d1",
    "\uff20a",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_csv_holds_nothing_that_a_spreadsheet_runs(con, text):
    quoted = text.replace("'", "''")
    name = text.replace('"', '""')
    found = answer(con, f"""select '{quoted}' as "{name}", ['x'] as l""", "csv")
    for row in csv.reader(io.StringIO(found)):
        assert row[0].startswith("'")
        assert row[0].lstrip("'\t\n ").endswith(text.strip("\t\r\n \u00a0\ufeff")[-3:])


@pytest.mark.parametrize("text", ["a;=1+1", "a\t=1+1", "a|=1+1", 'a";=1'])
def test_csv_quotes_what_other_countries_take_for_a_comma(con, text):
    line = answer(con, f"select '{text}' as v, -1 as n", "csv").splitlines()[1]
    assert line == '"' + text.replace('"', '""') + '",-1'


def test_numbers_are_told_as_they_are(con):
    found = answer(con, "select -1 as a, -0.5::double as b, -1.50::decimal(4,2) as c, '-1' as d", "csv")
    assert found == "a,b,c,d\n-1,-0.5,-1.50,'-1\n"


STEERING = "a\x1b[31mb\x07c\x9bd\u202ee\u2028f\x7f"


def test_no_form_steers_the_terminal_and_json_loses_nothing(con, monkeypatch):
    question = "select chr(27)||'[31mx'||chr(7)||chr(155)||chr(8238)||chr(8232)||chr(127) as v"
    for form in ("csv", "json"):
        found = answer(con, question, form)
        assert not set("\x1b\x07\x9b\u202e\u2028\x7f\r") & set(found), form
    assert json.loads(answer(con, question, "json")) == [{"v": "\x1b[31mx\x07\x9b\u202e\u2028\x7f"}]
    assert answer(con, question, "csv") == "v\n\\x1b[31mx\\x07\\x9b\\u202e\\u2028\\x7f\n"


def test_a_table_of_steering_values_is_harmless_where_it_is_printed(small):
    question = "select chr(27)||'[31m'||chr(155)||chr(8238) as v"
    found = subprocess.run(
        ["bash", "-c", f'{ROOT}/.venv/bin/python -m pipeline sql --data {small.data} "{question}"'],
        capture_output=True,
        check=True,
        cwd=ROOT,
    ).stdout.decode()
    assert "[31m" in found
    assert not set("\x1b\x9b\u202e") & set(found)


def test_a_restricted_connection_still_answers_all_tables_views_and_macros(small):
    with database.connect(small) as con:
        questions.restrict(con)
        for (name,) in con.execute("show tables").fetchall():
            assert con.sql(f'from "{name}"').columns
        assert con.sql("from neurons_with_word('of')").columns
