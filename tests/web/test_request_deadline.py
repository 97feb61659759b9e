"""A whole request has one deadline, whatever part of the answer trickles."""

import socketserver
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from servers import web as server
from servers.web import WebServer, loopback

from pipeline.errors import PipelineError
from pipeline.web.deadline import Adapter, Deadline
from pipeline.web.site import Manners, Web

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
BODY = b"<p>a page</p>"
OK = b"HTTP/1.1 200 OK\r\n"
ZIPPED = OK + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08" + bytes(6)  # then the file's name
TRICKLES = {
    "a status line": (b"HTTP/1.1 200 ", b"O"),
    "a header": (OK + b"X: ", b"x"),
    "many headers": (OK, b"X: x\r\n"),
    "answers to come": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body of known length": (OK + b"Content-Length: 1000\r\n\r\n", b"x"),
    "a body of unknown length": (b"HTTP/1.0 200 OK\r\n\r\n", b"x"),
    "a body of a connection that is closed": (OK + b"Connection: close\r\n\r\n", b"x"),
    "a chunk's length": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "a chunk's extension": (OK + b"Transfer-Encoding: chunked\r\n\r\n3;", b"x"),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "a trailer": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: x\r\n"),
    "a compressed body that gives nothing": (ZIPPED, b"x"),
    "a redirect": (b"HTTP/1.1 302 Found\r\nLocation: ", b"/"),
    "an error": (b"HTTP/1.1 500 ", b"x"),
}


@pytest.fixture
def site():
    with WebServer({"page": BODY, "other": BODY}) as running:
        yield running


def answer(site, **manners):
    asked = Web(
        site.address, Manners(**dict(rate=1000, connections=2, timeout_s=0.3, tries=1, wait_s=0) | manners)
    )
    try:
        return asked.get("page", lambda body: None, None, None)
    finally:
        asked.close()


@pytest.mark.parametrize("what", TRICKLES)
def test_an_answer_that_trickles_ends_in_time(site, what):
    site.faults["page"] = [server.dripping(*TRICKLES[what])]
    begun = time.monotonic()
    found = answer(site)
    assert time.monotonic() - begun < 3  # the drops alone take 5 s
    assert (found.status, found.body) == ("failed", None)
    assert found.reason == "no whole answer in 0.3 s (1 tries)"


@pytest.mark.parametrize("what", ["a header", "answers to come", "a body of unknown length"])
def test_a_robots_txt_that_trickles_ends_in_time(site, what):
    site.faults["robots.txt"] = [server.dripping(*TRICKLES[what])]
    with pytest.raises(PipelineError, match=r"cannot reach .*: no whole answer in 0\.3 s"):
        answer(site)


@pytest.mark.parametrize("what", ["a header", "a body of known length"])
def test_an_answer_that_is_slow_and_yet_in_time_is_taken(site, what):
    before, drop = TRICKLES[what]
    rest = b"\r\nContent-Length: 2\r\n\r\nok" if what == "a header" else b"x" * 997

    def slow(handler, body):
        server.dripping(before, drop, drops=3)(handler, body)
        handler.wfile.write(rest)

    site.faults["page"] = [slow]
    assert answer(site, timeout_s=5).status == "ok"


def test_after_a_deadline_the_next_request_is_not_disturbed(site):
    site.faults["page"] = [server.dripping(*TRICKLES["a header"])]
    assert answer(site, tries=2).body == BODY


@pytest.fixture
def proxy():
    """A proxy that answers byte by byte; gives its address."""
    loopback()

    class Trickling(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(1000)
            for _ in range(100):
                try:
                    self.request.sendall(b"H")
                except OSError:
                    return
                time.sleep(0.05)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Trickling) as running:
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_trickles_ends_in_time(proxy, monkeypatch, scheme):
    monkeypatch.setenv(f"{scheme}_proxy", proxy)
    asked = Web(f"{scheme}://site.example/", Manners(1000, 1, timeout_s=0.3, tries=1, wait_s=0))
    with pytest.raises(PipelineError, match=r"no whole answer in 0\.3 s"):
        asked.get("page", lambda body: None, None, None)


def test_a_deadline_ends_only_requests_of_its_own_thread(site):
    site.always = server.dripping(OK + b"Connection: close\r\n\r\n", b"x", drops=20)
    session = requests.Session()
    session.mount("http://", Adapter())

    def read(path, seconds):
        with Deadline(seconds) as deadline:
            deadline.begin()
            with session.get(site.address + path, stream=True) as found:
                return len(found.raw.read()), deadline.passed

    with ThreadPoolExecutor(2) as pool:
        long, short = pool.submit(read, "page", 30), pool.submit(read, "other", 0.2)
        n_read, passed = short.result()
        assert (n_read < 20, passed) == (True, True)
        assert long.result() == (20, False)
