"""Windows of text that a description is judged by: some activate the neuron, others leave it quiet.

In: `evidence`, `samples`, `vectors`. Out: `windows`, empty unless descriptions are scored. Activating
windows are cut around the MATs that the describer was not shown; quiet ones around the MATs of other
neurons of the same model and layer, half of them drawn at random and half the most similar by FastText.
Activations are measured here, in the whole text; a window that is neither is left out, as is one with a
phrase that the describer was shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.config import Config
from pipeline.engine.engines import Worker
from pipeline.engine.stage import Inputs, Stage, runs_of
from pipeline.generation import evidence
from pipeline.models import batches, language_model
from pipeline.models.language_model import LanguageModel
from pipeline.models.token_ids import Identities
from pipeline.tables.columns import LAYER_KEY, NEURON_KEY, SAMPLE_KEY, of_layer
from pipeline.tables.rows import Columns, Rows, counted

WIDTH = 32  # tokens of a window
_DRAWN = 64  # windows of the layer from which every neuron's `other` ones are taken
_NEAR = 40  # most similar windows from which a neuron's `near` ones are taken
_ACTIVE, _QUIET = 0.5, 0.2  # least and greatest share of the median of the windows that are held out
_MARKED = 0.3  # share of a window's maximum from which a token is marked
_OF_SAMPLE = [*SAMPLE_KEY, "text_id", "tokens", "token_ids", "text_start", "mat_index"]  # what is read
_Place = tuple[int, int]  # neuron and rank of a sample in one layer


@dataclass(frozen=True)
class _Cut:
    """A window in its sample; activations (tokens, neurons of the shard)."""

    place: _Place
    start: int
    tokens: list[str]
    activations: np.ndarray


def _worker(inputs: Inputs, settings: Config) -> Worker:
    """The function from evidence to windows; loads the model."""
    model = language_model.load(settings, settings.precision)
    layers = _Layers(settings, model, inputs)

    def cut(shard: pa.Table) -> pa.Table:
        windows = [
            window
            for place, rows in groupby(shard.to_pylist(), key=itemgetter(*LAYER_KEY))
            for window in _of_layer(list(rows), layers[place], settings)
        ]
        return pa.Table.from_pylist(windows, schema=tables.TABLES["windows"].schema)

    return cut


def _of_layer(rows: list[dict[str, Any]], layer: _Layer, settings: Config) -> Iterator[dict[str, Any]]:
    """The windows of some neurons of one layer."""
    asked = [_Asked(row, layer) for row in rows]
    cuts = layer.cuts({place for each in asked for place in each.places}, [row["neuron"] for row in rows])
    for column, (row, each) in enumerate(zip(rows, asked, strict=True)):
        rng = np.random.default_rng([settings.seed, row["neuron"]])
        for window in _windows(each, cuts, column, rng):
            yield {name: row[name] for name in NEURON_KEY} | window


class _Layers(dict[tuple[str, int, str], "_Layer"]):
    """The layers of some samples by model, layer and end, each prepared at its first use."""

    def __init__(self, settings: Config, model: LanguageModel, inputs: Inputs) -> None:
        super().__init__()
        self.settings, self.model, self.inputs = settings, model, inputs

    def __missing__(self, place: tuple[str, int, str]) -> _Layer:
        self[place] = layer = _Layer(self.settings, self.model, place, self.inputs)
        return layer


class _Layer:
    """The samples of one layer of one model, the similarity of their phrases, and their activations."""

    def __init__(
        self, settings: Config, model: LanguageModel, of: tuple[str, int, str], inputs: Inputs
    ) -> None:
        self.settings, self.model, self.layer = settings, model, of[1]
        self.identities = Identities(settings, model)
        self.samples = _Samples(inputs.rows("samples", _OF_SAMPLE), of)
        known = inputs.columns("vectors", [*SAMPLE_KEY, "vector"]).filter(of_layer(of))
        known = known.filter(known["vector"].is_valid())
        keys = known.select(["neuron", "rank"]).to_pydict()
        self.places: list[_Place] = list(zip(*keys.values(), strict=True))
        flat = known["vector"].combine_chunks().flatten().to_numpy()
        self.matrix = flat.reshape(len(known), -1) if len(known) else np.zeros((0, 1), np.float32)
        drawn = np.random.default_rng(settings.seed).permutation(len(self.places))[:_DRAWN]
        self.drawn = [self.places[i] for i in drawn]

    def near(self, neuron: int, ranks: Iterable[int]) -> list[_Place]:
        """Samples of other neurons, the most similar to the mean of a neuron's phrases first."""
        wanted = {(neuron, rank) for rank in ranks}
        own = [i for i, place in enumerate(self.places) if place in wanted]
        if not own:
            return []
        cosines = self.matrix @ self.matrix[own].mean(0)
        order = (self.places[i] for i in np.argsort(-cosines, kind="stable"))
        return [place for place, _ in zip((p for p in order if p[0] != neuron), range(_NEAR), strict=False)]

    def cuts(self, places: Iterable[_Place], neurons: list[int]) -> dict[_Place, _Cut]:
        """The window around the MAT of each sample, with the activations of some neurons."""
        longest = min(self.model.n_ctx, self.settings.max_tokens)
        found: list[_Found] = []
        for rows in self.samples.of(sorted(places)):
            for row, known in zip(rows, self.identities.of(rows), strict=True):
                start, end = _span(row)
                if known.ids and end <= longest:  # else the text does not fit up to the window's end
                    own = np.array(known.ids[:end], np.int32)
                    found.append(_Found((row["neuron"], row["rank"]), start, row["tokens"][start:end], own))
        cuts = {}
        size = self.settings.batch_tokens or self.model.batch_tokens
        for batch in batches.by_length([len(each.ids) for each in found], size):
            chosen = [found[i] for i in batch]
            ids = batches.padded([each.ids.tolist() for each in chosen])
            values = self.model.activations(ids, self.layer)[:, :, neurons].numpy()
            for each, of in zip(chosen, values, strict=True):
                own = of[each.start : len(each.ids)].copy()
                cuts[each.place] = _Cut(each.place, each.start, each.tokens, own)
        return cuts


class _Found(NamedTuple):
    """A sample with its window: the tokens from `start` on, and the ids of the text up to its end."""

    place: _Place
    start: int
    tokens: list[str]
    ids: np.ndarray


class _Samples:
    """The samples of a layer, of which some are read at once."""

    def __init__(self, rows: Rows, of: tuple[str, int, str]) -> None:
        self._rows, self._of = rows, of

    def of(self, places: list[_Place]) -> Iterator[list[dict[str, Any]]]:
        """The samples at places that ascend, those of some neurons together."""
        wanted: dict[int, set[int]] = {}
        for neuron, rank in places:
            wanted.setdefault(neuron, set()).add(rank)
        for neuron, ranks in wanted.items():
            given = pa.table(dict(zip(NEURON_KEY, ([each] for each in (*self._of, neuron)), strict=True)))
            rows = self._rows.of_neurons(given)
            yield rows.filter(pc.is_in(rows["rank"], pa.array(ranks, pa.int32()))).to_pylist()


class _Asked:
    """A neuron's samples that windows may be cut from, and the phrases that must not stand in them."""

    def __init__(self, row: Mapping[str, Any], layer: _Layer) -> None:
        self.held_out = [(row["neuron"], rank) for rank in evidence.held_out(row)]
        self.shown = evidence.shown(row, scored=True).phrases
        self.other = [place for place in layer.drawn if place[0] != row["neuron"]]
        self.near = layer.near(row["neuron"], row["ranks"])

    @property
    def places(self) -> list[_Place]:
        """All of them."""
        return [*self.held_out, *self.other, *self.near]


def _span(row: Mapping[str, Any]) -> tuple[int, int]:
    """The first token of the window around a sample's MAT, inside its text, and one past its last."""
    length = len(row["tokens"])
    start = min(row["mat_index"] - WIDTH // 2, length - WIDTH)
    start = max(start, row["text_start"])
    return start, min(start + WIDTH, length)


def _windows(
    asked: _Asked, cuts: Mapping[_Place, _Cut], column: int, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """A neuron's windows in the order in which they are judged."""

    def fits(place: _Place) -> bool:
        cut = cuts.get(place)
        text = "".join(cut.tokens) if cut else ""
        return bool(text) and not any(phrase in text for phrase in asked.shown)

    def peak(place: _Place) -> float:
        return float(cuts[place].activations[:, column].max())

    held_out = [place for place in asked.held_out if fits(place)]
    level = float(np.median([peak(place) for place in held_out])) if held_out else 0.0
    if not level > 0:  # NaN too
        return
    active = [place for place in held_out if peak(place) >= _ACTIVE * level]
    texts: set[str] = {"".join(cuts[place].tokens) for place in active}

    def quiet(places: list[_Place], count: int) -> Iterator[_Place]:
        for place in places:
            if count and fits(place) and peak(place) <= _QUIET * level:
                text = "".join(cuts[place].tokens)
                if text not in texts:
                    texts.add(text)
                    count -= 1
                    yield place

    near = list(quiet(asked.near, len(active) // 2))
    other = list(quiet(asked.other, len(active) - len(near)))
    chosen = (
        [("activating", p) for p in active] + [("near", p) for p in near] + [("other", p) for p in other]
    )
    if not near + other:
        return
    marks = [_marks(cuts[place].activations[:, column]) for place in active]
    for window, i in enumerate(rng.permutation(len(chosen))):
        kind, place = chosen[i]
        yield _row(cuts[place], column, marks[i % len(active)], rng if i >= len(active) else None) | dict(
            window=window, kind=kind
        )


def _marks(activations: np.ndarray) -> list[int]:
    """The places of the tokens that activate."""
    return np.flatnonzero(activations >= _MARKED * activations.max()).tolist()


def _row(cut: _Cut, column: int, marks: list[int], rng: np.random.Generator | None) -> dict[str, Any]:
    """A window's columns. With `rng`, as many tokens as `marks` holds are marked at random instead."""
    length = len(cut.tokens)
    if rng is not None:
        marks = sorted(rng.choice(length, min(len(marks), length), replace=False).tolist())
    values = cut.activations[:, column]
    return dict(
        from_neuron=cut.place[0],
        from_rank=cut.place[1],
        start=cut.start,
        tokens=cut.tokens,
        activations=values.tolist(),
        activation=float(values.max()),
        marked=marks,
    )


def _note(data: Columns, inputs: Inputs, settings: Config) -> str:
    judged = set(zip(*(data[name].to_pylist() for name in NEURON_KEY), strict=True))
    without = len(inputs.rows("evidence")) - len(judged)
    by_kind = "; ".join(f"{n:,} {kind}" for kind, n in counted(data["kind"]))
    return by_kind + (f"; {without} neurons have none to be judged by" if len(data) and without else "")


STAGE = Stage(
    __name__,
    "330",
    "windows",
    reads=("evidence", "samples", "vectors"),
    where={"score": True},
    settings=("model", "weights", "precision", "exact_tokens", "seed", "max_tokens", "batch_tokens"),
    uses=("layer", "sign", "device"),
    shards=runs_of("evidence", 64),  # neurons that look at each other's texts together
    worker=_worker,
    ready=language_model.ready,
    note=_note,
)
