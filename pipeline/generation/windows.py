"""Windows of text that a description is judged by: some activate the neuron, others leave it quiet.

In: `evidence`, `samples`, `vectors`. Out: `windows`, empty unless descriptions are scored. Activating
windows are cut around the MATs that the describer was not shown; quiet ones around the MATs of other
neurons of the same model and layer, half of them drawn at random and half the most similar by FastText.
Activations are measured here, in the whole text; a window that is neither is left out, as is one with a
phrase that the describer was shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import tables
from pipeline.config import Config
from pipeline.engine.engines import Worker
from pipeline.engine.stage import Inputs, Stage, runs_of
from pipeline.generation import evidence
from pipeline.models import batches, language_model
from pipeline.models.language_model import LanguageModel
from pipeline.models.token_ids import Identities
from pipeline.tables.columns import LAYER_KEY, NEURON_KEY, of_layer

WIDTH = 32  # tokens of a window
_DRAWN = 64  # windows of the layer from which every neuron's `other` ones are taken
_NEAR = 40  # most similar windows from which a neuron's `near` ones are taken
_ACTIVE, _QUIET = 0.5, 0.2  # least and greatest share of the median of the windows that are held out
_MARKED = 0.3  # share of a window's maximum from which a token is marked
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
    layers = _Layers(settings, model, inputs["samples"], inputs["vectors"])

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

    def __init__(
        self, settings: Config, model: LanguageModel, samples: pa.Table, vectors: pa.Table
    ) -> None:
        super().__init__()
        self.settings, self.model = settings, model
        self.samples, self.vectors = samples, vectors

    def __missing__(self, place: tuple[str, int, str]) -> _Layer:
        samples, vectors = (each.filter(of_layer(place)) for each in (self.samples, self.vectors))
        self[place] = layer = _Layer(self.settings, self.model, place[1], samples, vectors)
        return layer


class _Layer:
    """The samples of one layer of one model, the similarity of their phrases, and their activations."""

    def __init__(
        self, settings: Config, model: LanguageModel, layer: int, samples: pa.Table, vectors: pa.Table
    ) -> None:
        self.settings, self.model, self.layer = settings, model, layer
        self.identities = Identities(settings, model)
        self.samples = samples
        keys = samples.select(["neuron", "rank"]).to_pydict()
        self.rows = {place: i for i, place in enumerate(zip(*keys.values(), strict=True))}
        known = vectors.filter(vectors["vector"].is_valid())
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
        ordered = sorted(places)
        rows = self.samples.take(pa.array([self.rows[place] for place in ordered], pa.int64())).to_pylist()
        known = self.identities.of(rows)
        longest = min(self.model.n_ctx, self.settings.max_tokens)
        spans = [_span(row) for row in rows]
        usable = [
            i for i, (_, end) in enumerate(spans) if known[i].ids and end <= longest
        ]  # a text that does not fit into the model up to the window's end gives no window
        cuts = {}
        size = self.settings.batch_tokens or self.model.batch_tokens
        for batch in batches.by_length([spans[i][1] for i in usable], size):
            chosen = [usable[i] for i in batch]
            ids = batches.padded([known[i].ids[: spans[i][1]] for i in chosen])
            values = self.model.activations(ids, self.layer)[:, :, neurons].numpy()
            for i, each in zip(chosen, values, strict=True):
                start, end = spans[i]
                cuts[ordered[i]] = _Cut(ordered[i], start, rows[i]["tokens"][start:end], each[start:end])
        return cuts


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


def _note(data: pa.Table, inputs: Inputs, settings: Config) -> str:
    kinds = Counter(data["kind"].to_pylist()).most_common()
    judged = data.select(list(NEURON_KEY)).group_by(list(NEURON_KEY)).aggregate([])
    without = inputs.n_rows("evidence") - len(judged)
    by_kind = "; ".join(f"{n:,} {kind}" for kind, n in kinds)
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
