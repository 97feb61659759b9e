"""The schemas of step 1: how alike the phrases of a neuron are."""

from __future__ import annotations

import pyarrow as pa

from pipeline.tables.columns import (
    FLOATS,
    INTEGERS,
    NEURON,
    NEURON_KEY,
    SAMPLE,
    SAMPLE_KEY,
    TEXTS,
    column,
    nullable,
)
from pipeline.tables.schema import Table

TABLES = (
    Table(
        "words",
        "one row per (map, word)",
        (*SAMPLE_KEY, "word_index"),
        (
            *SAMPLE,
            column("word_index", pa.int32(), "place of the word in its MAP, from 0"),
            column("text", pa.string(), "the word as it stands, without the blank"),
            column("word", pa.string(), "the word in lower case"),
            column("blank", pa.string(), "white space between the token's start and it"),
            column("first_token", pa.int32(), "its first token in the sample"),
            column("end_token", pa.int32(), "one past its last token in the sample"),
            column("replaceable", pa.bool_(), "only letters, in tokens of its own"),
            column("is_mat", pa.bool_(), "holds the MAT"),
            column("upto_mat", pa.bool_(), "starts at or before the MAT"),
        ),
    ),
    Table(
        "vocabulary",
        "one row per word",
        ("word",),
        (
            column("word", pa.string(), "word in lower case"),
            column("rank", pa.int32(), "place by frequency, 0 is the most frequent"),
            column("frequency", pa.float64(), "share of all words of the text, 0..1"),
            column("vector", FLOATS, "FastText vector of length 1"),
        ),
    ),
    Table(
        "vectors",
        "one row per (model, layer, neuron, rank)",
        SAMPLE_KEY,
        (
            *SAMPLE,
            column("n_words", pa.int32(), "words of the MAP"),
            column("n_known", pa.int32(), "those with a vector"),
            nullable("vector", FLOATS, "the phrase's vector of length 1; null without words"),
            nullable("mat_vector", FLOATS, "that of the MAT's word, likewise"),
        ),
    ),
    Table(
        "similarity",
        "one row per (model, layer, neuron)",
        NEURON_KEY,
        (
            *NEURON,
            column("n_maps", pa.int32(), "MAPs"),
            column("n_distinct", pa.int32(), "those that count, near duplicates once"),
            nullable("similarity", pa.float64(), "mean cosine over pairs of MAPs, -1..1"),
            nullable("mat_similarity", pa.float64(), "mean cosine over pairs of MAT words"),
            nullable("reason", pa.string(), "why similarity is null"),
        ),
    ),
    Table(
        "groups",
        "one row per group of a neuron's distinct MAPs; MAPs without a vector are in none",
        (*NEURON_KEY, "number"),
        (
            *NEURON,
            column("number", pa.int32(), "of the group among the neuron's, 0 is the largest"),
            column("n_maps", pa.int32(), "distinct MAPs in it"),
            nullable("similarity", pa.float64(), "mean cosine over pairs of them, -1..1; null for one"),
            column("clean", pa.bool_(), "large enough, and as alike as a candidate's MAPs are"),
            column("ranks", INTEGERS, "their ranks, strongest first"),
            column("mats", TEXTS, "their MATs"),
        ),
    ),
    Table(
        "candidates",
        "one row per (model, layer, neuron)",
        NEURON_KEY,
        (
            *NEURON,
            column("similarity", pa.float64(), "mean cosine over pairs of MAPs, -1..1"),
            nullable("mat_similarity", pa.float64(), "mean cosine over pairs of MAT words"),
        ),
    ),
)
