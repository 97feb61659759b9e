"""What there is to take along of a run: samples, descriptions, and what the model says of its neurons."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import effects, glimpse, language_model, site, texts
from pipeline.config import Config
from pipeline.errors import PipelineError
from pipeline.glimpse import Glimpse
from pipeline.language_model import LanguageModel

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


@dataclass(frozen=True)
class Results:
    """One run's results; what comes from the model is null where the model is not at hand."""

    config: Config
    tables: Mapping[str, pa.Table]

    @cached_property
    def samples(self) -> dict[int, list[dict[str, Any]]]:
        """Samples whose activations are all finite, by neuron, strongest first."""
        rows = site.only(self.tables["samples"], self.config.neuron_ranges).select(_SAMPLE)
        found: dict[int, list[dict[str, Any]]] = {}
        for row in rows.sort_by([("neuron", "ascending"), ("rank", "ascending")]).to_pylist():
            own = found.setdefault(row["neuron"], [])
            if row["activations"] and None not in row["activations"]:
                own.append(row)
        return found

    @property
    def neurons(self) -> list[int]:
        """The neurons that were looked at."""
        return list(self.samples)

    @cached_property
    def descriptions(self) -> dict[int, dict[str, Any]]:
        """The row of `descriptions` of each described neuron."""
        rows = self.tables["descriptions"].filter(pc.field("description").is_valid())
        return {row["neuron"]: row for row in rows.to_pylist()}

    @cached_property
    def model(self) -> LanguageModel | None:
        """The model, or null where it cannot be had."""
        try:
            return language_model.load(self.config)
        except PipelineError as exc:
            print(f"without what the model would tell: {exc}", file=sys.stderr)
            return None

    @cached_property
    def glimpse(self) -> Glimpse | None:
        """Activations over a sample of the text."""
        if self.model is None:
            return None
        text = texts.stream(self.config.text, self.config.text_path)
        return glimpse.glimpse(self.config, self.model, text, self.neurons)

    @cached_property
    def effects(self) -> np.ndarray | None:
        """What each neuron adds to the logit of each token: (neurons, vocabulary)."""
        if self.model is None:
            return None
        return effects.on_logits(self.model, self.config.layer, self.neurons)
