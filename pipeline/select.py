"""One SELECT of `sql/` over Arrow tables.

A file's head says what it reads and writes and which parameters it takes; nothing else is visible
to it: no Python variable, no other table, no missing parameter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pipeline.errors import PipelineError
from pipeline.resources import resource
from pipeline.tables import TABLES


@dataclass(frozen=True)
class Query:
    """A SQL file: its statement and what its head declares."""

    path: Path
    text: str
    reads: tuple[str, ...]
    writes: str
    params: tuple[str, ...]


def query(file: str) -> Query:
    """Read `sql/<file>`; the head's `reads`, `writes` and `params` become the Query's."""
    path = resource("sql") / file
    text = path.read_text(encoding="utf-8")
    head = "\n".join(line[2:] for line in text.splitlines() if line.startswith("--"))
    reads = re.search(r"^ reads:\s+(.+)$", head, re.M)[1]
    params = re.search(r"^ params: (.+)", head, re.M | re.S)
    return Query(
        path=path,
        text=text,
        reads=tuple(reads.split(", ")),
        writes=re.search(r"^ writes:\s+(\w+)$", head, re.M)[1],
        params=tuple(re.findall(r"^\s*(\w+)\s{2,}\S", params[1], re.M)) if params else (),
    )


def connect() -> duckdb.DuckDBPyConnection:
    """A database in memory that sees only what is registered with it."""
    return duckdb.connect(config={"python_enable_replacements": False})


def run(statement: Query, inputs: Mapping[str, pa.Table], params: Mapping[str, Any]) -> pa.Table:
    """Run a query over its declared inputs; the rows in the schema of the table it writes.

    `params` are bound, never formatted in. Raises PipelineError where DuckDB refuses.
    """
    with connect() as con:
        for name in statement.reads:
            con.register(name, inputs[name])
        try:
            found = con.sql(statement.text, params=dict(params)).to_arrow_table()
        except duckdb.Error as exc:
            raise PipelineError(f"{statement.path.name}: {exc}") from exc
    return as_declared(found, statement.writes)


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
