"""Calls that wait for a server, each with one deadline, and all of them ended from outside.

A client's own limits hold for each step, such as a read, so that a server which sends a byte now and then
keeps it for ever. Here the whole call has to end in time: finding the server, connecting, headers, body.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

Result = TypeVar("Result")


class EndedError(Exception):
    """The call was ended before its result was there."""


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that looks names up in threads of their own, which no program waits for at its end."""

    def __init__(self, find: Callable[..., Any]) -> None:
        super().__init__()
        self._find = find

    async def getaddrinfo(self, host: Any, port: Any, **how: Any) -> Any:
        found: Future[Any] = Future()
        found.set_running_or_notify_cancel()
        threading.Thread(target=self._look_up, args=(found, host, port), kwargs=how, daemon=True).start()
        return await asyncio.wrap_future(found, loop=self)

    def _look_up(self, found: Future[Any], host: Any, port: Any, **how: Any) -> None:
        try:
            found.set_result(self._find(host, port, **how))
        except (OSError, UnicodeError) as exc:
            found.set_exception(exc)


class Calls:
    """Runs coroutines in one thread of its own, for any number of threads that wait for them. `find` looks
    up the address of a name."""

    def __init__(self, find: Callable[..., Any] = socket.getaddrinfo) -> None:
        self._loop = _Loop(find)
        threading.Thread(target=_run, args=(self._loop,), daemon=True).start()
        weakref.finalize(self, self._loop.call_soon_threadsafe, self._loop.stop)

    def wait(self, call: Coroutine[Any, Any, Result], timeout_s: float) -> Result:
        """The result of a call. Raises TimeoutError where it is not there in time, EndedError where `end`
        came first, and what the call raises."""
        try:
            return asyncio.run_coroutine_threadsafe(_limited(call, timeout_s), self._loop).result()
        except CancelledError as exc:
            raise EndedError from exc

    def end(self, grace_s: float) -> None:
        """End all calls that are under way in `grace_s` seconds; returns at once."""
        self._loop.call_soon_threadsafe(self._loop.call_later, grace_s, _cancel, self._loop)


async def _limited(call: Coroutine[Any, Any, Result], timeout_s: float) -> Result:
    async with asyncio.timeout(timeout_s):
        return await call


def _cancel(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()
