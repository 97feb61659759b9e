"""Engines: how a stage's function is mapped over its shards.

A stage gives shards (independent Arrow tables) and a maker of the function from table to table; it
knows nothing of engines. The maker runs once in each place that computes, so that a model is loaded
there and not carried. Every engine yields equal tables in the order of the shards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import pyarrow as pa

Worker = Callable[[pa.Table], pa.Table]
Tables = Generator[pa.Table, None, None]


class Engine(Protocol):
    """Where shards are computed."""

    def map(self, make: Callable[[], Worker], shards: Iterable[pa.Table]) -> Tables:
        """Yield `make()(shard)` for each shard, in order."""
        ...


class InProcess:
    """Computes in this process, one shard after the other."""

    def map(self, make: Callable[[], Worker], shards: Iterable[pa.Table]) -> Tables:
        """Yield each shard's table as soon as it is computed; `make` is called for the first."""
        worker: Worker | None = None
        for shard in shards:
            worker = worker or make()
            yield worker(shard)


class Threads:
    """Computes some shards at once in this process: for work that waits for others.

    Whatever ends it early, shards that were begun are finished; a worker's `stop`, if it has one, is called
    so that they are soon.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def map(self, make: Callable[[], Worker], shards: Iterable[pa.Table]) -> Tables:
        """Yield each shard's table in order; `make` is called once, for the first."""
        worker: Worker | None = None
        pending: deque[Future[pa.Table]] = deque()
        whole = False
        with ThreadPoolExecutor(self.count) as pool:
            try:
                for shard in shards:
                    worker = worker or make()
                    pending.append(pool.submit(worker, shard))
                    if len(pending) > 2 * self.count:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
                whole = True
            finally:
                for future in pending:
                    future.cancel()
                if not whole and hasattr(worker, "stop"):
                    worker.stop()
