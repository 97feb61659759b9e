"""The pages of one site, kept as they came, so that none is ever fetched twice.

One SQLite file per site: a page and what is known of it are written together or not at all, whenever
the process dies. The process that fetches holds the file's lock; any process may read.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import sqlite3
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from pipeline.errors import StoreError
from pipeline.output import tell

_SCHEMA = """
create table if not exists pages (
    path text primary key, status text not null, reason text, time text not null, checked text not null,
    sha256 text, n_bytes integer, etag text, last_modified text, parser integer not null, body blob
) without rowid;
create table if not exists refreshes (scope text primary key, started text not null);
"""


@dataclass(frozen=True)
class Page:
    """What is kept of a page, its body apart. `time` is when it was fetched or last tried, `checked`
    when the site was last asked, both UTC; `parser` the version of the parser that judged it."""

    path: str
    status: str
    reason: str | None
    time: datetime
    checked: datetime
    sha256: str | None
    n_bytes: int | None
    etag: str | None
    last_modified: str | None
    parser: int

    @property
    def not_refreshed(self) -> bool:
        """Whether the last attempt to refresh it failed; the kept page still counts."""
        return self.status == "ok" and self.reason is not None


_GZIP = b"\x1f\x8b"  # with which no length of 8 bytes begins
_LARGEST = 2**32
_FACTS = "path, status, reason, time, checked, sha256, n_bytes, etag, last_modified, parser"


class PageStore:
    """A site's kept pages; safe to use from several threads.

    With `only_read` nothing is changed in it. Where the folder can be written, what a process that was
    killed left unfinished is undone, and a file that is no such store is set aside, and said.
    `commit_every` pages are written together: raised where pages are cheap to get again, since every commit
    waits for the disk.
    """

    def __init__(self, path: Path, *, only_read: bool = False) -> None:
        self.path, self.commit_every, self._n_changed = path, 1, 0
        self._mutex, self._closed = threading.Lock(), False
        with self._told():
            if not only_read:
                path.parent.mkdir(parents=True, exist_ok=True)
            protected = only_read and not os.access(path.parent, os.W_OK)
            mode = "ro" if protected else "rw" if only_read else "rwc"
            with _locked(path.parent):  # SQLite does not wait while another process creates the file
                try:
                    self._open(mode)
                except sqlite3.DatabaseError as exc:
                    if protected or _is_usable(exc):
                        raise
                    aside = path.with_suffix(".damaged")
                    tell(f"WARNING: {path} is damaged ({exc}); set aside as {aside}")
                    path.replace(aside)
                    self._open("rwc")
                if only_read:
                    self._con.execute("pragma query_only = on")

    def _open(self, mode: str) -> None:
        self._con = sqlite3.connect(
            f"{self.path.resolve().as_uri()}?mode={mode}",
            uri=True,
            check_same_thread=False,
            isolation_level=None,
            timeout=60,
        )
        if mode != "ro":
            self._con.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file, once no thread is using it; threads that use it later get a StoreError."""
        with self._mutex, self._told():
            try:
                if not self._closed:
                    self._con.commit()
            finally:
                self._con.close()
                self._closed = True

    def __enter__(self) -> PageStore:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def page(self, path: str) -> Page | None:
        """What is known of a page; None where it was never asked for."""
        rows = self._ask(f"select {_FACTS} from pages where path = ?", path)
        with self._told():
            return _page(rows[0]) if rows else None

    def pages(self, folder: str) -> dict[str, Page]:
        """What is known of every page in a folder of the site, such as solu-8l-pile/6/, by path."""
        rows = self._ask(
            f"select {_FACTS} from pages where path >= ? and path < ?",
            folder,
            folder[:-1] + chr(ord("/") + 1),
        )
        with self._told():
            return {row[0]: _page(row) for row in rows}

    def body(self, path: str) -> bytes | None:
        """A page as it came; None where nothing came, or where what is kept is damaged."""
        rows = self._ask("select body, sha256 from pages where path = ?", path)
        if not rows or rows[0][0] is None:
            return None
        try:
            body = _unpacked(rows[0][0])
        except (OSError, EOFError, zlib.error):
            return None
        return body if hashlib.sha256(body).hexdigest() == rows[0][1] else None

    def keep(self, page: Page, body: bytes | None) -> None:
        """Keep a page and what is known of it, in place of what was kept before."""
        values = (*vars(page).values(), None if body is None else _packed(body))
        values = tuple(v.isoformat() if isinstance(v, datetime) else v for v in values)
        places = ", ".join("?" * len(values))
        self._change(f"insert or replace into pages ({_FACTS}, body) values ({places})", *values)

    def note(self, page: Page) -> None:
        """Change what is known of a kept page, its body left as it is."""
        self._change(
            "update pages set status = ?, reason = ?, checked = ?, parser = ? where path = ?",
            page.status,
            page.reason,
            page.checked.isoformat(),
            page.parser,
            page.path,
        )

    def forget(self, path: str) -> None:
        """Mark a damaged page as failed, so that the next run fetches it again."""
        self._ask(
            "update pages set status = 'failed', reason = 'damaged where it was kept', body = null, "
            "etag = null, last_modified = null where path = ?",
            path,
        )

    def refresh_started(self, scope: str) -> datetime:
        """When the refresh of these pages began: now, unless one of the last day was interrupted."""
        self._ask("delete from refreshes where started < ?", (now() - timedelta(days=1)).isoformat())
        self._ask("insert or ignore into refreshes values (?, ?)", scope, now().isoformat())
        [(started,)] = self._ask("select started from refreshes where scope = ?", scope)
        return datetime.fromisoformat(started)

    def refresh_ended(self, scope: str) -> None:
        """The refresh is complete; the next one starts from the beginning."""
        self._ask("delete from refreshes where scope = ?", scope)

    def faults(self) -> Iterator[str]:
        """Compare every page with its checksum; one line per fault, and the page is forgotten."""
        for (path,) in self._ask("select path from pages where body is not null order by path"):
            if self.body(path) is None:
                yield f"{self.path}: page {path} is damaged; the next run fetches it again"
                self.forget(path)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only process that fetches from this site; waits until another one has ended."""
        lock = self.path.with_suffix(".lock")
        with self._told():
            lock.touch()
        with _locked(lock, f"waiting for another run that fetches into {self.path}"):
            yield

    def _change(self, statement: str, *values: object) -> None:
        """Change a page, together with some others where pages are written together."""
        if self.commit_every > 1 and not self._con.in_transaction:
            self._ask("begin")
        self._ask(statement, *values)
        self._n_changed += 1
        if self._con.in_transaction and self._n_changed % self.commit_every == 0:
            self._ask("commit")

    def _ask(self, statement: str, *values: object) -> list[tuple]:
        with self._mutex, self._told():
            if self._closed:
                raise StoreError(f"{self.path} is closed already")
            return self._con.execute(statement, values).fetchall()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn errors of SQLite, gzip or the disk into one line that says what to do."""
        try:
            yield
        except (sqlite3.DatabaseError, ValueError, TypeError) as exc:
            if _is_usable(exc):
                raise StoreError(
                    f"cannot use {self.path}: {exc}; free some space, make it writable, or choose another "
                    "folder with DATA (--data)"
                ) from exc
            raise StoreError(
                f"{self.path} is damaged ({exc}); delete it and run again: its pages are fetched again"
            ) from exc
        except OSError as exc:
            raise StoreError(
                f"cannot use {self.path}: {exc.strerror or exc}; choose another folder with DATA (--data)"
            ) from exc


def _packed(body: bytes) -> bytes:
    """A page as it is kept: its length in 8 bytes and the page, compressed with Zstandard, which is read
    back four times as fast as gzip, in which earlier versions kept pages."""
    return len(body).to_bytes(8, "big") + pa.compress(body, "zstd", asbytes=True)


def _unpacked(kept: bytes) -> bytes:
    """The page; raises OSError, EOFError or zlib.error where what is kept of it is damaged."""
    if kept[:2] == _GZIP:
        return gzip.decompress(kept)
    if (length := int.from_bytes(kept[:8], "big")) > _LARGEST:
        raise OSError(f"a page of {length} bytes")
    return pa.decompress(kept[8:], length, "zstd", asbytes=True)


def _is_usable(exc: Exception) -> bool:
    """Whether an error is of the disk or of another process, and not of the file."""
    return isinstance(exc, sqlite3.OperationalError) and "no such" not in str(exc)


@contextmanager
def _locked(path: Path, waiting: str = "") -> Iterator[None]:
    """Hold the lock of a file or folder; prints `waiting` while another process has it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                tell(waiting)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def faults(folder: Path) -> Iterator[str]:
    """Compare the kept pages of every site with their checksums; one line per fault."""
    for path in sorted(folder.glob("*.sqlite")):
        try:
            with PageStore(path, only_read=not os.access(folder, os.W_OK)) as store:
                yield from store.faults()
        except StoreError as exc:
            yield str(exc)


def now() -> datetime:
    """The time, UTC."""
    return datetime.now(UTC).replace(tzinfo=None)


def _page(row: tuple) -> Page:
    path, status, reason, time, checked, *rest = row
    return Page(path, status, reason, datetime.fromisoformat(time), datetime.fromisoformat(checked), *rest)
