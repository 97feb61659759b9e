"""The schemas of all tables: columns, types, units, nulls, keys and grain; the only place that knows."""

from __future__ import annotations

import pyarrow as pa

from pipeline.schema import Column, Table

_TEXTS = pa.list_(pa.string())
_FLOATS = pa.list_(pa.float32())
_TIME = pa.timestamp("us")  # UTC


def _column(name: str, kind: pa.DataType, doc: str) -> Column:
    return Column(name, kind, doc)


def _nullable(name: str, kind: pa.DataType, doc: str) -> Column:
    return Column(name, kind, doc, null=True)


_NEURON = (
    _column("model", pa.string(), "name of the language model"),
    _column("layer", pa.int32(), "layer, 0-based"),
    _column("neuron", pa.int32(), "MLP neuron in its layer, 0-based"),
)
_SAMPLE = (*_NEURON, _column("rank", pa.int32(), "rank of the sample, 0 activates most"))
_NEURON_KEY = ("model", "layer", "neuron")
_SAMPLE_KEY = (*_NEURON_KEY, "rank")

_AVERAGES = (
    *_NEURON,
    _column("n_originals", pa.int32(), "distinct MAPs measured"),
    _column("n_variants", pa.int32(), "variants measured, controls apart"),
    _column("n_raised", pa.int32(), "variants that activate more than their original"),
    _column("n_lost", pa.int32(), "texts and variants that could not be measured"),
    _nullable("avg_activation", pa.float64(), "mean over originals and variants, raw units"),
    _nullable("retention", pa.float64(), "mean variant / baseline, words up to and with the MAT"),
    _nullable("retention_after", pa.float64(), "the same for words after the MAT"),
    _nullable("retention_mat", pa.float64(), "the same for synonyms of the MAT's word"),
    _nullable("retention_controls", pa.float64(), "mean control / baseline at the MAT's word"),
    _nullable("selectivity", pa.float64(), "retention_mat less retention_controls"),
)
_SCORES = (
    _nullable("avg_activation", pa.float64(), "mean over originals and variants, raw units"),
    _nullable("normalised_activation", pa.float64(), "avg_activation / the layer's maximum"),
    _nullable("selectivity", pa.float64(), "retention of synonyms less that of controls"),
)

TABLES = {
    table.name: table
    for table in (
        Table(
            "pages",
            "one row per (model, layer, neuron) asked for; none for a scan",
            _NEURON_KEY,
            (
                *_NEURON,
                _column("address", pa.string(), "of the page"),
                _column(
                    "status",
                    pa.string(),
                    "ok; missing: no such neuron; failed: not fetched; unreadable: another thing came",
                ),
                _nullable("reason", pa.string(), "what was expected and found, unless ok"),
                _nullable("fetched", _TIME, "when it was fetched, or last tried, UTC"),
                _nullable("page_sha256", pa.string(), "SHA-256 of what came"),
                _nullable("n_bytes", pa.int64(), "its length in bytes"),
            ),
        ),
        Table(
            "samples",
            "one row per (model, layer, neuron, rank)",
            _SAMPLE_KEY,
            (
                *_SAMPLE,
                _nullable("text_id", pa.int64(), "number of the text in its set; a scan counts windows"),
                _nullable("text_set", pa.string(), "name of that set, where a page tells it"),
                _column("tokens", _TEXTS, "the text's tokens, BOS first"),
                _nullable("token_ids", pa.list_(pa.int32()), "their ids, where known"),
                Column(
                    "activations",
                    _FLOATS,
                    "the neuron's activation at each token, raw units; null if no finite number",
                    null_items=True,
                ),
                _column(
                    "text_start",
                    pa.int32(),
                    "first token of the text itself: 1 after a BOS, else 0",
                ),
                _column("mat_index", pa.int32(), "index of the MAT in tokens"),
                _nullable("max_activation", pa.float32(), "activation at the MAT, raw units"),
                _nullable("reason", pa.string(), "why activations are null"),
                _column("source", pa.string(), "where the row comes from: scan or neuroscope"),
                _nullable("address", pa.string(), "of the page; null for a scan, as all that follows"),
                _nullable("fetched", _TIME, "when the page was fetched, UTC"),
                _nullable("page_sha256", pa.string(), "SHA-256 of the page as it was fetched"),
                _nullable("parser", pa.int32(), "version of the page parser"),
            ),
        ),
        Table(
            "maps",
            "one row per (model, layer, neuron, rank)",
            _SAMPLE_KEY,
            (
                *_SAMPLE,
                _column("mat", pa.string(), "the MAT as it stands in the text"),
                _column("mat_index", pa.int32(), "index of the MAT in the sample's tokens"),
                _column("start", pa.int32(), "index of the MAP's first token in the sample"),
                _column("tokens", _TEXTS, "the MAP's tokens"),
                Column("activations", _FLOATS, "their activations, raw units", null_items=True),
                _column("phrase", pa.string(), "the tokens joined"),
                _column("max_activation", pa.float32(), "activation at the MAT, raw units"),
                _column("text_before", pa.string(), "up to three tokens before the MAP, joined"),
                _column("text_after", pa.string(), "up to three tokens after the MAP, joined"),
                _column("duplicate", pa.bool_(), "a higher-ranking MAP says nearly the same"),
            ),
        ),
        Table(
            "words",
            "one row per (map, word)",
            (*_SAMPLE_KEY, "word_index"),
            (
                *_SAMPLE,
                _column("word_index", pa.int32(), "place of the word in its MAP, from 0"),
                _column("text", pa.string(), "the word as it stands, without the blank"),
                _column("word", pa.string(), "the word in lower case"),
                _column("blank", pa.string(), "white space between the token's start and it"),
                _column("first_token", pa.int32(), "its first token in the sample"),
                _column("end_token", pa.int32(), "one past its last token in the sample"),
                _column("replaceable", pa.bool_(), "only letters, in tokens of its own"),
                _column("is_mat", pa.bool_(), "holds the MAT"),
                _column("upto_mat", pa.bool_(), "starts at or before the MAT"),
            ),
        ),
        Table(
            "vocabulary",
            "one row per word",
            ("word",),
            (
                _column("word", pa.string(), "word in lower case"),
                _column("rank", pa.int32(), "place by frequency, 0 is the most frequent"),
                _column("frequency", pa.float64(), "share of all words of the text, 0..1"),
                _column("vector", _FLOATS, "FastText vector of length 1"),
            ),
        ),
        Table(
            "vectors",
            "one row per (model, layer, neuron, rank)",
            _SAMPLE_KEY,
            (
                *_SAMPLE,
                _column("n_words", pa.int32(), "words of the MAP"),
                _column("n_known", pa.int32(), "those with a vector"),
                _nullable("vector", _FLOATS, "the phrase's vector of length 1; null without words"),
                _nullable("mat_vector", _FLOATS, "that of the MAT's word, likewise"),
            ),
        ),
        Table(
            "similarity",
            "one row per (model, layer, neuron)",
            _NEURON_KEY,
            (
                *_NEURON,
                _column("n_maps", pa.int32(), "MAPs"),
                _column("n_distinct", pa.int32(), "those that count, near duplicates once"),
                _nullable("similarity", pa.float64(), "mean cosine over pairs of MAPs, -1..1"),
                _nullable("mat_similarity", pa.float64(), "mean cosine over pairs of MAT words"),
                _nullable("reason", pa.string(), "why similarity is null"),
            ),
        ),
        Table(
            "candidates",
            "one row per (model, layer, neuron)",
            _NEURON_KEY,
            (
                *_NEURON,
                _column("similarity", pa.float64(), "mean cosine over pairs of MAPs, -1..1"),
                _nullable("mat_similarity", pa.float64(), "mean cosine over pairs of MAT words"),
            ),
        ),
        Table(
            "synonyms",
            "one row per (word, kind, rank)",
            ("word", "kind", "rank"),
            (
                _column("word", pa.string(), "word of a candidate's MAP, lower case"),
                _column("kind", pa.string(), "synonym: a nearest neighbour; control: unrelated"),
                _column("rank", pa.int32(), "place among its kind, from 0"),
                _column("neighbour", pa.string(), "the word put in its place, lower case"),
                _column("cosine", pa.float32(), "cosine of the two words, -1..1"),
            ),
        ),
        Table(
            "variants",
            "one row per (model, layer, neuron, rank, variant)",
            (*_SAMPLE_KEY, "variant"),
            (
                *_SAMPLE,
                _column("variant", pa.int32(), "number of the variant of its MAP; 0: baseline"),
                _column("kind", pa.string(), "baseline, synonym or control"),
                _nullable("word_index", pa.int32(), "the word replaced; null for the baseline"),
                _nullable("word", pa.string(), "that word in lower case"),
                _nullable("replacement", pa.string(), "what stands there now, blank and casing kept"),
                _nullable("first_token", pa.int32(), "first token replaced"),
                _nullable("end_token", pa.int32(), "one past the last token replaced"),
                _column("phrase_start", pa.int32(), "first token of the MAP in the sample"),
                _column("phrase_end", pa.int32(), "one past its last token in the sample"),
                _column("phrase", pa.string(), "the MAP with the replacement"),
                _nullable("is_mat", pa.bool_(), "the word replaced holds the MAT"),
                _nullable("upto_mat", pa.bool_(), "the word replaced starts at or before the MAT"),
            ),
        ),
        Table(
            "activations",
            "one row per (model, layer, neuron, rank, variant)",
            (*_SAMPLE_KEY, "variant"),
            (
                *_SAMPLE,
                _column("variant", pa.int32(), "number of the variant of its MAP"),
                _nullable("activation", pa.float32(), "maximum over the phrase's tokens, raw units"),
                _column("status", pa.string(), "ok; too_long; not_finite; lossy: no sure ids"),
            ),
        ),
        Table(
            "retentions",
            "one row per (model, layer, neuron, rank, variant)",
            (*_SAMPLE_KEY, "variant"),
            (
                *_SAMPLE,
                _column("variant", pa.int32(), "number of the variant of its MAP; 0: baseline"),
                _column("kind", pa.string(), "baseline, synonym or control"),
                _nullable("is_mat", pa.bool_(), "the word replaced holds the MAT"),
                _nullable("upto_mat", pa.bool_(), "the word replaced starts at or before the MAT"),
                _nullable("activation", pa.float32(), "maximum over the phrase's tokens, raw units"),
                _nullable("baseline", pa.float32(), "that of the unmodified text"),
                _nullable("retention", pa.float64(), "activation / baseline, where that is positive"),
                _column("raised", pa.bool_(), "a synonym that activates more, beyond rounding"),
            ),
        ),
        Table("averages", "one row per (model, layer, neuron)", _NEURON_KEY, _AVERAGES),
        Table(
            "normalised",
            "one row per (model, layer, neuron)",
            _NEURON_KEY,
            (*_NEURON, *_SCORES),
        ),
        Table("selected", "one row per (model, layer, neuron)", _NEURON_KEY, (*_NEURON, *_SCORES)),
        Table(
            "evidence",
            "one row per (model, layer, neuron)",
            _NEURON_KEY,
            (
                *_NEURON,
                _column("mats", _TEXTS, "MATs of the distinct MAPs, strongest first"),
                _column("mat_words", _TEXTS, "the words that hold them, or the MATs themselves"),
                _column("max_phrases", _TEXTS, "distinct MAPs, strongest first"),
                _column("raised_phrases", _TEXTS, "variants above their originals, strongest first"),
            ),
        ),
        Table(
            "descriptions",
            "one row per (model, layer, neuron)",
            _NEURON_KEY,
            (
                *_NEURON,
                _column("describer", pa.string(), "who described"),
                _nullable("description", pa.string(), "what MATs and MAPs have in common"),
                _column("status", pa.string(), "ok, or why there is no description"),
            ),
        ),
        Table(
            "feature_neurons",
            "one row per (model, layer, neuron)",
            _NEURON_KEY,
            (
                *_NEURON,
                *_SCORES,
                _column("similarity", pa.float64(), "mean cosine over pairs of MAPs, -1..1"),
                _nullable("mat_similarity", pa.float64(), "mean cosine over pairs of MAT words"),
                _nullable("retention", pa.float64(), "mean variant / baseline, up to the MAT"),
                _nullable("description", pa.string(), "what MATs and MAPs have in common"),
                _column("describer", pa.string(), "who described"),
                _column("mats", _TEXTS, "MATs, strongest first"),
                _column("max_phrases", _TEXTS, "distinct MAPs, strongest first"),
                _column("raised_phrases", _TEXTS, "variants above their originals, strongest first"),
            ),
        ),
    )
}


# Of all tables together, as published: raised with every change of a column (major), a meaning (minor).
VERSION = "1.0.0"


def check(name: str, data: pa.Table) -> pa.Table:
    """Return `data` as it is if it fits the schema of table `name`, else raise TableError."""
    TABLES[name].check(data)
    return data


def empty(name: str) -> pa.Table:
    """Table `name` without rows."""
    return TABLES[name].schema.empty_table()
