"""The schemas of step 3: what is shown, said and judged of a neuron."""

from __future__ import annotations

import pyarrow as pa

from pipeline.tables.columns import (
    CALL,
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

_CONTROL = column("control", pa.string(), "none: the neuron's own description; other: another neuron's")
_METHOD = column("method", pa.string(), "detection: windows as they are; fuzzing: tokens marked")

_PHRASES = (
    column("kind", pa.string(), "what it stands for, as in verdicts"),
    column("mats", TEXTS, "MATs of the distinct MAPs, strongest first"),
    column("mat_words", TEXTS, "the words that hold them, or the MATs themselves"),
    column("max_phrases", TEXTS, "distinct MAPs, strongest first"),
    column("marked_phrases", TEXTS, "the same, the MAT between ⟦ and ⟧"),
    column("ranks", INTEGERS, "their ranks"),
    column("activations", FLOATS, "their activations at the MAT, raw units"),
    column("own_ranks", INTEGERS, "the ranks of those that show what it stands for"),
)
_SAID = (
    column("describer", pa.string(), "who described"),
    nullable("description", pa.string(), "what MATs and MAPs have in common"),
    column("status", pa.string(), "ok, no_feature, or why there is no description"),
    nullable("reason", pa.string(), "what the server said, unless ok"),
    *CALL,
)
_GROUP = column("number", pa.int32(), "of the group, as in groups")

TABLES = (
    Table(
        "marked",
        "one row per (model, layer, sign, neuron, rank)",
        SAMPLE_KEY,
        (
            *SAMPLE,
            column("max_activation", pa.float32(), "activation at the MAT, raw units"),
            column("mat", pa.string(), "the MAT as it stands in the text"),
            column("mat_word", pa.string(), "the word that holds it, or the MAT itself"),
            column("phrase", pa.string(), "the MAP; only distinct ones are here"),
            column("marked_phrase", pa.string(), "the same, the MAT between ⟦ and ⟧"),
        ),
    ),
    Table(
        "evidence",
        "one row per (model, layer, sign, neuron)",
        NEURON_KEY,
        (
            *NEURON,
            *_PHRASES,
            column("raised_phrases", TEXTS, "variants above their originals, strongest first"),
            column("raised_ranks", INTEGERS, "the ranks of their MAPs"),
        ),
    ),
    Table(
        "windows",
        "one row per (model, layer, sign, neuron, window); none unless descriptions are scored",
        (*NEURON_KEY, "window"),
        (
            *NEURON,
            column("window", pa.int32(), "its place among the neuron's, shuffled, from 0"),
            column("kind", pa.string(), "activating; other: of another neuron; near: the same, most alike"),
            column("from_neuron", pa.int32(), "the neuron whose sample it is cut from"),
            column("from_rank", pa.int32(), "the rank of that sample"),
            column("start", pa.int32(), "its first token in the sample"),
            column("tokens", TEXTS, "its tokens, at most 32"),
            column("activations", FLOATS, "the neuron's, measured here in the sample, raw units"),
            column("activation", pa.float32(), "their maximum"),
            column("marked", INTEGERS, "places of the tokens that fuzzing marks"),
        ),
    ),
    Table(
        "descriptions",
        "one row per (model, layer, sign, neuron)",
        NEURON_KEY,
        (
            *NEURON,
            *_SAID,
        ),
    ),
    Table(
        "covered",
        "one row per (model, layer, sign, neuron) described without a language model",
        NEURON_KEY,
        (
            *NEURON,
            column("coverage", pa.float64(), "share of its MAPs' activation that the description fits"),
        ),
    ),
    Table(
        "group_evidence",
        "one row per (model, layer, sign, neuron, number)",
        (*NEURON_KEY, "number"),
        (*NEURON, _GROUP, *_PHRASES),
    ),
    Table(
        "group_descriptions",
        "one row per (model, layer, sign, neuron, number)",
        (*NEURON_KEY, "number"),
        (*NEURON, _GROUP, *_SAID),
    ),
    Table(
        "judgements",
        "one row per (model, layer, sign, neuron, control, method, part)",
        (*NEURON_KEY, "control", "described", "method", "part"),
        (
            *NEURON,
            _CONTROL,
            column("described", pa.int32(), "the neuron whose description is judged"),
            _METHOD,
            column("part", pa.int32(), "which of the neuron's windows, five to a part"),
            nullable("answers", pa.list_(pa.bool_()), "whether each activates the neuron; null if failed"),
            column("status", pa.string(), "ok, or why there are no answers"),
            nullable("reason", pa.string(), "what the server said, unless ok"),
            *CALL,
        ),
    ),
    Table(
        "scores",
        "one row per (model, layer, sign, neuron, control, method)",
        (*NEURON_KEY, "control", "method"),
        (
            *NEURON,
            _CONTROL,
            column("described", pa.int32(), "the neuron whose description is judged"),
            _METHOD,
            column("true_positives", pa.int32(), "activating windows found"),
            column("false_positives", pa.int32(), "quiet windows taken for activating ones"),
            column("true_negatives", pa.int32(), "quiet windows left out"),
            column("false_negatives", pa.int32(), "activating windows missed"),
            column("n_failed", pa.int32(), "calls that failed; their windows count nowhere"),
            nullable("f1", pa.float64(), "2 precision recall / (precision + recall), 0..1"),
            nullable("balanced_accuracy", pa.float64(), "mean share found of both kinds; 0.5 is chance"),
        ),
    ),
    Table(
        "ledger",
        "one row per call of a language model, of all runs on the store",
        ("purpose", "key", "called"),
        (
            column("purpose", pa.string(), "descriptions, group_descriptions or judgements"),
            column("key", pa.string(), "fingerprint of the prompt and the model"),
            column("status", pa.string(), "ok, no_feature, or what went wrong"),
            nullable("reason", pa.string(), "what the server said, unless ok"),
            *CALL,
        ),
    ),
)
