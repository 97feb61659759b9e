"""A description of each selected neuron.

In: `evidence`, `vocabulary`. Out: `descriptions`. A describer that fails leaves null with the reason in
`status`, never a text; the lexical one always finds something to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa

from pipeline import lexical, tables
from pipeline.config import Config
from pipeline.engine import Worker
from pipeline.word_vectors import Vectors


def shards(inputs: Mapping[str, pa.Table]) -> Iterator[pa.Table]:
    """One table per neuron."""
    evidence = inputs["evidence"]
    for row in range(len(evidence)):
        yield evidence.slice(row, 1)


def worker(config: Config, inputs: Mapping[str, pa.Table]) -> Worker:
    """The function from evidence to descriptions; `config.describer` says whose."""
    vectors = Vectors.from_table(inputs["vocabulary"])

    def describe(shard: pa.Table) -> pa.Table:
        rows = []
        for row in shard.to_pylist():
            shown = lexical.Evidence(row["mats"], row["mat_words"], row["max_phrases"])
            rows.append(
                dict(
                    {key: row[key] for key in ("model", "layer", "neuron")},
                    describer=config.describer,
                    description=lexical.describe(shown, vectors),
                    status="ok",
                )
            )
        return pa.Table.from_pylist(rows, schema=tables.TABLES["descriptions"].schema)

    return describe
