"""A description of each selected neuron.

In: `evidence`, `vocabulary`. Out: `descriptions`. A describer that fails leaves null with the reason in
`status`, never a text; the lexical one always finds something to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa

from pipeline import fingerprint, lexical, tables
from pipeline.config import Config
from pipeline.engine import Worker
from pipeline.word_vectors import Vectors


def asked(inputs: Mapping[str, pa.Table]) -> pa.Table:
    """The evidence of each neuron, by `key`."""
    evidence = inputs["evidence"]
    keys = [fingerprint.of_table(evidence.slice(row, 1)) for row in range(len(evidence))]
    return evidence.append_column("key", pa.array(keys, pa.string()))


def shards(rows: pa.Table, wanted: pa.Array) -> Iterator[pa.Table]:
    """One table for each neuron wanted (a mask)."""
    found = rows.filter(wanted)
    for row in range(len(found)):
        yield found.slice(row, 1)


def worker(config: Config, inputs: Mapping[str, pa.Table]) -> Worker:
    """The function from evidence to descriptions by `key`; `config.describer` says whose."""
    vectors = Vectors.from_table(inputs["vocabulary"])

    def describe(shard: pa.Table) -> pa.Table:
        rows = []
        for row in shard.to_pylist():
            shown = lexical.Evidence(row["mats"], row["mat_words"], row["max_phrases"])
            text = lexical.describe(shown, vectors)
            rows.append(dict(key=row["key"], describer=config.describer, description=text, status="ok"))
        return pa.Table.from_pylist(rows, schema=tables.TABLES["descriptions"].kept)

    return describe
