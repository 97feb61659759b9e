"""The rows of a file that are read are those of the table, in order, however the file is cut."""

from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import CANDIDATE, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DamagedError
from pipeline.tables.columns import NEURON_KEY
from pipeline.tables.rows import Rows, counted

SIGNS = ("negative", "positive")
NEURON = st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.sampled_from(SIGNS), st.integers(0, 3))
GROUPS = st.integers(1, 5)


def stored(neurons, group, folder):
    """A file of neurons, with so many rows in a group of it."""
    given_ = [CANDIDATE | dict(zip(NEURON_KEY, each, strict=True)) for each in neurons]
    table = rows("candidates", *given_)
    pq.write_table(table, folder / "part.parquet", row_group_size=group)
    return table, Rows(folder / "part.parquet", "candidates")


def keys(table):
    return list(zip(*(table[name].to_pylist() for name in NEURON_KEY), strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


@settings(deadline=None)
@given(neurons=st.lists(NEURON, max_size=12).map(sorted), group=GROUPS, size=st.integers(1, 6))
def test_parts_have_the_size_asked_for_and_are_the_table(neurons, group, size, folder):
    table, found = stored(neurons, group, folder)
    parts = list(found.parts(size))
    assert pa.concat_tables([table.slice(0, 0), *parts]).equals(table)
    assert found.read().equals(table)
    assert [len(part) for part in parts[:-1]] == [size] * (len(parts) - 1)
    assert all(0 < len(part) <= size for part in parts)


@settings(deadline=None)
@given(neurons=st.lists(NEURON, max_size=12).map(sorted), group=GROUPS, size=st.integers(1, 6))
def test_parts_of_whole_neurons_tear_none_apart(neurons, group, size, folder):
    table, found = stored(neurons, group, folder)
    parts = list(found.parts(size, whole_neurons=True))
    assert pa.concat_tables([table.slice(0, 0), *parts]).equals(table)
    for before, after in pairwise(map(keys, parts)):
        assert before[-1] != after[0]
        assert len(before) >= size


@settings(deadline=None)
@given(
    neurons=st.lists(NEURON, max_size=12).map(sorted),
    group=GROUPS,
    asked=st.lists(st.lists(NEURON, max_size=3).map(sorted), min_size=1, max_size=4),
)
def test_the_rows_of_neurons_are_all_from_the_first_to_the_last(neurons, group, asked, folder):
    table, found = stored(neurons, group, folder)
    for each in asked:  # in any order: what was read before is no other
        wanted, _ = stored(each, 9, folder / "..")
        inside = [key for key in keys(table) if each and each[0] <= key <= each[-1]]
        assert keys(found.of_neurons(wanted)) == inside


def test_columns_are_those_named_in_this_order(folder):
    table, _ = stored([("a", 0, "positive", 0), ("a", 0, "positive", 1)], 1, folder)
    found = Rows(folder / "part.parquet", "candidates", ["p", *NEURON_KEY])
    assert found.read().equals(table.select(["p", *NEURON_KEY]))
    assert found["p"].to_pylist() == table["p"].to_pylist()
    assert len(found) == 2


def test_a_damaged_file_is_told_as_such(folder):
    stored([("a", 0, "positive", 0)], 1, folder)
    file = folder / "part.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DamagedError, match="damaged"):
        Rows(file, "candidates").read()


def test_values_are_counted_the_most_frequent_first():
    assert counted(pa.chunked_array([["b", "a"], ["a"]])) == [("a", 2), ("b", 1)]
