"""The whole words of each MAP with their tokens.

In: `maps`. Out: `words`. A word that continues beyond the MAP's edge is left out. A word can be replaced
if it has letters only and its tokens hold nothing else but white space before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.config import Config
from pipeline.engine.stage import Inputs, Stage, runs_of
from pipeline.language import word
from pipeline.tables.rows import Columns


def find_words(maps: pa.Table) -> pa.Table:
    """One row per whole word of each MAP, in the order of the text."""
    rows = [row for phrase in maps.to_pylist() for row in _words_of(phrase)]
    return pa.Table.from_pylist(rows, schema=tables.TABLES["words"].schema)


def _words_of(phrase: dict[str, Any]) -> Iterator[dict[str, Any]]:
    before = phrase["text_before"]
    text = "".join(phrase["tokens"])
    # where each token begins, then where the phrase ends; an empty token begins where the next does
    begins = list(accumulate(map(len, phrase["tokens"]), initial=0))
    index = 0
    for match in word.find(before + text + phrase["text_after"]):
        start, end = match.start() - len(before), match.end() - len(before)
        if start < 0 or end > len(text):
            continue
        first = bisect_right(begins, start) - 1
        last = bisect_right(begins, end - 1) - 1
        blank = text[begins[first] : start]
        aligned = not blank.strip() and end == begins[last + 1]
        first_token, end_token = phrase["start"] + first, phrase["start"] + last + 1
        yield dict(
            {key: phrase[key] for key in ("model", "layer", "neuron", "rank")},
            word_index=index,
            text=match[0],
            word=match[0].lower(),
            blank=blank,
            first_token=first_token,
            end_token=end_token,
            replaceable=aligned and word.alphabetic(match[0]),
            is_mat=first_token <= phrase["mat_index"] < end_token,
            upto_mat=first_token <= phrase["mat_index"],
        )
        index += 1


def _note(data: Columns, inputs: Inputs, settings: Config) -> str:
    kept = pc.sum(data["replaceable"]).as_py() or 0
    return f"{len(data) - kept} cannot be replaced (digits, odd tokens)"


STAGE = Stage(
    __name__,
    "110",
    "words",
    reads=("maps",),
    shards=runs_of("maps", 4096),
    worker=lambda inputs, settings: find_words,
    note=_note,
)
