"""The schemas of step 2: what is put into phrases, and what the neuron makes of it."""

from __future__ import annotations

import pyarrow as pa

from pipeline.tables.columns import (
    AVERAGES,
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
        "synonyms",
        "one row per (word, kind, rank)",
        ("word", "kind", "rank"),
        (
            column("word", pa.string(), "word of a candidate's MAP, lower case"),
            column(
                "kind",
                pa.string(),
                "synonym: a nearest neighbour; relative: of its kind; control: unrelated",
            ),
            column("rank", pa.int32(), "place among its kind, from 0"),
            column("neighbour", pa.string(), "the word put in its place, lower case"),
            column("cosine", pa.float32(), "cosine of the two words, -1..1"),
        ),
    ),
    Table(
        "places",
        "one row per (model, layer, sign, neuron, rank, place)",
        (*SAMPLE_KEY, "place"),
        (
            *SAMPLE,
            column("place", pa.int32(), "word_index + 1 of the word replaced; 0: the MAP as it is"),
            nullable("word", pa.string(), "that word in lower case; null for the MAP as it is"),
            nullable("blank", pa.string(), "what stands before it, and before each replacement"),
            nullable("first_token", pa.int32(), "first token replaced"),
            nullable("end_token", pa.int32(), "one past the last token replaced"),
            column("phrase_start", pa.int32(), "first token of the MAP in the sample"),
            column("phrase_end", pa.int32(), "one past its last token in the sample"),
            nullable("is_mat", pa.bool_(), "the word replaced holds the MAT"),
            nullable("upto_mat", pa.bool_(), "the word replaced starts at or before the MAT"),
            column("variants", INTEGERS, "numbers of the variants, which ascend; 0: the MAP as it is"),
            Column(
                "replacements",
                TEXTS,
                "what stands there in each, casing kept: synonyms, relatives, controls",
                null_items=True,
            ),
            column("n_synonyms", pa.int32(), "how many of them are synonyms"),
            column("n_relatives", pa.int32(), "how many of those after the synonyms are relatives"),
        ),
    ),
    Table(
        "encodings",
        "one row per (model, layer, sign, neuron, rank, variant)",
        VARIANT_KEY,
        (
            *VARIANT,
            column("key", pa.string(), "fingerprint of what is measured: ids, phrase and neuron"),
            column("text", pa.string(), "fingerprint of the ids of the text it stands in"),
            column("phrase_start", pa.int32(), "first token of the MAP in the text"),
            column("first_token", pa.int32(), "first token that differs from the text; 0: baseline"),
            column("token_ids", pa.list_(pa.int32()), "the ids from there to the end of the MAP"),
            column(
                "tokens",
                pa.string(),
                "exact: ids of the source; retokenised: found again for sure; lossy: not sure",
            ),
            column(
                "status",
                pa.string(),
                "ok; too_long; unknown_tokens: a token has no id; no_tokens: nothing is left",
            ),
        ),
    ),
    Table(
        "activations",
        "one row per (model, layer, sign, neuron, rank, variant)",
        VARIANT_KEY,
        (
            *VARIANT,
            nullable("activation", pa.float32(), "maximum over the phrase's tokens, raw units"),
            column("status", pa.string(), "ok; too_long; unknown_tokens; no_tokens; not_finite"),
        ),
    ),
    Table(
        "deviations",
        "one row per variant measured again in float32; none where that is the precision",
        VARIANT_KEY,
        (
            *VARIANT,
            column("activation", pa.float32(), "at the run's precision, raw units"),
            column("precision", pa.string(), "that precision: bfloat16"),
            column("exact", pa.float32(), "in float32, raw units"),
        ),
    ),
    Table(
        "retentions",
        "one row per (model, layer, sign, neuron, rank, variant)",
        VARIANT_KEY,
        (
            *VARIANT,
            column("kind", pa.string(), "baseline, synonym, relative or control"),
            nullable("is_mat", pa.bool_(), "the word replaced holds the MAT"),
            nullable("upto_mat", pa.bool_(), "the word replaced starts at or before the MAT"),
            nullable("activation", pa.float32(), "maximum over the phrase's tokens, raw units"),
            nullable("baseline", pa.float32(), "that of the unmodified text"),
            nullable("retention", pa.float64(), "activation / baseline, where that is positive"),
            column("raised", pa.bool_(), "a synonym that activates more, beyond rounding"),
            column("tokens", pa.string(), "how sure its ids are: exact, retokenised or lossy"),
        ),
    ),
    Table(
        "substitution",
        "one row per (model, layer, sign, neuron) whose MATs' words could be replaced",
        NEURON_KEY,
        (
            *NEURON,
            column("n_words", pa.int32(), "words with related words and controls"),
            column(
                "effect", pa.float64(), "mean retention of related words less that of controls, over words"
            ),
            column("p", pa.float64(), "chance of it if related words and controls are alike to the neuron"),
        ),
    ),
    Table(
        "unreplaced",
        "one row per (model, layer, sign, neuron) of whose MAPs no word could be replaced",
        NEURON_KEY,
        (
            *NEURON,
            column("n_words", pa.int32(), "words of its distinct MAPs"),
            column("n_replaceable", pa.int32(), "those with letters only and tokens of their own"),
            column("reason", pa.string(), "why none of them could be replaced"),
        ),
    ),
    Table("averages", "one row per (model, layer, sign, neuron)", NEURON_KEY, AVERAGES),
    Table(
        "normalised",
        "one row per (model, layer, sign, neuron)",
        NEURON_KEY,
        (*NEURON, *SCORES),
    ),
    Table(
        "verdicts",
        "one row per (model, layer, sign, neuron)",
        NEURON_KEY,
        (
            *NEURON,
            *SURE,
            column(
                "likely_kind", pa.string(), "the kind that it comes nearest to; kind is none unless found"
            ),
            nullable("p_words", pa.float64(), "that its MATs' words mean alike by chance"),
            nullable("p_group", pa.float64(), "that its largest clean group is alike by chance"),
            nullable("p_phrases", pa.float64(), "that what is around or before them is alike by chance"),
            nullable("p_token", pa.float64(), "that a token or word stands out by chance"),
            nullable("p_spelling", pa.float64(), "that a spelling stands out by chance"),
            nullable("p_substitution", pa.float64(), "that related words keep the activation by chance"),
            column("ranks", INTEGERS, "the ranks of the MAPs that show what it stands for"),
        ),
    ),
    Table("selected", "one row per (model, layer, sign, neuron)", NEURON_KEY, (*NEURON, *SCORES, *SURE)),
)
