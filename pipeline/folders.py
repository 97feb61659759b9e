"""Folders of results that people name: written aside, and put into their place when whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import StoreError, UserError


@contextmanager
def replaced(folder: Path, is_ours: Callable[[Path], bool]) -> Iterator[Path]:
    """Give an empty folder to write into, which then takes the place of `folder` as a whole.

    One that `is_ours` is replaced; any other with something in it is refused with UserError. Raises
    StoreError where the disk refuses; whatever ends it early, what was there before stays.
    """
    folder = folder.resolve()
    if folder.exists() and not (folder.is_dir() and (is_ours(folder) or not any(folder.iterdir()))):
        raise UserError(f"{folder} holds something else; name a folder that is new, or one to replace")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
        try:
            (temporary / "new").mkdir()
            yield temporary / "new"
            if folder.exists():
                folder.rename(temporary / "old")
            (temporary / "new").rename(folder)
        except OSError:
            if (temporary / "old").exists() and not folder.exists():
                (temporary / "old").rename(folder)
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as exc:
        raise StoreError(
            f"cannot write {folder}: {exc.strerror or exc}; free some space, or name another folder"
        ) from exc
