"""How strongly each variant activates the neuron its phrase came from.

In: `encodings`. Out: `activations`. Each variant is measured in its original text. What was measured once
is kept by (model, ids, phrase, neuron) and not measured again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa

from pipeline import language_model, measurement
from pipeline.config import Config
from pipeline.engine import Worker

_SHARD_ROWS = 4096  # what a run that is killed loses at most


def asked(inputs: Mapping[str, pa.Table], config: Config) -> pa.Table:
    """What is to be measured, by `key`."""
    return inputs["encodings"]


def shards(rows: pa.Table, wanted: pa.Array) -> Iterator[pa.Table]:
    """The wanted of `asked`'s rows (a mask), all of a text together, with the phrases they belong to."""
    return measurement.by_text(rows, wanted, _SHARD_ROWS)


def worker(config: Config, inputs: Mapping[str, pa.Table]) -> Worker:
    """The function from encodings to `key`, `activation` and `status`, with the model loaded."""
    model = language_model.load(config, config.precision)
    measurement.tell(model, config)

    def measured(shard: pa.Table) -> pa.Table:
        found = measurement.measure(shard, model, config)
        return found.add_column(0, "key", shard["key"])

    return measured
