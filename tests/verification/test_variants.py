"""The variants of places are those of the view."""

import pyarrow as pa
import pytest

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
