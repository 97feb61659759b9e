"""`neurons.duckdb`: every table of the last run, with macros that answer for other thresholds.

Written under a temporary name and renamed when whole, so whoever has it open keeps what they see.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import duckdb

from pipeline import fingerprint, select, tables
from pipeline.config import Config
from pipeline.errors import PipelineError, StoreError, UserError
from pipeline.plan import PAID, PAID_AS, Planned
from pipeline.resources import resource
from pipeline.store import Store


def path_of(config: Config) -> Path:
    """Where the database of a run is."""
    return Path(config.data) / "neurons.duckdb"


def _key(planned: dict[str, Planned], store: Store) -> str:
    macros = fingerprint.of_file(resource("sql") / "macros.sql")
    paid = [path.name for table in PAID for path in store.kept_files(table, PAID_AS)]
    return fingerprint.of_value([macros, {table: p.key for table, p in planned.items()}, paid])


def is_current(config: Config, planned: dict[str, Planned], store: Store) -> bool:
    """Whether the database holds exactly the tables of this plan, and every call that was paid."""
    try:
        with connect(config) as con:
            key = con.execute("select value from settings where name = 'key'").fetchone()
            there = {name for (name,) in con.execute("select table_name from duckdb_tables()").fetchall()}
        return key == (_key(planned, store),) and there >= planned.keys()
    except (PipelineError, duckdb.Error):
        return False


def build(config: Config, planned: dict[str, Planned], store: Store) -> None:
    """Write all tables of a plan, its settings and the macros into the database."""
    path = path_of(config).absolute()  # DuckDB takes what stands before a colon for a kind of database
    try:
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
            temporary = Path(folder) / path.name
            with duckdb.connect(str(temporary)) as con:
                _fill(con, config, planned, store)
            temporary.replace(path)
    except (OSError, duckdb.Error) as exc:
        raise StoreError(
            f"cannot write {path}: {' '.join(str(exc).split())}; "
            "free some space, or choose another folder with DATA (--data)"
        ) from exc


def _fill(
    con: duckdb.DuckDBPyConnection, config: Config, planned: dict[str, Planned], store: Store
) -> None:
    for table, each in planned.items():
        select.parquet(con, store.verified(table, each.key)).create(table)
    _ledger(con, store)
    for comment in comments("table", list(tables.TABLES)):
        con.execute(comment)
    con.execute("create table settings (name varchar primary key, value varchar)")
    settings = {**dataclasses.asdict(config), "key": _key(planned, store)}
    con.executemany(
        "insert into settings values (?, ?)",
        [(name, None if value is None else str(value)) for name, value in settings.items()],
    )
    con.execute((resource("sql") / "macros.sql").read_text(encoding="utf-8"))


def comments(kind: str, names: list[str]) -> list[str]:
    """Statements that say at each table or view of these names, and at its columns, what it holds."""
    quoted = lambda text: "'" + text.replace("'", "''") + "'"  # noqa: E731
    found = []
    for name in names:
        found.append(f"comment on {kind} {name} is {quoted(tables.TABLES[name].grain)};")
        for column in tables.TABLES[name].columns:
            found.append(f'comment on column {name}."{column.name}" is {quoted(column.doc)};')
    return found


def _ledger(con: duckdb.DuckDBPyConnection, store: Store) -> None:
    """Every call of a language model that was ever made for this store, in order."""
    con.register("empty", tables.empty("ledger"))
    con.execute("create table ledger as select * from empty")
    con.unregister("empty")
    names = ", ".join(name for name in tables.TABLES["ledger"].schema.names if name != "purpose")
    for purpose in PAID:
        con.register("data", store.kept(purpose, PAID_AS))
        con.execute(  # names of our own
            f"insert into ledger select distinct $1, {names} from data order by called, key", [purpose]
        )
        con.unregister("data")


def connect(config: Config) -> duckdb.DuckDBPyConnection:
    """Open the database for reading; raises UserError where there is none yet."""
    path = path_of(config)
    if not path.is_file():
        raise UserError(f"no {path} yet; make it with `make data` or `python -m pipeline run`")
    try:
        # attached: connected to again by its path, this process would be given the file of the first time
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
