"""How strongly each variant activates the neuron its phrase came from.

In: `variants`, `samples`. Out: `activations`. Each variant is measured in its original text, from the
sample's own tokens, the replacement's ids spliced in. A model is causal, so a text is computed up to
the end of its phrase only; where the model can, each text once and its variants from the replaced word
on (resume.py), else in plain passes over batches of texts of like length.
"""

from __future__ import annotations

import math
import sys
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
    model = language_model.load(config)
    if not model.resumes:
        print(
            f"activations: {config.model_name} takes plain batched passes; only TransformerLens' native "
            "models resume where a variant differs",
            file=sys.stderr,
        )
    return partial(
        measure, model=model, batch_tokens=config.batch_tokens, batch_bytes=config.batch_mb * 2**20
    )


def measure(
    variants: pa.Table, model: LanguageModel, batch_tokens: int, batch_bytes: int = 2**26
) -> pa.Table:
    """Measure each variant's activation: the maximum over the tokens of its phrase.

    In: variants of one neuron with the tokens of their texts. Out: rows of `activations` in the same
    order; `activation` is null only where `status` is not "ok". A batch holds `batch_tokens` tokens, or
    where the model resumes, takes about `batch_bytes` of memory.
    """
    rows = variants.to_pylist()
    texts: dict[tuple[int, int], list[int]] = {}  # the ids of each text, found once
    for row in rows:
        if (row["neuron"], row["rank"]) not in texts:
            texts[row["neuron"], row["rank"]] = row["token_ids"] or _ids_again(row, model)
    words = sorted({row["replacement"] for row in rows if row["replacement"] is not None})
    new = dict(zip(words, model.encode_batch(words), strict=True)) if words else {}
    found = [
        _splice(row, texts[row["neuron"], row["rank"]], new.get(row["replacement"]), model.n_ctx)
        for row in rows
    ]
    good = [i for i, (ids, _) in enumerate(found) if ids]
    chosen, spliced = [rows[i] for i in good], [found[i][0] for i in good]
    if model.resumes:
        originals = [texts[row["neuron"], row["rank"]] for row in chosen]
        peaks = _resumed(chosen, spliced, originals, model, batch_bytes)
    else:
        peaks = _passed(chosen, spliced, model, batch_tokens)
    values: list[float | None] = [None] * len(rows)
    for i, peak in zip(good, peaks, strict=True):
        values[i] = peak if math.isfinite(peak) else None
    columns = [variants[key] for key in (*_SAMPLE, "variant")]
    statuses = [
        "not_finite" if status == "ok" and value is None else status
        for (_, status), value in zip(found, values, strict=True)
    ]
    columns += [pa.array(values, pa.float32()), pa.array(statuses)]
    return pa.Table.from_arrays(columns, schema=tables.TABLES["activations"].schema)


def _passed(
    rows: list[dict[str, Any]], ids: list[list[int]], model: LanguageModel, batch_tokens: int
) -> list[float]:
    """The peak of each spliced text, by plain passes over batches of texts of like length."""
    peaks = [0.0] * len(rows)
    for places in batches.by_length([len(text) for text in ids], batch_tokens):
        acts = model.activations(batches.padded([ids[place] for place in places]), rows[0]["layer"])
        for line, place in enumerate(places):
            phrase = slice(rows[place]["phrase_start"], len(ids[place]))
            peaks[place] = acts[line, phrase, rows[place]["neuron"]].max().item()
    return peaks


def _resumed(
    rows: list[dict[str, Any]],
    ids: list[list[int]],
    originals: list[list[int]],
    model: LanguageModel,
    batch_bytes: int,
) -> list[float]:
    """The same, each original text computed once and its variants from the replaced word on."""
    from pipeline.resume import Text

    if not rows:
        return []
    texts: dict[tuple[int, int, int], Text] = {}
    where = []  # of each row: its text, and its place among the variants, or null for the text itself
    for row, spliced, original in zip(rows, ids, originals, strict=True):
        phrase = (row["rank"], row["phrase_start"], row["phrase_end"])
        first = row["first_token"]
        if phrase not in texts:
            end = min(row["phrase_end"], model.n_ctx)
            texts[phrase] = Text(original[:end], row["phrase_start"], [])
        where.append((phrase, None if first is None else len(texts[phrase].variants)))
        if first is not None:
            texts[phrase].variants.append((first, spliced[first:]))
    measured = model.resuming(rows[0]["layer"], rows[0]["neuron"]).peaks(list(texts.values()), batch_bytes)
    by_phrase = dict(zip(texts, measured, strict=True))
    return [
        by_phrase[phrase][0] if place is None else by_phrase[phrase][1][place] for phrase, place in where
    ]


def _splice(
    row: dict[str, Any], ids: list[int], new: list[int] | None, n_ctx: int
) -> tuple[list[int], str]:
    """A variant's ids up to the end of its phrase, and the status.

    `ids` are the text's, none where they are not sure; `new` the replacement's, null for the text
    itself. The result's are empty where the status is not "ok".
    """
    if not ids:
        return [], "lossy"
    ids = ids[: row["phrase_end"]]
    if new is not None:
        ids[row["first_token"] : row["end_token"]] = new
    if len(ids) > n_ctx:
        return [], "too_long"
    return ids, "ok"


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
