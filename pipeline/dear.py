"""Rows that are dear to make: what is kept of them is not made again, and what is made is kept."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import answers
from pipeline.config import Config
from pipeline.engine import Engine, Threads
from pipeline.plan import Planned
from pipeline.progress import progress
from pipeline.store import Store
from pipeline.tables import TABLES

if TYPE_CHECKING:
    from pipeline.run import Tables


def rows(
    planned: Planned, module: Any, config: Config, tables: Tables, engine: Engine
) -> tuple[pa.Table, pa.Table]:
    """The table of a dear stage, and those rows that had to be made for it, by `key`.

    `module` is the stage's. Paid rows are made by some threads at once, and each is kept as soon as it is
    there, whatever ends the run meanwhile.
    """
    table, store = planned.stage.table, tables.store
    asked, kept = module.asked(tables, config), store.kept(table, planned.own)
    if planned.stage.paid:
        kept = answers.known(kept)
    first = pc.equal(pc.index_in(asked["key"], asked["key"]), pa.array(range(len(asked)), pa.int32()))
    wanted = pc.and_(first, pc.invert(pc.is_in(asked["key"], kept["key"])))
    n_wanted = pc.sum(wanted).as_py() or 0
    make = partial(module.worker, config, tables)
    if planned.stage.paid:
        if n_wanted:
            module.announce(asked.filter(wanted), config, tables)
        make, engine = partial(_Keeping, planned, make, store), Threads(config.connections)
    parts = [kept.schema.empty_table()]
    shards = progress(module.shards(asked, wanted), table, unit="row", total=n_wanted)
    with closing(engine.map(make, shards)) as found:
        for part in found:  # an engine may give more than was wanted, such as the phrases of variants
            new = part.filter(pc.invert(pc.is_in(part["key"], kept["key"]))).cast(kept.schema)
            if not planned.stage.paid:
                store.keep(table, planned.own, new)
            parts.append(new)
    store.gather(table, planned.own)
    made = pa.concat_tables(parts)
    return _placed(table, asked, pa.concat_tables([kept, made])), made


class _Keeping:
    """A paid stage's function, whose answers are kept in the thread that got them."""

    def __init__(self, planned: Planned, make: Any, store: Store) -> None:
        self.planned, self.work, self.store = planned, make(), store

    def __call__(self, shard: pa.Table) -> pa.Table:
        made = self.work(shard)
        if len(called := answers.called(made)):
            self.store.keep(self.planned.stage.table, self.planned.own, called)
        return made

    def stop(self) -> None:
        """No more answers are wanted."""
        self.work.stop()


def _placed(table: str, asked: pa.Table, known: pa.Table) -> pa.Table:
    """The rows asked for, each with what is known by its `key`."""
    found = known.take(pc.index_in(asked["key"], known["key"]))
    schema = TABLES[table].schema
    columns = [(asked if name in TABLES[table].key else found)[name] for name in schema.names]
    return pa.Table.from_arrays(columns, schema=schema)
