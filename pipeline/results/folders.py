"""Output folders that people name: written beside their place, and moved there as a whole."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import StoreError, UserError

MARK = "feature-neurons.json"  # says what a folder that was written here is
_ASIDE = ".writing-feature-neurons-"
_STALE_S = 24 * 3600


def is_a(kind: str) -> Callable[[Path], bool]:
    """A function that says whether a folder was written here as this kind of result."""

    def is_known(folder: Path) -> bool:
        try:
            return json.loads((folder / MARK).read_text(encoding="utf-8"))["kind"] == kind
        except (OSError, ValueError, TypeError, KeyError):
            return False

    return is_known


def mark(folder: Path, kind: str, **facts: object) -> None:
    """Record in a folder what it is."""
    (folder / MARK).write_text(json.dumps(dict(kind=kind, **facts)) + "\n", encoding="utf-8")


def refuse(folder: Path, is_ours: Callable[[Path], bool]) -> None:
    """Raise UserError unless a folder is new, empty or one of ours."""
    try:
        is_free = not folder.exists() or (
            folder.is_dir() and (is_ours(folder) or not any(folder.iterdir()))
        )
    except (OSError, RuntimeError) as exc:
        raise UserError(f"{folder}: {exc}") from exc
    if not is_free:
        raise UserError(f"{folder} holds something else; name a folder that is new, or one to replace")


@contextmanager
def replaced(
    folder: Path, is_ours: Callable[[Path], bool], *, rename: Callable[[Path, Path], object] = Path.rename
) -> Iterator[Path]:
    """Yield an empty folder to write into, which then takes the place of `folder` as a whole.

    A folder that `is_ours` is replaced. Any other with something in it is refused with UserError, also if
    it appeared in the meantime. Raises StoreError where the disk refuses. Whatever interrupts it, what was
    there stays. `rename` moves a folder.
    """
    refuse(folder, is_ours)
    try:
        folder = folder.resolve()
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent)
        temporary = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=folder.parent))
        new, old = temporary / "new", temporary / "old"
        try:
            new.mkdir()
            yield new
            refuse(folder, is_ours)
            if folder.exists():
                rename(folder, old)
            rename(new, folder)
        finally:
            if old.exists() and not folder.exists():
                rename(old, folder)
            shutil.rmtree(temporary, ignore_errors=True)
    except (OSError, RuntimeError) as exc:
        raise StoreError(
            f"cannot write {folder}: {getattr(exc, 'strerror', None) or exc}; free some space, or name "
            "another folder"
        ) from exc


def _sweep(parent: Path) -> None:
    """Remove what writers that died left there more than a day ago."""
    for left in parent.glob(f"{_ASIDE}*"):
        with suppress(FileNotFoundError):  # another writer has just finished with it
            if left.stat().st_mtime < time.time() - _STALE_S and not (left / "old").exists():
                shutil.rmtree(left, ignore_errors=True)
