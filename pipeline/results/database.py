"""`neurons.duckdb`: every table of the last run, views over them, and macros for other thresholds.

It is written under a temporary name and renamed when complete, so whoever has it open keeps what they see.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from pipeline import run as runs
from pipeline.config import Config
from pipeline.engine.engines import Engine
from pipeline.engine.made import Tables
from pipeline.errors import PipelineError, StoreError, UserError
from pipeline.plan import STAGES
from pipeline.resources import resource
from pipeline.tables import TABLES, VIEWS, empty, fingerprint, query
from pipeline.tables.schema import Table
from pipeline.tables.store import Store

PAID = tuple(stage.table for stage in STAGES if stage.keep and stage.keep.paid)


def run(config: Config, engine: Engine | None = None) -> Tables:
    """Run the plan, and write its tables into the database if that holds others.

    Returns the plan's own tables, whatever other runs do to the database in the meantime. Raises
    PipelineError.
    """
    tables = runs.run(config, engine)
    if tables.made or not is_current(config, tables):
        tables.made = True
        build(config, tables)
    return tables


def path_of(config: Config) -> Path:
    """Where the database of a run is."""
    return Path(config.data) / "neurons.duckdb"


def macros() -> str:
    """The macros as SQL."""
    return (resource("sql") / "macros.sql").read_text(encoding="utf-8")


def views() -> Iterable[str]:
    """Statements that make the views."""
    return [f"create or replace view {view.writes} as\n{view.text.rstrip()};\n" for view in query.views()]


def _key(tables: Tables) -> str:
    """The fingerprint of all that the database holds."""
    code = [query.bare(text) for text in (macros(), *views())]
    paid = [path.name for table in PAID for path in _paid_files(tables.store, table)]
    keys = {table: planned.key for table, planned in tables.planned.items()}
    return fingerprint.of_value([code, _comments(), keys, paid])


def _comments() -> list[str]:
    return [*comments("table", TABLES.values()), *comments("view", VIEWS.values())]


def _paid_files(store: Store, table: str) -> list[Path]:
    return [path for name in _kept_as(table) for path in store.kept_files(table, name)]


def _kept_as(table: str) -> list[str]:
    """The names under which paid rows of a table are kept, of every version of the method."""
    versions = {stage.keep.version for stage in STAGES if stage.table == table and stage.keep}
    return ["answers", *(f"answers-{n}" for n in range(2, max(versions) + 1))]


def is_current(config: Config, tables: Tables) -> bool:
    """Whether the database holds exactly the tables of this plan, and every call that was paid."""
    try:
        with connect(config) as con:
            key = con.execute("select value from settings where name = 'key'").fetchone()
            there = {name for (name,) in con.execute("select table_name from duckdb_tables()").fetchall()}
        return key == (_key(tables),) and there >= tables.planned.keys()
    except (PipelineError, duckdb.Error):
        return False


def build(config: Config, tables: Tables) -> None:
    """Write all tables of a plan, its settings, the views and the macros into the database."""
    path = path_of(config).absolute()  # DuckDB takes what stands before a colon for a kind of database
    try:
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
            temporary = Path(folder) / path.name
            with duckdb.connect(str(temporary)) as con:
                con.begin()  # one for all: each of some hundred would wait for the disk
                _fill(con, config, tables)
                con.commit()
            temporary.replace(path)
    except (OSError, duckdb.Error) as exc:
        raise StoreError(
            f"cannot write {path}: {' '.join(str(exc).split())}; "
            "free some space, or choose another folder with DATA (--data)"
        ) from exc


def _fill(con: duckdb.DuckDBPyConnection, config: Config, tables: Tables) -> None:
    for table in tables:
        query.parquet(con, tables.file(table)).create(table)
    _add_ledger(con, tables.store)
    _add_settings(con, dataclasses.asdict(config) | {"key": _key(tables)})
    for statement in (*views(), macros(), *_comments()):
        con.execute(statement)


def _add_settings(con: duckdb.DuckDBPyConnection, settings: dict[str, Any]) -> None:
    con.execute("create table settings (name varchar primary key, value varchar)")
    con.executemany(
        "insert into settings values (?, ?)",
        [(name, None if value is None else str(value)) for name, value in settings.items()],
    )


def comments(kind: str, described: Iterable[Table]) -> list[str]:
    """Statements that put a comment at each of these tables or views, and at each of their columns."""
    quoted = lambda text: "'" + text.replace("'", "''") + "'"  # noqa: E731
    statements = []
    for table in described:
        statements.append(f"comment on {kind} {table.name} is {quoted(table.grain)};")
        for column in table.columns:
            statements.append(f'comment on column {table.name}."{column.name}" is {quoted(column.doc)};')
    return statements


def _add_ledger(con: duckdb.DuckDBPyConnection, store: Store) -> None:
    """Every call of a language model that was ever made for this store, in order."""
    con.register("empty", empty("ledger"))
    con.execute("create table ledger as select * from empty")
    con.unregister("empty")
    names = ", ".join(name for name in TABLES["ledger"].schema.names if name != "purpose")
    for purpose in PAID:
        for kept_as in _kept_as(purpose):
            con.register("data", store.kept(purpose, kept_as))
            con.execute(  # the names are our own
                f"insert into ledger select distinct $1, {names} from data order by called, key", [purpose]
            )
            con.unregister("data")


@contextmanager
def over(config: Config, tables: Tables) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to a plan's own tables, with their settings, views and macros.

    It reads the store, so it does not depend on what the database holds at the moment.
    """
    with query.connect() as con:
        for table in tables:
            query.parquet(con, tables.file(table)).create_view(table)
        _add_settings(con, dataclasses.asdict(config))
        for statement in (*views(), macros()):
            con.execute(statement)
        yield con


def connect(config: Config) -> duckdb.DuckDBPyConnection:
    """Open the database for reading; raises UserError where there is none yet."""
    path = path_of(config)
    if not path.is_file():
        raise UserError(f"no {path} yet; make it with `make data` or `python -m pipeline run`")
    try:
        # attached, because a second connection by its path would get the file of the first one
        con = duckdb.connect(config={"python_enable_replacements": False})
        quoted = str(path.absolute()).replace("'", "''")
        con.execute(f"attach '{quoted}' as neurons (read_only)")
        con.execute("use neurons")
        return con
    except duckdb.Error as exc:
        reason = " ".join(str(exc).split())
        raise PipelineError(
            f"cannot open {path}: {reason}; close other programs that have it open, "
            "or delete it and run again"
        ) from exc
