"""The schemas of step 0: pages, samples and their MAPs."""

from __future__ import annotations

import pyarrow as pa

from pipeline.tables.columns import (
    FLOATS,
    NEURON,
    NEURON_KEY,
    SAMPLE,
    SAMPLE_KEY,
    TEXTS,
    TIME,
    column,
    nullable,
)
from pipeline.tables.schema import Column, Table

TABLES = (
    Table(
        "pages",
        "one row per (model, layer, sign, neuron) asked for; none for a scan",
        NEURON_KEY,
        (
            *NEURON,
            column("address", pa.string(), "of the page"),
            column(
                "status",
                pa.string(),
                "ok; missing: no such neuron; failed: not fetched; refused; unreadable: another thing came",
            ),
            nullable("reason", pa.string(), "what was expected and found, unless ok"),
            nullable("fetched", TIME, "when it was fetched, or last tried, UTC"),
            nullable("page_sha256", pa.string(), "SHA-256 of what came"),
            nullable("n_bytes", pa.int64(), "its length in bytes"),
        ),
    ),
    Table(
        "samples",
        "one row per (model, layer, sign, neuron, rank)",
        SAMPLE_KEY,
        (
            *SAMPLE,
            nullable("text_id", pa.int64(), "number of the text in its set; a scan counts windows"),
            nullable("text_set", pa.string(), "name of that set, where a page tells it"),
            column("tokens", TEXTS, "the text's tokens, BOS first"),
            nullable("token_ids", pa.list_(pa.int32()), "their ids, where known"),
            Column(
                "activations",
                FLOATS,
                "the neuron's activation at each token, raw units; null if no finite number",
                null_items=True,
            ),
            column(
                "text_start",
                pa.int32(),
                "first token of the text itself: 1 after a BOS, else 0",
            ),
            column("mat_index", pa.int32(), "index of the MAT in tokens"),
            nullable("max_activation", pa.float32(), "activation at the MAT, raw units"),
            nullable("reason", pa.string(), "why activations are null"),
            column("source", pa.string(), "where the row comes from: scan or neuroscope"),
            nullable("address", pa.string(), "of the page; null for a scan, as all that follows"),
            nullable("fetched", TIME, "when the page was fetched, UTC"),
            nullable("page_sha256", pa.string(), "SHA-256 of the page as it was fetched"),
            nullable("parser", pa.int32(), "version of the page parser"),
        ),
    ),
    Table(
        "maps",
        "one row per (model, layer, sign, neuron, rank)",
        SAMPLE_KEY,
        (
            *SAMPLE,
            column("mat", pa.string(), "the MAT as it stands in the text"),
            column("mat_index", pa.int32(), "index of the MAT in the sample's tokens"),
            column("start", pa.int32(), "index of the MAP's first token in the sample"),
            column("tokens", TEXTS, "the MAP's tokens"),
            Column("activations", FLOATS, "their activations, raw units", null_items=True),
            column("phrase", pa.string(), "the tokens joined"),
            column("max_activation", pa.float32(), "activation at the MAT, raw units"),
            column("text_before", pa.string(), "up to three tokens before the MAP, joined"),
            column("text_after", pa.string(), "up to three tokens after the MAP, joined"),
            column("duplicate", pa.bool_(), "a higher-ranking MAP says nearly the same"),
        ),
    ),
)
