"""The schemas of all tables by name: columns, types, units, nulls, keys and grain."""

from __future__ import annotations

import pyarrow as pa

from pipeline.tables import generation, identification, results, samples, verification, views
from pipeline.tables.schema import Table

TABLES: dict[str, Table] = {
    table.name: table
    for step in (samples, identification, verification, generation, results)
    for table in step.TABLES
}
VIEWS: dict[str, Table] = {view.name: view for view in views.TABLES}

# Of all tables together, as published: raised with every change of a column (major) or a meaning (minor).
VERSION = "8.0.0"


def check(name: str, data: pa.Table) -> pa.Table:
    """Return `data` as it is if it fits the schema of table `name`, else raise TableError."""
    TABLES[name].check(data)
    return data


def empty(name: str) -> pa.Table:
    """Table or view `name` without rows."""
    return (TABLES.get(name) or VIEWS[name]).schema.empty_table()
