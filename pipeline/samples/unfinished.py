"""What a scan has so far, in a folder: arrays that are replaced whole, and a file that only grows.

A process that dies at any moment leaves the last arrays that were saved, and of the file at least what they
stand for. Of two processes one saves itself; the other keeps its file for itself alone.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
import weakref
import zipfile
import zlib
from pathlib import Path

import numpy as np

from pipeline.output import tell
from pipeline.tables import disk

_RANGE = "range"  # the size of the file and its checksum, beside the arrays
_PURPOSE = "purpose"  # what they are of


class Unfinished:
    """What there is of something unfinished; kept in `folder`, else only while the process lives.

    It is saved every `every_s` seconds at most. What was saved for another `purpose` counts as nothing.
    Raises StoreError where the folder cannot be written.
    """

    def __init__(self, folder: Path | None = None, every_s: float = 30.0, purpose: str = "") -> None:
        self.purpose = purpose
        self._every_s, self._start = every_s, time.monotonic()
        self._saved: dict[str, float] = {}  # when, by name
        self._folder = folder if folder and self._is_ours(folder) else None
        self._where = folder.parent if folder else Path(tempfile.gettempdir())
        self._file = self._opened()
        weakref.finalize(self, os.close, self._file)
        self.size, self._crc = 0, 0

    def _is_ours(self, folder: Path) -> bool:
        """Whether no other process saves itself there, as none can from now on."""
        with disk.told(folder.parent):
            disk.make(folder)
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
            weakref.finalize(self, os.close, lock)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    def _opened(self) -> int:
        with disk.told(self._where):
            if self._folder:
                return os.open(self._folder / "rows", os.O_RDWR | os.O_CREAT, 0o666)
            descriptor, name = tempfile.mkstemp(prefix=".writing-", dir=self._where)
            Path(name).unlink()
            return descriptor

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays that were saved last under a name; None where there are none, or no whole ones.

        The file is as long as it was then.
        """
        path = self._folder and self._folder / f"{name}.npz"
        if path is None or not path.exists():
            return None
        try:
            with np.load(path) as found:
                if str(found[_PURPOSE]) != self.purpose:
                    return None
                arrays = {each: found[each] for each in found.files if each != _PURPOSE}
            size, crc = (int(each) for each in arrays.pop(_RANGE))
            if self._checksum(size) != crc:
                raise ValueError("what it stands for has changed")
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as exc:
            tell(f"WARNING: {path} is damaged ({' '.join(str(exc).split())[:200]}); it is made anew")
            return None
        self.size, self._crc = size, crc
        return arrays

    def _checksum(self, size: int) -> int:
        """The checksum of the file's first bytes; raises ValueError where it has fewer."""
        crc = start = 0
        while start < size:
            part = os.pread(self._file, min(2**24, size - start), start)
            if not part:
                raise ValueError("a part is missing")
            start, crc = start + len(part), zlib.crc32(part, crc)
        return crc

    def due(self, name: str) -> bool:
        """Whether it is time to save the arrays of a name."""
        return time.monotonic() - self._saved.get(name, self._start) >= self._every_s

    def save(self, name: str, **arrays: np.ndarray) -> None:
        """Replace the arrays of a name; they stand for the file as it is now."""
        if self._folder:
            with disk.told(self._where):
                disk.make(self._folder)
                os.fsync(self._file)
                new = self._folder / f"{name}.new"
                with new.open("wb") as file:
                    facts = {_RANGE: np.array([self.size, self._crc]), _PURPOSE: np.array(self.purpose)}
                    every = {**arrays, **facts}
                    np.savez(file, allow_pickle=False, **every)
                disk.put(new, self._folder / f"{name}.npz")
        self._saved[name] = time.monotonic()

    def append(self, data: bytes) -> int:
        """Write at the end of the file; where that begins."""
        with disk.told(self._where):
            view, start = memoryview(data), self.size
            while view:
                written = os.pwrite(self._file, view, self.size)
                self._crc = zlib.crc32(view[:written], self._crc)
                self.size, view = self.size + written, view[written:]
        return start

    def read(self, start: int, size: int) -> bytes:
        """Some bytes of the file."""
        return os.pread(self._file, size, start)

    def forget(self) -> None:
        """Delete what was saved: it is no use."""
        for path in self._folder.glob("*.npz") if self._folder else ():
            path.unlink(missing_ok=True)
