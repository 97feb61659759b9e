"""The schemas of all tables: columns, types, units, nulls, keys and grain; the only place that knows."""

from __future__ import annotations

import pyarrow as pa

from pipeline import description_tables
from pipeline.columns import (
    AVERAGES,
    FLOATS,
    INTEGERS,
    NEURON,
    NEURON_KEY,
    SAMPLE,
    SAMPLE_KEY,
    SCORES,
    TEXTS,
    TIME,
    VARIANT,
    VARIANT_KEY,
    column,
    nullable,
)
from pipeline.schema import Column, Table

TABLES = {
    table.name: table
    for table in (
        Table(
            "pages",
            "one row per (model, layer, neuron) asked for; none for a scan",
            NEURON_KEY,
            (
                *NEURON,
                column("address", pa.string(), "of the page"),
                column(
                    "status",
                    pa.string(),
                    "ok; missing: no such neuron; failed: not fetched; unreadable: another thing came",
                ),
                nullable("reason", pa.string(), "what was expected and found, unless ok"),
                nullable("fetched", TIME, "when it was fetched, or last tried, UTC"),
                nullable("page_sha256", pa.string(), "SHA-256 of what came"),
                nullable("n_bytes", pa.int64(), "its length in bytes"),
            ),
        ),
        Table(
            "samples",
            "one row per (model, layer, neuron, rank)",
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
            "one row per (model, layer, neuron, rank)",
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
        Table(
            "synonyms",
            "one row per (word, kind, rank)",
            ("word", "kind", "rank"),
            (
                column("word", pa.string(), "word of a candidate's MAP, lower case"),
                column("kind", pa.string(), "synonym: a nearest neighbour; control: unrelated"),
                column("rank", pa.int32(), "place among its kind, from 0"),
                column("neighbour", pa.string(), "the word put in its place, lower case"),
                column("cosine", pa.float32(), "cosine of the two words, -1..1"),
            ),
        ),
        Table(
            "variants",
            "one row per (model, layer, neuron, rank, variant)",
            VARIANT_KEY,
            (
                *VARIANT,
                column("kind", pa.string(), "baseline, synonym or control"),
                nullable("word_index", pa.int32(), "the word replaced; null for the baseline"),
                nullable("word", pa.string(), "that word in lower case"),
                nullable("replacement", pa.string(), "what stands there now, blank and casing kept"),
                nullable("first_token", pa.int32(), "first token replaced"),
                nullable("end_token", pa.int32(), "one past the last token replaced"),
                column("phrase_start", pa.int32(), "first token of the MAP in the sample"),
                column("phrase_end", pa.int32(), "one past its last token in the sample"),
                column("phrase", pa.string(), "the MAP with the replacement"),
                nullable("is_mat", pa.bool_(), "the word replaced holds the MAT"),
                nullable("upto_mat", pa.bool_(), "the word replaced starts at or before the MAT"),
            ),
        ),
        Table(
            "encodings",
            "one row per (model, layer, neuron, rank, variant)",
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
            "one row per (model, layer, neuron, rank, variant)",
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
            "one row per (model, layer, neuron, rank, variant)",
            VARIANT_KEY,
            (
                *VARIANT,
                column("kind", pa.string(), "baseline, synonym or control"),
                nullable("is_mat", pa.bool_(), "the word replaced holds the MAT"),
                nullable("upto_mat", pa.bool_(), "the word replaced starts at or before the MAT"),
                nullable("activation", pa.float32(), "maximum over the phrase's tokens, raw units"),
                nullable("baseline", pa.float32(), "that of the unmodified text"),
                nullable("retention", pa.float64(), "activation / baseline, where that is positive"),
                column("raised", pa.bool_(), "a synonym that activates more, beyond rounding"),
                column("tokens", pa.string(), "how sure its ids are: exact, retokenised or lossy"),
            ),
        ),
        Table("averages", "one row per (model, layer, neuron)", NEURON_KEY, AVERAGES),
        Table(
            "normalised",
            "one row per (model, layer, neuron)",
            NEURON_KEY,
            (*NEURON, *SCORES),
        ),
        Table("selected", "one row per (model, layer, neuron)", NEURON_KEY, (*NEURON, *SCORES)),
        *description_tables.TABLES,
        Table(
            "feature_neurons",
            "one row per (model, layer, neuron)",
            NEURON_KEY,
            (
                *NEURON,
                *SCORES,
                column("similarity", pa.float64(), "mean cosine over pairs of MAPs, -1..1"),
                nullable("mat_similarity", pa.float64(), "mean cosine over pairs of MAT words"),
                nullable("retention", pa.float64(), "mean variant / baseline, up to the MAT"),
                column("n_lossy", pa.int32(), "texts and variants measured whose ids are not sure"),
                nullable("description", pa.string(), "what MATs and MAPs have in common"),
                column("describer", pa.string(), "who described"),
                nullable("detection_f1", pa.float64(), "of the description, 0..1; null unless scored"),
                nullable("fuzzing_f1", pa.float64(), "the same where tokens are marked"),
                column("mats", TEXTS, "MATs, strongest first"),
                column("max_phrases", TEXTS, "distinct MAPs, strongest first"),
                column("raised_phrases", TEXTS, "variants above their originals, strongest first"),
            ),
        ),
    )
}


# Of all tables together, as published: raised with every change of a column (major), a meaning (minor).
VERSION = "5.0.0"


def check(name: str, data: pa.Table) -> pa.Table:
    """Return `data` as it is if it fits the schema of table `name`, else raise TableError."""
    TABLES[name].check(data)
    return data


def empty(name: str) -> pa.Table:
    """Table `name` without rows."""
    return TABLES[name].schema.empty_table()
