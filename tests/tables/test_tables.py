from itertools import pairwise

import pyarrow as pa
import pytest
from conftest import CANDIDATE, EVIDENCE, rows
from hypothesis import given
from hypothesis import strategies as st

from pipeline import tables
from pipeline.errors import TableError
from pipeline.tables import fingerprint

GOOD = rows("candidates", CANDIDATE, CANDIDATE | {"neuron": 1, "similarity": 0.6})


def test_the_version_changes_with_the_schemas():
    """Whoever changes a column raises VERSION and writes both here."""
    schemas = {name: str(table.schema) for name, table in tables.TABLES.items()}
    assert (tables.VERSION, fingerprint.of_value(schemas)) == ("8.0.0", "02a1c1c92ce137ed")


def test_a_table_that_fits_passes_unchanged():
    assert tables.check("candidates", GOOD) is GOOD


@pytest.mark.parametrize("name", tables.TABLES)
def test_every_empty_table_fits_its_schema(name):
    tables.check(name, tables.empty(name))


def test_nulls_where_none_are_allowed_are_refused():
    with pytest.raises(TableError, match=r"candidates\.p: 1 nulls in 1 rows"):
        tables.check("candidates", rows("candidates", CANDIDATE | {"p": None}))


def test_nulls_inside_lists_are_refused():
    found = rows("evidence", EVIDENCE | {"mats": ["a", None]})
    with pytest.raises(TableError, match=r"evidence\.mats: nulls inside"):
        tables.check("evidence", found)


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_what_is_not_a_finite_number_is_refused(odd):
    with pytest.raises(TableError, match="similarity: not all values are finite"):
        tables.check("candidates", rows("candidates", CANDIDATE | {"similarity": odd}))


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


KEYED = st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.integers(0, 2))


def candidates(keys):
    given = [CANDIDATE | dict(model=model, layer=layer, neuron=neuron) for model, layer, neuron in keys]
    return rows("candidates", *given)


@given(st.lists(KEYED, max_size=8), st.integers(0, 8), st.integers(0, 8))
def test_parts_pass_exactly_if_their_keys_ascend(keys, one, other):
    cuts = sorted([min(one, len(keys)), min(other, len(keys))])
    data = candidates(keys)
    parts = [data.slice(a, b - a) for a, b in pairwise([0, *cuts, len(keys)])]
    passing = tables.TABLES["candidates"].in_order(parts)
    if all(a < b for a, b in pairwise(keys)):
        assert pa.concat_tables(list(passing)).equals(data)
    else:
        with pytest.raises(
            TableError, match=r"not in the order of model, layer, sign, neuron|distinct keys"
        ):
            list(passing)


@given(st.lists(KEYED, max_size=8))
def test_a_table_passes_exactly_if_its_keys_are_distinct(keys):
    if len(set(keys)) == len(keys):
        tables.check("candidates", candidates(keys))
    else:
        with pytest.raises(TableError, match="distinct keys"):
            tables.check("candidates", candidates(keys))
