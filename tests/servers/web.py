"""A web server on this machine for the fetcher's tests: serves pages, misbehaves as told, keeps a log."""

from __future__ import annotations

import fcntl
import gzip
import socket
import struct
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _UP = 0x8913, 0x8914, 1


@cache
def loopback() -> None:
    """Make sure that this machine can connect to itself: `unshare --net` leaves that switched off."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("127.0.0.1", 9))
            return
        except OSError:
            pass
        try:
            flags = fcntl.ioctl(probe, _SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
            up = struct.unpack("16sh14x", flags)[1] | _UP
            fcntl.ioctl(probe, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", up))
        except PermissionError:
            pytest.skip("the loopback interface is down and may not be switched on: ip link set lo up")


def serve(server: Any, told: str) -> None:
    """Say where a server is, and let it serve until Ctrl-C."""
    print(f"{told}  (end with Ctrl-C)", file=sys.stderr)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        server.close()


class WebServer:
    """Serves `pages` by path. The functions in `faults[path]` answer first, one per request, then `always`:
    each is given the handler and the page's body. `log` holds (path, seconds, headers) of every request."""

    def __init__(self, pages: dict[str, bytes]) -> None:
        loopback()
        self.pages = pages
        self.faults: dict[str, list[Callable]] = defaultdict(list)
        self.always: Callable | None = None
        self.log: list[tuple[str, float, dict[str, str]]] = []
        self.at_once = self.most_at_once = 0
        self._mutex = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else each answer waits 40 ms between its head and its body

            def log_message(self, *args: object) -> None: ...

            def do_GET(self) -> None:
                outer._serve(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *args: None  # clients that go away are part of the tests
        self.address = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> WebServer:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def asked(self) -> Counter[str]:
        """How often each path was asked for."""
        with self._mutex:
            return Counter(path for path, *_ in self.log)

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.lstrip("/")
        with self._mutex:
            self.log.append((path, time.monotonic(), dict(handler.headers)))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            fault = self.faults[path].pop(0) if self.faults[path] else self.always
        try:
            body = self.pages.get(path)
            if fault and (path != "robots.txt" or fault is not self.always):
                fault(handler, body)
            elif body is None:
                send(handler, b"<h1>Not Found</h1>", code=404)
            else:
                send(handler, body)
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with self._mutex:
                self.at_once -= 1


def send(handler, body: bytes, *, code: int = 200, length: int | None = None, **headers: str) -> None:
    """Answer with a body; `length` may lie about it."""
    handler.send_response(code)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)
    if length is not None:
        handler.close_connection = True


def status(code: int, **headers: str) -> Callable:
    """Answer with an error."""
    return lambda handler, body: send(handler, b"<h1>Sorry</h1>", code=code, **headers)


def instead(other: bytes, **headers: str) -> Callable:
    """Answer 200 with something else."""
    return lambda handler, body: send(handler, other, **headers)


def cut(handler, body: bytes) -> None:
    """Promise the whole page, send half and close."""
    send(handler, body[: len(body) // 2], length=len(body))


def too_short_a_length(handler, body: bytes) -> None:
    """Announce fewer bytes than there are."""
    send(handler, body, length=len(body) // 2)


def reset(handler, body: bytes) -> None:
    """Reset the connection in the middle of the body."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[:500])
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def hang(handler, body: bytes) -> None:
    """Send nothing for a while."""
    time.sleep(1.5)
    handler.close_connection = True


def trickle(handler, body: bytes) -> None:
    """Send a byte now and then, so that no single read takes long."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    for at in range(30):
        handler.wfile.write(body[at : at + 1])
        handler.wfile.flush()
        time.sleep(0.1)
    handler.close_connection = True


def raw(answer: bytes) -> Callable:
    """Send these bytes as the whole answer, its head included."""

    def send_raw(handler, body: bytes) -> None:
        handler.wfile.write(answer)
        handler.close_connection = True

    return send_raw


def dripping(before: bytes, drop: bytes, *, drops: int = 100) -> Callable:
    """Send the beginning of an answer, and then a drop 20 times a second, so that no read takes long."""

    def drip(handler, body: bytes) -> None:
        handler.close_connection = True
        handler.wfile.write(before)
        for _ in range(drops):
            handler.wfile.write(drop)
            time.sleep(0.05)

    return drip


def zipped(handler, body: bytes) -> None:
    """Send the page compressed."""
    send(handler, gzip.compress(body), Content_Encoding="gzip")


def badly_zipped(handler, body: bytes) -> None:
    """Send something that only claims to be compressed."""
    send(handler, body, Content_Encoding="gzip")
