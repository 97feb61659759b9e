"""What a schema is, and whether a table fits it.

pyarrow itself accepts nulls in non-null columns and silently drops unknown columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import TableError


@dataclass(frozen=True)
class Column:
    """A column's name, type, meaning (with its unit), and whether it or its lists' items may be null."""

    name: str
    type: pa.DataType
    doc: str
    null: bool = False
    null_items: bool = False


@dataclass(frozen=True)
class Table:
    """A table's name, the grain of its rows, its key and its columns in order."""

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema, null flags included."""
        return pa.schema([pa.field(c.name, c.type, nullable=c.null) for c in self.columns])

    @property
    def of_layers(self) -> bool:
        """Whether each layer has rows of its own."""
        return "layer" in self.key

    def once(self, data: pa.Table) -> pa.Table:
        """The first row of each key, in the order of their keys."""
        numbered = data.select(self.key).append_column("place", pa.array(range(len(data)), pa.int64()))
        first = numbered.group_by(list(self.key)).aggregate([("place", "min")])
        by_key = [(name, "ascending") for name in self.key]
        return data.take(first["place_min"]).sort_by(by_key)

    @property
    def kept(self) -> pa.Schema:
        """What is kept of a row for all runs: the fingerprint of what decides it, and all columns that are
        not the table's key."""
        own = [field for field in self.schema if field.name not in self.key]
        return pa.schema([pa.field("key", pa.string(), nullable=False), *own])

    def check(self, data: pa.Table) -> None:
        """Raise TableError where `data` does not fit.

        Checked are column names and order, types, nulls and finite values (in lists too), and that no key
        stands twice.
        """
        self._check_columns(data)
        if self._is_ascending(data):
            return
        distinct = data.select(self.key).group_by(list(self.key)).aggregate([])
        if len(distinct) != len(data):
            raise TableError(
                f"{self.name}: {len(data)} rows but {len(distinct)} distinct keys ({', '.join(self.key)})"
            )

    def in_order(self, parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Yield the parts of a table, each checked; raise TableError where one does not fit, or where its
        keys do not ascend from those before it."""
        last = None
        for part in parts:
            self._check_columns(part)
            if not self._is_ascending(part if last is None else pa.concat_tables([last, part])):
                raise TableError(f"{self.name}: rows are not in the order of {', '.join(self.key)}")
            last = part.slice(len(part) - 1) if len(part) else last
            yield part

    def _check_columns(self, data: pa.Table) -> None:
        expected = [c.name for c in self.columns]
        if data.column_names != expected:
            raise TableError(f"{self.name}: columns are {data.column_names}, expected {expected}")
        for column in self.columns:
            _check_column(f"{self.name}.{column.name}", column, data[column.name])

    def _is_ascending(self, data: pa.Table) -> bool:
        """Whether each row's key is above that of the row before it."""
        keys = [data[name].combine_chunks() for name in self.key]
        same = pa.repeat(True, max(0, len(data) - 1))
        for key in keys:
            before, after = key[:-1], key[1:]
            equal = pc.equal(before, after)
            if pc.all(equal, skip_nulls=False).as_py():  # as the model is, in most tables
                continue
            if pc.any(pc.and_(same, pc.greater(before, after))).as_py():
                return False
            same = pc.and_(same, equal)
        return not pc.any(same).as_py()


def _check_column(place: str, column: Column, values: pa.ChunkedArray) -> None:
    if values.type != column.type:
        raise TableError(f"{place}: type {values.type}, expected {column.type}")
    if values.null_count and not column.null:
        raise TableError(f"{place}: {values.null_count} nulls in {len(values)} rows, expected none")
    if pa.types.is_list(column.type):
        values = pc.list_flatten(values)
        if values.null_count and not column.null_items:
            raise TableError(f"{place}: nulls inside the lists, expected none")
    if pa.types.is_floating(values.type) and pc.any(pc.invert(pc.is_finite(values))).as_py():
        raise TableError(f"{place}: not all values are finite")
