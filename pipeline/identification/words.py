"""The whole words of each MAP with their tokens.

In: `maps`, `vocabulary`. Out: `words`. A word that continues beyond the MAP's edge is left out. A word can
be replaced if it has letters only and its tokens hold nothing else but white space before it. What is
written without blanks is divided into words of the vocabulary.
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
from pipeline.engine.engines import Worker
from pipeline.engine.stage import Inputs, Stage, runs_of
from pipeline.language import word
from pipeline.tables.columns import SAMPLE_KEY
from pipeline.tables.rows import Columns


def find_words(maps: pa.Table, known: word.Known | None = None) -> pa.Table:
    """One row per whole word of each MAP, in the order of the text; `known` as in `word.find`."""
    known = known or word.Known()
    rows = [row for phrase in maps.to_pylist() for row in _words_of(phrase, known)]
    return pa.Table.from_pylist(rows, schema=tables.TABLES["words"].schema)


def _words_of(phrase: dict[str, Any], known: word.Known) -> Iterator[dict[str, Any]]:
    before = phrase["text_before"]
    text = "".join(phrase["tokens"])
    # where each token begins, then where the phrase ends; an empty token begins where the next does
    begins = list(accumulate(map(len, phrase["tokens"]), initial=0))
    index = 0
    for match in word.find(before + text + phrase["text_after"], known):
        start, end = match.start() - len(before), match.end() - len(before)
        if start < 0 or end > len(text):
            continue
        first = bisect_right(begins, start) - 1
        last = bisect_right(begins, end - 1) - 1
        blank = text[begins[first] : start]
        aligned = not blank.strip() and end == begins[last + 1]
        first_token, end_token = phrase["start"] + first, phrase["start"] + last + 1
        yield dict(
            {key: phrase[key] for key in ("model", "layer", "sign", "neuron", "rank")},
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


def _worker(inputs: Inputs, settings: Config) -> Worker:
    """The function from MAPs to their words, by the words of the vocabulary."""
    known = word.Known(inputs["vocabulary"]["word"].to_pylist())
    return lambda shard: find_words(shard, known)


def _note(data: Columns, inputs: Inputs, settings: Config) -> str:
    kept = pc.sum(data["replaceable"]).as_py() or 0
    return f"{len(data) - kept} cannot be replaced (digits, odd tokens)"


def _warn(data: Columns, inputs: Inputs, settings: Config) -> list[str]:
    """That most MAPs hold no word that can be replaced, and why as far as it is known."""
    maps = inputs.rows("maps", ["phrase"])
    words = pa.table({name: data[name] for name in (*SAMPLE_KEY, "replaceable")})
    with_words = words.filter(words["replaceable"]).group_by(list(SAMPLE_KEY)).aggregate([])
    if 2 * len(with_words) >= len(maps):
        return []
    n_cut = pc.sum(pc.match_substring(maps["phrase"], "\ufffd")).as_py() or 0
    said = f"{len(maps) - len(with_words):,} of {len(maps):,} MAPs hold no word that can be replaced"
    if 2 * n_cut < len(maps):
        return [f"{said}: letters only, in tokens of its own; what they show is tokens and spelling"]
    return [
        f"{said}, as {n_cut:,} hold half characters: the model's tokenizer cuts the letters of this script "
        "into bytes, which are no words; take a MODEL whose tokenizer knows the script, or another TEXT"
    ]


STAGE = Stage(
    __name__,
    "125",
    "words",
    reads=("maps", "vocabulary"),
    shards=runs_of("maps", 4096),
    worker=_worker,
    note=_note,
    warn=_warn,
)
