"""Many lists written as JSON, read into one column without a Python object for each item."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from pipeline.tables import query

_KINDS = {pa.string(): "VARCHAR", pa.float64(): "DOUBLE"}


def read(texts: Sequence[str], kind: pa.DataType) -> pa.ListArray | None:
    """Lists of strings or of 64-bit floats; None where one text is not JSON.

    DuckDB is lenient: a number, a list or an object becomes the string that it is written as, a string a
    number, null stays null, and a comma may stand after the last item. The caller has to see to it.
    """
    with query.over({"given": pa.table({"json": texts})}, ["given"]) as con:
        try:
            found = con.sql("select from_json_strict(json, $1) from given", params=[f'["{_KINDS[kind]}"]'])
            return found.to_arrow_table().column(0).combine_chunks()
        except duckdb.InvalidInputException:
            return None
