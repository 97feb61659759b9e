"""A model whose activations are a table look-up, so that there are many ties and what is right is plain."""

from __future__ import annotations

import copy

import numpy as np
import torch


class LookupModel:
    """Each token has the activations of its row of `tables[layer]`, whatever stands before it.

    Each layer has a neuron more than the one before. `asked` are the layers of each pass.
    """

    batch_tokens = 2048
    device = torch.device("cpu")

    def __init__(self, n_neurons=3, n_ctx=6, vocabulary=8, seed=0, layers=(1,)):
        draw = np.random.default_rng(seed)
        self.tables = {
            layer: torch.tensor(draw.integers(-1, 3, (vocabulary, n_neurons + more)), dtype=torch.float32)
            for more, layer in enumerate(layers)
        }
        self.table = self.tables[layers[0]]
        self.n_neurons, self.n_ctx, self.bos_id = n_neurons, n_ctx, 0
        self.token_texts = [f" {chr(97 + i)}" for i in range(vocabulary)]
        self.asked = []

    def of(self, config):
        """The model as it is loaded for a layer."""
        own = copy.copy(self)
        own.n_neurons = self.tables[config.one_layer].shape[1]
        return own

    def encode_batch(self, texts):
        """The ids of texts of digits."""
        return [[int(letter) for letter in text] for text in texts]

    def look_through(self, ids, see):
        """Show (texts, tokens, neurons) of each layer."""
        self.asked.append((ids.tolist(), sorted(see)))
        for layer in sorted(see):
            see[layer](self.values(ids, layer))

    def values(self, ids, layer):
        """(texts, tokens, neurons)"""
        return self.tables[layer][ids]
