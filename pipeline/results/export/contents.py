"""What the export of a layer can hold: samples, descriptions, and what the model says of its neurons."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import Config
from pipeline.engine.made import Tables
from pipeline.errors import PipelineError
from pipeline.language import texts
from pipeline.models import language_model, logit_effects, text_sample
from pipeline.models.language_model import LanguageModel
from pipeline.models.text_sample import TextSample
from pipeline.output import tell
from pipeline.results import neuroscope_site
from pipeline.tables.columns import LAYER_KEY, of_layer

_SAMPLE = [
    "neuron",
    "rank",
    "text_set",
    "tokens",
    "activations",
    "mat_index",
    "max_activation",
    "text_start",
]


def layers(config: Config, tables: Mapping[str, pa.Table]) -> Iterator[Contents]:
    """The results of each model, layer and end that a run looked at, in order; read when they are asked
    for."""
    shapes = models(tables)
    for part in _parts(tables):
        samples, described = part["samples"], part["descriptions"]
        wanted = neuroscope_site.only(samples, config.neuron_ranges)
        places = wanted.select(LAYER_KEY).group_by(LAYER_KEY).aggregate([])
        by_key = [("model", "ascending"), ("layer", "ascending"), ("sign", "descending")]
        for place in places.sort_by(by_key).to_pylist():
            own = of_layer(place.values())
            rows = wanted.filter(own), described.filter(own)
            of_part = dataclasses.replace(config, layer=str(place["layer"]), sign=place["sign"])
            where = place["model"], place["layer"], place["sign"]
            yield Contents(of_part, *where, *rows, shapes[place["model"]])


def models(tables: Mapping[str, pa.Table]) -> dict[str, tuple[int, int]]:
    """How many layers and neurons per layer each model has at least, since its samples show so many."""
    found: dict[str, tuple[int, int]] = {}
    for part in _parts(tables):
        highest = part["samples"].group_by("model").aggregate([("layer", "max"), ("neuron", "max")])
        for row in highest.to_pylist():
            before, here = found.get(row["model"], (0, 0)), (row["layer_max"] + 1, row["neuron_max"] + 1)
            found[row["model"]] = max(before[0], here[0]), max(before[1], here[1])
    return found


def _parts(tables: Mapping[str, pa.Table]) -> Sequence[Mapping[str, pa.Table]]:
    """The tables of each layer of a run; memory holds one at a time."""
    return tables.parts if isinstance(tables, Tables) else [tables]


@dataclass(frozen=True)
class Contents:
    """The results of one end of a layer's neurons; what the model says is None where the model is not
    available."""

    config: Config
    model_name: str
    layer: int
    sign: str
    sampled: pa.Table
    described: pa.Table
    shown: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Layers and neurons per layer; without the model, as many as its samples show."""
        return self.shown if self.model is None else (self.model.n_layers, self.model.n_neurons)

    @cached_property
    def samples(self) -> dict[int, list[dict[str, Any]]]:
        """Samples whose activations are all finite, by neuron, strongest first."""
        rows = self.sampled.select(_SAMPLE)
        samples: dict[int, list[dict[str, Any]]] = {}
        for row in rows.sort_by([("neuron", "ascending"), ("rank", "ascending")]).to_pylist():
            own = samples.setdefault(row["neuron"], [])
            if row["activations"] and None not in row["activations"]:
                own.append(row)
        return samples

    @property
    def neurons(self) -> list[int]:
        """The neurons that were looked at."""
        return list(self.samples)

    @cached_property
    def descriptions(self) -> dict[int, dict[str, Any]]:
        """The row of `descriptions` of each described neuron."""
        rows = self.described.filter(pc.field("description").is_valid())
        return {row["neuron"]: row for row in rows.to_pylist()}

    @cached_property
    def model(self) -> LanguageModel | None:
        """The model, or None where it cannot be loaded, or where the neurons are those of another."""
        if self.model_name != self.config.model_name:
            tell(f"without what the model would add: {self.model_name} is not MODEL")
            return None
        try:
            return language_model.load(self.config, unembedding=True)
        except PipelineError as exc:
            tell(f"without what the model would add: {exc}")
            return None

    @cached_property
    def text_sample(self) -> TextSample | None:
        """Activations over a sample of the text."""
        if self.model is None:
            return None
        return text_sample.take(self.config, self.model, texts.of(self.config), self.layer, self.neurons)

    @cached_property
    def effects(self) -> np.ndarray | None:
        """What each neuron adds to the logit of each token: (neurons, vocabulary)."""
        if self.model is None:
            return None
        return logit_effects.on_logits(self.model, self.layer, self.neurons)
