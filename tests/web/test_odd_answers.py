"""Whatever a server answers, a site gives an answer or an error of our own, fit for a terminal."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import web as server
from servers.web import WebServer

from pipeline.errors import PageError, PipelineError
from pipeline.web.site import Manners, Web

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
STEERING = "\x1b[31m\x9b2J\x07\u202e\u2066"


@pytest.fixture(scope="module")
def site():
    with WebServer({"page": b"<p>a page</p>"}) as running:
        yield running


def ask(site, path="page", accept=len, etag=None):
    asked = Web(site.address, Manners(10_000, 1, timeout_s=5, tries=1, wait_s=0, n_bytes=1000))
    try:
        return asked.get(path, accept, etag, None)
    finally:
        asked.close()


def harmless(text):
    """Whether a text holds neither control characters nor those that turn the direction of writing."""
    return not any(
        unicodedata.category(char) == "Cc" or unicodedata.bidirectional(char) in TURNING for char in text
    )


HEADERS = (
    "Location",
    "Content-Length",
    "Content-Encoding",
    "Transfer-Encoding",
    "Retry-After",
    "ETag",
    "Set-Cookie",
)
VALUES = (
    *(
        "",
        "-1",
        "5, 6",
        "x",
        "gzip",
        "gzip, gzip, br",
        "chunked",
        "/",
        "//",
        "http://",
        "http://[",
        "a:b",
        "%",
        "\x1b[2J",
    ),
    *(
        "/page",
        "/page#\x1b[2J",
        "http://127.0.0.1:x/",
        "1" * 40,
        "a=b; expires=x; path=\x9b",
        "Mon, 99 Jan 0000",
    ),
)
status_lines = st.builds(
    "HTTP/1.1 {} {}".format,
    st.sampled_from((200, 204, 206, 301, 304, 404, 429, 503, 999)),
    st.text(max_size=5),
)
headers = st.builds(
    "{}: {}".format, st.sampled_from(HEADERS), st.sampled_from(VALUES) | st.text(max_size=9)
)
answers = st.builds(
    lambda status, given, body: "\r\n".join([status, *given, "", ""]).encode("latin-1", "replace") + body,
    status_lines,
    st.lists(headers, max_size=4),
    st.binary(max_size=20),
)


@settings(max_examples=150, deadline=None)
@given(answers | st.binary(max_size=60), st.sampled_from(["page", "robots.txt"]))
def test_any_bytes_give_an_answer_or_an_error_of_our_own(site, answer, path):
    site.faults[path] = [server.raw(answer)]
    try:
        reason = ask(site).reason
    except PipelineError as exc:
        reason = str(exc)
    finally:
        site.faults[path].clear()
    assert harmless(reason or "")


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(VALUES) | st.text(max_size=20))
def test_any_redirect_gives_an_answer_fit_for_a_terminal(site, place):
    place = place.encode("latin-1", "replace").replace(b"\n", b"").replace(b"\r", b"")
    site.faults["page"] = [
        server.raw(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + place + b"\r\n\r\n")
    ]
    answer = ask(site)
    assert answer.status in ("ok", "refused", "failed", "missing")
    assert harmless(answer.reason or "")


@pytest.mark.parametrize(
    "answer",
    [
        b"\x1b[31mHTTP/1.1 what\x9b2J\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\x1b[31m\x9b2J\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://\x1b[31m\x9b2J/\r\n\r\n",
    ],
)
def test_what_steers_a_terminal_does_not_reach_a_reason(site, answer):
    site.faults["page"] = [server.raw(answer)]
    found = ask(site)
    assert found.reason
    assert harmless(found.reason)


def test_what_steers_a_terminal_in_what_was_found_does_not_reach_a_reason(site):
    def accept(body):
        raise PageError(f"expected a page, found {STEERING}")

    assert harmless(ask(site, accept=accept).reason)


@pytest.mark.parametrize("etag", ['"a"\r\n b', '"\x9b"', "\u20ac", "x" * 5000])
def test_a_validator_that_cannot_be_sent_back_is_left_out(site, etag):
    site.log.clear()
    assert ask(site, etag=etag).status == "ok"
    assert "If-None-Match" not in site.log[-1][2]


@pytest.mark.parametrize("length", ["", "Content-Length: 5000\r\n", "Transfer-Encoding: chunked\r\n"])
def test_a_page_that_is_too_large_is_asked_for_once_and_its_limit_told(site, length):
    body = b"x" * 5000 if "chunked" not in length else b"1388\r\n" + b"x" * 5000 + b"\r\n0\r\n\r\n"
    site.faults["page"] = [server.raw(f"HTTP/1.1 200 OK\r\n{length}\r\n".encode() + body)]
    site.log.clear()
    asked = Web(site.address, Manners(10_000, 1, timeout_s=5, tries=3, wait_s=0, n_bytes=1000))
    answer = asked.get("page", len, None, None)
    assert (answer.status, answer.body, answer.reason) == ("unreadable", None, "more than 1,000 bytes")
    assert site.asked()["page"] == 1
