"""Each file of sql/ does what its head says."""

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import select, tables
from pipeline.config import Config
from pipeline.plan import STAGES
from pipeline.resources import resource

FILES = [stage.sql for stage in STAGES if stage.sql]


def bind(statement: select.Query, visible: tuple[str, ...], params: tuple[str, ...]):
    with select.connect() as con:
        for name in visible:
            con.register(name, tables.empty(name))
        values = Config().values(params)
        return con.sql(statement.text, params=values).to_arrow_table()


def test_every_file_is_a_stage_of_the_plan():
    found = {path.name for path in resource("sql").glob("[0-9]*.sql")}
    assert found == set(FILES)


@pytest.mark.parametrize("file", FILES)
def test_a_file_is_named_for_the_table_it_writes(file):
    assert file[4:-4] == select.query(file).writes


@pytest.mark.parametrize("file", FILES)
def test_a_file_is_one_select_with_the_parameters_of_its_head(file):
    statement = select.query(file)
    [parsed] = duckdb.extract_statements(statement.text)
    assert parsed.type == duckdb.StatementType.SELECT
    assert set(parsed.named_parameters) == set(statement.params)


@pytest.mark.parametrize("file", FILES)
def test_a_file_binds_with_the_tables_of_its_head_and_gives_its_schema(file):
    statement = select.query(file)
    found = select.as_declared(bind(statement, statement.reads, statement.params), statement.writes)
    tables.check(statement.writes, found)


@pytest.mark.parametrize("file", FILES)
def test_a_file_needs_every_table_of_its_head(file):
    statement = select.query(file)
    for left_out in statement.reads:
        with pytest.raises(duckdb.CatalogException, match=left_out):
            bind(statement, tuple(r for r in statement.reads if r != left_out), statement.params)


@pytest.mark.parametrize("file", FILES)
def test_the_grain_of_a_file_is_that_of_its_table(file):
    statement = select.query(file)
    grain = tables.TABLES[statement.writes].grain
    assert f"-- grain:  {grain}\n" in statement.text


@pytest.mark.parametrize("file", FILES)
def test_rows_of_files_are_those_of_tables_in_parts_and_in_order(
    file, small, small_tables, tmp_path, monkeypatch
):
    statement = select.query(file)
    values = small.values(statement.params)
    expected = small_tables[statement.writes]
    assert select.run(statement, small_tables, values).equals(expected)
    for table in statement.reads:
        pq.write_table(small_tables[table], tmp_path / f"{table}.parquet", row_group_size=100)
    monkeypatch.setattr(select, "_ROWS", 2048)  # the fewest that DuckDB gives at once
    files = {table: tmp_path / f"{table}.parquet" for table in statement.reads}
    parts = list(tables.TABLES[statement.writes].in_order(select.stream(statement, files, values)))
    assert [len(part) for part in parts[:-1]] == [2048] * (len(parts) - 1)
    assert pa.concat_tables([tables.empty(statement.writes), *parts]).equals(expected)


@pytest.mark.parametrize(("name", "mistaken"), [("d[x]", "dx"), ("d*", "dab"), ("d?", "da")])
def test_a_file_is_the_one_that_is_named_and_no_pattern(tmp_path, name, mistaken):
    for value, folder in enumerate([name, mistaken]):
        (tmp_path / folder).mkdir()
        pq.write_table(pa.table({"x": [value]}), tmp_path / folder / "part.parquet")
    with select.connect() as con:
        assert select.parquet(con, tmp_path / name / "part.parquet").fetchall() == [(0,)]
