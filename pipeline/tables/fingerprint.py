"""Fingerprints: short names for content, so that nothing is computed twice from the same content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.errors import UserError

_LARGE = 64 * 2**20


def of_value(value: Any) -> str:
    """The fingerprint of anything JSON can hold; equal values have equal ones."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def of_file(path: Path) -> str:
    """The fingerprint of a file's bytes; of a file above 64 MB, of its size and modification time."""
    try:
        stat = path.stat()
        if stat.st_size > _LARGE:
            return of_value([stat.st_size, stat.st_mtime_ns])
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as exc:
        raise UserError(f"cannot read {path}: {exc.strerror}") from exc


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_table(data: pa.Table) -> str:
    """The fingerprint of a table's rows and schema, however they are chunked or cut from a larger table."""
    digest = hashlib.sha256()

    class Sink:
        closed = False

        def write(self, chunk: bytes) -> int:
            digest.update(chunk)
            return len(chunk)

        def flush(self) -> None: ...

        def close(self) -> None: ...

    with pa.ipc.new_stream(pa.PythonFile(Sink(), mode="w"), data.schema) as writer:
        # a slice keeps its parent's bitmaps; `take` copies only what the rows need
        writer.write_table(data.combine_chunks().take(pa.array(range(len(data)), pa.int64())))
    return digest.hexdigest()[:32]
