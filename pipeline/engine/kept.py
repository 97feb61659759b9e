"""Expensive rows, kept by content: what is kept is not made again, and what is made is kept."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import Config
from pipeline.engine.engines import Engine, Threads, Worker, shown
from pipeline.engine.made import Planned
from pipeline.engine.stage import Inputs, Stage
from pipeline.progress import progress
from pipeline.tables import TABLES
from pipeline.tables.columns import ANSWERED
from pipeline.tables.rows import Rows
from pipeline.tables.store import Store

_ROWS = 2**16  # of a part


def answered(rows: pa.Table) -> pa.Table:
    """Those paid rows that were answered; what else is there is asked again by the next run."""
    return rows.filter(pc.is_in(rows["status"], pa.array(ANSWERED)))


@dataclass
class Spent:
    """What the calls of a language model took in one run, so far."""

    n_calls: int = 0
    usd: float = 0.0


def all_answered(statuses: pa.ChunkedArray) -> bool:
    """Whether all paid rows of a table were answered, by their `status`."""
    return pc.all(pc.is_in(statuses, pa.array(ANSWERED)), min_count=0).as_py()


class Kept:
    """Makes the tables of stages that keep their rows, within the limits of one run."""

    def __init__(self, config: Config, store: Store, spent: Spent) -> None:
        self.config, self.store, self.spent = config, store, spent

    def rows(self, planned: Planned, inputs: Inputs, engine: Engine) -> Iterator[pa.Table]:
        """The table of a stage, in parts.

        Paid rows are made by some threads at once, and each is kept as soon as it is there, whatever ends
        the run meanwhile. Of other rows memory holds all keys before and after they are made, and what one
        shard needs while they are made.
        """
        stage, keep = planned.stage, planned.stage.keep
        if keep is None or stage.worker is None:
            raise ValueError(f"{stage.table} keeps no rows")
        settings = self._left(stage)
        asked = keep.asked(inputs, settings)
        kept = self.store.kept(stage.table, planned.kept_as, None if keep.paid else ["key"])
        if keep.paid:
            kept = answered(kept)
        wanted = _wanted(*_packed(asked["key"], kept["key"]))
        n_wanted = pc.sum(wanted).as_py() or 0
        if keep.announce and n_wanted:
            keep.announce(asked.filter(wanted), inputs, settings)
        shards = keep.shards(asked, wanted)
        make: Callable[[], Worker] = partial(stage.worker, inputs, settings)
        if keep.paid:
            begun = progress(shards, stage.table, unit="row", total=n_wanted)
            known = pa.concat_tables([kept, self._paid(planned, make, begun, kept)])
        else:
            del kept
            self._make(planned, shown(engine, make, shards, stage.table, n_wanted))
            known = self.store.kept(stage.table, planned.kept_as)
        self.store.gather(stage.table, planned.kept_as)
        places = pc.index_in(*_packed(asked["key"], known["key"]))
        yield from _placed(stage.table, asked, places, known.drop_columns("key"))

    def _left(self, stage: Stage) -> Config:
        """The settings of a stage, for a paid one with what is left of the run's limits."""
        settings = stage.handed(self.config)
        if stage.keep is None or not stage.keep.paid:
            return settings
        calls, cost = self.config.max_calls, self.config.max_cost
        return settings.replaced(
            max_calls=None if calls is None else max(0, calls - self.spent.n_calls),
            max_cost=None if cost is None else max(0.0, cost - self.spent.usd),
        )

    def _make(self, planned: Planned, parts: Generator[pa.Table]) -> None:
        """Keep what is made."""
        with closing(parts):
            for part in parts:
                self.store.keep(planned.stage.table, planned.kept_as, part)

    def _paid(
        self, planned: Planned, make: Callable[[], Worker], shards: Iterator[pa.Table], kept: pa.Table
    ) -> pa.Table:
        """The rows that a language model gives; those it was asked for are kept in the threads that ask."""
        threads = Threads(self.config.connections)
        with closing(threads.map(lambda: _Keeping(planned, make, self.store), shards)) as parts:
            made = pa.concat_tables(
                [kept.schema.empty_table(), *(part.cast(kept.schema) for part in parts)]
            )
        self.spent.n_calls += pc.sum(made["tries"]).as_py() or 0
        self.spent.usd += pc.sum(made["most_usd"]).as_py() or 0.0
        return made


class _Keeping:
    """A paid stage's function, whose answers are kept in the thread that got them."""

    def __init__(self, planned: Planned, make: Callable[[], Worker], store: Store) -> None:
        self.planned, self.work, self.store = planned, make(), store

    def __call__(self, shard: pa.Table) -> pa.Table:
        made = self.work(shard)
        called = made.filter(made["called"].is_valid())
        if len(called):
            self.store.keep(self.planned.stage.table, self.planned.kept_as, called)
        return made

    def stop(self) -> None:
        """No more answers are wanted."""
        getattr(self.work, "stop", int)()


def _packed(*columns: pa.ChunkedArray) -> list[pa.ChunkedArray]:
    """Columns of keys, which memory holds whole: as 16 bytes each where all are 32 hexadecimal digits."""
    for keys in columns:
        if not pc.all(pc.match_substring_regex(keys, r"\A[0-9a-f]{32}\z"), min_count=0).as_py():
            return [*columns]
    return [pa.chunked_array(_bytes(keys), pa.binary(16)) for keys in columns]


def _bytes(digests: pa.ChunkedArray) -> Iterator[pa.FixedSizeBinaryArray]:
    """Strings of 32 hexadecimal digits as bytes, in parts."""
    for start in range(0, len(digests), _ROWS):
        part = digests.slice(start, _ROWS)
        packed = pa.py_buffer(bytes.fromhex("".join(part.to_pylist())))
        yield pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(part), [None, packed])


def _wanted(keys: pa.ChunkedArray, kept: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which keys stand in no row before, and are not kept."""
    first = pc.equal(pc.index_in(keys, keys), pa.array(np.arange(len(keys), dtype=np.int32)))
    return pc.and_(first, pc.invert(pc.is_in(keys, kept)))


def _placed(
    table: str, asked: pa.Table | Rows, places: pa.ChunkedArray, known: pa.Table
) -> Iterator[pa.Table]:
    """The rows asked for, each with what is known of it: its place in `known`."""
    schema, key = TABLES[table].schema, list(TABLES[table].key)
    start = 0
    for part in _parts(asked, key):
        found = known.take(places.slice(start, len(part)))
        columns = [(part if name in key else found)[name] for name in schema.names]
        yield pa.Table.from_arrays(columns, schema=schema)
        start += len(part)


def _parts(asked: pa.Table | Rows, names: list[str]) -> Iterator[pa.Table]:
    """Columns of what is asked for, in parts."""
    if isinstance(asked, Rows):
        yield from Rows(asked.path, asked.table, names).parts(_ROWS)
    else:
        yield asked.select(names)
