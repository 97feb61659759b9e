"""How strongly each variant activates the neuron its phrase came from.

In: `encodings`, and `samples` to compare baselines with. Out: `activations`. Each variant is measured in
its original text. Measured rows are kept by (model, layer, ids, phrase, neuron) and not measured again.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import Config
from pipeline.engine.engines import Worker
from pipeline.engine.stage import Inputs, Keep, Stage
from pipeline.models import language_model
from pipeline.tables import query
from pipeline.tables.columns import SAMPLE_KEY, VARIANT_KEY
from pipeline.tables.rows import Columns, Rows, counted
from pipeline.verification import measurement

# The version of the method: raised by hand when the same ids would give another activation, so that kept
# rows are measured again. tests/verification/test_stored_values.py says when.
MEASURED_AS = 1
SHARD_ROWS = 4096  # the most that a killed run loses
_MEDIAN = 0.02  # pages were computed in bfloat16: medians of baselines differ by about 0.5 %
_SINGLE = 0.05  # and single values by up to 3 %


def _asked(inputs: Inputs, settings: Config) -> Rows:
    return inputs.rows("encodings")


def _shards(rows: Rows, wanted: pa.Array) -> Iterator[pa.Table]:
    """The wanted rows (a mask), those of one text together, with the phrases they belong to."""
    return measurement.by_text(rows, wanted, SHARD_ROWS)


def _worker(inputs: Inputs, settings: Config) -> Worker:
    """The function from encodings to `key`, `activation` and `status`; loads the model."""
    model = language_model.load(settings, settings.precision)
    measurement.tell(model, settings)

    def measured(shard: pa.Table) -> pa.Table:
        found = measurement.measure(shard, model, settings).add_column(0, "key", shard["key"])
        return found.filter(shard["wanted"])

    return measured


def _note(data: Columns, inputs: Inputs, settings: Config) -> str:
    return "; ".join(f"{n} {status}" for status, n in counted(data["status"]) if status != "ok")


def _baselines(data: Columns, inputs: Inputs, settings: Config) -> list[str]:
    """A warning where baselines measured here differ from the source's.

    It shows a wrong model, a wrong hook or misread pages.
    """
    first = pc.equal(data["variant"], 0)
    names = (*VARIANT_KEY, "activation")
    given = {
        "activations": pa.table({name: data[name].filter(first) for name in names}),
        "samples": inputs.file("samples"),
    }
    differences = query.run(query.query("views/baseline_differences.sql"), given, {})
    if not len(differences):
        return []
    order = [("off", "descending"), *((name, "ascending") for name in SAMPLE_KEY)]
    rows = differences.sort_by(order).to_pylist()
    median = rows[len(rows) // 2]["off"]
    far = [row for row in rows if row["off"] > _SINGLE]
    if median <= _MEDIAN and len(far) <= len(rows) / 100:
        return []
    worst = "; ".join(
        f"neuron {row['neuron']} text {row['rank']}: "
        f"{row['activation']:.3g} for {row['max_activation']:.3g}"
        for row in far[:3]
    )
    return [
        f"activations measured here differ from the source's by {median:.1%} in the median, and in "
        f"{len(far)} of {len(rows)} texts by more than {_SINGLE:.0%} (model {settings.model_name}, layer "
        f"{settings.one_layer}; worst: {worst}): is it the right model, layer and hook?"
    ]


STAGE = Stage(
    __name__,
    "240",
    "activations",
    reads=("encodings", "samples"),
    settings=measurement.SETTINGS,
    uses=measurement.USES,
    worker=_worker,
    keep=Keep(MEASURED_AS, _asked, _shards),
    ready=language_model.ready,
    note=_note,
    warn=_baselines,
)
