"""Recordings of web traffic (cassettes); the only module that imports `vcr`.

A recording holds what our own server on this machine answered, under a made-up host and with the few
headers that matter. It is gzipped JSON, since pages are large. vcrpy is not safe with several threads.
"""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import vcr
from vcr.errors import CannotOverwriteExistingCassetteException
from vcr.persisters.filesystem import CassetteNotFoundError
from vcr.request import Request
from vcr.serialize import deserialize, serialize

_HEADERS = ("content-type",)
NotRecordedError = CannotOverwriteExistingCassetteException  # what a request that was not recorded raises


class _Gzipped:
    """Cassettes as gzip files; the same content gives the same bytes."""

    @staticmethod
    def load_cassette(cassette_path: str, serializer: Any) -> Any:
        if not Path(cassette_path).is_file():
            raise CassetteNotFoundError
        return deserialize(gzip.decompress(Path(cassette_path).read_bytes()).decode(), serializer)

    @staticmethod
    def save_cassette(cassette_path: str, cassette_dict: dict[str, Any], serializer: Any) -> None:
        text = serialize(cassette_dict, serializer)
        Path(cassette_path).write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def _recorder() -> vcr.VCR:
    logging.getLogger("vcr").setLevel(logging.WARNING)
    recorder = vcr.VCR(serializer="json", match_on=("same",))
    recorder.register_matcher("same", _is_same)
    recorder.register_persister(_Gzipped)
    return recorder


def _is_same(asked: Request, recorded: Request) -> bool:
    """Whether two requests are one; vcrpy compares each request with all that were recorded."""
    return asked.uri == recorded.uri and asked.method == recorded.method


@contextmanager
def replayed(cassette: Path) -> Iterator[None]:
    """Answer every request from a recording; one that is not in it raises NotRecordedError."""
    with _recorder().use_cassette(str(cassette), record_mode="none"):
        yield


@contextmanager
def recorded(cassette: Path, address: str) -> Iterator[None]:
    """Record all requests into a new file, as if they had been sent to `address`."""
    host = urlsplit(address)

    def request(asked: Request) -> Request:
        parts = urlsplit(asked.uri)
        return Request(asked.method, urlunsplit((*host[:2], *parts[2:])), asked.body, {})

    def response(answer: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in answer["headers"].items() if name.lower() in _HEADERS}
        return {**answer, "headers": kept}

    cassette.unlink(missing_ok=True)
    with _recorder().use_cassette(
        str(cassette), record_mode="all", before_record_request=request, before_record_response=response
    ):
        yield
