"""Columns that several tables share, and the short names that the schemas are written with."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import and_

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.tables.schema import Column

TEXTS = pa.list_(pa.string())
FLOATS = pa.list_(pa.float32())
INTEGERS = pa.list_(pa.int32())
TIME = pa.timestamp("us")  # UTC


def column(name: str, kind: pa.DataType, doc: str) -> Column:
    """A column without nulls."""
    return Column(name, kind, doc)


def nullable(name: str, kind: pa.DataType, doc: str) -> Column:
    """A column with nulls."""
    return Column(name, kind, doc, null=True)


NEURON = (
    column("model", pa.string(), "name of the language model"),
    column("layer", pa.int32(), "layer, 0-based"),
    column("sign", pa.string(), "end of the neuron: positive, or negative with values of the other sign"),
    column("neuron", pa.int32(), "MLP neuron in its layer, 0-based"),
)
SAMPLE = (*NEURON, column("rank", pa.int32(), "rank of the sample, 0 activates most"))
VARIANT = (
    *SAMPLE,
    column(
        "variant", pa.int32(), "number among the variants of its MAP, a block for each word; 0: baseline"
    ),
)
LAYER_KEY = ["model", "layer", "sign"]  # of one end of a layer's neurons
NEURON_KEY = (*LAYER_KEY, "neuron")
SAMPLE_KEY = (*NEURON_KEY, "rank")
VARIANT_KEY = (*SAMPLE_KEY, "variant")


def of_layer(place: Iterable[object]) -> pc.Expression:
    """Whether a row is of one model, layer and end."""
    return reduce(and_, [pc.field(name) == each for name, each in zip(LAYER_KEY, place, strict=True)])


AVERAGES = (
    *NEURON,
    column("n_originals", pa.int32(), "distinct MAPs measured"),
    column("n_variants", pa.int32(), "variants measured, controls apart"),
    column("n_raised", pa.int32(), "variants that activate more than their original"),
    column("n_lost", pa.int32(), "texts and variants that could not be measured"),
    column("n_lossy", pa.int32(), "those measured whose ids, or their text's, are not sure"),
    nullable("avg_activation", pa.float64(), "mean over originals and variants, raw units"),
    nullable("retention", pa.float64(), "mean variant / baseline, words up to and with the MAT"),
    nullable("retention_after", pa.float64(), "the same for words after the MAT"),
    nullable("retention_mat", pa.float64(), "the same for synonyms of the MAT's word"),
    nullable("retention_controls", pa.float64(), "mean control / baseline at the MAT's word"),
    nullable("selectivity", pa.float64(), "retention_mat less retention_controls"),
)
SCORES = (
    nullable("avg_activation", pa.float64(), "mean over originals and variants, raw units"),
    nullable("normalised_activation", pa.float64(), "avg_activation / the layer's maximum"),
    nullable("selectivity", pa.float64(), "retention of synonyms less that of controls"),
)
SURE = (
    column("kind", pa.string(), "word, token, spelling, set, phrase, several or none"),
    column("p", pa.float64(), "chance of such evidence if it stands for nothing, 0..1"),
    column("q", pa.float64(), "false discovery rate at which it is found, 0..1"),
    nullable("coverage", pa.float64(), "share of its activation that the thing accounts for, 0..1"),
)
CALL = (
    nullable("prompt_sha256", pa.string(), "hash of the prompt; null for lexical, as all that follows"),
    nullable("describer_model", pa.string(), "the language model asked"),
    nullable("server", pa.string(), "address of the server"),
    nullable("called", TIME, "when, UTC; null if it was not asked, as all that follows"),
    nullable("tries", pa.int32(), "times it was asked until it answered or was given up"),
    nullable("seconds", pa.float64(), "until the answer, tries and waits included"),
    nullable("prompt_tokens", pa.int64(), "tokens read, as the server counts"),
    nullable("answer_tokens", pa.int64(), "tokens written"),
    nullable("price_usd", pa.float64(), "what it cost at PRICE, as far as was counted"),
    nullable("most_usd", pa.float64(), "what it can have cost, answers that never came whole included"),
)
ANSWERED = ("ok", "no_feature")  # statuses of a call that was answered
