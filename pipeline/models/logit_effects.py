"""What neurons add to a model's output without passing a later layer ("direct logit attribution")."""

from __future__ import annotations

import numpy as np

from pipeline.models.language_model import LanguageModel


def on_logits(model: LanguageModel, layer: int, neurons: list[int]) -> np.ndarray:
    """What each neuron adds to the logit of each token for a unit of activation: (neurons, vocabulary).

    Layer normalisation is left out, so that a neuron's values can only be compared with each other.
    """
    import torch

    with torch.no_grad():
        out, unembed = model.bridge.blocks[layer].mlp.W_out[neurons], model.bridge.W_U
        return model.sign * (out.float() @ unembed.float()).cpu().numpy()
