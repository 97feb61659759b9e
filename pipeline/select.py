"""One SELECT of `sql/` over tables in memory or in Parquet files.

A file's head says what it reads and writes and which parameters it takes; nothing else is visible
to it: no Python variable, no other table, no missing parameter.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pipeline.errors import PipelineError
from pipeline.resources import resource
from pipeline.tables import TABLES

_ROWS = 2**17  # of a part
_MEMORY = "2GB"  # beyond which DuckDB sorts on disk


@dataclass(frozen=True)
class Query:
    """A SQL file: its statement and what its head declares."""

    path: Path
    text: str
    reads: tuple[str, ...]
    writes: str
    params: tuple[str, ...]
    threads: int | None


def query(file: str) -> Query:
    """Read `sql/<file>`; the head's `reads`, `writes`, `params` and `threads` become the Query's."""
    path = resource("sql") / file
    text = path.read_text(encoding="utf-8")
    head = "\n".join(line[2:] for line in text.splitlines() if line.startswith("--"))
    reads = re.search(r"^ reads:\s+(.+)$", head, re.M)[1]
    params = re.search(r"^ params: (.+)", head, re.M | re.S)
    threads = re.search(r"^ threads: (\d+)$", head, re.M)
    return Query(
        path=path,
        text=text,
        reads=tuple(reads.split(", ")),
        writes=re.search(r"^ writes:\s+(\w+)$", head, re.M)[1],
        params=tuple(re.findall(r"^\s*(\w+)\s{2,}\S", params[1], re.M)) if params else (),
        threads=int(threads[1]) if threads else None,
    )


def connect() -> duckdb.DuckDBPyConnection:
    """A database in memory that sees only what is registered with it."""
    con = duckdb.connect(
        config={
            "python_enable_replacements": False,
            "memory_limit": _MEMORY,
            "temp_directory": tempfile.gettempdir(),
        }
    )
    con.execute("set enable_progress_bar = false")  # a stage has its own line
    return con


def parquet(con: duckdb.DuckDBPyConnection, file: Path) -> duckdb.DuckDBPyRelation:
    """The rows of one file; what would be a pattern in its name stands for itself."""
    return con.read_parquet(re.sub(r"([*?\[])", r"[\1]", str(file)))


def stream(
    statement: Query, inputs: Mapping[str, pa.Table | Path], params: Mapping[str, Any]
) -> Iterator[pa.Table]:
    """Run a query over its declared inputs; its rows in parts, in the schema of the table it writes.

    Inputs are tables or their Parquet files; `params` are bound, never formatted in. Raises PipelineError
    where DuckDB refuses.
    """
    with connect() as con:
        if statement.threads:
            con.execute(f"set threads = {statement.threads}")
        for name in statement.reads:
            given = inputs[name]
            if isinstance(given, Path):
                parquet(con, given).create_view(name)
            else:
                con.register(name, given)
        try:
            for batch in con.sql(statement.text, params=dict(params)).to_arrow_reader(_ROWS):
                yield as_declared(pa.Table.from_batches([batch]), statement.writes)
        except duckdb.Error as exc:
            raise PipelineError(f"{statement.path.name}: {exc}") from exc


def run(statement: Query, inputs: Mapping[str, pa.Table | Path], params: Mapping[str, Any]) -> pa.Table:
    """All rows of a query at once; see `stream`."""
    empty = TABLES[statement.writes].schema.empty_table()
    return pa.concat_tables([empty, *stream(statement, inputs, params)])


def as_declared(data: pa.Table, table: str) -> pa.Table:
    """`data` with the field names and null flags that `table` declares, types untouched.

    DuckDB and DuckDB's Arrow lists name their items differently; `tables.check` judges the rest.
    """
    schema = TABLES[table].schema
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
