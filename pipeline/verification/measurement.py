"""Measures encoded variants: resumed in blocks of our own or from the model's cache, else in plain passes.

In: rows of `encodings`. Variants of one text in one layer are measured together, for all neurons.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import output
from pipeline.config import Config
from pipeline.models import plain_passes
from pipeline.models.language_model import LanguageModel
from pipeline.models.phrases import Batch, Phrase, Text
from pipeline.tables import query

# settings that decide activations, and settings that only decide where and how fast they are computed
SETTINGS = ("model", "weights", "layer", "precision")
USES = ("device", "memory_mb", "batch_tokens")
_BY_TEXT = """
with wanted as (
    select distinct model, layer, neuron, rank
    from encodings
    where wanted
),
needed as (
    select *, max(end_token) over (partition by text) as longest
    from encodings
    semi join wanted using (model, layer, neuron, rank)
    where wanted or variant = 0
)
select place, text
from needed
order by longest, text, model, layer, neuron, rank, variant
"""


def by_text(encodings: pa.Table, wanted: pa.Array, n_rows: int) -> Iterator[pa.Table]:
    """The wanted rows (a mask), with the phrases they are variants of, in tables of about `n_rows` rows.

    Each text is in one table; a table is ordered by text, phrase and variant; short texts come first.
    """
    small = encodings.select(["text", "model", "layer", "neuron", "rank", "variant"])
    ends = pc.add(encodings["first_token"], pc.list_value_length(encodings["token_ids"]))
    small = small.append_column("end_token", ends).append_column("wanted", wanted)
    small = small.append_column("place", pa.array(np.arange(len(encodings))))
    with query.connect() as con:
        con.register("encodings", small)
        order = con.sql(_BY_TEXT).to_arrow_table()
    texts = order["text"].to_pylist()
    start = 0
    for stop in range(1, len(texts) + 1):
        if stop == len(texts) or (stop - start >= n_rows and texts[stop] != texts[stop - 1]):
            yield encodings.take(order["place"].slice(start, stop - start))
            start = stop


def measure(encodings: pa.Table, model: LanguageModel, settings: Config) -> pa.Table:
    """Each row's `activation`, the maximum over the tokens of its phrase in its layer, and `status`; in
    order.

    `encodings` hold the phrase of each variant and are ordered as `by_text` orders them; `activation` is
    null only where `status` is not "ok".
    """
    ok = pc.equal(encodings["status"], "ok").combine_chunks().to_numpy(zero_copy_only=False)
    asked = _texts(encodings.filter(pa.array(ok)))
    peaks: dict[tuple[int, str], list[list[float]]] = {}
    for layer in sorted({layer for layer, _ in asked}):
        own = [text for text in asked if text[0] == layer]
        peaks |= zip(own, _peaks([asked[text] for text in own], model, layer, settings), strict=True)
    values = np.full(len(encodings), np.nan)
    values[ok] = np.fromiter((peak for text in asked for each in peaks[text] for peak in each), float)
    finite = np.isfinite(values)
    found = pa.array(values, pa.float64(), mask=~finite).cast(pa.float32())
    status = pc.if_else(pa.array(ok & ~finite), "not_finite", encodings["status"])
    schema = pa.schema([("activation", pa.float32()), ("status", pa.string())])
    return pa.table([found, status], schema=schema)


def _texts(encodings: pa.Table) -> dict[tuple[int, str], Text]:
    """What is asked of each text of a layer, in order; `encodings` as in `measure`, all of them ok."""
    lists = encodings["token_ids"].combine_chunks()
    flat, ends = lists.values.to_pylist(), lists.offsets.to_pylist()
    ids = [flat[begin:end] for begin, end in itertools.pairwise(ends)]
    firsts = encodings["first_token"].to_pylist()
    starts = np.flatnonzero(encodings["variant"].to_numpy() == 0)
    phrases = (
        encodings.select(["layer", "text", "neuron", "phrase_start"]).take(pa.array(starts)).to_pylist()
    )
    asked: dict[tuple[int, str], Text] = {}
    for row, (start, stop) in zip(phrases, itertools.pairwise([*starts.tolist(), len(ids)]), strict=True):
        text = asked.setdefault((row["layer"], row["text"]), Text([], []))
        if len(ids[start]) > len(text.ids):
            text.ids[:] = ids[start]
        variants = list(zip(firsts[start + 1 : stop], ids[start + 1 : stop], strict=True))
        text.phrases.append(Phrase(row["neuron"], row["phrase_start"], len(ids[start]), variants))
    return asked


def tell(model: LanguageModel, settings: Config) -> None:
    """Print which way variants are measured."""
    way, lack, refusal = _way(model, settings.layer)
    told = {
        "blocks": "variants resume where they differ, in blocks without hooks",
        "cache": f"variants resume by the model's own cache, since {lack}",
        "plain": f"plain batched passes: {lack}, its own cache cannot be resumed",
    }[way]
    output.tell(f"activations: {settings.model_name}: {told}{refusal and f' ({refusal})'}")


def _way(model: LanguageModel, layer: int) -> tuple[str, str, str]:
    """How variants are measured, why not in blocks, and what kept them from being resumed at all."""
    lack = model.tower(layer)
    if not isinstance(lack, str):
        return "blocks", "", ""
    from pipeline.models import cached_passes

    refusal = cached_passes.refusal(model, layer)
    return "plain" if refusal else "cache", lack, refusal


def _peaks(
    texts: list[Text], model: LanguageModel, layer: int, settings: Config
) -> list[list[list[float]]]:
    batch = Batch(settings.batch_tokens or model.batch_tokens, settings.memory_mb * 2**20)
    limit = model.turns_at
    if limit is None:
        return _resumed(texts, model, layer, batch)
    # a text whose variants are on both sides of the limit shares nothing among them
    short = [max(run.first + len(run.ids) for run in text.runs) <= limit for text in texts]
    within = iter(_resumed([t for t, s in zip(texts, short, strict=True) if s], model, layer, batch))
    beyond = iter(
        plain_passes.peaks(model, layer, [t for t, s in zip(texts, short, strict=True) if not s], batch)
    )
    return [next(within if each else beyond) for each in short]


def _resumed(texts: list[Text], model: LanguageModel, layer: int, batch: Batch) -> list[list[list[float]]]:
    way, *_ = _way(model, layer)
    if way == "plain":
        return plain_passes.peaks(model, layer, texts, batch)
    from pipeline.models import cached_passes, resumed_passes

    if way == "cache":
        return cached_passes.peaks(model, layer, texts, batch)
    tower = model.tower(layer)
    assert not isinstance(tower, str)
    return resumed_passes.peaks(tower, texts, batch)
