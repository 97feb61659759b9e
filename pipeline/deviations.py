"""How far activations at a lower precision are from those in float32, for some of the phrases.

In: `encodings`, `activations`. Out: `deviations`, empty where the precision is float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import language_model, measurement, tables
from pipeline.config import Config
from pipeline.engine import Worker

_CHECKED = 512  # variants measured again, spread evenly


def shards(inputs: Mapping[str, pa.Table]) -> Iterator[pa.Table]:
    """One table: what is measured again, with the activation found."""
    joined = inputs["encodings"].append_column("activation", inputs["activations"]["activation"])
    valid = np.flatnonzero(joined["activation"].is_valid().to_numpy())
    chosen = np.zeros(len(joined), bool)
    chosen[valid[np.linspace(0, len(valid) - 1, min(_CHECKED, len(valid)), dtype=int)]] = True
    yield from measurement.by_text(joined, pa.array(chosen), len(joined))


def worker(config: Config, inputs: Mapping[str, pa.Table]) -> Worker:
    """The function from encodings with their activation to `deviations`."""
    if config.precision == "float32":
        return lambda shard: tables.empty("deviations")
    model = language_model.load(config, "float32")

    def compared(shard: pa.Table) -> pa.Table:
        exact = measurement.measure(shard, model, config)["activation"]
        shard = shard.append_column("exact", exact)
        shard = shard.filter(pc.field("activation").is_valid() & pc.field("exact").is_valid())
        columns = [shard[name] for name in (*tables.TABLES["deviations"].key, "activation")]
        columns += [pa.array([config.precision] * len(shard)), shard["exact"]]
        return pa.Table.from_arrays(columns, schema=tables.TABLES["deviations"].schema)

    return compared
