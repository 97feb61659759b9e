"""The store: Parquet tables on disk, whole or not there at all.

`<folder>/<table>/<key>/part-00000.parquet` with `manifest.json` beside it. A table is written under
a temporary name and renamed when whole, so that a run that dies leaves no half-written table and two runs
on one store cannot harm each other. `<folder>/<table>/kept/` holds expensive rows, by what decides them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import tables
from pipeline.errors import StoreError, TableError
from pipeline.output import tell

_MANY_FILES = 64
_STALE_S = 24 * 3600
_GROUP_BYTES = 32 * 2**20
_PART = "part-00000.parquet"
_CHANGED = "its checksum has changed"
_FACTS = ("made_of", "created", "warnings", "rows", "files")  # what every manifest says
_UNREADABLE = (pa.ArrowException, OSError, ValueError)  # what pyarrow raises over damaged Parquet


@dataclass(frozen=True)
class Store:
    """Tables by name and key under one folder."""

    folder: Path

    def path(self, table: str, key: str) -> Path:
        """The folder of one version of a table."""
        return self.folder / table / key

    def manifest(self, table: str, key: str) -> dict[str, Any] | None:
        """What a whole table's manifest says; None where there is no such table.

        Raises StoreError where the manifest or a file's size is not what was written.
        """
        path = self.path(table, key)
        try:
            manifest = json.loads((path / "manifest.json").read_text())
            if missing := [name for name in _FACTS if name not in manifest]:
                raise ValueError(f"it lacks {', '.join(missing)}")
            for name, file in manifest["files"].items():
                if (path / name).stat().st_size != file["bytes"]:
                    raise StoreError(_damaged(path / name, "its size has changed", path))
        except FileNotFoundError as exc:
            if not path.exists():
                return None
            gone = Path(exc.filename)
            if gone.name in ("manifest.json", _PART) and gone.exists():
                return self.manifest(table, key)  # another run has just put it there
            raise StoreError(_damaged(path, f"{exc.filename} is missing", path)) from exc
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise StoreError(_damaged(path / "manifest.json", exc, path)) from exc
        return manifest

    def read(self, table: str, key: str) -> pa.Table:
        """A whole table's rows; raises StoreError where it is damaged or not there."""
        folder = self.path(table, key)
        manifest = self.manifest(table, key)
        if manifest is None:
            raise StoreError(f"no table at {folder}; run again")
        for fault in _faults(folder / _PART, table, manifest["files"][_PART], folder):
            raise StoreError(fault)
        return load(folder / _PART, table)

    def verified(self, table: str, key: str) -> Path:
        """The Parquet file of a whole table, its checksum compared with the manifest's.

        Raises StoreError where it is damaged or not there.
        """
        folder = self.path(table, key)
        manifest = self.manifest(table, key)
        if manifest is None:
            raise StoreError(f"no table at {folder}; run again")
        try:
            if _facts(folder / _PART) != manifest["files"][_PART]:
                raise StoreError(_damaged(folder / _PART, _CHANGED, folder))
        except OSError as exc:
            raise StoreError(_damaged(folder / _PART, exc, folder)) from exc
        return folder / _PART

    def write(
        self, table: str, key: str, data: pa.Table | Iterator[pa.Table], manifest: dict[str, Any]
    ) -> None:
        """Check `data` against its schema and write it; the table is there once it is whole.

        Data in parts have to come in the order of their keys. The seconds that this takes are added to the
        manifest's.
        """
        start = time.monotonic()
        if isinstance(data, pa.Table):
            parts = iter([tables.check(table, data)])
        else:
            parts = tables.TABLES[table].in_order(data)
        with _told(self.folder):
            (self.folder / table).mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=self.folder / table))
            try:
                rows = _write(parts, tables.TABLES[table].schema, temporary / _PART)
                made = dict(rows=rows, files={_PART: _facts(temporary / _PART)})
                made["seconds"] = round(manifest.get("seconds", 0.0) + time.monotonic() - start, 3)
                text = json.dumps({**manifest, **made}, indent=2)
                (temporary / "manifest.json").write_text(text + "\n")
                temporary.chmod(0o755)
                if (old := self.manifest(table, key)) and old.get("unfinished"):
                    shutil.rmtree(self.path(table, key), ignore_errors=True)
                temporary.rename(self.path(table, key))
            except OSError:
                if not self.path(table, key).exists():  # else another run was faster
                    raise
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def kept(self, table: str, kept_as: str) -> pa.Table:
        """Expensive rows of a table that were kept by any run, by the `key` of what decides them.

        `kept_as` stands for what their key does not cover. A damaged file is reported and set aside, so
        that its rows are made again.
        """
        schema = tables.TABLES[table].kept
        parts = [schema.empty_table()]
        for path in self.kept_files(table, kept_as):
            try:
                parts.append(_grown(path, schema))
            except FileNotFoundError:  # another run has just gathered it into a larger one
                return self.kept(table, kept_as)
            except _UNREADABLE as exc:
                if isinstance(exc, OSError) and exc.errno:  # the machine failed, the file may be whole
                    raise StoreError(f"cannot read {path}: {exc.strerror or exc}; run again") from exc
                aside = path.with_suffix(".damaged")
                reason = " ".join(str(exc).split())[:200]
                tell(f"WARNING: {path} is damaged ({reason}): its rows are made again")
                with _told(self.folder), suppress(FileNotFoundError):  # another run set it aside
                    path.replace(aside)
        return pa.concat_tables(parts).combine_chunks()

    def keep(self, table: str, kept_as: str, data: pa.Table) -> None:
        """Keep expensive rows of a table, `key` first, in a file of their own."""
        folder = self.folder / table / "kept" / kept_as
        with _told(self.folder):
            folder.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
            try:
                _write(iter([data]), data.schema, temporary / _PART)
                (temporary / _PART).rename(folder / f"{uuid.uuid4().hex}.parquet")
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def gather(self, table: str, kept_as: str) -> None:
        """Put the rows of many small files of kept rows into one."""
        paths = self.kept_files(table, kept_as)
        if len(paths) > _MANY_FILES:
            self.keep(table, kept_as, self.kept(table, kept_as))
            for path in paths:
                path.unlink(missing_ok=True)

    def kept_files(self, table: str, kept_as: str) -> list[Path]:
        """The files of kept rows."""
        return sorted((self.folder / table / "kept" / kept_as).glob("*.parquet"))

    def prepare(self) -> None:
        """Make sure the folder can be written, and delete what runs that died more than a day ago left."""
        with _told(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.folder).close()
            for left in (*self.folder.parent.glob(".writing-*"), *self.folder.glob("**/.writing-*")):
                with suppress(FileNotFoundError):  # another run has just finished with it
                    if left.stat().st_mtime < time.time() - _STALE_S:
                        shutil.rmtree(left) if left.is_dir() else left.unlink()

    def versions(self, table: str) -> list[dict[str, Any]]:
        """The manifests of every whole version of a table, newest first."""
        manifests = []
        for path in (self.folder / table).glob("*/manifest.json"):
            with suppress(StoreError):  # `check` reports damaged old ones
                manifests.append(self.manifest(table, path.parent.name))
        return sorted(filter(None, manifests), key=lambda manifest: manifest["created"], reverse=True)

    def faults(self) -> Iterator[str]:
        """Check every table of the store against its checksums and schema; one line per fault."""
        for path in sorted(self.folder.glob("*/*")):
            table, key = path.parent.name, path.name
            if key.startswith(".writing-"):
                continue
            if table not in tables.TABLES:
                yield f"{path}: no such table; delete it"
            elif key == "kept":
                for part in sorted(path.glob("*/*.parquet")):
                    try:
                        _grown(part, tables.TABLES[table].kept)
                    except _UNREADABLE as exc:
                        yield _damaged(part, exc, part)
            else:
                try:
                    manifest = self.manifest(table, key)
                except StoreError as exc:
                    yield str(exc)
                    continue
                for name, facts in (manifest or {"files": {}})["files"].items():
                    yield from _faults(path / name, table, facts, path)


def _faults(path: Path, table: str, facts: dict[str, Any], unit: Path) -> Iterator[str]:
    """What is wrong with a file, if anything; `unit` is what to delete to have it made again."""
    try:
        if _facts(path) != facts:
            yield _damaged(path, _CHANGED, unit)
        else:
            tables.check(table, load(path, table))
    except (*_UNREADABLE, TableError) as exc:
        yield _damaged(path, exc, unit)


def load(path: Path, table: str) -> pa.Table:
    """The rows of a table's Parquet file in its schema; raises ValueError where it has other columns."""
    schema = tables.TABLES[table].schema
    data = pq.ParquetFile(path, page_checksum_verification=True).read()
    if data.schema.names != schema.names:
        raise ValueError(f"columns are {data.schema.names}, expected {schema.names}")
    return data.cast(schema)


def _grown(path: Path, schema: pa.Schema) -> pa.Table:
    """Kept rows in a schema that may have gained or lost columns since they were kept."""
    found = pq.ParquetFile(path, page_checksum_verification=True).read()
    if missing := [f.name for f in schema if f.name not in found.schema.names and not f.nullable]:
        raise ValueError(f"it lacks {', '.join(missing)}")
    nulls = pa.nulls(len(found))
    columns = [found[n] if n in found.schema.names else nulls for n in schema.names]
    return pa.table(dict(zip(schema.names, columns, strict=True))).cast(schema)


def _write(parts: Iterator[pa.Table], schema: pa.Schema, path: Path) -> int:
    """Write the parts of a table, in row groups for which a reader needs little memory; return its rows.

    The next part is made while one is written. Floats are seldom equal; a dictionary only takes longer.
    """
    rows, pending = 0, None
    with (
        pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            write_page_checksum=True,
            use_dictionary=[_leaf(field) for field in schema if not _is_float(field.type)],
        ) as writer,
        ThreadPoolExecutor(1) as pool,
    ):
        for part in parts:
            if pending:
                pending.result()
            group = max(1, _GROUP_BYTES * len(part) // max(1, part.nbytes))
            pending = pool.submit(writer.write_table, part, group)
            rows += len(part)
        if pending:
            pending.result()
    return rows


def _is_float(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind.value_type if pa.types.is_list(kind) else kind)


def _leaf(field: pa.Field) -> str:
    """The name of a column's values in Parquet."""
    return f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name


def _facts(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _damaged(path: Path, why: object, unit: Path) -> str:
    reason = " ".join(str(why).split())
    return f"{path} is damaged ({reason}); delete {unit} and run again: only that is made again"


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Turn an error of the operating system into one line that says what to do."""
    try:
        yield
    except OSError as exc:
        raise StoreError(
            f"cannot write to {folder}: {exc.strerror or exc}; "
            "free some space, make it writable, or choose another folder with DATA (--data)"
        ) from exc
