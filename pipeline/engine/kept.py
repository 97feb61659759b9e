"""Expensive rows, kept by content: what is kept is not made again, and what is made is kept."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import Config
from pipeline.engine.engines import Engine, Threads, Worker
from pipeline.engine.made import Planned
from pipeline.engine.stage import Inputs, Stage
from pipeline.progress import progress
from pipeline.tables import TABLES
from pipeline.tables.columns import ANSWERED
from pipeline.tables.store import Store


def answered(rows: pa.Table) -> pa.Table:
    """Those paid rows that were answered; what else is there is asked again by the next run."""
    return rows.filter(pc.is_in(rows["status"], pa.array(ANSWERED)))


@dataclass
class Spent:
    """What the calls of a language model took in one run, so far."""

    n_calls: int = 0
    usd: float = 0.0


class Kept:
    """Makes the tables of stages that keep their rows, within the limits of one run."""

    def __init__(self, config: Config, store: Store, spent: Spent) -> None:
        self.config, self.store, self.spent = config, store, spent

    def rows(self, planned: Planned, inputs: Inputs, engine: Engine) -> pa.Table:
        """The table of a stage.

        Paid rows are made by some threads at once, and each is kept as soon as it is there, whatever ends
        the run meanwhile.
        """
        stage, keep = planned.stage, planned.stage.keep
        if keep is None or stage.worker is None:
            raise ValueError(f"{stage.table} keeps no rows")
        settings = self._left(stage)
        asked, kept = keep.asked(inputs, settings), self.store.kept(stage.table, planned.kept_as)
        if keep.paid:
            kept = answered(kept)
        first = pc.equal(pc.index_in(asked["key"], asked["key"]), pa.array(range(len(asked)), pa.int32()))
        wanted = pc.and_(first, pc.invert(pc.is_in(asked["key"], kept["key"])))
        n_wanted = pc.sum(wanted).as_py() or 0
        if keep.announce and n_wanted:
            keep.announce(asked.filter(wanted), inputs, settings)
        shards = progress(keep.shards(asked, wanted), stage.table, unit="row", total=n_wanted)
        make: Callable[[], Worker] = partial(stage.worker, inputs, settings)
        if keep.paid:
            made = self._paid(planned, make, shards, kept)
        else:
            made = self._made(planned, engine.map(make, shards), kept)
        self.store.gather(stage.table, planned.kept_as)
        return _placed(stage.table, asked, pa.concat_tables([kept, made]))

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

    def _made(self, planned: Planned, parts: Generator[pa.Table], kept: pa.Table) -> pa.Table:
        """The rows of some parts that were not kept before, by `key`; they are kept now."""
        made = [kept.schema.empty_table()]
        with closing(parts):
            for part in parts:  # more than was wanted, such as the phrases of variants
                new = part.filter(pc.invert(pc.is_in(part["key"], kept["key"]))).cast(kept.schema)
                self.store.keep(planned.stage.table, planned.kept_as, new)
                made.append(new)
        return pa.concat_tables(made)

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


def _placed(table: str, asked: pa.Table, known: pa.Table) -> pa.Table:
    """The rows asked for, each with what is known by its `key`."""
    found = known.take(pc.index_in(asked["key"], known["key"]))
    schema = TABLES[table].schema
    columns = [(asked if name in TABLES[table].key else found)[name] for name in schema.names]
    return pa.Table.from_arrays(columns, schema=schema)
