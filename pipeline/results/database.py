"""`neurons.duckdb`: every table of the last run, of all its layers, views over them, and macros for other
thresholds.

It is written under a temporary name, read back and renamed when complete, so whoever opens it sees a whole
one, and whoever has it open keeps what they see. What it holds stands beside the store's tables, with its
checksum: to know whether it is whole and current nobody needs to open, and so to lock, it.
"""

from __future__ import annotations

import dataclasses
import json
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
from pipeline.errors import PipelineError, StoreError, UserError, lacks_memory, short_of_memory
from pipeline.plan import STAGES
from pipeline.resources import resource
from pipeline.results import past
from pipeline.tables import TABLES, VIEWS, disk, empty, fingerprint, query
from pipeline.tables.schema import Table
from pipeline.tables.store import Store

_FOR = "v1.0.0"  # the oldest form of the file, which every DuckDB from 1.1 reads (tests/clients)
# what DuckDB raises over a damaged file; on the way to Arrow an error has no type of its own
_OF_STORAGE: tuple[type[duckdb.Error], ...] = (
    duckdb.IOException, duckdb.FatalException, duckdb.InternalException, duckdb.SerializationException
)  # fmt: skip
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
    past.record(config, tables)  # the list of runs tells when each was made
    return tables


def path_of(config: Config) -> Path:
    """Where the database of a run is."""
    return Path(config.data) / "neurons.duckdb"


def macros() -> str:
    """The macros as SQL."""
    return (resource("sql") / "macros.sql").read_text(encoding="utf-8")


def views() -> Iterable[str]:
    """Statements that make the views, after those that make the macros that they are written with."""
    made = [f"create or replace view {view.writes} as\n{view.text.rstrip()};\n" for view in query.views()]
    return [query.prelude(), *made]


def _key(tables: Tables) -> str:
    """The fingerprint of all that the database holds."""
    code = [query.bare(text) for text in (macros(), *views())]
    paid = [path.name for table in PAID for path in _paid_files(tables.store, table)]
    return fingerprint.of_value([code, _comments(), [part.key_of for part in tables.parts], paid])


def _comments() -> list[str]:
    return [*comments("table", TABLES.values()), *comments("view", VIEWS.values())]


def _paid_files(store: Store, table: str) -> list[Path]:
    return [path for name in _kept_as(table) for path in store.kept_files(table, name)]


def _kept_as(table: str) -> list[str]:
    """The names under which paid rows of a table are kept, of every version of the method."""
    versions = {stage.keep.version for stage in STAGES if stage.table == table and stage.keep}
    return ["answers", *(f"answers-{n}" for n in range(2, max(versions) + 1))]


def is_current(config: Config, tables: Tables) -> bool:
    """Whether the database is, byte by byte, what was written of this plan and every call that was paid."""
    path = path_of(config)
    try:
        written = json.loads(_written(tables.store).read_bytes())
        return written == _facts(path, tables) and not _log(path).exists()
    except (OSError, ValueError):
        return False


def _facts(path: Path, tables: Tables) -> dict[str, str]:
    return {"key": _key(tables), "sha256": fingerprint.sha256(path)}


def _written(store: Store) -> Path:
    """Where it stands what was written last."""
    return store.folder / "neurons.duckdb.json"


def _log(path: Path) -> Path:
    """What DuckDB, where it was killed while it changed a database, takes up at the next opening."""
    return path.with_name(f"{path.name}.wal")


def build(config: Config, tables: Tables) -> None:
    """Write all tables of a plan, its settings, the views and the macros into the database.

    It takes the old one's place once it is on the disk and holds every row. Raises StoreError.
    """
    path = path_of(config).absolute()  # DuckDB takes what stands before a colon for a kind of database
    try:
        with (
            tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder,
            tempfile.TemporaryDirectory(prefix=".writing-", dir=tables.store.folder) as in_store,
        ):
            temporary, facts = Path(folder) / path.name, Path(in_store) / "facts.json"
            with duckdb.connect(str(temporary), config={"storage_compatibility_version": _FOR}) as con:
                con.begin()  # one for all: each of some hundred would wait for the disk
                _fill(con, config, tables)
                con.commit()
                con.execute("checkpoint")  # closing would be silent about a full disk
            _read_back(temporary, tables)
            facts.write_text(json.dumps(_facts(temporary, tables)) + "\n", encoding="utf-8")
            _log(path).unlink(missing_ok=True)  # it belongs to the old one
            disk.put(temporary, path)
            disk.put(facts, _written(tables.store))
    except (OSError, duckdb.Error) as exc:
        if lacks_memory(exc):
            raise short_of_memory(f"to write {path}", exc) from exc
        raise StoreError(
            f"cannot write {path}: {' '.join(str(exc).split())}; "
            "free some space, or choose another folder with DATA (--data)"
        ) from exc


def _read_back(path: Path, tables: Tables) -> None:
    """Read every block of a database that was just written; raises OSError where rows are missing."""
    with query.connect() as con:
        _attach(con, path)
        for table in (*tables, "ledger", "settings"):
            [(n_rows, _)] = con.execute(
                f"select count(*), bit_xor(hash(each)) from {table} as each"
            ).fetchall()
            if table in tables and n_rows != (wanted := tables.n_rows(table)):
                raise OSError(f"{table} has {n_rows} of {wanted} rows after writing")


def _fill(con: duckdb.DuckDBPyConnection, config: Config, tables: Tables) -> None:
    for table in tables:
        query.joined(con, table, tables.files(table)).create(table)
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
            query.joined(con, table, tables.files(table)).create_view(table)
        _add_settings(con, dataclasses.asdict(config))
        for statement in (*views(), macros()):
            con.execute(statement)
        yield con


def connect(config: Config) -> duckdb.DuckDBPyConnection:
    """Open the database for reading.

    Raises UserError where there is none yet, PipelineError where it cannot be opened.
    """
    path = path_of(config)
    if not path.is_file():
        raise UserError(f"no {path} yet; make it with `make data` or `python -m pipeline run`")
    # attached, because a second connection by its path would get the file of the first one
    con = duckdb.connect(config={"python_enable_replacements": False})
    try:
        _attach(con, path)
    except duckdb.Error as exc:
        raise _not_read(path, exc) from exc
    return con


@contextmanager
def opened(config: Config) -> Iterator[duckdb.DuckDBPyConnection]:
    """As `connect`; raises PipelineError too where what is read of it meanwhile is damaged."""
    with connect(config) as con:
        try:
            yield con
        except duckdb.Error as exc:
            if type(exc) is duckdb.Error or isinstance(exc, _OF_STORAGE):
                raise _not_read(path_of(config), exc) from exc
            raise


def _attach(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    quoted = str(path.absolute()).replace("'", "''")
    con.execute(f"attach '{quoted}' as neurons (read_only)")
    con.execute("use neurons")


def _not_read(path: Path, exc: duckdb.Error) -> PipelineError:
    reason = " ".join(str(exc).split())[:300]
    if lacks_memory(exc):
        return short_of_memory(f"to read {path}", exc)
    return PipelineError(
        f"cannot read {path}: {reason}; close other programs that have it open; where it is damaged, "
        "`make data` or `python -m pipeline run` makes it anew"
    )
