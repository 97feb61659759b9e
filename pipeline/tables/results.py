"""The schemas of the result, and of the settings that stand beside it in neurons.duckdb."""

from __future__ import annotations

import pyarrow as pa

from pipeline.tables.columns import NEURON, NEURON_KEY, SCORES, SURE, TEXTS, column, nullable
from pipeline.tables.schema import Table

TABLES = (
    Table(
        "feature_neurons",
        "one row per (model, layer, sign, neuron)",
        NEURON_KEY,
        (
            *NEURON,
            *SURE,
            *SCORES,
            nullable("similarity", pa.float64(), "mean cosine over pairs of MAPs, -1..1"),
            nullable("mat_similarity", pa.float64(), "mean cosine over pairs of MAT words"),
            nullable("retention", pa.float64(), "mean variant / baseline, up to the MAT"),
            column("n_lossy", pa.int32(), "texts and variants measured whose ids are not sure"),
            nullable("description", pa.string(), "what MATs and MAPs have in common"),
            nullable(
                "description_coverage",
                pa.float64(),
                "share of its MAPs' activation that the description fits; null from a language model",
            ),
            column("describer", pa.string(), "who described"),
            nullable("detection_f1", pa.float64(), "of the description, 0..1; null unless scored"),
            nullable("fuzzing_f1", pa.float64(), "the same where tokens are marked"),
            column("mats", TEXTS, "MATs, strongest first"),
            column("max_phrases", TEXTS, "distinct MAPs, strongest first"),
            column("raised_phrases", TEXTS, "variants above their originals, strongest first"),
        ),
    ),
    Table(
        "settings",
        "one row per setting of the last run",
        ("name",),
        (
            column("name", pa.string(), "of the setting, as on the command line"),
            nullable("value", pa.string(), "its value as text; null where it is not set"),
        ),
    ),
)
