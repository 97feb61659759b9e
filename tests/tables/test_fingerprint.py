import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tables import fingerprint

SCHEMA = pa.schema(
    [("n", pa.int32()), ("s", pa.string()), ("b", pa.bool_()), ("l", pa.list_(pa.float32()))]
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "n": st.none() | st.integers(-5, 5),
            "s": st.none() | st.text("ab", max_size=3),
            "b": st.none() | st.booleans(),
            "l": st.none() | st.lists(st.integers(0, 3).map(float), max_size=3),
        }
    ),
    max_size=20,
)


@given(ROWS, st.data())
def test_a_slice_has_the_fingerprint_of_the_same_rows_alone(rows, data):
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    start = data.draw(st.integers(0, len(rows)))
    length = data.draw(st.integers(0, len(rows) - start))
    alone = pa.Table.from_pylist(rows[start : start + length], schema=SCHEMA)
    cut = table.slice(start, length)
    halves = pa.concat_tables([cut.slice(0, length // 2), cut.slice(length // 2)])
    assert fingerprint.of_table(cut) == fingerprint.of_table(alone) == fingerprint.of_table(halves)


@given(ROWS, ROWS)
def test_other_rows_have_another_fingerprint(one, other):
    prints = [fingerprint.of_table(pa.Table.from_pylist(r, schema=SCHEMA)) for r in (one, other)]
    assert (prints[0] == prints[1]) == (one == other)
