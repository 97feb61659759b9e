"""The schemas of the views in neurons.duckdb: what reports, the terminal and warnings read."""

from __future__ import annotations

import pyarrow as pa

from pipeline.tables.columns import (
    FLOATS,
    INTEGERS,
    NEURON,
    NEURON_KEY,
    SAMPLE,
    SAMPLE_KEY,
    SCORES,
    SURE,
    TEXTS,
    VARIANT,
    VARIANT_KEY,
    column,
    nullable,
)
from pipeline.tables.schema import Column, Table

TABLES = (
    Table(
        "funnel",
        "one row per (model, layer, step)",
        ("model", "layer", "step"),
        (
            *NEURON[:3],
            column("step", pa.int32(), "place of the step, from 1"),
            column("what", pa.string(), "the neurons that are left after it"),
            column("neurons", pa.int32(), "their number"),
            column("taken_away", pa.int32(), "neurons that the step took away; 0 for the first"),
            nullable("why", pa.string(), "why it took them away; null for the first"),
            column("way", pa.string(), "what decided: chance, or thresholds"),
        ),
    ),
    Table(
        "overview",
        "one row per (model, layer, neuron) looked at: how far it came and why",
        NEURON_KEY,
        (
            *NEURON,
            *SURE[:1],
            column(
                "likely_kind", pa.string(), "the kind that it comes nearest to; kind is none unless found"
            ),
            *SURE[1:],
            nullable("similarity", pa.float64(), "mean cosine over pairs of MAPs, -1..1"),
            nullable("reason", pa.string(), "why similarity is null"),
            *SCORES,
            column("is_candidate", pa.bool_(), "worth verifying"),
            column("is_selected", pa.bool_(), "a feature neuron"),
            nullable("description", pa.string(), "what MATs and MAPs have in common"),
            nullable(
                "description_coverage",
                pa.float64(),
                "share of its MAPs' activation that the description fits",
            ),
            nullable("status", pa.string(), "ok, no_feature, or why there is no description"),
            nullable("detection_f1", pa.float64(), "of the description, 0..1; null unless scored"),
            nullable("fuzzing_f1", pa.float64(), "the same where tokens are marked"),
            nullable("max_phrases", TEXTS, "distinct MAPs of a feature neuron, strongest first"),
            column("n_clean_groups", pa.int32(), "clean groups of its MAPs"),
            nullable("address", pa.string(), "of its page; null for a scan"),
        ),
    ),
    Table(
        "near_misses",
        "one row per (model, layer, neuron) that is not found and comes near",
        NEURON_KEY,
        (
            *NEURON,
            column("likely_kind", pa.string(), "what it would stand for, as kind in verdicts"),
            *SURE[1:],
            nullable("similarity", pa.float64(), "mean cosine over pairs of MAPs, -1..1"),
            nullable("normalised_activation", pa.float64(), "avg_activation / the layer's maximum"),
            column("setting", pa.string(), "the setting that would have to differ"),
            nullable("value", pa.float64(), "at which it would be found; null for KINDS"),
            column("reason", pa.string(), "the same in words"),
            column("nearness", pa.int32(), "place among the layer's, 1 is the nearest"),
        ),
    ),
    Table(
        "phrases",
        "one row per (model, layer, neuron, rank)",
        SAMPLE_KEY,
        (
            *SAMPLE,
            column("tokens", TEXTS, "the MAP's tokens"),
            Column("activations", FLOATS, "their activations, raw units", null_items=True),
            column("mat", pa.int32(), "place of the MAT among these tokens, from 0"),
            column("max_activation", pa.float32(), "activation at the MAT, raw units"),
            column("duplicate", pa.bool_(), "a higher-ranking MAP says nearly the same"),
        ),
    ),
    Table(
        "substitutions",
        "one row per variant that can change the MAT, ranked by its retention",
        VARIANT_KEY,
        (
            *VARIANT,
            column("kind", pa.string(), "synonym or control"),
            column("word", pa.string(), "the word replaced, lower case"),
            column("replacement", pa.string(), "what stands there now"),
            column("retention", pa.float64(), "activation / baseline"),
            column("phrase", pa.string(), "the MAP with the replacement"),
            column("from_above", pa.int32(), "place among the neuron's of its kind, 1 retains most"),
            column("from_below", pa.int32(), "the same, 1 retains least"),
        ),
    ),
    Table(
        "described_groups",
        "one row per group of a neuron's distinct MAPs, with its description if there is one",
        (*NEURON_KEY, "number"),
        (
            *NEURON,
            column("number", pa.int32(), "of the group among the neuron's, 0 is the largest"),
            column("by", pa.string(), "words or phrases: what makes it alike"),
            column("n_maps", pa.int32(), "distinct MAPs in it"),
            column("score", pa.float64(), "mean over pairs, in standard deviations of random pairs"),
            column("p", pa.float64(), "chance that as many units hold such a group"),
            column("coverage", pa.float64(), "share of the activation of its MAPs, 0..1"),
            column("clean", pa.bool_(), "alike beyond chance, or clearly another thing than the rest"),
            column("ranks", INTEGERS, "their ranks, strongest first"),
            column("mats", TEXTS, "their MATs"),
            nullable("description", pa.string(), "what they have in common"),
        ),
    ),
    Table(
        "judged_windows",
        "one row per (model, layer, neuron, window)",
        (*NEURON_KEY, "window"),
        (
            *NEURON,
            column("window", pa.int32(), "its place among the neuron's, shuffled, from 0"),
            column("kind", pa.string(), "activating; other: of another neuron; near: the same, most alike"),
            column("activation", pa.float32(), "the maximum of its activations, raw units"),
            column("tokens", TEXTS, "its tokens"),
            column("activations", FLOATS, "the neuron's, measured here in the sample, raw units"),
            nullable("said", pa.bool_(), "whether the describer found it to fit (detection)"),
        ),
    ),
    Table(
        "baseline_differences",
        "one row per text measured: how far its baseline is from the source's",
        SAMPLE_KEY,
        (
            *SAMPLE,
            column("activation", pa.float32(), "measured here, raw units"),
            column("max_activation", pa.float32(), "as the source says, raw units"),
            column("off", pa.float64(), "their difference, relative to the source's"),
        ),
    ),
)
