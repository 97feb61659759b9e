"""A glimpse of how neurons behave where nothing was chosen for them: over a sample of the text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np

from pipeline import batches
from pipeline.config import Config
from pipeline.language_model import LanguageModel

N_WINDOWS = 512
WIDTH = 64  # tokens of a window, BOS included


@dataclass(frozen=True)
class Glimpse:
    """Windows of the text as tokens, the BOS left out, and `activations`, one (tokens, neurons) each."""

    tokens: list[list[str]]
    activations: list[np.ndarray]

    @property
    def values(self) -> np.ndarray:
        """Activations of all windows: (tokens, neurons)."""
        return np.concatenate(self.activations)


def glimpse(config: Config, model: LanguageModel, texts: Iterable[str], neurons: list[int]) -> Glimpse:
    """The first windows of the texts, a BOS before each, as the scan reads them; there is at least one."""
    windows = []
    width = min(WIDTH, model.n_ctx)
    for text in texts:
        ids = model.encode(text)
        starts = range(0, len(ids), width - 1)
        windows += [[model.bos_id, *ids[start : start + width - 1]] for start in starts]
        if len(windows) >= N_WINDOWS:
            break
    windows = list(islice(windows, N_WINDOWS))
    found: list[np.ndarray] = [np.zeros((0, len(neurons)), np.float32)] * len(windows)
    size = config.batch_tokens or model.batch_tokens
    for places in batches.by_length([len(window) for window in windows], size):
        values = model.activations(batches.padded([windows[place] for place in places]), config.layer)
        for place, each in zip(places, values[:, :, neurons].numpy(), strict=True):
            found[place] = each[1 : len(windows[place])]
    names = model.token_texts
    return Glimpse([[names[i] for i in window[1:]] for window in windows], found)
