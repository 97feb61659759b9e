"""The contract of a stage: what makes one table, and everything that its rows depend on.

A stage sees the tables and the settings that it declares and nothing else. What it declares, the import
closure of its module and the keys of its tables are the key of what it makes (see `pipeline.plan`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.config import Config
from pipeline.engine.engines import Engine, Worker
from pipeline.engine.settings import Settings
from pipeline.errors import UndeclaredError
from pipeline.tables import store
from pipeline.tables.query import Query
from pipeline.tables.rows import Columns, Rows


class Inputs(Mapping[str, pa.Table]):
    """The tables that a stage declares, as Parquet files by name; read when they are asked for.

    `unfinished` is a folder in which the stage may save what it has so far, None where nothing is kept.
    Holds paths only, so that it can be sent to another process. Raises UndeclaredError, which names stage
    and table, for a table that is not declared.
    """

    def __init__(self, files: Mapping[str, Path], stage: str, unfinished: Path | None = None) -> None:
        self._files, self.stage, self.unfinished = dict(files), stage, unfinished

    def file(self, table: str) -> Path:
        """The Parquet file of a table."""
        if table not in self._files:
            raise UndeclaredError(
                f"stage {self.stage} reads the table {table}, which it does not declare; add it to "
                "`reads` of its Stage"
            )
        return self._files[table]

    def __getitem__(self, table: str) -> pa.Table:
        return store.load(self.file(table), table)

    def columns(self, table: str, names: list[str]) -> pa.Table:
        """Some columns of a table."""
        return self.rows(table, names).read()

    def rows(self, table: str, names: list[str] | None = None) -> Rows:
        """The rows of a table that may be large, read some at a time; those columns that are named."""
        return Rows(self.file(table), table, names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


@dataclass(frozen=True)
class Keep:
    """How a stage keeps expensive rows by content, whatever run they were made for.

    `asked` gives the rows wanted, in a table or its file, with a column `key`, the fingerprint of what
    decides each; `shards` those of them that a mask chooses, in tables. Rows are kept under `version` of
    the method, which is raised by hand when the same key would give another row, and under the stage's
    settings. `paid` rows are decided by their key alone: they come from a language model, are asked for in
    threads, kept as soon as they are there, and asked for again where they failed; `announce` tells
    beforehand what they take.
    """

    version: int
    asked: Callable[[Inputs, Config], Any]  # a table for paid rows, else Rows
    shards: Callable[[Any, pa.Array], Iterator[pa.Table]]
    paid: bool = False
    announce: Callable[[pa.Table, Inputs, Config], None] | None = None


@dataclass(frozen=True)
class Fetch:
    """How a stage brings what its key is computed from: `get` what is missing, and say what is
    `outstanding`."""

    get: Callable[[Config], None]
    outstanding: Callable[[Config], str]


def _one_empty_shard(inputs: Inputs, settings: Config) -> Iterator[pa.Table]:
    yield pa.table({})


def _ready(settings: Config) -> None: ...


def _no_note(data: Columns, inputs: Inputs, settings: Config) -> str:
    return ""


def _no_warning(data: Columns, inputs: Inputs, settings: Config) -> list[str]:
    return []


@dataclass(frozen=True)
class Stage:
    """How one table is made.

    `number` is its place in the plan, `module` the name of the module whose import closure decides its
    rows. `reads` are the tables it is handed, `settings` the settings it is handed that decide rows, `uses`
    those that decide none: where, how fast and at what price. Of several stages for one table the first is
    taken whose `where` holds the values of the settings that it names; where none is, the table is empty.
    `decided_by` gives what stands in the key in place of the value of a setting, or of the key of a table.

    `shards` cuts the inputs into independent tables (by default a single one without rows), `worker` gives
    the function from each of them to rows; without a worker or `sql` the table is empty. Rows are written
    as they come, in the order of the table's key: memory holds those of a few shards, so a shard is small
    and a worker reads of other tables only what belongs to it. Where there are no `shards`, rows may have
    any order. Those of a stage that is `spread` may be computed in several processes. `together` makes the
    tables of several layers at once: given the settings of each, a folder in which it may save itself and
    the engine, it gives the rows of each in parts. `ready` refuses before anything is made what cannot be.
    `note` says in a few words what was left out, `warn` what must not be overlooked, both by columns of the
    table that was made.
    """

    module: str
    number: str
    table: str
    reads: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    where: Mapping[str, Any] = field(default_factory=dict)
    decided_by: Mapping[str, Callable[[Config], Any]] = field(default_factory=dict)
    sql: Query | None = None
    shards: Callable[[Inputs, Config], Iterator[pa.Table]] = _one_empty_shard
    worker: Callable[[Inputs, Config], Worker] | None = None
    spread: bool = False
    together: Callable[[Sequence[Config], Path | None, Engine], Sequence[Iterator[pa.Table]]] | None = None
    keep: Keep | None = None
    fetch: Fetch | None = None
    ready: Callable[[Config], None] = _ready
    note: Callable[[Columns, Inputs, Config], str] = _no_note
    warn: Callable[[Columns, Inputs, Config], list[str]] = _no_warning

    def applies(self, config: Config) -> bool:
        """Whether it makes its table under these settings."""
        return all(getattr(config, name) == value for name, value in self.where.items())

    @property
    def is_cut(self) -> bool:
        """Whether its table is made in parts."""
        return self.shards is not _one_empty_shard

    @property
    def stays(self) -> bool:
        """Whether it is made in this process whatever the engine: it asks others, or the run's own
        folder."""
        return bool(self.fetch or (self.keep and self.keep.paid) or "data" in (*self.settings, *self.uses))

    @property
    def decisive(self) -> tuple[str, ...]:
        """The settings that stand in the key."""
        return (*self.where, *(name for name in self.settings if name not in self.where))

    def handed(self, config: Config) -> Settings:
        """The settings it may read, and no other."""
        return Settings(config, {*self.decisive, *self.uses}, self.table)


def of_sql(statement: Query) -> Stage:
    """The stage of a SQL file: its head declares what it reads."""
    return Stage(
        "", statement.path.name[:3], statement.writes, statement.reads, statement.params, sql=statement
    )


@dataclass(frozen=True)
class Runs:
    """Shards that are runs of `n_rows` rows of a table, with the columns that are named; or of about as
    many that keep the rows of a neuron together."""

    table: str
    n_rows: int
    names: tuple[str, ...] | None = None
    whole_neurons: bool = False

    def __call__(self, inputs: Inputs, settings: Config) -> Iterator[pa.Table]:
        rows = inputs.rows(self.table, list(self.names) if self.names else None)
        yield from rows.parts(self.n_rows, whole_neurons=self.whole_neurons)


def runs_of(
    table: str, n_rows: int, names: tuple[str, ...] | None = None, *, whole_neurons: bool = False
) -> Runs:
    """Shards that are runs of rows of a table."""
    return Runs(table, n_rows, names, whole_neurons)
