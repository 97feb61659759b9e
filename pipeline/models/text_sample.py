"""How neurons behave on text that was not selected for them: a sample of the text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np

from pipeline.config import Config
from pipeline.models import batches
from pipeline.models.language_model import LanguageModel

N_WINDOWS = 512
WIDTH = 64  # tokens of a window, BOS included


@dataclass(frozen=True)
class TextSample:
    """Windows of the text as tokens, the BOS left out, and `activations`, one (tokens, neurons) each."""

    tokens: list[list[str]]
    activations: list[np.ndarray]

    @property
    def values(self) -> np.ndarray:
        """Activations of all windows: (tokens, neurons)."""
        return np.concatenate(self.activations)


def take(
    config: Config, model: LanguageModel, texts: Iterable[str], layer: int, neurons: list[int]
) -> TextSample:
    """The first windows of the texts, each with a BOS first, as the scan reads them; at least one."""
    windows = []
    width = min(WIDTH, model.n_ctx)
    for text in texts:
        ids = model.encode(text)
        starts = range(0, len(ids), width - 1)
        windows += [[model.bos_id, *ids[start : start + width - 1]] for start in starts]
        if len(windows) >= N_WINDOWS:
            break
    windows = list(islice(windows, N_WINDOWS))
    activations: list[np.ndarray] = [np.zeros((0, len(neurons)), np.float32)] * len(windows)
    size = config.batch_tokens or model.batch_tokens
    for places in batches.by_length([len(window) for window in windows], size):
        values = model.activations(batches.padded([windows[place] for place in places]), layer)
        for place, each in zip(places, values[:, :, neurons].numpy(), strict=True):
            activations[place] = each[1 : len(windows[place])]
    names = model.token_texts
    return TextSample([[names[i] for i in window[1:]] for window in windows], activations)
