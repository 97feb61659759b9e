"""Rows that several tests write by hand, with what they share filled in."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from conftest import rows, run_sql

from pipeline.tables import TABLES
from pipeline.tables.columns import VARIANT_KEY


def map_row(rank: int, *, duplicate: bool = False, **more: Any) -> dict[str, Any]:
    """A row of `maps`: one token, which is the MAT."""
    return {
        "rank": rank,
        "mat": "a",
        "mat_index": 0,
        "start": 0,
        "tokens": ["a"],
        "activations": [1.0],
        "phrase": "a",
        "max_activation": 1.0,
        "text_before": "",
        "text_after": "",
        "duplicate": duplicate,
    } | more


def word(
    text: str, index: int, *, is_mat: bool = False, upto_mat: bool = True, **more: Any
) -> dict[str, Any]:
    """A row of `words`: the word at one token of a MAP that starts at token 3."""
    return {
        "rank": 0,
        "word_index": index,
        "text": text,
        "word": text.lower(),
        "blank": " " if index else "",
        "first_token": 3 + index,
        "end_token": 4 + index,
        "replaceable": True,
        "is_mat": is_mat,
        "upto_mat": upto_mat,
    } | more


# where the replaced word of a variant stands
MAT = {"is_mat": True, "upto_mat": True}
BEFORE = {"is_mat": False, "upto_mat": True}
AFTER = {"is_mat": False, "upto_mat": False}


def variant(number: int, kind: str, **more: Any) -> dict[str, Any]:
    """A row of `variants`: one token."""
    return {
        "rank": 0,
        "variant": number,
        "kind": kind,
        "phrase_start": 0,
        "phrase_end": 1,
        "phrase": "p",
        "is_mat": None,
        "upto_mat": None,
    } | more


def places(*given: dict[str, Any]) -> pa.Table:
    """The table `places` of some rows of `variants`: a place for each of them."""
    found = []
    for row in given:
        own = {name: value for name, value in row.items() if name in TABLES["places"].schema.names}
        replacement = row.get("replacement", None if row["kind"] == "baseline" else "x")
        counts = dict(n_synonyms=int(row["kind"] == "synonym"), n_relatives=int(row["kind"] == "relative"))
        own |= dict(variants=[row["variant"]], replacements=[replacement], place=row["variant"])
        found.append(dict(blank="", first_token=0, end_token=1) | own | counts)
    return rows("places", *found)


def encoded(row: dict[str, Any]) -> dict[str, Any]:
    """The row of `encodings` of a variant."""
    key = {name: row[name] for name in ("model", "layer", "neuron", "rank", "variant") if name in row}
    ids = dict(key=str(key), text="t", phrase_start=0, first_token=0, token_ids=[1], status="ok")
    return key | ids | dict(tokens=row.get("tokens", "exact"))


def measured(row: dict[str, Any], activation: float | None) -> dict[str, Any]:
    """The row of `activations` of a variant."""
    key = {name: row[name] for name in ("model", "layer", "neuron", "rank", "variant") if name in row}
    return key | {"activation": activation, "status": "too_long" if activation is None else "ok"}


def retentions(given: list[tuple[dict[str, Any], float | None]]) -> pa.Table:
    """The table `retentions` of pairs of a variant and its activation, in the order of the key."""
    given = sorted(given, key=lambda each: [each[0].get(name, 0) for name in VARIANT_KEY[1:]])
    inputs = {
        "places": places(*[row for row, _ in given]),
        "encodings": rows("encodings", *[encoded(row) for row, _ in given]),
        "activations": rows("activations", *[measured(row, activation) for row, activation in given]),
    }
    return rows("retentions", *run_sql("260_retentions.sql", inputs))
