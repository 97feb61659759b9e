"""`neurons.duckdb`: every table of the last run, with macros that answer for other thresholds.

Written under a temporary name and renamed when whole, so whoever has it open keeps what they see.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from pipeline import fingerprint
from pipeline.config import Config
from pipeline.errors import PipelineError, StoreError, UserError
from pipeline.plan import Planned
from pipeline.resources import resource
from pipeline.store import Store

if TYPE_CHECKING:
    import pandas as pd


def path_of(config: Config) -> Path:
    """Where the database of a run is."""
    return Path(config.data) / "neurons.duckdb"


def _key(planned: dict[str, Planned]) -> str:
    macros = fingerprint.of_file(resource("sql") / "macros.sql")
    return fingerprint.of_value([macros, {table: p.key for table, p in planned.items()}])


def is_current(config: Config, planned: dict[str, Planned]) -> bool:
    """Whether the database holds exactly the tables of this plan."""
    try:
        with connect(config) as con:
            found = con.execute("select value from settings where name = 'key'").fetchone()
        return found == (_key(planned),)
    except (UserError, PipelineError, duckdb.Error):
        return False


def build(config: Config, planned: dict[str, Planned], store: Store) -> None:
    """Write all tables of a plan, its settings and the macros into the database."""
    path = path_of(config)
    temporary = path.with_name(f".writing-{os.getpid()}-{path.name}")
    try:
        with duckdb.connect(str(temporary)) as con:
            for table, each in planned.items():
                con.register("data", store.read(table, each.key))
                con.execute(f"create table {table} as select * from data")  # a name of the plan
                con.unregister("data")
            con.execute("create table settings (name varchar primary key, value varchar)")
            settings = {**dataclasses.asdict(config), "key": _key(planned)}
            con.executemany(
                "insert into settings values (?, ?)",
                [(name, None if v is None else str(v)) for name, v in settings.items()],
            )
            con.execute((resource("sql") / "macros.sql").read_text(encoding="utf-8"))
        temporary.replace(path)
    except (OSError, duckdb.IOException) as exc:
        raise StoreError(
            f"cannot write {path}: {' '.join(str(exc).split())}; "
            "free some space, or choose another folder with DATA (--data)"
        ) from exc
    finally:
        for left in path.parent.glob(f".writing-{os.getpid()}-*"):
            left.unlink(missing_ok=True)


def connect(config: Config) -> duckdb.DuckDBPyConnection:
    """Open the database for reading; raises UserError where there is none yet."""
    path = path_of(config)
    if not path.is_file():
        raise UserError(f"no {path} yet; make it with `make data` or `python -m pipeline run`")
    try:
        return duckdb.connect(str(path), read_only=True, config={"python_enable_replacements": False})
    except duckdb.Error as exc:
        reason = " ".join(str(exc).split())
        raise PipelineError(f"cannot open {path}: {reason}; delete it and run again") from exc


def feature_neurons(config: Config) -> pd.DataFrame:
    """The feature neurons of the last run, strongest first, in the seed's four columns."""
    with connect(config) as con:
        return con.sql(
            'select neuron as "index", avg_activation, description as "desc", max_phrases '
            "from feature_neurons order by avg_activation desc, neuron"
        ).df()
