"""One SELECT of `sql/` over tables in memory or in Parquet files.

A file's head says what it reads and writes and which parameters it takes; nothing else is visible
to it: no Python variable and no other table, only the macros of `sql/prelude.sql`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pipeline.errors import PipelineError, lacks_memory, short_of_memory
from pipeline.resources import resource
from pipeline.tables import TABLES, VIEWS

_ROWS = 2**17  # of a part
_MEMORY = "2GB"  # beyond which DuckDB sorts on disk


@dataclass(frozen=True)
class Query:
    """A SQL file: its statement and what its head declares.

    `note` is a SELECT of one text over the tables it reads and the one it writes: what was left out, why.
    `check` is one over the tables it reads: why the stage cannot be run; no row or null where it can.
    `macros` are statements that make the macros it may call.
    """

    path: Path
    text: str
    reads: tuple[str, ...]
    writes: str
    grain: str
    params: tuple[str, ...] = ()
    threads: int | None = None
    note: str | None = None
    check: str | None = None
    macros: str = ""

    @property
    def code(self) -> str:
        """What decides rows: the statement without comments and layout, the macros that it calls, and its
        number of threads."""
        return " ".join([str(self.threads), bare(self.text), *_called(self.text, self.macros)])


_HEAD = re.compile(r"(?m)^-- (reads|writes|grain|params|threads|note|check):\s+(.+(?:\n--  .+)*)")
_MACRO = re.compile(r"(?ms)^(create or replace macro (\w+)\(.*?;)$")
_LITERAL_OR_GAP = re.compile(r"(?s)('(?:[^']|'')*'|\"[^\"]*\")|(?:--[^\n]*|/\*.*?\*/|\s)+")


def query(file: str) -> Query:
    """Read `sql/<file>` with its head: `reads`, `writes`, `grain`, `params`, `threads`, `note`, `check`."""
    path = resource("sql") / file
    text = path.read_text(encoding="utf-8")
    head = {name: re.sub(r"\n--\s+", "\n", value) for name, value in _HEAD.findall(text)}
    return Query(
        path=path,
        text=text,
        reads=tuple(head["reads"].split(", ")),
        writes=head["writes"],
        grain=head["grain"],
        params=tuple(re.findall(r"(?m)^(\w+)\s{2,}\S", head.get("params", ""))),
        threads=int(head["threads"]) if "threads" in head else None,
        note=head.get("note"),
        check=head.get("check"),
        macros=prelude(),
    )


def views() -> list[Query]:
    """The views of `sql/views/`, each after those that it reads."""
    found = {path.stem: query(f"views/{path.name}") for path in (resource("sql") / "views").glob("*.sql")}
    reads = {name: sorted(found[name].reads) for name in sorted(found)}
    return [found[name] for name in TopologicalSorter(reads).static_order() if name in found]


@cache
def prelude() -> str:
    """Statements that make the macros of which stages and views are written."""
    return (resource("sql") / "prelude.sql").read_text(encoding="utf-8")


def _called(text: str, macros: str) -> list[str]:
    """The macros that a statement calls, and that these call, as `bare` gives them."""
    known = {name: bare(macro) for macro, name in _MACRO.findall(macros)}
    found: dict[str, str] = {}
    todo = [bare(text)]
    while todo:
        words = set(re.findall(r"\w+(?=\()", todo.pop()))
        new = {name: macro for name, macro in known.items() if name in words and name not in found}
        found |= new
        todo += new.values()
    return sorted(found.values())


def bare(text: str) -> str:
    """SQL for comparing: without comments, and with white space only where it separates two words."""

    def shortened(match: re.Match[str]) -> str:
        start, end = match.span()
        before, after = text[max(0, start - 1) : start], text[end : end + 1]
        separates = all(each.isalnum() or each in ("_", "'", '"') for each in (before, after))
        return match[1] or (" " if separates else "")

    return _LITERAL_OR_GAP.sub(shortened, text)


def connect() -> duckdb.DuckDBPyConnection:
    """A database in memory that sees only the macros and the tables that are registered with it."""
    con = duckdb.connect(
        config={
            "python_enable_replacements": False,
            "memory_limit": _MEMORY,
            "temp_directory": tempfile.gettempdir(),
        }
    )
    con.execute(prelude())
    return _quiet(con)


def _quiet(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """A connection without a bar: a stage prints its own line. In a notebook without ipywidgets there is no
    bar, and none can be set."""
    if con.execute("select current_setting('enable_progress_bar')").fetchall()[0][0]:
        con.execute("set enable_progress_bar = false")
    return con


@cache
def _shared() -> duckdb.DuckDBPyConnection:
    """The database of this process's queries: to make one takes longer than many a query."""
    return connect()


def parquet(
    con: duckdb.DuckDBPyConnection, *files: Path, file_row_number: bool = False
) -> duckdb.DuckDBPyRelation:
    """The rows of some files, one after the other; characters of their names that DuckDB takes for a
    pattern stand for themselves."""
    return con.read_parquet([_plain(file) for file in files], file_row_number=file_row_number)


def _plain(file: Path) -> str:
    """A file's name, in which nothing is a pattern."""
    return re.sub(r"([*?\[])", r"[\1]", str(file))


def joined(con: duckdb.DuckDBPyConnection, table: str, files: Sequence[Path]) -> duckdb.DuckDBPyRelation:
    """The rows of a table of several layers; what layers share stands there once."""
    rows = parquet(con, *files)
    if len(files) == 1 or TABLES[table].of_layers:
        return rows
    return con.from_arrow(TABLES[table].once(rows.to_arrow_table()))


def stream(
    statement: Query,
    inputs: Mapping[str, pa.Table | Path],
    params: Mapping[str, Any],
    n_rows: int = _ROWS,
) -> Iterator[pa.Table]:
    """Run a query over its declared inputs; its rows in parts of `n_rows`, in the schema of what it writes.

    Inputs are tables or their Parquet files; `params` are bound, never formatted in. Raises PipelineError
    where DuckDB refuses.
    """
    with over(inputs, statement.reads, threads=statement.threads) as con:
        try:
            for batch in con.sql(statement.text, params=dict(params)).to_arrow_reader(n_rows):
                yield as_declared(pa.Table.from_batches([batch]), statement.writes)
        except duckdb.Error as exc:
            if lacks_memory(exc):
                raise short_of_memory(f"for {statement.path.name}", exc) from exc
            raise PipelineError(f"{statement.path.name}: {exc}") from exc


def note(statement: Query, inputs: Mapping[str, pa.Table | Path]) -> str:
    """The text of the query's `note` over the table that was made; empty where there is none."""
    if statement.note is None:
        return ""
    with over(inputs, (*statement.reads, statement.writes)) as con:
        return _one(con.sql(statement.note)) or ""


def check(statement: Query, inputs: Mapping[str, pa.Table | Path], params: Mapping[str, Any]) -> str | None:
    """The text of the query's `check`: why it cannot be run; None where it can."""
    if statement.check is None:
        return None
    with over(inputs, statement.reads) as con:
        names = duckdb.extract_statements(statement.check)[0].named_parameters
        return _one(con.sql(statement.check, params={name: params[name] for name in names}))


def _one(found: duckdb.DuckDBPyRelation) -> str | None:
    rows = found.fetchall()
    return rows[0][0] if rows else None


@contextmanager
def _renewed() -> Iterator[None]:
    """Make the shared database anew after an error that ends all use of one."""
    try:
        yield
    except duckdb.FatalException:
        _shared.cache_clear()
        raise


@contextmanager
def over(
    inputs: Mapping[str, pa.Table | Path], names: Iterable[str], *, threads: int | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that sees the inputs with these names: temporary views, which no other one sees.

    With a number of `threads` it is of a database of its own, for it is one of the whole database.
    """
    with _renewed(), connect() if threads else _quiet(_shared().cursor()) as con:
        if threads:
            con.execute(f"set threads = {threads}")
        for name in names:
            given = inputs[name]
            if isinstance(given, Path):
                file = _plain(given).replace("'", "''")
                con.execute(f"create temp view {name} as from read_parquet('{file}')")
            else:
                con.register(name, given)
        yield con


def run(statement: Query, inputs: Mapping[str, pa.Table | Path], params: Mapping[str, Any]) -> pa.Table:
    """All rows of a query at once; see `stream`."""
    return pa.concat_tables([_declared(statement.writes).empty_table(), *stream(statement, inputs, params)])


def _declared(table: str) -> pa.Schema:
    return (TABLES.get(table) or VIEWS[table]).schema


def as_declared(data: pa.Table, table: str) -> pa.Table:
    """`data` with the field names and null flags that `table` declares, types untouched.

    DuckDB and DuckDB's Arrow lists name their items differently; `tables.check` judges the rest.
    """
    schema = _declared(table)
    same = data.schema.names == schema.names and all(
        data.schema.field(n).type == schema.field(n).type for n in schema.names
    )
    return (
        pa.Table.from_arrays(
            [c.cast(f.type) for c, f in zip(data.columns, schema, strict=True)], schema=schema
        )
        if same
        else data
    )
