"""The store: Parquet tables on disk, whole or not there at all.

`<folder>/<table>/<key>/part-00000.parquet`, and beside the folder, in which other programs want nothing
but Parquet, its manifest `<key>.json`, which is written last: without it there is no table. Both are
written under a temporary name, brought to the disk and renamed, so that a run that dies leaves no
half-written table and two runs on one store cannot harm each other. What is found damaged is set aside
in `<key>.damaged/`. `<folder>/<table>/kept/` holds expensive rows, by what decides them, and
`<folder>/<table>/.unfinished-<key>/` what there is of a table whose stage saves itself.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import tables
from pipeline.errors import DamagedError, StoreError, TableError, lacks_memory, short_of_memory
from pipeline.output import tell
from pipeline.tables import disk, fingerprint, writing

_MANY_FILES = 64
_STALE_S = 24 * 3600
_FORGOTTEN_S = 30 * _STALE_S
_PART = "part-00000.parquet"
_LOCK = ".lock"
_FACTS = ("made_of", "created", "warnings", "rows", "files")  # what every manifest says


@dataclass(frozen=True)
class Store:
    """Tables by name and key under one folder."""

    folder: Path

    def path(self, table: str, key: str) -> Path:
        """The folder of one version of a table."""
        return self.folder / table / key

    def unfinished(self, table: str, key: str) -> Path:
        """The folder for what there is of a table that is not made yet; `write` deletes it."""
        return self.folder / table / f".unfinished-{key}"

    def manifest_path(self, table: str, key: str) -> Path:
        """The manifest of one version of a table."""
        return self.folder / table / f"{key}.json"

    def manifest(self, table: str, key: str) -> dict[str, Any] | None:
        """What a whole table's manifest says; None where there is no such table.

        Raises DamagedError where the manifest or a file's size is not what was written, StoreError where
        they cannot be read.
        """
        try:
            return self._manifest(table, key)
        except DamagedError:  # or another run is just replacing it
            with self._unmoved():
                return self._manifest(table, key)

    def _manifest(self, table: str, key: str) -> dict[str, Any] | None:
        path = self.manifest_path(table, key)
        with readable(path):
            try:
                manifest = json.loads(path.read_bytes())
                if missing := [name for name in _FACTS if name not in manifest]:
                    raise ValueError(f"it lacks {', '.join(missing)}")
                sizes = {self.path(table, key) / name: f["bytes"] for name, f in manifest["files"].items()}
            except FileNotFoundError:
                return None
            except (ValueError, KeyError, TypeError, AttributeError) as exc:
                raise DamagedError(_damaged(path, exc)) from exc
        for file, size in sizes.items():
            with readable(file):
                if file.stat().st_size != size:
                    raise DamagedError(_damaged(file, "its size has changed"))
        return manifest

    def verified(self, table: str, key: str) -> Path:
        """The Parquet file of a whole table, its checksum compared with the manifest's.

        Raises DamagedError where it is damaged, StoreError where it is not there or cannot be read.
        """
        try:
            file = self._verified(table, key)
        except DamagedError:
            with self._unmoved():
                file = self._verified(table, key)
        if file is None:
            raise StoreError(f"no table at {self.path(table, key)}; run again")
        return file

    def _verified(self, table: str, key: str) -> Path | None:
        manifest, file = self._manifest(table, key), self.path(table, key) / _PART
        if manifest is None:
            return None
        with readable(file):
            if _facts(file) != manifest["files"].get(_PART):
                raise DamagedError(_damaged(file, "its checksum has changed"))
        return file

    def read(self, table: str, key: str) -> pa.Table:
        """A whole table's rows; raises as `verified`."""
        return load(self.verified(table, key), table)

    def set_aside(self, table: str, key: str) -> str | None:
        """Put a damaged table where no run looks for it; what is wrong with it, None where nothing is."""
        with disk.told(self.folder), self._alone():
            try:
                self._verified(table, key)
                return None
            except DamagedError as exc:
                aside = self.folder / table / f"{key}.damaged"
                shutil.rmtree(aside, ignore_errors=True)
                aside.mkdir(exist_ok=True)
                for each in (self.path(table, key), self.manifest_path(table, key)):
                    if each.exists():
                        each.rename(aside / each.name)
                return str(exc)

    def write(
        self,
        table: str,
        key: str,
        data: pa.Table | Iterator[pa.Table],
        manifest: dict[str, Any] | Callable[[Path], dict[str, Any]],
    ) -> None:
        """Check `data` against its schema and write it; the table is there once it is whole.

        Data in parts have to come in the order of their keys. The manifest may be told by what was written,
        given as a file. The seconds that this takes are added to the manifest's. What was written is read
        back before it counts.
        """
        start = time.monotonic()
        if isinstance(data, pa.Table):
            parts = iter([tables.check(table, data)])
        else:
            parts = tables.TABLES[table].in_order(data)
        with writing.making_apart(), disk.told(self.folder):
            disk.make(self.folder / table)
            temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=self.folder / table))
            try:
                rows = writing.write(writing.made(parts), tables.TABLES[table].schema, temporary / _PART)
                writing.read_back(temporary / _PART, rows)
                told = manifest(temporary / _PART) if callable(manifest) else manifest
                made = dict(rows=rows, files={_PART: _facts(temporary / _PART)})
                made["seconds"] = round(told.get("seconds", 0.0) + time.monotonic() - start, 3)
                text = json.dumps({**told, **made}, indent=2)
                (temporary / "manifest").write_text(text + "\n")
                self._place(table, key, temporary)
                shutil.rmtree(self.unfinished(table, key), ignore_errors=True)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def _place(self, table: str, key: str, temporary: Path) -> None:
        """Put a table that was written elsewhere into its place, unless another run was faster."""
        with self._alone():
            with suppress(DamagedError):
                if (there := self._manifest(table, key)) and not there.get("unfinished"):
                    return
            disk.make(self.path(table, key))
            disk.put(temporary / _PART, self.path(table, key) / _PART)
            disk.put(temporary / "manifest", self.manifest_path(table, key))

    def _alone(self) -> AbstractContextManager[None]:
        """No other run moves anything in the store meanwhile."""
        return disk.locked(self.folder / _LOCK)

    @contextmanager
    def _unmoved(self) -> Iterator[None]:
        """No run moves anything in the store meanwhile; nothing need be writable."""
        with readable(self.folder / _LOCK), disk.locked(self.folder / _LOCK, shared=True):
            yield

    def kept(self, table: str, kept_as: str, names: list[str] | None = None) -> pa.Table:
        """Expensive rows of a table that were kept by any run, by the `key` of what decides them; only some
        columns of them where `names` are given.

        `kept_as` stands for what their key does not cover. A damaged file is reported and set aside, so
        that its rows are made again.
        """
        schema = tables.TABLES[table].kept
        schema = pa.schema([schema.field(name) for name in names or schema.names])
        parts = [schema.empty_table()]
        for path in self.kept_files(table, kept_as):
            part = self._kept(path, schema)
            if part is None and not _damaged_aside(path).exists():  # another run has just gathered it
                return self.kept(table, kept_as, names)
            parts.append(part or schema.empty_table())
        return pa.concat_tables(parts)

    def _kept(self, path: Path, schema: pa.Schema) -> pa.Table | None:
        """The rows of a file of kept rows; None where it is not there, or was damaged and is set aside."""
        try:
            return _grown(path, schema)
        except DamagedError as exc:
            if path.exists():
                tell(f"WARNING: {exc}")
                with disk.told(self.folder), suppress(FileNotFoundError):  # another run set it aside
                    path.replace(_damaged_aside(path))
            return None

    def keep(self, table: str, kept_as: str, data: pa.Table | Iterator[pa.Table]) -> None:
        """Keep expensive rows of a table, `key` first, in a file of their own."""
        folder, schema = self.folder / table / "kept" / kept_as, tables.TABLES[table].kept
        parts = (part.cast(schema) for part in ([data] if isinstance(data, pa.Table) else data))
        with writing.making_apart(), disk.told(self.folder):
            disk.make(folder)
            temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
            try:
                rows = writing.write(writing.made(parts), schema, temporary / _PART)
                writing.read_back(temporary / _PART, rows)
                disk.put(temporary / _PART, folder / f"{uuid.uuid4().hex}.parquet")
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def gather(self, table: str, kept_as: str) -> None:
        """Put the rows of many small files of kept rows into one."""
        paths, schema = self.kept_files(table, kept_as), tables.TABLES[table].kept
        if len(paths) > _MANY_FILES:
            self.keep(table, kept_as, filter(None, (self._kept(path, schema) for path in paths)))
            for path in paths:
                path.unlink(missing_ok=True)

    def kept_files(self, table: str, kept_as: str) -> list[Path]:
        """The files of kept rows."""
        return sorted((self.folder / table / "kept" / kept_as).glob("*.parquet"))

    def prepare(self) -> None:
        """Make sure the folder can be written, and delete what runs that died more than a day ago left, and
        after thirty days what they might have continued."""
        with disk.told(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.folder).close()
            for left in (*self.folder.parent.glob(".writing-*"), *self.folder.glob("**/.writing-*")):
                _delete_old(left, _STALE_S)
            for left in self.folder.glob("*/.unfinished-*"):
                _delete_old(left, _FORGOTTEN_S)

    def versions(self, table: str) -> list[dict[str, Any]]:
        """The manifests of every whole version of a table, newest first."""
        manifests = []
        for path in (self.folder / table).glob("*.json"):
            with suppress(DamagedError):  # `check` reports damaged old ones
                manifests.append(self.manifest(table, path.stem))
        return sorted(filter(None, manifests), key=lambda manifest: manifest["created"], reverse=True)

    def faults(self) -> Iterator[str]:
        """Check every table of the store against its checksums and schema; one line per fault."""
        for folder in sorted(path for path in self.folder.glob("[!.]*") if path.is_dir()):
            if folder.name not in tables.TABLES:
                yield f"{folder}: no such table; delete it"
                continue
            for path in sorted((*folder.glob("[!.]*"), *folder.glob("kept/*/*.parquet"))):
                try:
                    self._check(path, folder.name)
                except (StoreError, TableError) as exc:
                    yield str(exc)

    def _check(self, path: Path, table: str) -> None:
        """Raise StoreError or TableError where something in a table's folder is not as it should be."""
        if path.suffix == ".json":
            tables.check(table, self.read(table, path.stem))
        elif path.suffix == ".parquet":
            _grown(path, tables.TABLES[table].kept)
        elif path.name != "kept" and not path.suffix and not self.manifest_path(table, path.name).exists():
            raise StoreError(
                f"{path} has no manifest beside it: a run died there, or an earlier version wrote it; "
                "no run reads it: delete it"
            )


def _delete_old(path: Path, age_s: float) -> None:
    """Delete a file or a folder that has not changed for so long."""
    with suppress(FileNotFoundError):  # another run has just finished with it
        if path.stat().st_mtime < time.time() - age_s:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _damaged_aside(path: Path) -> Path:
    return path.with_suffix(".damaged")


def load(path: Path, table: str) -> pa.Table:
    """The rows of a table's Parquet file in its schema; raises DamagedError where it has others."""
    schema = tables.TABLES[table].schema
    with readable(path):
        data = pq.ParquetFile(path, page_checksum_verification=True).read()
        if data.schema.names != schema.names:
            raise ValueError(f"columns are {data.schema.names}, expected {schema.names}")
        return data.cast(schema)


def _grown(path: Path, schema: pa.Schema) -> pa.Table:
    """Kept rows in a schema that may have gained or lost columns since they were kept."""
    with readable(path):
        found = pq.ParquetFile(path, page_checksum_verification=True).read()
        if missing := [f.name for f in schema if f.name not in found.schema.names and not f.nullable]:
            raise ValueError(f"it lacks {', '.join(missing)}")
        nulls = pa.nulls(len(found))
        columns = [found[n] if n in found.schema.names else nulls for n in schema.names]
        return pa.table(dict(zip(schema.names, columns, strict=True))).cast(schema)


def _facts(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": fingerprint.sha256(path)}


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Tell apart why a file cannot be read: it is damaged, the machine failed, or memory is short."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, MemoryError) as exc:  # over damaged Parquet too
        if lacks_memory(exc):
            raise short_of_memory(f"to read {path}", exc) from exc
        if isinstance(exc, FileNotFoundError):
            raise DamagedError(_damaged(path, "it is missing")) from exc
        if isinstance(exc, OSError) and exc.errno:  # the file may be whole
            raise StoreError(
                f"cannot read {path}: {exc.strerror or exc}; make it readable, or choose another folder "
                "with DATA (--data)"
            ) from exc
        raise DamagedError(_damaged(path, exc)) from exc


def _damaged(path: Path, why: object) -> str:
    reason = " ".join(str(why).split())[:200]
    return f"{path} is damaged ({reason}); a run that needs it sets it aside and makes it anew"
