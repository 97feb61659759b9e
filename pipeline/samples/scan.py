"""Source `scan`: the texts that activate each neuron of a layer most, by a search through all of a text.

Out: `samples`. Texts are cut into windows of at most max_tokens, BOS first in each. The BOS itself
is not part of the text and never the MAT: it is the same in every window. Ties go to the earlier
window, so the result equals a search through all windows. One pass finds the winners, whose texts are then
measured once more: memory holds a few numbers for each winner and one batch, however long the texts are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa

from pipeline import tables
from pipeline.config import Config
from pipeline.engine.engines import Worker
from pipeline.engine.stage import Inputs, Stage
from pipeline.language import text_count, texts
from pipeline.models import folder, language_model
from pipeline.models.language_model import LanguageModel
from pipeline.samples import peaks
from pipeline.samples.measured_again import Measured, Sample
from pipeline.samples.unfinished import Unfinished

_PARTS = 64  # of the table, each made by itself
_PART = b"part"


class Scan:
    """A text that is scanned: its winners, and their rows of `samples`."""

    def __init__(
        self,
        config: Config,
        model: LanguageModel,
        lines: Callable[[], Iterable[str]],
        unfinished: Unfinished | None = None,
        n_texts: int | None = None,
    ) -> None:
        """Search through the texts that `lines` gives each time it is called; `n_texts` where known."""
        unfinished = unfinished or Unfinished()
        winners = peaks.find(config, model, lines, unfinished, n_texts)
        self._measured = Measured(winners, unfinished)
        self._measured.measure(config, model, lines)
        self._config, self._n_neurons, self._names = config, model.n_neurons, pa.array(model.token_texts)

    def rows(self, part: int = 0, parts: int = 1) -> pa.Table:
        """One of so many parts of `samples`: each neuron's `config.samples` windows with the highest peaks.

        `text_id` is the number of the window in the order of the texts. A neuron has fewer rows only where
        there are fewer windows. Ordered by (neuron, rank).
        """
        first, end = (self._n_neurons * each // parts for each in (part, part + 1))
        schema = tables.TABLES["samples"].schema
        found = [
            (neuron, rank, each)
            for neuron in range(first, end)
            for rank, each in enumerate(self._measured.samples(neuron))
        ]
        if not found:
            return schema.empty_table()
        neurons, ranks, samples = zip(*found, strict=True)
        mats = [1 + int(each.values[1:].argmax()) for each in samples]
        highest = [each.values[mat] for each, mat in zip(samples, mats, strict=True)]
        own = dict(model=self._config.model_name, layer=self._config.one_layer, sign=self._config.sign, text_start=1)
        own |= dict(text_set=self._config.text_name, source="scan")
        columns = dict(neuron=neurons, rank=ranks, mat_index=mats, max_activation=pa.array(highest))
        columns |= dict(text_id=[each.number for each in samples]) | self._texts(samples)
        columns |= {name: pa.repeat(value, len(found)) for name, value in own.items()}
        missing = pa.nulls(len(found))
        return pa.table({name: columns.get(name, missing) for name in schema.names}).cast(schema)

    def _texts(self, samples: tuple[Sample, ...]) -> dict[str, pa.Array]:
        """The tokens of samples, their ids and activations: a list for each."""
        ends = np.cumsum([0, *(len(each.ids) for each in samples)]).astype(np.int32)
        ids = np.concatenate([each.ids for each in samples])
        values = np.concatenate([each.values for each in samples])
        items = dict(tokens=self._names.take(pa.array(ids)), token_ids=ids, activations=values)
        return {name: pa.ListArray.from_arrays(ends, pa.array(each)) for name, each in items.items()}


def _parts(inputs: Inputs, settings: Config) -> Iterator[pa.Table]:
    """Parts of the table, whatever the number of neurons is. They have no rows: the scan takes the time."""
    for part in range(_PARTS):
        yield pa.table({}).replace_schema_metadata({_PART: str(part)})


def _worker(inputs: Inputs, settings: Config) -> Worker:
    """The function that gives a part of the table, with the text scanned."""
    model = language_model.load(settings)
    folder.check_neurons(settings, model.n_neurons)
    n_texts = text_count.about(settings)
    lines = lambda: texts.of(settings)  # noqa: E731
    found = Scan(settings, model, lines, Unfinished(inputs.unfinished), n_texts)
    return lambda shard: found.rows(int(shard.schema.metadata[_PART]), _PARTS)


def _ready(settings: Config) -> None:
    language_model.ready(settings)
    texts.ready(settings)


SCAN = Stage(
    __name__,
    "020",
    "samples",
    where={"source": "scan"},
    settings=(
        "model",
        "weights",
        "layer",
        "sign",
        *texts.SETTINGS,
        "samples",
        "max_tokens",
        "batch_tokens",
    ),
    uses=("device", "neurons"),
    shards=_parts,
    worker=_worker,
    ready=_ready,
)
