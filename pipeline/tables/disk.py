"""The disk: what is written is there, one process at a time moves things, an error is one line."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import StoreError, lacks_memory, short_of_memory


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as exc:
        if not (path.is_dir() and exc.errno in (errno.EINVAL, errno.ENOTSUP)):  # no folder has that there
            raise
    finally:
        os.close(descriptor)


def put(new: Path, place: Path) -> None:
    """Move a file to its place, in place of what is there; it is on the disk before it counts.

    Whatever happens meanwhile, a reader sees the old file or the whole new one. Raises OSError.
    """
    sync(new)
    new.replace(place)
    sync(place.parent)


def make(folder: Path) -> None:
    """Make a folder and those above it that are not there; they are on the disk then. Raises OSError."""
    if not folder.is_dir():
        make(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock of a file, alone or with other readers; waits for who has it. Raises OSError.

    For readers a file that is not there is one that nobody locks.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY if shared else os.O_RDWR | os.O_CREAT, 0o666)
    except FileNotFoundError:
        if not shared:
            raise
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Turn an error of the operating system while writing into one line that says what to do."""
    try:
        yield
    except OSError as exc:
        if lacks_memory(exc):
            raise short_of_memory(f"to write to {folder}", exc) from exc
        raise StoreError(
            f"cannot write to {folder}: {exc.strerror or exc}; "
            "free some space, make it writable, or choose another folder with DATA (--data)"
        ) from exc
