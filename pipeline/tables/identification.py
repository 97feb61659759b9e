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
        "one row per (model, layer, sign, neuron, rank)",
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
        "one row per (model, layer, sign, neuron)",
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
        "mat_words",
        "one row per (model, layer, sign, neuron, rank)",
        SAMPLE_KEY,
        (
            *SAMPLE,
            column("duplicate", pa.bool_(), "a higher-ranking MAP says nearly the same"),
            column("token", pa.string(), "the MAT in lower case, without blanks"),
            nullable(
                "word", pa.string(), "the word as read up to the MAT, or the whole one; null for none"
            ),
            nullable("whole_word", pa.string(), "the whole word that holds the MAT"),
            column("activation", pa.float32(), "at the MAT, at least 0, raw units"),
        ),
    ),
    Table(
        "likeness",
        "one row per (model, layer, sign, neuron, test)",
        (*NEURON_KEY, "test"),
        (
            *NEURON,
            column("test", pa.string(), "words: its MATs' words are alike; phrases: what is around them"),
            column("n_units", pa.int32(), "different words, or phrases, compared"),
            column("score", pa.float64(), "mean over pairs, in standard deviations of random pairs"),
            column("p", pa.float64(), "chance that as many of the layer are at least as alike"),
        ),
    ),
    Table(
        "dominance",
        "one row per (model, layer, sign, neuron, test) where something has a share of the activation",
        (*NEURON_KEY, "test"),
        (
            *NEURON,
            column(
                "test",
                pa.string(),
                "token, word or spelling: one of them stands out; before: the MAT follows one token",
            ),
            column("thing", pa.string(), "the token, word, piece, beginning (un-) or ending (-ing)"),
            column("p", pa.float64(), "chance that some token, or spelling, stands out as much"),
            column("coverage", pa.float64(), "share of the activation of its MAPs, 0..1"),
            column("ranks", INTEGERS, "their ranks, strongest first"),
        ),
    ),
    Table(
        "groups",
        "one row per group of a neuron's distinct MAPs, of two different words at least",
        (*NEURON_KEY, "number"),
        (
            *NEURON,
            column("number", pa.int32(), "of the group among the neuron's, 0 has most of the activation"),
            column("by", pa.string(), "words or phrases: what makes it alike"),
            column("n_maps", pa.int32(), "distinct MAPs in it"),
            column("n_units", pa.int32(), "different words, or phrases, among them"),
            column("score", pa.float64(), "mean over pairs, in standard deviations of random pairs"),
            column("p", pa.float64(), "chance that as many units hold such a group"),
            column("coverage", pa.float64(), "share of the activation of its MAPs, 0..1"),
            column("clean", pa.bool_(), "alike beyond chance, or clearly another thing than the rest"),
            column("ranks", INTEGERS, "their ranks, strongest first"),
            column("mats", TEXTS, "their MATs"),
        ),
    ),
    Table(
        "chances",
        "one row per (model, layer, sign, neuron, test)",
        (*NEURON_KEY, "test"),
        (
            *NEURON,
            column("test", pa.string(), "words, phrases, group, token, word or spelling"),
            column("kind", pa.string(), "what the neuron stands for by it: as in verdicts"),
            column("p", pa.float64(), "chance of what the test sees if it stands for nothing"),
            column("weighed_p", pa.float64(), "the same as one of several tests of the neuron"),
            nullable("coverage", pa.float64(), "share of its activation that the thing accounts for, 0..1"),
            column("ranks", INTEGERS, "the ranks of the MAPs that show it, strongest first"),
            column("n_groups", pa.int32(), "clean groups that its words or phrases fall into"),
            column("is_evidence", pa.bool_(), "counts for the neuron: it has no equal beside it"),
        ),
    ),
    Table(
        "candidates",
        "one row per (model, layer, sign, neuron)",
        NEURON_KEY,
        (
            *NEURON,
            nullable("similarity", pa.float64(), "mean cosine over pairs of MAPs, -1..1"),
            nullable("mat_similarity", pa.float64(), "mean cosine over pairs of MAT words"),
            column("p", pa.float64(), "chance of its evidence of step 1 if it stands for nothing"),
            column("q", pa.float64(), "false discovery rate at which that is found, 0..1"),
            column("way", pa.string(), "what decided: chance, or thresholds"),
        ),
    ),
)
