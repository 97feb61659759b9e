"""Where pages come from: a site on the web, a folder that mirrors one, or the embedded model's recording.

All three have one interface; the caller does not know which one it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from stat import S_ISREG
from typing import Protocol

from pipeline.config import EMBEDDED, Config
from pipeline.errors import PageError
from pipeline.printable import line
from pipeline.resources import resource
from pipeline.samples.neuroscope import pages
from pipeline.web.site import MOST_BYTES, Answer, Manners, Web


def cassette() -> Path:
    """The recording of the embedded model's site."""
    return resource("cassettes") / "neuroscope.json.gz"


class Site(Protocol):
    """Answers for pages by their path from the root; see Web.get.

    At most `connections` requests at once and `rate` per second. `changes` where every run should ask
    again because that is cheap, as in a folder.
    """

    address: str
    changes: bool

    @property
    def connections(self) -> int:
        """Requests at once, at most."""
        ...

    @property
    def rate(self) -> float:
        """Requests per second, at most."""
        ...

    def get(
        self, path: str, accept: Callable[[bytes], object], etag: str | None, last_modified: str | None
    ) -> Answer:
        """The site's answer for one path."""
        ...


@contextmanager
def open_site(config: Config) -> Iterator[Site]:
    """The config's site; it is not contacted before the first page is asked for."""
    if config.site_folder:
        yield _Folder(config.site_folder, pages.address(config))
        return
    if config.site is None and config.model == EMBEDDED:
        site: _Recording | Web = _Recording()
    else:
        site = Web(
            pages.address(config),
            Manners(config.rate, config.connections, config.timeout_s, config.tries, config.retry_wait_s),
        )
    try:
        yield site
    finally:
        site.close()


class _Recording:
    """The site of the embedded model, layer 1, as it was recorded; one page at a time, because of vcrpy."""

    address, connections, rate, changes = pages.RECORDED, 1, float("inf"), False

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._web: Web | None = None

    def close(self) -> None:
        """End the replay."""
        self._stack.close()

    def get(
        self, path: str, accept: Callable[[bytes], object], etag: str | None, last_modified: str | None
    ) -> Answer:
        """The answer that was recorded for one path."""
        from pipeline.web import recording  # imported when it is used: vcrpy takes long

        if self._web is None:
            self._stack.enter_context(recording.replayed(cassette()))
            self._web = Web(
                pages.RECORDED, Manners(self.rate, 1, timeout_s=60, tries=1, wait_s=0), recorded=True
            )
            self._stack.callback(self._web.close)
        try:
            return self._web.get(path, accept, etag, last_modified)
        except recording.NotRecordedError:
            return Answer(
                "missing", reason="the embedded model's recording holds layer 1; use SOURCE=scan for others"
            )


class _Folder:
    """A folder with a site's files; a page with the same size and modification time is the same."""

    connections, rate, changes = 1, float("inf"), True

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.address = folder.resolve(), address

    def get(
        self, path: str, accept: Callable[[bytes], object], etag: str | None, last_modified: str | None
    ) -> Answer:
        """The answer for the file at one path of the folder."""
        answer = self._read(path, etag)
        if answer.status == "ok":
            try:
                accept(answer.body or b"")
            except PageError as exc:
                return Answer("unreadable", answer.body, str(exc))
        return answer

    def _read(self, path: str, etag: str | None) -> Answer:
        """The file as it is."""
        file = (self.folder / path).resolve()
        if not file.is_relative_to(self.folder):
            return Answer("refused", reason=line(f"{path} is outside {self.folder}"))
        try:
            stat = file.stat()
            if not S_ISREG(stat.st_mode):  # a pipe would never end
                return Answer("refused", reason="no regular file")
            if stat.st_size > MOST_BYTES:
                return Answer("unreadable", reason=f"more than {MOST_BYTES:,} bytes")
            tag = f"{stat.st_size}-{stat.st_mtime_ns}"
            return Answer("same") if tag == etag else Answer("ok", file.read_bytes(), etag=tag)
        except FileNotFoundError:
            return Answer("missing", reason="no such file")
        except OSError as exc:
            return Answer("failed", reason=exc.strerror)
