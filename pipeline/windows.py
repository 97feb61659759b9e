"""Windows of text that a description is judged by: some activate the neuron, some leave it quiet.

In: `evidence`, `samples`, `vectors`. Out: `windows`, empty unless descriptions are scored. Activating ones
stand around the MATs that the describer was not shown; quiet ones around the MATs of other neurons of the
layer, half of them drawn at random and half the most alike by FastText. Which is which is measured here, in
the whole text; what is neither is left out, as is a window with a phrase that the describer was shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import batches, evidence, language_model, tables
from pipeline.config import Config
from pipeline.engine import Worker
from pipeline.identities import Identities

WIDTH = 32  # tokens of a window
_SHARD_NEURONS = 64
_DRAWN = 64  # windows of the layer among which every neuron's `other` ones are looked for
_NEAR = 40  # windows most alike among which a neuron's `near` ones are looked for
_ACTIVE, _QUIET = 0.5, 0.2  # of the median of what is held out: at least, and at most
_MARKED = 0.3  # of a window's maximum, from which a token is marked
_Place = tuple[int, int]  # neuron and rank of a sample


@dataclass(frozen=True)
class _Cut:
    """A window as it stands in its sample; activations (tokens, neurons of the shard)."""

    place: _Place
    start: int
    tokens: list[str]
    activations: np.ndarray


def shards(inputs: Mapping[str, pa.Table]) -> Iterator[pa.Table]:
    """Neurons that look at each other's texts together."""
    rows = inputs["evidence"]
    for start in range(0, len(rows), _SHARD_NEURONS):
        yield rows.slice(start, _SHARD_NEURONS)


def worker(config: Config, inputs: Mapping[str, pa.Table]) -> Worker:
    """The function from evidence to windows, with the model loaded."""
    if not config.score:
        return lambda shard: tables.empty("windows")
    layer = _Layer(config, inputs["samples"], inputs["vectors"])

    def cut(shard: pa.Table) -> pa.Table:
        rows = shard.to_pylist()
        asked = [_Asked(row, layer) for row in rows]
        cuts = layer.cuts({place for each in asked for place in each.places}, [r["neuron"] for r in rows])
        found = [
            {name: row[name] for name in ("model", "layer", "neuron")} | window
            for column, (row, each) in enumerate(zip(rows, asked, strict=True))
            for window in _windows(each, cuts, column, np.random.default_rng([config.seed, row["neuron"]]))
        ]
        return pa.Table.from_pylist(found, schema=tables.TABLES["windows"].schema)

    return cut


class _Layer:
    """The samples of a layer, how alike their phrases are, and their activations."""

    def __init__(self, config: Config, samples: pa.Table, vectors: pa.Table) -> None:
        self.config = config
        self.model = language_model.load(config, config.precision)
        self.identities = Identities(config, self.model)
        self.samples = samples
        keys = samples.select(["neuron", "rank"]).to_pydict()
        self.rows = {place: i for i, place in enumerate(zip(*keys.values(), strict=True))}
        known = vectors.filter(vectors["vector"].is_valid())
        keys = known.select(["neuron", "rank"]).to_pydict()
        self.places: list[_Place] = list(zip(*keys.values(), strict=True))
        flat = known["vector"].combine_chunks().flatten().to_numpy()
        self.matrix = flat.reshape(len(known), -1) if len(known) else np.zeros((0, 1), np.float32)
        drawn = np.random.default_rng(config.seed).permutation(len(self.places))[:_DRAWN]
        self.drawn = [self.places[i] for i in drawn]

    def near(self, neuron: int, ranks: Iterable[int]) -> list[_Place]:
        """Samples of other neurons, those most like the mean of a neuron's phrases first."""
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
        longest = min(self.model.n_ctx, self.config.max_tokens)
        spans = [_span(row) for row in rows]
        usable = [
            i for i, (_, end) in enumerate(spans) if known[i].ids and end <= longest
        ]  # a text that the model cannot read whole up to there gives no window
        found = {}
        size = self.config.batch_tokens or self.model.batch_tokens
        for batch in batches.by_length([spans[i][1] for i in usable], size):
            chosen = [usable[i] for i in batch]
            ids = batches.padded([known[i].ids[: spans[i][1]] for i in chosen])
            values = self.model.activations(ids, self.config.layer)[:, :, neurons].numpy()
            for i, each in zip(chosen, values, strict=True):
                start, end = spans[i]
                found[ordered[i]] = _Cut(ordered[i], start, rows[i]["tokens"][start:end], each[start:end])
        return found


class _Asked:
    """A neuron's samples that windows may be cut from, and what must not stand in them."""

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
    """First token and one past the last of the window around a sample's MAT, inside its text."""
    length = len(row["tokens"])
    start = min(row["mat_index"] - WIDTH // 2, length - WIDTH)
    start = max(start, row["text_start"])
    return start, min(start + WIDTH, length)


def _windows(
    asked: _Asked, cuts: Mapping[_Place, _Cut], column: int, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """A neuron's windows in the order they are judged in."""

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
    """Places of the tokens that activate."""
    return np.flatnonzero(activations >= _MARKED * activations.max()).tolist()


def _row(cut: _Cut, column: int, marks: list[int], rng: np.random.Generator | None) -> dict[str, Any]:
    """A window's columns; with `rng` as many tokens are marked at random as `marks` holds."""
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
