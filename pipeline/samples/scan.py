"""Source `scan`: the texts that activate each neuron most, by a search through all of a text.

Out: `samples`. Texts are cut into windows of at most max_tokens, BOS first in each. The BOS itself
is not part of the text and never the MAT: it is the same in every window. Ties go to the earlier
window, so the result equals a search through all windows. One pass of the model finds the winners of all
layers, whose texts are then measured once more: memory holds a few numbers for each winner and one batch,
however long the texts are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline import tables
from pipeline.config import Config
from pipeline.engine.engines import Engine
from pipeline.engine.stage import Stage
from pipeline.language import text_count, texts
from pipeline.models import folder, language_model
from pipeline.models.language_model import LanguageModel
from pipeline.output import tell
from pipeline.samples import peaks
from pipeline.samples.measured_again import Measured, Measurer, Sample
from pipeline.samples.search import Here, Search, Searcher
from pipeline.samples.text_windows import Text
from pipeline.samples.unfinished import Unfinished
from pipeline.samples.winners import Side, Winners, begins

_TOKENS = 2**20  # of the texts of one batch of rows, about
_SIGNS = {"positive": 1, "negative": -1}
_OF_MODEL = ("model", "weights", "layer", "sign")
_FARTHER = 0.25  # of the neurons that reach farther below zero than above, from which both ends count

Load = Callable[[Config], LanguageModel]


class Scan:
    """A text that is scanned for some layers: their winners, and their rows of `samples`."""

    def __init__(
        self,
        parts: Sequence[Config],
        load: Load,
        text: Text,
        unfinished: Unfinished,
        engine: Engine,
    ) -> None:
        """Search through the text.

        The settings of the parts differ in their layer only; `load` gives the model with the number of
        neurons of that layer, in every process that computes.
        """
        own = [Side(_layer(part), load(part).n_neurons, _SIGNS[part.sign]) for part in parts]
        judged = [side for side, part in zip(own, parts, strict=True) if _is_judged(part)]
        others = [side._replace(sign=1) for side in judged]
        sides = (*own, *(side for side in others if side not in own))
        model, config = load(parts[0]), parts[0].replaced(sign="positive")
        longest = min(model.n_ctx, config.max_tokens)
        self._parts, self._search = parts, Search(sides, config.samples, longest, config.batch_tokens)
        unfinished.purpose = f"{self._search.sides}, {self._search.samples}"
        worker = partial(_searcher, self._search, config, load)
        winners = peaks.find(self._search, worker, text, unfinished, engine)
        for side in judged:
            if not _reaches(self._search, winners, side):
                winners.drop(*_columns(self._search, side))
        for side in sides[len(own) :]:
            winners.drop(*_columns(self._search, side))
        self._measured = Measured(self._search, winners, unfinished)
        self._measured.measure(partial(_measurer, self._search, config, load), model, text, engine)
        self._names = pa.array(model.token_texts)

    def rows(self, part: int) -> Iterator[pa.Table]:
        """The rows of a part in batches: each neuron's `samples` windows with the highest peaks.

        `text_id` is the number of the window in the order of the texts. A neuron has fewer rows only where
        there are fewer windows. Ordered by (neuron, rank).
        """
        begin, end = begins(self._search.sides)[part : part + 2]
        found: list[tuple[int, int, Sample]] = []
        n_tokens = 0
        for column in range(begin, end):
            for rank, each in enumerate(self._measured.samples(column)):
                found.append((column - begin, rank, each))
                n_tokens += len(each.ids)
            if n_tokens >= _TOKENS:
                yield self._table(part, found)
                found, n_tokens = [], 0
        if found:
            yield self._table(part, found)

    def _table(self, part: int, found: list[tuple[int, int, Sample]]) -> pa.Table:
        neurons, ranks, samples = zip(*found, strict=True)
        mats = [1 + int(each.values[1:].argmax()) for each in samples]
        highest = [each.values[mat] for each, mat in zip(samples, mats, strict=True)]
        layer, config = self._search.sides[part].layer, self._parts[part]
        own = dict(model=config.model_name, layer=layer, sign=config.sign, text_start=1, source="scan")
        own["text_set"] = config.text_name
        columns = dict(neuron=neurons, rank=ranks, mat_index=mats, max_activation=pa.array(highest))
        columns |= dict(text_id=[each.number for each in samples]) | self._texts(samples)
        columns |= {name: pa.repeat(value, len(found)) for name, value in own.items()}
        schema = tables.TABLES["samples"].schema
        missing = pa.nulls(len(found))
        return pa.table({name: columns.get(name, missing) for name in schema.names}).cast(schema)

    def _texts(self, samples: tuple[Sample, ...]) -> dict[str, pa.Array]:
        """The tokens of samples, their ids and activations: a list for each."""
        ends = np.cumsum([0, *(len(each.ids) for each in samples)]).astype(np.int32)
        ids = np.concatenate([each.ids for each in samples])
        values = np.concatenate([each.values for each in samples])
        items = dict(tokens=self._names.take(pa.array(ids)), token_ids=ids, activations=values)
        return {name: pa.ListArray.from_arrays(ends, pa.array(each)) for name, each in items.items()}


def _layer(part: Config) -> int:
    return part.one_layer


def _is_judged(part: Config) -> bool:
    """Whether the scan is to tell if the negative ends of a layer are worth looking at."""
    return part.sign == "negative" and part.signs is None


def _columns(search: Search, side: Side) -> tuple[int, int]:
    number, begin = search.sides.index(side), begins(search.sides)
    return begin[number], begin[number + 1]


def _reaches(search: Search, winners: Winners, side: Side) -> bool:
    """Whether values of a layer reach about as far below zero as above: farther in enough neurons."""
    low, high = (winners.peaks[slice(*_columns(search, each)), 0] for each in (side, side._replace(sign=1)))
    share = (low > high).float().mean().item()
    both = "both ends are looked at" if share >= _FARTHER else "only positive ends are (SIGNS=both: all)"
    tell(
        f"scan: layer {side.layer}: {share:.0%} of the neurons reach farther below zero than above; {both}"
    )
    return share >= _FARTHER


def _sign(settings: Config) -> str:
    """What a part's end is decided by: of a negative one also whether the scan may leave it out."""
    return settings.sign if not _is_judged(settings) else f"{settings.sign}, where values reach that far"


def _searcher(search: Search, config: Config, load: Load, here: Here) -> Searcher:
    return Searcher(search, load(config), here)


def _measurer(search: Search, config: Config, load: Load) -> Measurer:
    return Measurer(search, load(config))


def _load(part: Config) -> LanguageModel:
    model = language_model.load(part)
    folder.check_neurons(part, model.n_neurons)
    return model


def _together(
    parts: Sequence[Config], unfinished: Path | None, engine: Engine
) -> Sequence[Iterator[pa.Table]]:
    """The rows of all layers, with the text scanned for them together."""
    for part in parts:
        _load(part)  # what cannot be is refused before anything is written
    text = Text(partial(texts.of, parts[0]), text_count.about(parts[0]))
    found = Scan(parts, _load, text, Unfinished(unfinished), engine)
    return [found.rows(part) for part in range(len(parts))]


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
    uses=("device", "neurons", "signs"),
    decided_by={"sign": _sign},
    together=_together,
    ready=_ready,
)
