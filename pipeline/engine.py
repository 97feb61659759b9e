"""Engines: how a stage's function is mapped over its shards.

A stage gives shards (independent Arrow tables) and a maker of the function from table to table; it
knows nothing of engines. The maker runs once in each place that computes, so that a model is loaded
there and not carried. Every engine yields equal tables in the order of the shards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import pyarrow as pa

Worker = Callable[[pa.Table], pa.Table]


class Engine(Protocol):
    """Where shards are computed."""

    def map(self, make: Callable[[], Worker], shards: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Yield `make()(shard)` for each shard, in order."""
        ...


class InProcess:
    """Computes in this process, one shard after the other."""

    def map(self, make: Callable[[], Worker], shards: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Yield each shard's table as soon as it is computed; `make` is called for the first."""
        worker: Worker | None = None
        for shard in shards:
            worker = worker or make()
            yield worker(shard)
