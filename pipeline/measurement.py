"""Encoded variants measured by a language model: resumed where its form is known, else in plain passes.

In: rows of `encodings`. Variants of one text are measured together, whichever neurons they are of.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import passes, select
from pipeline.config import Config
from pipeline.language_model import LanguageModel
from pipeline.phrases import Batch, Phrase, Text

_READ = ["text", "neuron", "rank", "variant", "phrase_start", "first_token", "token_ids", "status"]
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
    """The wanted rows (a mask), with the phrases they are variants of, in tables of `n_rows` or a few more.

    No text is in two of them; each is ordered by text, phrase and variant; short texts come first.
    """
    small = encodings.select(["text", "model", "layer", "neuron", "rank", "variant"])
    ends = pc.add(encodings["first_token"], pc.list_value_length(encodings["token_ids"]))
    small = small.append_column("end_token", ends).append_column("wanted", wanted)
    small = small.append_column("place", pa.array(range(len(encodings)), pa.int64()))
    with select.connect() as con:
        con.register("encodings", small)
        order = con.sql(_BY_TEXT).to_arrow_table()
    texts = order["text"].to_pylist()
    start = 0
    for stop in range(1, len(texts) + 1):
        if stop == len(texts) or (stop - start >= n_rows and texts[stop] != texts[stop - 1]):
            yield encodings.take(order["place"].slice(start, stop - start))
            start = stop


def measure(encodings: pa.Table, model: LanguageModel, config: Config) -> pa.Table:
    """Each row's `activation`, the maximum over the tokens of its phrase, and `status`; in order.

    `encodings` hold with each variant the phrase it is one of, and are ordered as `by_text` does;
    `activation` is null only where `status` is not "ok".
    """
    texts: dict[str, dict[tuple[int, int], Phrase]] = {}
    ids: dict[str, list[int]] = {}
    statuses = []
    for row in encodings.select(_READ).to_pylist():
        statuses.append(row["status"])
        if row["status"] != "ok":
            continue
        phrases, phrase = texts.setdefault(row["text"], {}), (row["neuron"], row["rank"])
        if row["variant"] == 0:
            ids[row["text"]] = max(ids.get(row["text"], []), row["token_ids"], key=len)
            phrases[phrase] = Phrase(row["neuron"], row["phrase_start"], len(row["token_ids"]), [])
        else:
            phrases[phrase].variants.append((row["first_token"], row["token_ids"]))
    asked = [Text(ids[name], list(phrases.values())) for name, phrases in texts.items()]
    found = _peaks(asked, model, config)
    flat = iter([peak for text in found for phrase in text for peak in phrase])
    values = [next(flat) if status == "ok" else None for status in statuses]
    finite = [value is None or math.isfinite(value) for value in values]
    columns = {
        "activation": [v if f else None for v, f in zip(values, finite, strict=True)],
        "status": [s if f else "not_finite" for s, f in zip(statuses, finite, strict=True)],
    }
    return pa.table(columns, schema=pa.schema([("activation", pa.float32()), ("status", pa.string())]))


def tell(model: LanguageModel, config: Config) -> None:
    """Say so where variants take plain passes."""
    if model.tower(config.layer) is None:
        print(
            f"activations: {config.model_name} takes plain batched passes: variants resume where they "
            "differ only in TransformerLens' native models and those of GPT-2's and GPT-NeoX's form",
            file=sys.stderr,
        )


def _peaks(texts: list[Text], model: LanguageModel, config: Config) -> list[list[list[float]]]:
    batch = Batch(config.batch_tokens or model.batch_tokens, config.memory_mb * 2**20)
    tower = model.tower(config.layer)
    if tower is None:
        return passes.peaks(model, config.layer, texts, batch)
    from pipeline import resume

    return resume.peaks(tower, texts, batch)
