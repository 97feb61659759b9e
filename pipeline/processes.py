"""Work in as many processes as there are cores: answers in order, a few items under way at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeVar

from pipeline.errors import PipelineError

Item = TypeVar("Item")
Answer = TypeVar("Answer")
_AHEAD = 2  # items a process, so that none waits and few are held in memory


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def mapped(work: Callable[[Item], Answer], items: Iterable[Item], processes: int) -> Iterator[Answer]:
    """What `work` gives of each item, in their order; with one process here, else in new ones.

    `work`, items and answers have to be picklable. What `work` raises is raised here; PipelineError where a
    process is killed.
    """
    if processes < 2:
        yield from map(work, items)
        return
    pool = ProcessPoolExecutor(
        processes, mp_context=multiprocessing.get_context("spawn"), initializer=_ready
    )
    underway: deque[Future[Answer]] = deque()
    try:
        for item in items:
            underway.append(_submitted(pool, work, item))
            if len(underway) > _AHEAD * processes:
                yield underway.popleft().result()
        while underway:
            yield underway.popleft().result()
    except BrokenProcessPool as exc:
        raise PipelineError("a process was killed, perhaps for want of memory; free some") from exc
    finally:
        pool.shutdown(cancel_futures=True)


def _submitted(pool: ProcessPoolExecutor, work: Callable[[Item], Answer], item: Item) -> Future[Answer]:
    """Start work; a process that this starts finds our package before another of the same name."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    try:
        return pool.submit(work, item)
    finally:
        del sys.path[0]


def _ready() -> None:
    """Leave Ctrl-C to the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
