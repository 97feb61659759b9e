"""Ray: a stage's shards are computed in processes of a cluster.

This module and ray_processes.py are its adapter, imported when it is used.

What is Ray's. Actors: each is a process that holds a stage's function with its model, one per GPU or per so
many cores, and keeps it for the next shards; Ray places them. The object store: shards and rows go through
it as Arrow, and it spills to disk when it is full. `ray.wait` tells what is done.

What is not. Ray Data wants to read its input by itself, in tasks, and cannot tell which row ended a
process; shards come one by one here. Ray's retries (`max_restarts`, `max_task_retries`) bind a shard to
its actor, which may find no place any more when its node is gone, and count against a shard what the one
before it did. So a shard whose process ended is handed to any other process here, where it is alone, so
that it is sure which shard it was; after three times it is left out, and named when all others are done.

Back-pressure: each process has a shard that it computes and one that waits, and of results that are not
taken yet there are a few for each. So neither memory nor the object store grows with the table.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.exceptions import RayError, RayTaskError

from pipeline.config import Config
from pipeline.engine.engines import Result, Shard
from pipeline.engine.ray_processes import Hand, Pool, connect, packed, sent, taken
from pipeline.errors import PipelineError
from pipeline.output import tell

_TRIES = 3  # of a shard whose process ends
_AHEAD = 2  # shards that a process is given: one is computed, one waits
_WINDOW = 4  # shards for each process that are given out and not taken yet
_WAIT_S = 1.0


class Ray:
    """Computes in processes of a cluster: of RAY_ADDRESS, or of this machine, started for this run.

    Where nothing is `shared`, files are carried to every node as if no disk were. Leaving it ends all that
    it started.
    """

    def __init__(self, config: Config, *, shared: bool = True) -> None:
        self._config, self._shared = config, shared
        self._pool: Pool | None = None

    def ready(self) -> None:
        """Reach the cluster; raises PipelineError where that cannot be."""
        if self._pool is None:
            self._pool = Pool(self._config, connect(os.environ.get("RAY_ADDRESS")), shared=self._shared)

    def map(
        self, make: Callable[[], Callable[[Shard], Result]], shards: Iterable[Shard]
    ) -> Generator[Result, None, None]:
        """Yield each shard's result, in order; `make` is called in every process that gets one.

        A shard that ends three processes is left out; PipelineError, raised after the last result, names
        it.
        """
        given = iter(shards)
        for first in given:
            self.ready()
            if self._pool is None:
                raise ValueError("a cluster that is ready has a pool")
            work = _Round(self._pool, packed(make), chain([first], given))
            try:
                yield from work.results()
            except RayError as exc:
                raise PipelineError(f"Ray: {_line(exc)}") from exc
            finally:
                work.end()

    def __enter__(self) -> Ray:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._pool:
            self._pool.end()
            self._pool = None


@dataclass(eq=False)
class _Task:
    """A shard that was given out: what it holds in words, where it is in the object store, and its
    result."""

    number: int
    what: str
    shard: ray.ObjectRef
    rows: ray.ObjectRef | None = None
    is_done: bool = False
    error: BaseException | None = None
    lost_on: list[str] = field(
        default_factory=list
    )  # the nodes on which it was alone when its process ended

    @property
    def is_given_up(self) -> bool:
        return len(self.lost_on) >= _TRIES


class _Round:
    """The shards of one stage, from the first that is given out to the last result."""

    def __init__(self, pool: Pool, make: bytes, shards: Iterator[Any]) -> None:
        self._pool, self._make, self._shards = pool, ray.put(make), enumerate(shards)
        self._tasks: deque[_Task] = deque()  # in order; the first is the next to be taken
        self._again: list[_Task] = []
        self._running: dict[ray.ObjectRef, tuple[_Task, Hand]] = {}
        self._given_up: list[_Task] = []
        self._n_done, self._more = 0, True
        pool.greet()

    def results(self) -> Iterator[Any]:
        """The results in order."""
        while self._more or self._tasks:
            self._give()
            first = self._tasks[0] if self._tasks else None
            if first and first.is_given_up:
                self._tasks.popleft()
            elif first and first.error:
                raise first.error
            elif first and first.is_done:
                try:
                    rows = taken(ray.get(first.rows))
                except RayError as exc:  # the node that kept it is gone
                    self._lost(first, "a node that is gone", _line(exc))
                    continue
                self._tasks.popleft()
                self._n_done += 1
                yield rows
            else:
                self._wait()
        if self._given_up:
            raise PipelineError(self._named())

    def _give(self) -> None:
        """Give shards to processes that have too few."""
        for most in range(1, _AHEAD + 1):
            for hand in self._pool.ready:
                if len(hand.tasks) < most and (task := self._next(hand)):
                    done, task.rows = hand.process.work.options(num_returns=2).remote(
                        self._make, task.shard
                    )
                    self._running[done] = task, hand
                    hand.tasks.append(task)

    def _next(self, hand: Hand) -> _Task | None:
        """The next shard for a process; one whose process ended goes to one that has nothing else."""
        if hand.tasks and hand.tasks[0].lost_on:
            return None
        for task in self._again:
            if not (task.lost_on and hand.tasks):
                self._again.remove(task)
                return task
        if len(self._tasks) >= _WINDOW * max(1, len(self._pool.ready)):
            return None
        for number, shard in self._shards:
            self._tasks.append(_Task(number, _what(shard), ray.put(sent(shard))))
            return self._tasks[-1]
        self._more = False
        return None

    def _wait(self) -> None:
        """Wait until a shard is done or a process is there, for a second at most."""
        self._pool.tend()
        waited = [*self._running, *self._pool.starting]
        if not waited:  # no node has room
            time.sleep(_WAIT_S)
            return
        ready, _ = ray.wait(waited, timeout=_WAIT_S, fetch_local=False)
        if ready and len(waited) > 1:
            ready, _ = ray.wait(waited, num_returns=len(waited), timeout=0, fetch_local=False)
        for ref in ready:
            if ref in self._running:
                self._end(ref)
            elif ref in self._pool.starting:
                self._pool.welcome(ref)

    def _end(self, ref: ray.ObjectRef) -> None:
        """See how a shard ended."""
        task, hand = self._running.pop(ref)
        try:
            self._pool.tell(ray.get(ref))
            task.is_done = True
        except RayTaskError as exc:
            task.error = exc.cause if isinstance(exc.cause, Exception) else exc
            task.error.__cause__ = None if task.error is exc else exc  # where it was raised
        except RayError as exc:
            self._pool.drop(hand)
            others = [each for each in hand.tasks if each is not task]
            self._running = {ref: each for ref, each in self._running.items() if each[1] is not hand}
            self._again = [*others, *self._again]
            hand.tasks.clear()
            self._lost(task, hand.name, why=_line(exc))
            return
        hand.tasks.remove(task)

    def _lost(self, task: _Task, where: str, why: str = "") -> None:
        """A shard has to be computed again, or is given up."""
        task.is_done, task.rows = False, None
        task.lost_on.append(where)
        if not task.is_given_up:
            self._again.append(task)
            return
        self._given_up.append(task)
        tell(f"WARNING: {task.what} ended {_TRIES} processes and is left out for now: {why or where}")
        if len(self._given_up) >= _TRIES and not self._n_done and not any(t.is_done for t in self._tasks):
            raise PipelineError(self._named())

    def _named(self) -> str:
        """What shards could not be computed."""
        shown = "; ".join(f"{each.what} (on {', '.join(each.lost_on)})" for each in self._given_up[:5])
        return (
            f"{len(self._given_up)} shards ended each of {_TRIES} processes that took them: {shown}; "
            f"{self._n_done:,} others are done. Memory is the usual reason: give less MEMORY_MB "
            "(--memory-mb) or more "
            f"CPUS_PER_WORKER (--cpus-per-worker); Ray's logs: {self._pool.logs}"
        )

    def end(self) -> None:
        """Nothing is computed any more."""
        for hand in {hand for _, hand in self._running.values()}:
            self._pool.drop(hand)
        self._running.clear()


def _what(shard: Any) -> str:
    """A shard in words."""
    if not isinstance(shard, pa.Table):
        return f"shard {str(shard)[:60]}"
    rows = f"a shard of {len(shard):,} rows"
    if "neuron" not in shard.column_names or not len(shard):
        return rows
    ends = pc.min_max(shard["neuron"]).as_py()
    return f"{rows} (neurons {ends['min']} to {ends['max']})"


def _line(exc: BaseException) -> str:
    """What Ray says, in a line."""
    return " ".join(str(exc).split())[:240]
