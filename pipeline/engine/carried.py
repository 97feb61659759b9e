"""Files that a stage's function reads, carried from the driver's disk to another machine by content.

Settings name models, texts and vectors, inputs the tables of the store. On a machine where the same file
lies at the same path (the disk is shared) nothing is copied. Elsewhere it is brought once and kept by
content in a folder of the machine. Settings are brought when the function is made, a table when it is
first read.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from pipeline.config import EMBEDDED, Config
from pipeline.engine.settings import Settings
from pipeline.engine.stage import Inputs
from pipeline.errors import PipelineError
from pipeline.output import tell
from pipeline.tables import fingerprint

CHUNK = 16 * 2**20  # bytes that are sent at once
_END = 2**16
_UNUSED_S = 30 * 24 * 3600  # after which kept content goes
_MB = 2**20
# The settings that name a file or a folder, and how it is told where; of the embedded model and text every
# machine has its own.
_NAMING: dict[str, Callable[[Config], Path | None]] = {
    "model": lambda settings: settings.model_folder,
    "text": lambda settings: settings.text_path,
    "exact_tokens": lambda settings: settings.exact_tokens_path,
    "fasttext": lambda settings: None if settings.fasttext == "train" else Path(settings.fasttext),
}


@dataclass(frozen=True)
class File:
    """A file: its path in what is carried, its size in bytes, when it was changed, and its two ends."""

    name: str
    size: int
    mtime_ns: int
    ends: str


@dataclass(frozen=True)
class Carried:
    """A file or a folder of the driver, as it was when the work was given out; `path` is absolute."""

    path: Path
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def is_at(self, path: Path) -> bool:
        """Whether the same files lie at a path, as far as size, time and their ends tell."""
        try:
            return all(_file(path / each.name, each.name) == each for each in self.files)
        except OSError:
            return False


class Source(Protocol):
    """The driver's disk, seen from another machine."""

    def digest(self, path: Path) -> str:
        """The SHA-256 of a file, in hexadecimal."""
        ...

    def chunks(self, path: Path, size: int) -> Iterator[bytes]:
        """A file of so many bytes, CHUNK bytes at a time."""
        ...


def carried(path: Path) -> Carried:
    """What lies at a path, without hidden files; raises PipelineError where it cannot be read."""
    whole = path.resolve()
    try:
        inside = sorted(whole.rglob("*")) if whole.is_dir() else [whole]
        shown = [each for each in inside if each.is_file() and not _is_hidden(each.relative_to(whole))]
        return Carried(whole, tuple(_file(each, each.relative_to(whole).as_posix()) for each in shown))
    except OSError as exc:
        raise PipelineError(f"cannot read {exc.filename or whole}: {exc.strerror}") from exc


def _is_hidden(name: Path) -> bool:
    return any(part.startswith(".") for part in name.parts)


def _file(path: Path, name: str) -> File:
    stat = path.stat()
    with path.open("rb") as file:
        first = file.read(_END)
        file.seek(max(0, stat.st_size - _END))
        ends = sha256(first + file.read(_END)).hexdigest()[:16]
    return File(name, stat.st_size, stat.st_mtime_ns, ends)


def chunk(path: Path, start: int) -> bytes:
    """CHUNK bytes of a file of this machine, fewer at its end."""
    with path.open("rb") as file:
        file.seek(start)
        return file.read(CHUNK)


def digest(path: Path) -> str:
    """The SHA-256 of a file of this machine; read once for as long as it is not changed."""
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    return fingerprint.sha256(path)


class Kept:
    """What was brought to this machine: by content, in a folder of its own or the one given.

    Where nothing is `shared`, the driver's paths are not looked at.
    """

    def __init__(self, source: Source, folder: Path | None = None, *, shared: bool = True) -> None:
        self._source, self._shared = source, shared
        self._folder = folder or Path(tempfile.gettempdir()) / f"feature-neurons-{os.getuid()}"
        self._found: dict[Carried, Path] = {}

    def path(self, wanted: Carried) -> Path:
        """Where this machine has it; brought now if need be. Raises PipelineError where it cannot be."""
        if wanted not in self._found:
            is_here = self._shared and wanted.is_at(wanted.path)
            self._found[wanted] = wanted.path if is_here else self._kept(wanted)
        return self._found[wanted]

    def _kept(self, wanted: Carried) -> Path:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._folder.stat().st_uid != os.getuid():
                raise PipelineError(f"{self._folder} belongs to another user; delete it there")
            digests = [self._source.digest(wanted.path / file.name) for file in wanted.files]
            key = fingerprint.of_value([[f.name, d] for f, d in zip(wanted.files, digests, strict=True)])
            place = self._folder / key / wanted.path.name
            with _locked(self._folder / f"{key}.lock"):
                if not _is_whole(place, wanted):
                    self._forget_old()
                    self._bring(wanted, digests, place)
                os.utime(self._folder / key)
            return place
        except OSError as exc:
            raise PipelineError(
                f"{wanted.path} cannot be kept on {socket.gethostname()}, in {self._folder}: "
                f"{exc.strerror or exc}; make room there, or set TMPDIR where the node is started"
            ) from exc

    def _bring(self, wanted: Carried, digests: list[str], place: Path) -> None:
        start = time.monotonic()
        shutil.rmtree(place.parent, ignore_errors=True)
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
        try:
            for file, right in zip(wanted.files, digests, strict=True):
                there = new / place.name / file.name
                there.parent.mkdir(parents=True, exist_ok=True)
                found = sha256()
                with there.open("wb") as copy:
                    for part in self._source.chunks(wanted.path / file.name, file.size):
                        found.update(part)
                        copy.write(part)
                if found.hexdigest() != right:
                    raise PipelineError(
                        f"{wanted.path / file.name} has changed while it was read; run again"
                    )
            new.rename(place.parent)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        seconds = time.monotonic() - start
        where = socket.gethostname()
        tell(f"{where} has {wanted.path.name} now: {wanted.size / _MB:,.1f} MB in {seconds:.1f} s")

    def _forget_old(self) -> None:
        for each in self._folder.iterdir():
            if each.is_dir() and time.time() - each.stat().st_mtime > _UNUSED_S:
                shutil.rmtree(each, ignore_errors=True)


def _is_whole(place: Path, wanted: Carried) -> bool:
    """Whether what was brought before still has its sizes."""
    try:
        return all((place / file.name).stat().st_size == file.size for file in wanted.files)
    except OSError:
        return False


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process of the machine at a time."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _Inputs(Inputs):
    """Inputs whose tables are brought when they are read."""

    def __init__(self, stage: str, files: dict[str, Carried], kept: Kept) -> None:
        super().__init__({table: each.path for table, each in files.items()}, stage)
        self._carried, self._kept = files, kept

    def file(self, table: str) -> Path:
        """The Parquet file of a table, on this machine."""
        super().file(table)
        return self._kept.path(self._carried[table])


def reference(value: Any) -> tuple[str, Any] | None:
    """What is sent in the place of inputs or settings, with the files that they name; None for all else."""
    if isinstance(value, Inputs):
        return "inputs", (value.stage, {table: carried(value.file(table)) for table in value})
    if isinstance(value, Settings):
        state = dict(object.__getattribute__(value, "__dict__"))
        given = [name for name in _NAMING if state.get(name) not in (None, EMBEDDED)]
        paths = {name: _NAMING[name](value) for name in given}
        return "settings", (state, {name: carried(path) for name, path in paths.items() if path})
    return None


def restored(found: tuple[str, Any], kept: Kept) -> Inputs | Settings:
    """The inputs or settings of a reference, with files that are on this machine."""
    kind, content = found
    if kind == "inputs":
        stage, tables = content
        return _Inputs(stage, tables, kept)
    state, files = content
    settings = Settings.__new__(Settings)
    settings.__dict__.update(state | {name: str(kept.path(each)) for name, each in files.items()})
    return settings
