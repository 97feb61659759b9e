"""How answers of the tests' servers are recorded: under a made-up host, with the headers that matter."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import yaml

_HERE = rb"http://127\.0\.0\.1:\d+"
_SECRET = r"sk-|hf_|bearer|authorization|127\.0\.0\.1|localhost|/tmp"


def settings(address: str, headers: tuple[str, ...]) -> dict[str, Any]:
    """vcrpy's settings: a request is matched by its body too, and recorded without its key."""
    host = urlsplit(address)[:2]

    def request(asked: Any) -> Any:
        parts = urlsplit(asked.uri)
        if parts.hostname == "127.0.0.1":
            asked.uri = urlunsplit((*host, *parts[2:]))
        asked.headers = {k: v for k, v in asked.headers.items() if k.lower() == "content-type"}
        return asked

    def response(answered: dict[str, Any]) -> dict[str, Any]:
        kept = {k: v for k, v in answered["headers"].items() if k.lower() in headers}
        there = urlunsplit((*host, "", "", "")).encode()
        body = re.sub(_HERE, there, answered["body"]["string"])
        return {**answered, "headers": kept, "body": {**answered["body"], "string": body}}

    return dict(
        match_on=("method", "scheme", "host", "port", "path", "query", "body"),
        before_record_request=request,
        before_record_response=response,
    )


def check(text: str, address: str, headers: tuple[str, ...]) -> None:
    """Assert that a recording holds no key, no other host and no other header."""
    assert not re.search(_SECRET, text, re.I)
    for each in yaml.safe_load(text)["interactions"]:
        assert each["request"]["uri"].startswith(address.rstrip("/") + "/")
        assert {name.lower() for name in each["request"]["headers"]} <= {"content-type"}
        assert {name.lower() for name in each["response"]["headers"]} <= set(headers)
