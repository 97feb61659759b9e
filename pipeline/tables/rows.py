"""The rows of a table's file: a column of them, or some at a time, so that memory holds no more."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import tables
from pipeline.tables import store
from pipeline.tables.columns import NEURON_KEY


class Columns(Protocol):
    """A table, or its file: what is asked of a column needs only that."""

    def __len__(self) -> int: ...

    def __getitem__(self, name: str, /) -> pa.ChunkedArray:
        """A column, whole."""
        ...


def counted(values: pa.ChunkedArray) -> list[tuple[Any, int]]:
    """Each different value with how often it stands there, the most frequent first."""
    found = pc.value_counts(values).to_pylist()
    return sorted(((row["values"], row["counts"]) for row in found), key=lambda row: -row[1])


class Rows:
    """The rows of a table in a Parquet file: all columns, or those with some `names`.

    Raises DamagedError where the file is not what was written.
    """

    def __init__(self, path: Path, table: str, names: list[str] | None = None) -> None:
        schema = tables.TABLES[table].schema
        self.path, self.table, self.names = path, table, names or schema.names
        self.schema = pa.schema([schema.field(name) for name in self.names])
        self._groups: dict[int, pa.Table] = {}  # the last ones that were read

    @cached_property
    def _file(self) -> pq.ParquetFile:
        with store.readable(self.path):
            return pq.ParquetFile(self.path, page_checksum_verification=True)

    def __len__(self) -> int:
        return self._file.metadata.num_rows

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        """A column, whole."""
        with store.readable(self.path):
            return self._file.read(columns=[name])[name]

    def read(self) -> pa.Table:
        """All of them."""
        parts = (self._group(number) for number in range(self._file.num_row_groups))
        return pa.concat_tables([self.schema.empty_table(), *parts])

    def _group(self, number: int) -> pa.Table:
        with store.readable(self.path):
            found = self._file.read_row_group(number, columns=self.names)
            return found.select(self.names).cast(self.schema)

    def parts(self, n_rows: int, *, whole_neurons: bool = False) -> Iterator[pa.Table]:
        """All rows in order, in tables of `n_rows`, the last with what is left; or of as many more as keep
        the rows of a neuron together, which follow each other in the file."""
        left = self.schema.empty_table()
        for number in range(self._file.num_row_groups):
            left = pa.concat_tables([left, self._group(number)])
            while len(left) > n_rows:
                cut = _end_of_neuron(left, n_rows) if whole_neurons else n_rows
                if cut == len(left):
                    break
                yield left.slice(0, cut)
                left = left.slice(cut)
        if len(left):
            yield left

    def of_neurons(self, given: pa.Table) -> pa.Table:
        """The rows of all neurons from that of the first row of a table to that of its last, by model,
        layer and neuron, in order. These columns must be among the names, and ascend in the file."""
        first, last = (_neuron(given, row) for row in (0, len(given) - 1)) if len(given) else ((), ())
        numbers = [i for i in range(self._file.num_row_groups) if first and self._may_hold(i, first, last)]
        self._groups = {i: self._groups[i] if i in self._groups else self._group(i) for i in numbers}
        parts = [group.filter(_within(group, first, last)) for group in self._groups.values()]
        return pa.concat_tables([self.schema.empty_table(), *parts])

    def _may_hold(self, number: int, first: tuple[Any, ...], last: tuple[Any, ...]) -> bool:
        """Whether a group of rows may hold keys from `first` to `last`, by its statistics."""
        group = self._file.metadata.row_group(number)
        found = [group.column(self._file.schema.names.index(name)).statistics for name in NEURON_KEY]
        if any(each is None or not each.has_min_max for each in found):
            return True
        return first <= tuple(each.max for each in found) and tuple(each.min for each in found) <= last


def _neuron(given: pa.Table, row: int) -> tuple[Any, ...]:
    return tuple(given[name][row].as_py() for name in NEURON_KEY)


def _within(rows: pa.Table, first: tuple[Any, ...], last: tuple[Any, ...]) -> pa.ChunkedArray:
    """Which rows have keys from `first` to `last`."""
    above = below = pa.scalar(True)
    for name, low, high in reversed(list(zip(NEURON_KEY, first, last, strict=True))):
        own = rows[name]
        above = pc.or_(pc.greater(own, low), pc.and_(pc.equal(own, low), above))
        below = pc.or_(pc.less(own, high), pc.and_(pc.equal(own, high), below))
    return pc.and_(above, below)


def _end_of_neuron(rows: pa.Table, least: int) -> int:
    """The number of rows, at least so many, after which another neuron begins, or the table ends."""
    begins = pa.repeat(False, len(rows) - least)
    for name in NEURON_KEY:
        own = rows[name].combine_chunks()
        begins = pc.or_(begins, pc.not_equal(own[least:], own[least - 1 : -1]))
    found = pc.index(begins, True).as_py()
    return len(rows) if found < 0 else least + found
