"""Engines: how a stage's function is mapped over its shards.

A stage gives shards (independent Arrow tables) and a maker of the function from table to table; it
knows nothing of engines. The maker runs once in each place that computes, so that a model is loaded
there and not carried. Every engine yields equal results in the order of the shards.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing
from queue import SimpleQueue
from typing import Protocol, TypeVar

import pyarrow as pa

from pipeline.progress import progress

Shard = TypeVar("Shard")
Result = TypeVar("Result")
Worker = Callable[[pa.Table], pa.Table]


class Engine(Protocol):
    """Where shards are computed."""

    def map(
        self, make: Callable[[], Callable[[Shard], Result]], shards: Iterable[Shard]
    ) -> Generator[Result, None, None]:
        """Yield `make()(shard)` for each shard, in order."""
        ...

    def ready(self) -> None:
        """Raise PipelineError where it cannot compute; called before anything is made."""


def shown(  # noqa: PLR0913  (what is mapped, what is shown, and the clock)
    engine: Engine,
    make: Callable[[], Worker],
    shards: Iterable[pa.Table],
    what: str,
    total: int,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[pa.Table, None, None]:
    """Yield the results of an engine, showing of how many rows they are; what is given out ahead is not
    counted."""
    sizes: deque[int] = deque()

    def noted() -> Iterator[pa.Table]:
        for shard in shards:
            sizes.append(len(shard))
            yield shard

    with closing(engine.map(make, noted())) as results:
        size = lambda result: sizes.popleft() if sizes else 0  # noqa: E731
        yield from progress(results, what, unit="row", total=total, size=size, clock=clock)


class InProcess:
    """Computes in this process, one shard after the other."""

    def ready(self) -> None:
        """It always is."""

    def map(
        self, make: Callable[[], Callable[[Shard], Result]], shards: Iterable[Shard]
    ) -> Generator[Result, None, None]:
        """Yield each shard's result as soon as it is computed; `make` is called for the first."""
        worker: Callable[[Shard], Result] | None = None
        for shard in shards:
            worker = worker or make()
            yield worker(shard)


class Threads:
    """Computes some shards at once in this process: for work that waits for others.

    When it is ended early, a worker's `stop` is called if it has one. Shards that were begun are finished
    if `finish` says so; else nothing waits for them.
    """

    def __init__(self, count: int, *, finish: bool = True) -> None:
        self.count, self.finish = count, finish

    def ready(self) -> None:
        """It always is."""

    def map(
        self, make: Callable[[], Callable[[Shard], Result]], shards: Iterable[Shard]
    ) -> Generator[Result, None, None]:
        """Yield each shard's result in order; `make` is called once, for the first."""
        worker: Callable[[Shard], Result] | None = None
        todo: SimpleQueue[tuple[Future, Callable, object] | None] = SimpleQueue()
        threads = [threading.Thread(target=_work, args=(todo,), daemon=True) for _ in range(self.count)]
        pending: deque[Future[Result]] = deque()
        whole = False
        for thread in threads:
            thread.start()
        try:
            for shard in shards:
                worker = worker or make()
                pending.append(Future())
                todo.put((pending[-1], worker, shard))
                if len(pending) > 2 * self.count:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
            whole = True
        finally:
            for future in pending:
                future.cancel()
            if not whole:
                getattr(worker, "stop", _nothing)()
            for _ in threads:
                todo.put(None)
            for thread in threads if self.finish else ():
                thread.join()


def _nothing() -> None: ...


def _work(todo: SimpleQueue[tuple[Future, Callable, object] | None]) -> None:
    while task := todo.get():
        future, worker, shard = task
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(worker(shard))
            except BaseException as exc:  # noqa: BLE001  (raised again where the result is asked for)
                future.set_exception(exc)
