"""Where pages come from: a site on the web, a folder that mirrors one, or the embedded model's recording.

All three answer alike; who asks does not know which it is.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from pipeline import recording, web
from pipeline.config import EMBEDDED, Config
from pipeline.errors import PageError, UserError
from pipeline.resources import resource
from pipeline.web import Answer, Manners, Web

NEUROSCOPE = "https://neuroscope.io/"
RECORDED = "http://neuroscope.example/"  # a name that can never be a real host


def cassette() -> Path:
    """The recording of the embedded model's site."""
    return resource("cassettes") / "neuroscope.json.gz"


class Site(Protocol):
    """Answers for pages by their path from the root; see Web.get.

    `connections` may ask at once, `rate` times a second; `changes` where asking again is cheap and
    right, as of a folder.
    """

    address: str
    connections: int
    rate: float
    changes: bool

    def get(
        self, path: str, accept: Callable[[bytes], object], etag: str | None, last_modified: str | None
    ) -> Answer:
        """What the site says to one path."""
        ...


def address(config: Config) -> str:
    """What the address of every page of the config's site begins with; of a folder only its name.

    Raises UserError where no site is named and Neuroscope cannot know the model.
    """
    if config.site_folder:
        return f"file:{_readable(config.site_folder.resolve().name)}/"
    if config.site:
        return config.site.rstrip("/") + "/"
    if config.model_folder and config.model != EMBEDDED:
        raise UserError(
            f"MODEL: {config.model} is a folder of yours, and {NEUROSCOPE} cannot know it; take its "
            "samples with SOURCE=scan, or name a site that has it with SITE"
        )
    return RECORDED if config.model == EMBEDDED else NEUROSCOPE


def slug(config: Config) -> str:
    """A file name for what is kept of the site, another one for every site."""
    folder = config.site_folder and config.site_folder.resolve()
    name = _readable(folder.name) if folder else urlsplit(address(config)).netloc
    where = os.fsencode(folder) if folder else address(config).encode()
    return f"{re.sub(r'[^A-Za-z0-9.-]+', '_', name)[:60]}-{hashlib.sha256(where).hexdigest()[:8]}"


def _readable(name: str) -> str:
    """A file's name without bytes that are no text."""
    return name.encode(errors="replace").decode()


@contextmanager
def open_site(config: Config) -> Iterator[Site]:
    """The config's site; nothing is asked of it before the first page is."""
    if config.site_folder:
        yield _Folder(config.site_folder, address(config))
        return
    if config.site is None and config.model == EMBEDDED:
        site = _Recording()
    else:
        site = Web(
            address(config),
            Manners(config.rate, config.connections, config.timeout_s, config.tries, config.retry_wait_s),
        )
    try:
        yield site
    finally:
        site.close()


class _Recording:
    """The site of the embedded model, layer 1, as it was recorded; one page at a time, as vcrpy wants."""

    address, connections, rate, changes = RECORDED, 1, float("inf"), False

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._web: Web | None = None

    def close(self) -> None:
        """End the replay."""
        self._stack.close()

    def get(
        self, path: str, accept: Callable[[bytes], object], etag: str | None, last_modified: str | None
    ) -> Answer:
        """What was recorded for one path."""
        if self._web is None:
            self._stack.enter_context(recording.replayed(cassette()))
            self._web = Web(RECORDED, Manners(self.rate, 1, timeout_s=60, tries=1, wait_s=0))
            self._stack.callback(self._web.close)
        try:
            return self._web.get(path, accept, etag, last_modified)
        except recording.NotRecordedError:
            raise UserError(
                f"SITE: {path} is not in the embedded model's recording, which holds layer 1; "
                "for its other layer use SOURCE=scan"
            ) from None


class _Folder:
    """A folder with a site's files; a page's size and time of change tell whether it is the same."""

    connections, rate, changes = 1, float("inf"), True

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.address = folder.resolve(), address

    def get(
        self, path: str, accept: Callable[[bytes], object], etag: str | None, last_modified: str | None
    ) -> web.Answer:
        """What the folder holds at one path."""
        file = (self.folder / path).resolve()
        if not file.is_relative_to(self.folder):
            return Answer("refused", reason=f"{path} is outside {self.folder}")
        try:
            stat = file.stat()
            tag = f"{stat.st_size}-{stat.st_mtime_ns}"
            if tag == etag:
                return Answer("same")
            body = file.read_bytes()
        except FileNotFoundError:
            return Answer("missing", reason="no such file")
        except OSError as exc:
            return Answer("failed", reason=exc.strerror)
        try:
            accept(body)
        except PageError as exc:
            return Answer("unreadable", body, str(exc))
        return Answer("ok", body, etag=tag)
