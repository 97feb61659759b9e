"""How far activations at a lower precision are from those in float32, for some phrases.

In: `encodings`, `activations`. Out: `deviations`, empty where the precision is float32.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.config import Config
from pipeline.engine.engines import Worker
from pipeline.engine.stage import Inputs, Stage
from pipeline.models import language_model
from pipeline.tables.rows import Columns
from pipeline.verification import measurement

_CHECKED = 512  # variants measured again, evenly spaced


def _shards(inputs: Inputs, settings: Config) -> Iterator[pa.Table]:
    """One table: the variants to measure again, with the activation measured before."""
    measured = inputs.rows("activations")["activation"]
    valid = np.flatnonzero(measured.is_valid().to_numpy())
    chosen = np.zeros(len(measured), bool)
    chosen[valid[np.linspace(0, len(valid) - 1, min(_CHECKED, len(valid)), dtype=int)]] = True
    for found in measurement.by_text(inputs.rows("encodings"), pa.array(chosen), len(measured)):
        yield found.append_column("activation", measured.take(found["place"]))


def _worker(inputs: Inputs, settings: Config) -> Worker:
    """The function from encodings with their activation to `deviations`; loads the model in float32."""
    model = language_model.load(settings, "float32")

    def compared(shard: pa.Table) -> pa.Table:
        exact = measurement.measure(shard, model, settings)["activation"]
        shard = shard.append_column("exact", exact)
        shard = shard.filter(pc.field("activation").is_valid() & pc.field("exact").is_valid())
        columns = [shard[name] for name in (*tables.TABLES["deviations"].key, "activation")]
        columns += [pa.array([settings.precision] * len(shard)), shard["exact"]]
        found = pa.Table.from_arrays(columns, schema=tables.TABLES["deviations"].schema)
        return found.sort_by([(name, "ascending") for name in tables.TABLES["deviations"].key])

    return compared


def _note(data: Columns, inputs: Inputs, settings: Config) -> str:
    """The relative deviation from float32 in the median, and in 1 of 100."""
    if not len(data):
        return ""
    exact = data["exact"].to_numpy()
    off = np.abs(data["activation"].to_numpy() - exact) / np.maximum(np.abs(exact), 1e-9)
    middle, high = np.quantile(off, [0.5, 0.99])
    name = data["precision"][0].as_py()
    return f"{name} differs from float32 by {middle:.2%} in the median, {high:.1%} in 1 of 100"


STAGE = Stage(
    __name__,
    "250",
    "deviations",
    reads=("encodings", "activations"),
    where={"precision": "bfloat16"},
    settings=measurement.SETTINGS,
    uses=measurement.USES,
    shards=_shards,
    worker=_worker,
    ready=language_model.ready,
    note=_note,
)
