"""How the rows of a table get into a Parquet file, part by part, while they are being made."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.tables.columns import NEURON_KEY

_GROUP_BYTES = 32 * 2**20


class _MakingError(Exception):
    """An error of what makes rows, not of the disk they are written to."""


def made(parts: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The parts of a table, put together to what is written at once."""
    waiting: list[pa.Table] = []
    n_bytes = 0
    try:
        for part in parts:
            waiting.append(part)
            n_bytes += part.nbytes
            if n_bytes >= _GROUP_BYTES:
                yield pa.concat_tables(waiting)
                waiting, n_bytes = [], 0
    except OSError as exc:
        raise _MakingError from exc
    if waiting:
        yield pa.concat_tables(waiting)


@contextmanager
def making_apart() -> Iterator[None]:
    """Raise an error of what makes rows as it came."""
    try:
        yield
    except _MakingError as exc:
        assert exc.__cause__ is not None
        raise exc.__cause__ from exc.__cause__.__cause__


def write(parts: Iterator[pa.Table], schema: pa.Schema, path: Path) -> int:
    """Write the parts of a table, in row groups for which a reader needs little memory; return its rows.

    The next part is made while one is written. Floats are seldom equal; a dictionary only takes longer. A
    reader leaves out row groups by neuron and rank, by which rows are sorted; what is least and highest of
    other columns would tell it nothing.
    """
    rows, pending = 0, None
    with (
        pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            write_page_checksum=True,
            use_dictionary=[_leaf(field) for field in schema if not _is_float(field.type)],
            write_statistics=[name for name in schema.names if name in (*NEURON_KEY, "rank")],
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


def read_back(path: Path, rows: int) -> None:
    """Raise OSError where a file that was just written does not hold these rows."""
    found = pq.read_metadata(path).num_rows
    if found != rows:
        raise OSError(errno.EIO, f"{found} of {rows} rows are there after writing")
