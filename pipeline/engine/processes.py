"""Computes shards in several processes: for work of Python that would keep one core busy.

Each is a new interpreter that imports only what the stage's function needs: nothing is forked, and whoever
calls this from a program of their own needs no `if __name__ == "__main__"`. Shards and rows go through its
stdin and stdout. A process ends when its stdin does, so that none is left where this one is killed; Ctrl-C
does not reach them.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from itertools import chain, islice
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

from pipeline.engine.engines import InProcess, Result, Shard, Threads
from pipeline.errors import PipelineError

_FEW = 16  # shards that are computed before another process would be ready
_PACKAGE = Path(__file__).parents[1]


class Processes:
    """Computes shards in as many processes as there are cores, few of them in this one."""

    def __init__(self, count: int | None = None, few: int = _FEW) -> None:
        self.count, self.few = count or cores(), few

    def ready(self) -> None:
        """It always is."""

    def map(
        self, make: Callable[[], Callable[[Shard], Result]], shards: Iterable[Shard]
    ) -> Generator[Result, None, None]:
        """Yield each shard's result in order; `make` is called in every process, and can be pickled."""
        left = iter(shards)
        first = list(islice(left, self.few + 1))
        if len(first) <= self.few or self.count < 2:
            yield from InProcess().map(make, chain(first, left))
            return
        workers = _Workers(make, self.count)
        try:
            yield from Threads(self.count, finish=False).map(lambda: workers, chain(first, left))
        finally:
            workers.stop()


def cores() -> int:
    """Cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # Linux
    return len(allowed(0)) if allowed else os.cpu_count() or 1


class _Workers:
    """Some processes; a shard goes to one that is free."""

    def __init__(self, make: Callable[[], Any], count: int) -> None:
        path = os.pathsep.join([str(_PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._all = [
            subprocess.Popen(
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": path},
                process_group=0,
            )
            for _ in range(count)
        ]
        self._free: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        self._make = make
        for each in self._all:
            self._free.put(each)

    def __call__(self, shard: Any) -> Any:
        """A shard's result; raises what the function raises, PipelineError where its process died."""
        each = self._free.get()
        assert each.stdin and each.stdout
        try:
            _send(each.stdin, (self._make, shard))
            succeeded, found = _received(each.stdout)
        except (EOFError, OSError) as exc:
            raise PipelineError(
                f"a process that was to compute a part of a table ended (exit code {each.wait()}); it may "
                "have been out of memory: run again"
            ) from exc
        self._free.put(each)
        if not succeeded:
            raise found
        return found

    def stop(self) -> None:
        """End them, whatever they are doing."""
        for each in self._all:
            each.kill()
        for each in self._all:
            each.wait()


def _send(pipe: IO[bytes], message: Any) -> None:
    pickle.dump(message, pipe, protocol=5)
    pipe.flush()


def _received(pipe: IO[bytes]) -> Any:
    return pickle.load(pipe)


def _serve() -> None:
    """Compute what comes on stdin until it ends; what a worker prints goes to stderr."""
    taken = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    todo: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(todo,), daemon=True).start()
    worker = None
    while True:
        make, shard = todo.get()
        try:
            worker = worker or make()
            answer = True, worker(shard)
        except BaseException as exc:  # noqa: BLE001  (raised again in the process that asked)
            answer = False, exc
        _send(taken, answer)


def _listen(todo: SimpleQueue[Any]) -> None:
    """Take what comes on stdin, and end this process with it, whatever it is doing."""
    try:
        while True:
            todo.put(_received(sys.stdin.buffer))
    except (EOFError, pickle.UnpicklingError):
        os._exit(0)


if __name__ == "__main__":
    _serve()
