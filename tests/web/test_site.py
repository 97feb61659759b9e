"""Fetching is polite and survives what servers do, shown against a server on this machine."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from servers import web as server
from servers.web import WebServer

from pipeline.errors import PageError, PipelineError, UserError
from pipeline.web.site import Manners, StopError, Web

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
BODY = b"<p>" + b"a page " * 3000 + b"</p>"


def accept(body):
    if not (body.startswith(b"<p>") and body.endswith(b"</p>")):
        raise PageError(f"expected a page, found {body[:10]!r}")


@pytest.fixture
def site():
    with WebServer({"page": BODY, "other": b"<p>other</p>"}) as running:
        yield running


def web(site, **manners):
    usual = dict(rate=1000.0, connections=4, timeout_s=0.5, tries=4, wait_s=0.02)
    return Web(site.address, Manners(**usual | manners))


def get(site, path="page", *, etag=None, last_modified=None, **manners):
    asked = web(site, **manners)
    try:
        return asked.get(path, accept, etag, last_modified)
    finally:
        asked.close()


def test_a_page_comes_whole_and_the_site_learns_who_asks(site):
    answer = get(site)
    assert (answer.status, answer.body, answer.reason) == ("ok", BODY, None)
    assert [path for path, *_ in site.log] == ["robots.txt", "page"]
    assert all(headers["User-Agent"].startswith("feature-neurons/") for *_, headers in site.log)


def test_a_page_that_does_not_exist_is_missing_and_asked_for_once(site):
    assert (get(site, "nothing").status, site.asked()["nothing"]) == ("missing", 1)


PASSING = {
    "429": server.status(429),
    "429 with seconds": server.status(429, Retry_After="0"),
    "500": server.status(500),
    "503": server.status(503),
    "cut": server.cut,
    "too short a length": server.too_short_a_length,
    "reset": server.reset,
    "hang": server.hang,
    "trickle": server.trickle,
    "badly zipped": server.badly_zipped,
    "an error page with status 200": server.instead(b"<h1>Busy</h1>"),
    "empty": server.instead(b""),
}


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_is_tried_again(site, fault):
    site.faults["page"] = [PASSING[fault]]
    answer = get(site)
    assert (answer.status, answer.body) == ("ok", BODY)
    assert site.asked()["page"] == 2


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_does_not_pass_ends_with_its_reason(site, fault):
    site.always = PASSING[fault]
    answer = get(site, tries=3, timeout_s=0.2 if fault in ("hang", "trickle") else 0.5)
    wrong_page = "200" in fault or fault in ("empty", "too short a length")
    assert answer.status == ("unreadable" if wrong_page else "failed")
    assert site.asked()["page"] == (2 if wrong_page else 3)
    told = {
        "429": "HTTP 429",
        "500": "HTTP 500",
        "hang": "no whole answer in 0.2 s",
        "trickle": "no whole answer in 0.2 s",
    }
    told |= {
        "cut": "connection broken",
        "badly zipped": "damaged compression",
        "reset": "connection broken",
    }
    assert told.get(fault, "") in answer.reason
    assert not wrong_page or "expected a page, found" in answer.reason


def test_a_zipped_page_comes_unzipped(site):
    site.faults["page"] = [server.zipped]
    assert get(site).body == BODY


@pytest.mark.parametrize("code", [400, 401, 403, 451])
def test_a_definite_no_is_not_asked_again(site, code):
    site.always = server.status(code)
    assert get(site).reason == f"HTTP {code}"
    assert site.asked()["page"] == 1


def waited(site):
    times = [time for path, time, _ in site.log if path == "page"]
    return [b - a for a, b in itertools.pairwise(times)]


def test_waits_grow(site):
    site.always = server.status(500)
    get(site, wait_s=0.05)
    first, second, third = waited(site)
    assert first >= 0.05
    assert second >= 0.1
    assert third >= 0.2


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_waited_for(site, form):
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=1.7), usegmt=True)
    site.faults["page"] = [server.status(503, Retry_After="0.5" if form == "seconds" else soon)]
    assert get(site).status == "ok"
    assert waited(site)[0] >= (0.5 if form == "seconds" else 0.3)  # a date has whole seconds


def test_a_site_that_asks_for_a_long_wait_is_left_alone(site):
    site.always = server.status(429, Retry_After="3600")
    with pytest.raises(StopError, match=r"HTTP 429: the site asks to be left alone for 60 min"):
        get(site)
    assert site.asked()["page"] == 1


@pytest.mark.parametrize("place", ["http://elsewhere.example/page", "//127.0.0.2/page", "ftp://127.0.0.1/"])
def test_a_redirect_to_another_host_is_refused(site, place):
    site.always = server.status(302, Location=place)
    answer = get(site)
    assert answer.status == "refused"
    assert "another site" in answer.reason
    assert site.asked()["page"] == 1


def test_a_redirect_within_the_site_is_followed_but_not_for_ever(site):
    site.faults["page"] = [server.status(301, Location="/other")]
    assert get(site).body == b"<p>other</p>"
    site.always = server.status(301, Location="/page")
    assert get(site).reason == "more than 5 redirects"


def test_a_kept_page_is_asked_for_conditionally(site):
    site.faults["page"] = [server.status(304)]
    assert get(site, etag='"x"', last_modified="Mon").status == "same"
    *_, headers = site.log[-1]
    assert (headers["If-None-Match"], headers["If-Modified-Since"]) == ('"x"', "Mon")
    site.faults["page"] = [server.instead(BODY, ETag='"y"', Last_Modified="Tue")]
    answer = get(site)
    assert (answer.etag, answer.last_modified) == ('"y"', "Tue")


@pytest.mark.parametrize(
    ("robots", "allowed"),
    [
        ("User-agent: *\nDisallow: /private", True),
        ("User-agent: *\nDisallow: /", False),
        ("User-agent: feature-neurons\nDisallow: /\n\nUser-agent: *\nAllow: /", False),
        ("User-agent: other\nDisallow: /", True),
        ("User-agent: *\nDisallow: /*ge$", False),
        ("User-agent: *\nAllow: /\nDisallow: /pa", False),
        ("\ufeffUser-agent: *\nDisallow: /", False),
        ("User-agent: *\nDisallow: //[x\nRequest-rate: 0/10\nCrawl-delay: \u00b2", True),
    ],
)
def test_robots_txt_is_honoured(site, robots, allowed):
    site.pages["robots.txt"] = robots.encode()
    if allowed:
        assert get(site).status == "ok"
    else:
        with pytest.raises(StopError, match=r"robots\.txt forbids .*/page"):
            get(site)
        assert site.asked()["page"] == 0


@pytest.mark.parametrize("line", ["Crawl-delay: 0.2", "Request-rate: 5/1s"])
def test_a_slower_pace_asked_for_in_robots_txt_is_kept(site, line):
    site.pages["robots.txt"] = f"User-agent: *\n{line}".encode()
    asked = web(site)
    asked.get("page", accept, None, None)
    asked.get("page", accept, None, None)
    assert asked.rate == pytest.approx(5)
    assert waited(site)[0] >= 0.1  # the server's clock, not ours


def test_a_pace_that_is_far_too_slow_stops(site):
    site.pages["robots.txt"] = b"User-agent: *\nCrawl-delay: 99999999999999"
    with pytest.raises(StopError, match="asks for 99,999,999,999,999 s between pages"):
        get(site)


def test_a_redirect_to_what_robots_txt_forbids_is_refused(site):
    site.pages["robots.txt"] = b"User-agent: *\nDisallow: /other"
    site.always = server.status(302, Location="/other")
    assert "which robots.txt forbids" in get(site).reason
    assert site.asked()["other"] == 0


@pytest.mark.parametrize("place", ["http://127.0.0.1:99999/x", "http://[x/"])
def test_a_redirect_that_is_not_an_address_is_refused(site, place):
    site.always = server.status(302, Location=place)
    assert get(site).status in ("refused", "failed")


def test_a_304_to_an_unconditional_request_is_tried_again(site):
    site.faults["page"] = [server.status(304)]
    assert get(site).body == BODY


def test_a_retry_after_without_meaning_is_ignored(site):
    site.faults["page"] = [server.status(429, Retry_After="\u00b2"), server.status(429, Retry_After="soon")]
    assert get(site).status == "ok"


def test_what_is_not_an_address_is_reported_at_once():
    with pytest.raises(UserError, match="is not an address"):
        Web("http://exa mple/", Manners(1000, 1, 1, 5, 1)).get("page", accept, None, None)


def test_a_site_that_does_not_answer_yet_is_reported(site, capsys):
    site.faults["robots.txt"] = [server.status(500)]
    assert get(site).status == "ok"
    assert capsys.readouterr().err == f"{site.address}robots.txt: HTTP 500; trying again\n"


def test_a_site_that_cannot_be_reached_is_reported_with_the_way_out():
    with WebServer({}) as gone:
        pass
    with pytest.raises(PipelineError, match="SITE: cannot reach .*; check the address") as caught:
        get(gone, tries=2)
    assert "HTTPConnectionPool" not in str(caught.value)


def test_a_page_that_is_too_large_is_not_read_to_its_end(site):
    assert get(site, tries=1, n_bytes=10_000).reason.startswith("more than 10,000 bytes")


def test_no_more_turns_a_second_than_asked_for_however_many_ask(site):
    asked = web(site, rate=20)
    asked.get("page", accept, None, None)
    threads = [
        threading.Thread(target=asked.get, args=("page", accept, None, None), daemon=True) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times = sorted(time for _, time, _ in site.log)
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert len(times) == 10
    assert times[-1] - times[0] >= 9 / 20 * 0.9
    assert sum(gap < 0.025 for gap in gaps) <= 2  # the server's clock, not ours


def test_a_closed_web_ends_every_wait(site):
    site.always = server.status(500)
    asked = web(site, wait_s=30)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(asked.get, "page", accept, None, None)
        while not site.asked()["page"]:
            assert not waiting.done()
            time.sleep(0.01)
        asked.close()
        with pytest.raises(StopError):
            waiting.result(timeout=5)
