"""One deadline for a whole request: connecting, headers and body, however slowly each of them trickles.

A timeout of `requests` limits a single read, and each byte of a header starts it anew. Here a thread
shuts the connection's socket when the time is up, which ends whatever read is waiting.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from functools import cache
from types import TracebackType
from typing import Any

from requests.adapters import HTTPAdapter

_of_thread = threading.local()


class Deadline:
    """In a `with`: what this thread asks for meanwhile, through an `Adapter`, ends `seconds` after `begin`.

    A request that is cut off fails in some way, or its body ends early; `passed` then says why. Entering
    takes the time that a new thread takes, and `begin` none.
    """

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._seconds = seconds
        self._begun, self._over = threading.Event(), threading.Event()
        self._connection: Any = None
        self._socket: Any = None

    def __enter__(self) -> Deadline:
        _of_thread.deadline = self
        threading.Thread(target=self._wait, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._begun.set()
        _of_thread.deadline = None

    def begin(self) -> None:
        """From now on time counts."""
        self._begun.set()

    def _wait(self) -> None:
        self._begun.wait()
        if not self._over.wait(self._seconds):
            self._end()

    def watch(self, connection: Any) -> None:
        """This is the connection that the thread uses now."""
        self._connection, self._socket = connection, connection.sock

    def _end(self) -> None:
        self.passed = True
        # a connection that is to be closed lets go of its socket before the body is read
        open_ = getattr(self._connection, "sock", None) or self._socket
        # the connection may have gone back to its pool, and another thread may use it now
        if isinstance(open_, socket.socket) and self._connection.deadline is self:
            with suppress(OSError):  # closed meanwhile
                # not the method of a TLS socket, which would let the waiting read go on without TLS
                socket.socket.shutdown(open_, socket.SHUT_RDWR)


class _Watched:
    """What a connection of urllib3 does more when its requests have a deadline."""

    deadline: Deadline | None = None

    def connect(self) -> None:
        """Connect; raises TimeoutError where that alone took too long."""
        self._watch()
        super().connect()  # type: ignore[misc]
        self._watch()
        if self.deadline is not None and self.deadline.passed:
            self.close()  # type: ignore[attr-defined]
            raise TimeoutError("no connection in time")

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request."""
        self._watch()
        super().request(*args, **kwargs)  # type: ignore[misc]

    def _watch(self) -> None:
        self.deadline = getattr(_of_thread, "deadline", None)
        if self.deadline is not None:
            self.deadline.watch(self)


@cache
def _watched(kind: type) -> type:
    return type(kind.__name__, (_Watched, kind), {})


class Adapter(HTTPAdapter):
    """Sends the requests of a session over connections that keep to their thread's Deadline."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """The pool of connections to a host or a proxy."""
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        if not issubclass(pool.ConnectionCls, _Watched):
            pool.ConnectionCls = _watched(pool.ConnectionCls)
        return pool
