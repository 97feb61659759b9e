"""The variants of places are those of the view, in runs of whole MAPs."""

import pyarrow as pa
import pytest
from by_hand import places, variant
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tables import query
from pipeline.verification import variants


@pytest.fixture(scope="module")
def of_view(small_tables):
    """The view over a run."""
    return query.run(query.query("views/variants.sql"), small_tables, {})


def test_variants_of_places_are_those_of_the_view(small_tables, of_view):
    found = variants.of_places(small_tables["places"])
    assert {"variant", "replacement", "word", "first_token"} < set(found.column_names)
    for name in found.column_names:
        assert found[name].combine_chunks().equals(of_view[name].combine_chunks()), name


@pytest.mark.parametrize(("start", "length"), [(0, 1), (1, 1), (5, 40), (30, 0)])
def test_variants_of_a_slice_are_those_of_its_places(small_tables, start, length):
    part = small_tables["places"].slice(start, length)
    expected = sum(map(len, part["variants"].to_pylist()))
    found = variants.of_places(part)
    assert len(found) == expected
    assert found["variant"].to_pylist() == [n for own in part["variants"].to_pylist() for n in own]
    assert found.equals(variants.of_places(pa.Table.from_pylist(part.to_pylist(), part.schema)))


@given(st.lists(st.integers(0, 5), max_size=6), st.integers(1, 9))
def test_runs_hold_whole_maps_and_enough_variants(counts, n_rows):
    rows = [
        variant(number, "synonym" if number else "baseline", rank=rank)
        for rank, n in enumerate(counts)
        for number in range(n + 1)
    ]
    runs = list(variants.in_runs(places(*rows), n_rows))
    assert [row for run in runs for row in run["variant"].to_pylist()] == [row["variant"] for row in rows]
    assert all(run["variant"][0].as_py() == 0 for run in runs)
    assert all(len(run) >= n_rows for run in runs[:-1])
    assert all(len(run) - max(1 + n for n in counts) < n_rows for run in runs)
