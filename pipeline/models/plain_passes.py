"""Activations of variants by plain batched passes, each from its text's beginning: for any model.

Gives what resumed_passes.py gives, without sharing anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.models import batches
from pipeline.models.language_model import LanguageModel
from pipeline.models.phrases import Batch, Text


def peaks(model: LanguageModel, layer: int, texts: Sequence[Text], batch: Batch) -> list[list[list[float]]]:
    """The maximum over each phrase, and over each of its variants: by text, phrase, and variant, the phrase
    as it is first. `batch.memory` limits only what the layer's neurons take."""
    runs = [(text, run) for text in texts for run in text.runs]
    ids = [text.ids[: run.first] + run.ids for text, run in runs]
    tokens = min(batch.tokens, max(1, batch.memory // (16 * model.n_neurons)))
    maxima = [0.0] * len(runs)
    for places in batches.by_length([len(each) for each in ids], tokens, model.turns_at):
        acts = model.activations(batches.padded([ids[place] for place in places]), layer)
        for line, place in enumerate(places):
            run = runs[place][1]
            maxima[place] = acts[line, run.start : len(ids[place]), run.neuron].max().item()
    flat = iter(maxima)
    return [
        [[next(flat) for _ in range(1 + len(phrase.variants))] for phrase in text.phrases] for text in texts
    ]
