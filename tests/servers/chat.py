"""A server of OpenAI's protocol on this machine: answers, or fails as it is told to.

It has no language model: it names the first token that was marked, and judges by whether the last word of
the description stands in a window. `python tests/servers/chat.py` serves it on port 8808.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))  # of a program that is run as a file
from servers.web import loopback, serve

MODELS = {"small": None, "gone": "2026-01-31"}
PORT = 8808
KEY = "sk-secret-of-the-tests"


def completion(text: str | None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """A chat completion with one choice."""
    choice = dict(index=0, finish_reason=finish, message=dict(role="assistant", content=text) | message)
    usage = dict(prompt_tokens=100, completion_tokens=10, total_tokens=110)
    return dict(id="c", object="chat.completion", created=0, model="small", choices=[choice], usage=usage)


def error(status: int, message: str, headers: dict[str, str] | None = None, **more: Any) -> Callable:
    """A fault: an HTTP error as the API words it.

    One that is worth another try asks for it after a millisecond, unless `headers` are given.
    """
    if headers is None:
        headers = {"retry-after-ms": "1"} if status == 429 or status >= 500 else {}
    body = dict(error=dict(message=message, type=None, param=None, code=None) | more)
    return lambda handler: handler.give(status, json.dumps(body).encode(), headers)


def body(content: object, kind: str = "application/json") -> Callable:
    """A fault: a body other than a good completion, as bytes or as what JSON is made of."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return lambda handler: handler.give(200, data, {"Content-Type": kind})


def cut_off(handler: Any) -> None:
    """A fault: the connection breaks in the middle of an answer."""
    data = json.dumps(completion("never whole")).encode()
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data[: len(data) // 2])
    handler.wfile.flush()
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def hang(handler: Any) -> None:
    """A fault: nothing comes for longer than the test's time limit."""
    time.sleep(1.5)


def silent(handler: Any) -> None:
    """A fault: nothing comes, for a minute."""
    time.sleep(60)


def _endless(first: bytes, again: bytes) -> Callable:
    """A fault: something, and then more of it every 50 ms, without end."""

    def fault(handler: Any) -> None:
        try:
            handler.wfile.write(first)
            while True:
                handler.wfile.write(again)
                time.sleep(0.05)
        except OSError:
            handler.close_connection = True

    return fault


_FIRST = b"HTTP/1.1 200 OK\r\n"
slow_header = _endless(_FIRST + b"X-Wait: ", b"x")
slow_headers = _endless(_FIRST, b"X-Wait: 1\r\n")
interim = _endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n")
trickle = _endless(_FIRST + b"Content-Length: 100000\r\n\r\n", b" ")

# a fault for each status that a server decides
FAILURES = {
    "unauthorised": error(401, "Incorrect API key"),
    "no_such_model": error(404, "no such model"),
    "no_quota": error(429, "You exceeded your quota", {}, code="insufficient_quota"),
    "rate_limited": error(429, "slow down", {"retry-after": "600"}),
    "bad_request": error(400, "too long"),
    "unreadable": body(b"<html>", "text/html"),
    "refused": body(completion(None, refusal="I cannot help with that")),
    "content_filter": body(completion("x", "content_filter")),
    "length": body(completion("half of a", "length")),
    "empty": body(completion("")),
    "no_choices": body(completion("x") | {"choices": None}),
}


class ChatServer:
    """Each of `faults` answers one call; after them `always` does, or a good answer.

    `asked` holds the bodies of all calls, `keys` their Authorization.
    """

    def __init__(self, port: int = 0) -> None:
        loopback()
        self.faults: list[Callable] = []
        self.always: Callable | None = None
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.delay_s = 0.0
        self.at_once = self.most_at_once = 0
        self._mutex = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *args: object) -> None: ...

            def give(self, code: int, data: bytes, headers: dict[str, str]) -> None:
                self.send_response(code)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self) -> None:
                name = self.path.rsplit("/", 1)[1]
                model = dict(id=name, object="model", created=0, owned_by="us")
                model |= dict(shutdown_date=MODELS.get(name))
                self.give(200 if name in MODELS else 404, json.dumps(model).encode(), {})

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append(asked)
                outer.keys.append(self.headers["Authorization"])
                fault = outer.faults.pop(0) if outer.faults else outer.always
                with outer._mutex:
                    outer.at_once += 1
                    outer.most_at_once = max(outer.most_at_once, outer.at_once)
                try:
                    time.sleep(outer.delay_s)
                    (fault or body(completion(answer(asked))))(self)
                finally:
                    with outer._mutex:
                        outer.at_once -= 1

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


def answer(asked: dict[str, Any]) -> str:
    """The answer to a prompt: a description, or a list of judgements."""
    shown = json.loads(asked["messages"][-1]["content"].rpartition("\n\n")[2])  # alone, or after the words
    if "phrases" in shown:
        said = "tokens such as " + marked(shown["phrases"][0])
        return json.dumps({"description": said}) if "response_format" in asked else said
    wanted = shown["description"].split()[-1]
    windows = shown["windows"]
    texts = [marked(w) if "⟦" in w else w for w in windows]
    found = [int(wanted in re.split(r"\W+", text) or wanted == text) for text in texts]
    return json.dumps({"judgements": found} if "response_format" in asked else found)


def marked(text: str) -> str:
    """The first marked token of a text."""
    return text.partition("⟦")[2].partition("⟧")[0].strip()


@pytest.fixture
def chat(monkeypatch):
    """The server, as the environment names it."""
    server = ChatServer()
    monkeypatch.setenv("OPENAI_BASE_URL", server.address)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    yield server
    server.close()


if __name__ == "__main__":
    served = ChatServer(PORT)
    serve(served, f"OPENAI_BASE_URL={served.address}")
