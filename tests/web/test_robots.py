"""What robots.txt asks is read whatever it holds, as far as it is read at all."""

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers.web import WebServer

from pipeline.web.robots import MOST_BYTES, Robots, TooManyRulesError
from pipeline.web.site import AGENT, Manners, StopError, Web

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
AT = "http://site.example/m/0/1.html"
NAMES = (
    "User-agent",
    "user agent",
    "useragent*",
    "Disallow",
    "Allow",
    "Crawl-delay",
    "Request-rate",
    "Visit-time",
)
VALUES = (
    "*",
    AGENT,
    "f*",
    "",
    "/",
    "/m",
    "/*/*/*$",
    "%",
    "%zz",
    "nan",
    "inf",
    "-1",
    "1e400",
    "0/0",
    "1/0",
    "5/1s 1-2",
)
words = (
    st.sampled_from((*NAMES, *VALUES, ":", ": ", "\n", "\r", "#", "\x00", "9" * 400, "1/" + "9" * 400))
    | st.text()
)


@settings(max_examples=300, deadline=None)
@given(st.lists(words).map("".join).map(lambda text: text.encode(errors="replace")) | st.binary())
def test_a_robots_txt_of_any_content_gives_rules(body):
    found = Robots(body, AGENT)
    assert found.allows(AT) in (True, False)
    assert found.gap_s >= 0


lines = st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES) | st.text(max_size=5)).map(": ".join)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(lines).map(lambda given: "\n".join(["User-agent: *", *given]).encode(errors="replace")),
    st.text(),
)
def test_any_rules_can_be_asked_about_any_page(body, path):
    found = Robots(body, AGENT)
    assert found.allows(AT + path) in (True, False)
    assert found.gap_s >= 0


@pytest.mark.parametrize("rate", ["1/" + "9" * 400, "1/99999999999999999999d"])
def test_a_pace_beyond_every_number_is_a_long_one(rate):
    assert Robots(f"User-agent: *\nRequest-rate: {rate}".encode(), AGENT).gap_s >= 10**12


def padded(rule, n_bytes):
    """A robots.txt that forbids a page, in a line that ends after that many bytes."""
    end = f"\n{rule}"
    return ("User-agent: *\n" + "#" * (n_bytes - 14 - len(end)) + end).encode()


@pytest.mark.parametrize(
    ("rule", "beyond", "allowed"),
    [
        ("Disallow: /m", 0, False),
        ("Disallow: /m", 1, True),
        ("Disallow: /m/9", 0, True),
        ("Disallow: /m/9", 2, True),  # half of it would forbid the page
        ("Disallow: /m", 12, True),
    ],
)
def test_only_whole_lines_within_the_limit_count(rule, beyond, allowed):
    found = Robots(padded(rule, MOST_BYTES + beyond) + b"\n" + b"# more\n" * 9, AGENT)
    assert found.is_cut
    assert found.allows(AT) is allowed


LARGE = {
    "rules": b"User-agent: *\n" + b"Disallow: /a*b\n" * 1_600_000,
    "one line": b"User-agent: *\n#" + b"x" * 24_000_000,
    "agents": b"".join(b"User-agent: a%d\n" % n for n in range(1_200_000)),
}


@pytest.mark.parametrize("what", LARGE)
def test_a_robots_txt_of_24_megabytes_is_read_in_part_and_this_is_told(what, capsys):
    with WebServer({"robots.txt": LARGE[what], "page": b"<p>a page</p>"}) as site:
        asked = Web(site.address, Manners(1000, 1, timeout_s=60, tries=1, wait_s=0))
        assert asked.get("page", lambda body: None, None, None).status == "ok"
        asked.close()
    assert capsys.readouterr().err == (
        f"{site.address}robots.txt is too large: only its first 512,000 bytes count\n"
    )


AGENTS = [f"user-agent: a{n}" for n in range(10_000)]
RULES = ["allow: /a"] * 20_000
MANY = {
    "agents and then rules": [*AGENTS, *RULES],
    "with lines between that are none": [
        *itertools.chain(*zip(AGENTS, ["what"] * 10_000, strict=True)),
        *RULES,
    ],
    "in other words": [*(a.replace("user-agent:", "useragent") for a in AGENTS), *RULES],
}


@pytest.mark.parametrize("what", MANY)
def test_rules_that_would_take_minutes_are_refused_with_the_way_out(what):
    body = "\n".join(MANY[what]).encode()
    assert len(body) < MOST_BYTES
    begun = time.monotonic()
    with pytest.raises(TooManyRulesError, match="0 rules for 10,000 agents"):
        Robots(body, AGENT)
    assert time.monotonic() - begun < 5  # it would be half an hour
    with WebServer({"robots.txt": body}) as site, pytest.raises(StopError, match="use a mirror"):
        Web(site.address, Manners(1000, 1, timeout_s=60, tries=1, wait_s=0)).get("page", len, None, None)
