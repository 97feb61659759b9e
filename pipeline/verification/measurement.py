"""Measures encoded variants: resumed in blocks of our own or from the model's cache, else in plain passes.

In: rows of `encodings`. Variants of one text in one layer are measured together, for all neurons.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import output
from pipeline.config import Config
from pipeline.models import plain_passes
from pipeline.models.language_model import LanguageModel
from pipeline.models.phrases import Batch, Runs, Text
from pipeline.tables import query
from pipeline.tables.rows import Rows

# settings that decide activations, and settings that only decide where and how fast they are computed
SETTINGS = ("model", "weights", "layer", "sign", "precision")
USES = ("device", "memory_mb", "batch_tokens")
_BY_TEXT = """
with ends as (
    select text, max(first_token + len(token_ids)) as longest
    from encodings
    group by text
),
wanted as (
    select distinct model, layer, sign, neuron, rank
    from encodings
    where wanted
)
select encodings.*
from encodings
join ends using (text)
semi join wanted using (model, layer, sign, neuron, rank)
where wanted or variant = 0
order by longest, text, model, layer, sign, neuron, rank, variant
"""
_MEMORY = "1GB"  # beyond which encodings are sorted on disk


def by_text(encodings: pa.Table | Rows, wanted: pa.Array, n_rows: int) -> Iterator[pa.Table]:
    """The wanted rows (a mask), with the phrases they are variants of, in tables of about `n_rows` rows.

    Each text is in one table; a table is ordered by text, phrase and variant; short texts come first.
    Columns are those of `encodings`, `place`, the row's number in them, and `wanted`.
    """
    with query.connect() as con:
        con.execute(f"set memory_limit = '{_MEMORY}'")
        con.register("chosen", pa.table({"wanted": wanted, "place": np.arange(len(encodings))}))
        if isinstance(encodings, Rows):
            rows = query.parquet(con, encodings.path, file_row_number=True)
            rows = rows.project("* rename (file_row_number as place)")
        else:
            rows = con.from_arrow(encodings.append_column("place", pa.array(np.arange(len(encodings)))))
        rows.create_view("rows")
        con.execute("create view encodings as from rows join chosen using (place)")
        left: pa.Table | None = None
        for batch in con.sql(_BY_TEXT).to_arrow_reader(n_rows):
            more = pa.Table.from_batches([batch])
            left = pa.concat_tables([left, more]) if left else more
            while (cut := _end_of_text(left["text"], n_rows)) < len(left):
                yield left.slice(0, cut).combine_chunks()
                left = left.slice(cut)
        if left:
            yield left.combine_chunks()


def _end_of_text(texts: pa.ChunkedArray, least: int) -> int:
    """The number of rows, at least so many, after which another text begins, or all of them."""
    own = texts.combine_chunks()
    found = pc.index(pc.not_equal(own[least:], own[least - 1 : -1]), True).as_py()
    return len(own) if found < 0 else least + found


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
    rows = encodings.combine_chunks()
    is_phrase = rows["variant"].to_numpy() == 0
    heads = np.flatnonzero(is_phrase)
    layers, texts = (rows[name].take(pa.array(heads)).to_pylist() for name in ("layer", "text"))
    asked: dict[tuple[int, str], list[int]] = {}  # their phrases
    for number, place in enumerate(zip(layers, texts, strict=True)):
        asked.setdefault(place, []).append(number)
    runs = _runs(rows, is_phrase)
    stops = np.append(heads[1:], len(rows))
    return {place: _text(runs, heads[own], stops[own]) for place, own in asked.items()}


def _runs(rows: pa.Table, is_phrase: np.ndarray) -> Runs:
    """All rows as runs; a phrase's begins where it does, though its row has the text before it too."""
    lists = rows["token_ids"].combine_chunks()
    offsets = lists.offsets.to_numpy().astype(np.int64)
    neurons, starts, firsts = (
        rows[name].to_numpy().astype(np.int64) for name in ("neuron", "phrase_start", "first_token")
    )
    before = np.where(is_phrase, starts, 0)
    begins, sizes = offsets[:-1] + before, np.diff(offsets) - before
    ids = lists.values.to_numpy().astype(np.int64)
    return Runs(neurons, starts, np.where(is_phrase, starts, firsts), begins, sizes, ids, np.array([]))


def _text(runs: Runs, heads: np.ndarray, stops: np.ndarray) -> Text:
    """The text of some phrases, whose rows are from `heads` to before `stops`."""
    own = np.concatenate([np.arange(begin, stop) for begin, stop in zip(heads, stops, strict=True)])
    parts = {name: getattr(runs, name)[own] for name in ("neurons", "starts", "firsts", "begins", "sizes")}
    low = int(parts["begins"].min())
    high = int((parts["begins"] + parts["sizes"]).max())
    parts |= dict(begins=parts["begins"] - low, ids=runs.ids[low:high], counts=stops - heads)
    longest = heads[(runs.firsts + runs.sizes)[heads].argmax()]
    end = runs.begins[longest] + runs.sizes[longest]
    ids = runs.ids[runs.begins[longest] - runs.starts[longest] : end]
    return Text(ids, runs=Runs(**parts))


def tell(model: LanguageModel, settings: Config) -> None:
    """Print which way variants are measured."""
    way, lack, refusal = _way(model, settings.one_layer)
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
    short = [text.end <= limit for text in texts]
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
