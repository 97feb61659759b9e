"""Each stage and view of sql/ does what its head says."""

import dataclasses
import re

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT

from pipeline import tables
from pipeline.config import Config
from pipeline.plan import STAGES
from pipeline.tables import query

OF_STAGES = [stage.sql for stage in STAGES if stage.sql]
OF_VIEWS = query.views()
ALL = [*OF_STAGES, *OF_VIEWS]


def schema_of(statement):
    """The declared table or view that a statement writes."""
    return (tables.TABLES | tables.VIEWS)[statement.writes]


def each(statements):
    return pytest.mark.parametrize("statement", statements, ids=lambda statement: statement.path.name)


def bind(text, visible, params=()):
    """Run SQL over empty tables; no other is visible."""
    with query.connect() as con:
        for name in visible:
            con.register(name, tables.empty(name))
        return con.sql(text, params=Config().values(tuple(params))).to_arrow_table()


def parameters(text):
    [parsed] = duckdb.extract_statements(text)
    assert parsed.type == duckdb.StatementType.SELECT
    return set(parsed.named_parameters)


def test_every_file_is_a_stage_of_the_plan_or_a_view():
    assert {path.name for path in (ROOT / "sql").glob("*.sql")} - {"macros.sql", "prelude.sql"} == {
        statement.path.name for statement in OF_STAGES
    }
    assert {statement.writes for statement in OF_VIEWS} == tables.VIEWS.keys()


@each(ALL)
def test_a_file_is_named_for_the_table_it_writes(statement):
    name = statement.path.stem
    assert (name[4:] if statement in OF_STAGES else name) == statement.writes


@each(ALL)
def test_a_file_is_one_select_with_the_parameters_of_its_head(statement):
    assert parameters(statement.text) == set(statement.params)


def test_views_come_after_those_that_they_read():
    names = [view.writes for view in OF_VIEWS]
    assert set(names[: names.index("substitutions")]) >= {"variants"}
    for place, view in enumerate(OF_VIEWS):
        assert set(view.reads) & set(names) <= set(names[:place])


@each(OF_VIEWS)
def test_a_view_takes_no_parameters(statement):
    assert statement.params == ()


@each(ALL)
def test_a_file_binds_with_the_tables_of_its_head_and_gives_its_schema(statement):
    found = query.as_declared(bind(statement.text, statement.reads, statement.params), statement.writes)
    schema_of(statement).check(found)


@each(ALL)
def test_a_file_needs_every_table_of_its_head(statement):
    for left_out in statement.reads:
        with pytest.raises(duckdb.CatalogException, match=left_out):
            bind(statement.text, [name for name in statement.reads if name != left_out], statement.params)


@each(ALL)
def test_the_grain_of_a_file_is_that_of_its_table(statement):
    assert statement.grain == schema_of(statement).grain
    assert f"-- grain:  {statement.grain}\n" in statement.text


@each([statement for statement in OF_STAGES if statement.note])
def test_a_note_binds_with_the_tables_of_its_stage_and_gives_one_text(statement):
    assert parameters(statement.note) == set()
    found = bind(statement.note, (*statement.reads, statement.writes))
    assert [field.type for field in found.schema] == [pa.string()]
    assert len(found) == 1


@each([statement for statement in OF_STAGES if statement.check])
def test_a_check_binds_with_the_tables_that_its_stage_reads_and_gives_one_text(statement):
    assert parameters(statement.check) <= set(statement.params)
    found = bind(statement.check, statement.reads, parameters(statement.check))
    assert [field.type for field in found.schema] == [pa.string()]
    assert len(found) <= 1


@each(OF_STAGES)
def test_a_note_over_rows_is_a_text_without_a_line_break(statement, small_tables):
    told = query.note(statement, small_tables)
    assert isinstance(told, str)
    assert "\n" not in told
    assert bool(told) <= bool(statement.note)


HEAD = "-- What it is.\n-- reads:  maps\n-- writes: marked\n-- grain:  one row\n"


def code_of(text):
    statement = query.Query(query.resource("sql"), text, ("maps",), "marked", "one row")
    return statement.code


SELECT = """select "a  b", 'x -- y' as c, count(*)
from maps
where d = 'it''s' and e >= 1
"""


@pytest.mark.parametrize(
    "same",
    [
        HEAD + SELECT,
        HEAD.replace("What it is", "Something else") + SELECT,
        SELECT.replace("\n", "   \n\n"),
        SELECT.replace("\n", " "),
        SELECT.replace("from maps", "-- of the maps\nfrom maps  -- all of them"),
        SELECT.replace("from maps", "/* it's\n all */ from maps"),
        SELECT.replace("from", "from/**/"),
        SELECT.replace("count(*)", "count( * )").replace('b", ', 'b"\n    , '),
        SELECT.replace("e >= 1", "e>=1"),
    ],
)
def test_comments_and_white_space_do_not_change_the_code(same):
    assert code_of(same) == code_of(SELECT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x -- y", "x -- z"),
        ("x -- y", "x  -- y"),
        ("x -- y", "x"),
        ("a  b", "a b"),
        ("it''s", "it s"),
        ("'it''s'", "'it' 's'"),
        ("e >= 1", "e >= 2"),
        ("d =", "D ="),
        ("count(*)", "count(d)"),
        ('"a  b"', "a, b"),
    ],
)
def test_literals_and_every_other_word_change_the_code(old, new):
    assert code_of(SELECT.replace(old, new)) != code_of(SELECT)


def test_the_number_of_threads_changes_the_code():
    one, many = (
        query.Query(query.resource("sql"), SELECT, ("maps",), "marked", "one row", threads=threads)
        for threads in (1, None)
    )
    assert one.code != many.code


@pytest.mark.parametrize(
    ("macro", "callers"),
    [
        ("kind_of", {"retentions", "variants"}),
        ("with_text", {"evidence", "variants"}),
        ("n_of_none", {"candidates", "verdicts"}),
        ("share_of_none", {"candidates", "verdicts"}),
        ("q_of", {"candidates", "verdicts"}),
    ],
)
def test_a_macro_is_part_of_the_code_of_what_calls_it_also_through_another(macro, callers):
    changed = re.sub(rf"(macro {macro}\([^)]*\) as)", r"\1 null is null and", query.prelude())
    assert changed != query.prelude()
    assert {
        statement.writes
        for statement in ALL
        if dataclasses.replace(statement, macros=changed).code != statement.code
    } == callers


def test_comments_in_the_prelude_change_no_code():
    text = query.prelude().replace("\n-- ", "\n-- Other ").replace(" as ", "  as\n")
    assert text != query.prelude()
    for statement in ALL:
        assert dataclasses.replace(statement, macros=text).code == statement.code


@each(OF_STAGES)
def test_rows_of_files_are_those_of_tables_in_parts_and_in_order(statement, small, small_tables, tmp_path):
    values = small.values(statement.params)
    expected = small_tables[statement.writes]
    assert query.run(statement, small_tables, values).equals(expected)
    for table in statement.reads:
        pq.write_table(small_tables[table], tmp_path / f"{table}.parquet", row_group_size=100)
    files = {table: tmp_path / f"{table}.parquet" for table in statement.reads}
    n_rows = 2048  # the fewest that DuckDB gives at once
    streamed = query.stream(statement, files, values, n_rows)
    parts = list(tables.TABLES[statement.writes].in_order(streamed))
    assert [len(part) for part in parts[:-1]] == [n_rows] * (len(parts) - 1)
    assert pa.concat_tables([tables.empty(statement.writes), *parts]).equals(expected)


@pytest.mark.parametrize(("name", "mistaken"), [("d[x]", "dx"), ("d*", "dab"), ("d?", "da")])
def test_a_file_is_the_one_that_is_named_and_not_a_pattern(tmp_path, name, mistaken):
    for value, folder in enumerate([name, mistaken]):
        (tmp_path / folder).mkdir()
        pq.write_table(pa.table({"x": [value]}), tmp_path / folder / "part.parquet")
    with query.connect() as con:
        assert query.parquet(con, tmp_path / name / "part.parquet").fetchall() == [(0,)]
