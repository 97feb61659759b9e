import pyarrow as pa
import pytest
from conftest import EVIDENCE, rows

from pipeline import fingerprint, tables
from pipeline.errors import TableError

GOOD = rows("candidates", {"similarity": 0.5}, {"neuron": 1, "similarity": 0.6})


def test_the_version_changes_with_the_schemas():
    """Whoever changes a column raises VERSION and writes both here."""
    schemas = {name: str(table.schema) for name, table in tables.TABLES.items()}
    assert (tables.VERSION, fingerprint.of_value(schemas)) == ("4.0.0", "8ab35aaaebb3bb3b")


def test_a_table_that_fits_passes_unchanged():
    assert tables.check("candidates", GOOD) is GOOD


@pytest.mark.parametrize("name", tables.TABLES)
def test_every_empty_table_fits_its_schema(name):
    tables.check(name, tables.empty(name))


def test_nulls_where_none_are_allowed_are_refused():
    with pytest.raises(TableError, match=r"candidates\.similarity: 1 nulls in 1 rows"):
        tables.check("candidates", rows("candidates", {"similarity": None}))


def test_nulls_inside_lists_are_refused():
    found = rows("evidence", EVIDENCE | {"mats": ["a", None]})
    with pytest.raises(TableError, match=r"evidence\.mats: nulls inside"):
        tables.check("evidence", found)


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_what_is_not_a_finite_number_is_refused(odd):
    with pytest.raises(TableError, match="similarity: not all values are finite"):
        tables.check("candidates", rows("candidates", {"similarity": odd}))


def test_other_types_missing_and_additional_columns_are_refused():
    other = GOOD.set_column(1, "layer", GOOD["layer"].cast(pa.int64()))
    with pytest.raises(TableError, match=r"candidates.layer: type int64, expected int32"):
        tables.check("candidates", other)
    with pytest.raises(TableError, match="columns are"):
        tables.check("candidates", GOOD.drop_columns(["similarity"]))
    with pytest.raises(TableError, match="columns are"):
        tables.check("candidates", GOOD.append_column("more", GOOD["layer"]))


def test_a_key_that_stands_twice_is_refused():
    with pytest.raises(TableError, match="4 rows but 2 distinct keys"):
        tables.check("candidates", pa.concat_tables([GOOD, GOOD]))


@pytest.mark.parametrize("table", tables.TABLES.values(), ids=lambda t: t.name)
def test_every_column_says_what_it_means(table):
    assert all(column.doc for column in table.columns)
    assert set(table.key) <= {column.name for column in table.columns}
