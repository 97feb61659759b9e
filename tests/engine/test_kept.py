"""Where keys of kept rows stand, whatever a key is."""

from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.engine import kept

DIGESTS = [f"{number:032x}" for number in range(5)]
OTHERS = ["", "a", DIGESTS[1][:-1], DIGESTS[1] + "0", DIGESTS[1] + "\n", "F" * 32, " " * 32, "é" * 32]


def places(asked, known):
    columns = (
        pa.chunked_array([pa.array(each, pa.string()) for each in own], pa.string())
        for own in (asked, known)
    )
    return pc.index_in(*kept._packed(*columns)).to_pylist()


def chunks(keys):
    return st.lists(st.lists(st.sampled_from(keys), max_size=4), max_size=3)


@settings(max_examples=200, deadline=None)
@given(chunks(DIGESTS) | chunks([*DIGESTS, *OTHERS]), chunks(DIGESTS) | chunks([*DIGESTS, *OTHERS]))
def test_a_key_is_found_where_it_stands_first(asked, known):
    flat = [*chain.from_iterable(known)]
    assert places(asked, known) == [
        flat.index(key) if key in flat else None for key in chain.from_iterable(asked)
    ]


@pytest.mark.parametrize("slice_", [(0, 3), (1, 2), (2, 0)])
def test_part_of_a_column(slice_):
    keys = pa.chunked_array([DIGESTS])
    assert pc.index_in(*kept._packed(keys.slice(*slice_), keys)).to_pylist() == list(
        range(slice_[0], sum(slice_))
    )


def test_keys_take_sixteen_bytes():
    keys = pa.chunked_array([DIGESTS])
    assert [each.type for each in kept._packed(keys, keys)] == [pa.binary(16)] * 2
