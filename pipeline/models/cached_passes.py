"""Activations of variants from a model's own cache of keys and values: for causal models of any form.

Gives what resumed_passes.py gives. Each text goes through the model once, as far as the layer; passes over
its variants go on from the text's keys and values, several variants at once, and end at the layer too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from pipeline.models import batches, phrases
from pipeline.models.language_model import LanguageModel
from pipeline.models.phrases import Batch, Run, Text

_TOGETHER = 256  # tokens of a pass from which on variants that begin later have a pass of their own
_STEP = 512  # tokens of a text that attend at once
_TRIAL = 24  # tokens of the text with which a model is tried
_FAILURES = (TypeError, ValueError, RuntimeError, AttributeError, LookupError)
_OFF = {torch.float32: 1e-3, torch.float64: 1e-3}  # of the highest activation of a trial; else a tenth


def refusal(model: LanguageModel, layer: int) -> str:
    """Why passes cannot go on from the model's own keys and values; empty where they can.

    A random text is measured whole and resumed, once for each layer of a loaded model.
    """
    if layer not in model.refusals:
        try:
            off = _trial(model, layer)
        except _FAILURES as exc:  # which of them it is depends on the model; the run says what it was
            reason = " ".join(str(exc).split())
            model.refusals[layer] = f"{type(exc).__name__}: {reason}"[:160]
        else:
            most = _OFF.get(model.dtype, 0.1)
            model.refusals[layer] = "" if off <= most else f"activations are {off:.2g} off"
    return model.refusals[layer]


def _trial(model: LanguageModel, layer: int) -> float:
    """How far resumed activations are from whole ones, as a share of the highest."""
    length = min(_TRIAL, model.n_ctx, model.turns_at or _TRIAL)  # longer texts are not resumed
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(0, model.bridge.cfg.d_vocab, (2, length), generator=draw)
    first = length // 2
    ids[1, :first] = ids[0, :first]
    cache = _of_text(model, layer, ids[0, :first].tolist())
    resumed = model.measured(ids[:, first:], layer, _shortened(cache, first)).float()
    whole = model.measured(ids, layer)[:, first:].float()
    return ((resumed - whole).abs().max() / whole.abs().max()).item()


def peaks(model: LanguageModel, layer: int, texts: Sequence[Text], batch: Batch) -> list[list[list[float]]]:
    """The maximum over each phrase, and over each of its variants: by text, phrase and variant, the phrase
    as it is first."""
    return [_peaks_of_text(model, layer, text, batch) for text in texts]


def _peaks_of_text(model: LanguageModel, layer: int, text: Text, batch: Batch) -> list[list[float]]:
    cache = _of_text(model, layer, text.ids[: text.seen]) if text.seen else None
    measured: dict[int, tuple[Run, np.ndarray]] = {}
    for group in _groups(model, text.runs, batch):
        runs = [text.runs[number] for number in group]
        first = runs[0].first
        runs = [Run(run.neuron, run.start, first, text.ids[first : run.first] + run.ids) for run in runs]
        shared = None if cache is None or first == 0 else _shortened(cache, first)
        acts = model.measured(batches.padded([run.ids for run in runs]), layer, shared)
        neurons = torch.tensor([run.neuron for run in runs], device=acts.device)
        own = acts.gather(2, neurons[:, None, None].expand(-1, acts.shape[1], 1)).squeeze(2)
        measured |= zip(group, zip(runs, own.float().cpu().numpy(), strict=True), strict=True)
    numbers = iter(range(len(text.runs)))
    return [
        phrases.peaks([measured[next(numbers)] for _ in range(1 + len(phrase.variants))])
        for phrase in text.phrases
    ]


def _groups(model: LanguageModel, runs: list[Run], batch: Batch) -> Iterator[list[int]]:
    """Numbers of runs that are measured together, from the place on where the first of them begins."""
    group: list[int] = []
    longest = 0
    for number in sorted(range(len(runs)), key=lambda number: runs[number].first):
        run = runs[number]
        if group:
            first = runs[group[0]].first
            length = max(longest, run.first - first + len(run.ids))
            tokens = (len(group) + 1) * length
            memory = (len(group) + 1) * _bytes(model, first, length)
            later = run.first > runs[group[-1]].first and len(group) * longest >= _TOGETHER
            if later or tokens > batch.tokens or memory > batch.memory:
                yield group
                group = []
        longest = length if group else len(run.ids)
        group.append(number)
    yield group


def _bytes(model: LanguageModel, first: int, length: int) -> int:
    """What one run takes at most in a layer: its text's keys and values, for each head, and scores."""
    cfg = model.bridge.cfg
    seen = first + length
    attention = cfg.n_heads * (4 * seen * cfg.d_head + 3 * length * seen)
    return 4 * (attention + length * (6 * cfg.d_model + 4 * cfg.d_mlp))


def _of_text(model: LanguageModel, layer: int, ids: list[int]) -> Any:
    """The keys and values of a text up to a layer."""
    cache = DynamicCache()  # told nothing of windows, it keeps all tokens
    for start in range(0, len(ids), _STEP):
        model.measured(torch.tensor([ids[start : start + _STEP]]), layer, cache)
    return cache


def _shortened(cache: Any, first: int) -> Cache:
    """The keys and values of the first tokens, for any number of runs that go on from there."""
    kept = [(layer.keys[:, :, :first], layer.values[:, :, :first]) for layer in cache.layers]
    return Cache(layers=[_Shared(*each) for each in kept])


class _Shared(DynamicLayer):
    """Keys and values (1, head, position, d_head) that runs share; what follows them is not kept."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self.keys, self.values, self.is_initialized = keys, values, True
        self.dtype, self.device = keys.dtype, keys.device

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Those of the text and of the runs, joined."""
        n = len(key_states)
        keys = torch.cat([self.keys.expand(n, -1, -1, -1), key_states], -2)
        return keys, torch.cat([self.values.expand(n, -1, -1, -1), value_states], -2)
