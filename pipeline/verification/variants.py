"""The variants of places: one row for each replacement, as in the view `variants`.

In: rows of `places`. What Python stages know of that table's columns is here.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.tables.columns import SAMPLE_KEY

_OF_PLACE = ["word", "first_token", "end_token", "phrase_start", "phrase_end"]
COLUMNS = [*SAMPLE_KEY, *_OF_PLACE, "place", "blank", "variants", "replacements"]  # of places


def of_places(places: pa.Table) -> pa.Table:
    """The variants of some places, in their order: the key of their sample, `variant`, `replacement`, which
    is null for a MAP as it is, and what is known of their place."""
    own = pc.list_parent_indices(places["variants"].combine_chunks())
    rows = places.select([*SAMPLE_KEY, *_OF_PLACE]).take(own)
    blanks, replaced = places["blank"].take(own), pc.list_flatten(places["replacements"])
    return rows.append_column("variant", pc.list_flatten(places["variants"])).append_column(
        "replacement", pc.binary_join_element_wise(blanks, replaced, "")
    )
