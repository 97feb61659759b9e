"""How strongly each variant activates the neuron its phrase came from.

In: `variants`, `samples`. Out: `activations`. Each variant is measured in its original text, from the
sample's own tokens, the replacement's ids spliced in. A model is causal, so a text is computed up to
the end of its phrase only. Plain passes over batches of texts of like length.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import batches, language_model, tables
from pipeline.config import Config
from pipeline.engine import Worker
from pipeline.language_model import LanguageModel

_SAMPLE = ["model", "layer", "neuron", "rank"]
_SPAN = ["variant", "replacement", "first_token", "end_token", "phrase_start", "phrase_end"]


def shards(inputs: Mapping[str, pa.Table]) -> Iterator[pa.Table]:
    """One table per neuron: its variants with the ids of the text each stands in, or its tokens
    where the ids are unknown."""
    variants = inputs["variants"].select([*_SAMPLE, *_SPAN])
    samples = inputs["samples"].select([*_SAMPLE, "tokens", "token_ids", "text_start"])
    by_sample = {tuple(row.values()): i for i, row in enumerate(samples.select(_SAMPLE).to_pylist())}
    neurons = list(zip(*(variants[key].to_pylist() for key in _SAMPLE[:3]), strict=True))
    edges = [i for i in range(1, len(neurons)) if neurons[i] != neurons[i - 1]]
    for start, end in pairwise([0, *edges, len(neurons)] if neurons else []):
        shard = variants.slice(start, end - start)
        places = [by_sample[tuple(row.values())] for row in shard.select(_SAMPLE).to_pylist()]
        texts = samples.take(pa.array(places))
        unknown = pc.if_else(pc.is_null(texts["token_ids"]), texts["tokens"], None)
        shard = shard.append_column("tokens", unknown)
        for name in ("token_ids", "text_start"):
            shard = shard.append_column(texts.schema.field(name), texts[name])
        yield shard


def worker(config: Config, inputs: Mapping[str, pa.Table]) -> Worker:
    """The function from variants to their activations, with the model loaded."""
    return partial(measure, model=language_model.load(config), batch_tokens=config.batch_tokens)


def measure(variants: pa.Table, model: LanguageModel, batch_tokens: int) -> pa.Table:
    """Measure each variant's activation: the maximum over the tokens of its phrase.

    In: variants of one layer with the tokens of their texts. Out: rows of `activations` in the same
    order; `activation` is null only where `status` is not "ok".
    """
    rows = variants.to_pylist()
    texts: dict[tuple[int, int], list[int]] = {}  # the ids of each text, found once
    for row in rows:
        if (row["neuron"], row["rank"]) not in texts:
            texts[row["neuron"], row["rank"]] = row["token_ids"] or _ids_again(row, model)
    found = [_splice(row, texts[row["neuron"], row["rank"]], model) for row in rows]
    values: list[float | None] = [None] * len(rows)
    good = [i for i, (ids, *_) in enumerate(found) if ids]
    for batch in batches.by_length([len(found[i][0]) for i in good], batch_tokens):
        places = [good[place] for place in batch]
        ids = batches.padded([found[place][0] for place in places])
        acts = model.activations(ids, rows[0]["layer"])  # (variant, token, neuron)
        for line, place in enumerate(places):
            row, (spliced, phrase_start, _) = rows[place], found[place]
            peak = acts[line, phrase_start : len(spliced), row["neuron"]].max().item()
            values[place] = peak if math.isfinite(peak) else None
    columns = [variants[key] for key in (*_SAMPLE, "variant")]
    statuses = [
        "not_finite" if status == "ok" and value is None else status
        for (_, _, status), value in zip(found, values, strict=True)
    ]
    columns += [pa.array(values, pa.float32()), pa.array(statuses)]
    return pa.Table.from_arrays(columns, schema=tables.TABLES["activations"].schema)


def _splice(row: dict[str, Any], ids: list[int], model: LanguageModel) -> tuple[list[int], int, str]:
    """A variant's ids up to the end of its phrase, where the phrase starts, and the status.

    `ids` are the text's, none where they are not sure. The result's are empty where the status is not
    "ok".
    """
    if not ids:
        return [], 0, "lossy"
    ids = ids[: row["phrase_end"]]
    if row["replacement"] is not None:
        ids[row["first_token"] : row["end_token"]] = model.encode(row["replacement"])
    if len(ids) > model.n_ctx:
        return [], 0, "too_long"
    return ids, row["phrase_start"], "ok"


def _ids_again(row: dict[str, Any], model: LanguageModel) -> list[int]:
    """The ids of a text without any: tokenised again; empty where its tokens come out otherwise.

    Half a character (U+FFFD) may stand for any bytes, so a text that holds one has no sure ids.
    """
    start = row["text_start"]
    if any("\ufffd" in token for token in row["tokens"]):
        return []
    ids = model.encode("".join(row["tokens"][start:]))
    if [model.token_texts[i] for i in ids] != row["tokens"][start:]:
        return []
    return [model.bos_id] * start + ids
