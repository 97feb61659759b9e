"""How much of a neuron's activation its description covers, where it is a rule that can be read back.

In: `evidence`, `descriptions`. Out: `covered`, for descriptions made without a language model. Of all
distinct MAPs, also of those that the description was not made of.
"""

from __future__ import annotations

import pyarrow as pa

from pipeline import tables
from pipeline.config import Config
from pipeline.engine.engines import Worker
from pipeline.engine.stage import Inputs, Stage, runs_of
from pipeline.generation import evidence, lexical
from pipeline.language.hypernyms import hypernyms
from pipeline.tables.columns import NEURON_KEY


def _worker(inputs: Inputs, settings: Config) -> Worker:
    """The function from evidence to what its description covers."""
    said = {
        tuple(row[name] for name in NEURON_KEY): row["description"]
        for row in inputs["descriptions"].select([*NEURON_KEY, "description"]).to_pylist()
    }

    def covered(shard: pa.Table) -> pa.Table:
        rows = []
        for row in shard.to_pylist():
            shown = evidence.shown(row, scored=False)
            key = tuple(row[name] for name in NEURON_KEY)
            share = lexical.covers(said[key], shown, hypernyms())
            rows.append(dict(zip(NEURON_KEY, key, strict=True), coverage=share))
        return pa.Table.from_pylist(rows, schema=tables.TABLES["covered"].schema)

    return covered


STAGE = Stage(
    __name__,
    "355",
    "covered",
    reads=("evidence", "descriptions"),
    where={"describer": "lexical"},
    shards=runs_of("evidence", 64),
    worker=_worker,
)
