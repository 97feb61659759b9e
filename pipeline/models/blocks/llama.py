"""Llama's form: rotary positions, queries that share keys and values, and a gated MLP."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.models.blocks.block import Block, Linear, Places, Rotary, Tower, plain, rotary_is_known


def tower(model: Any, layer: int) -> Tower | None:
    """The tower of a model of Llama's form; None where its rotary positions are of an unknown kind."""
    inner, config = model.model, model.config
    module = plain(inner.rotary_emb)
    if not rotary_is_known(module):
        return None
    blocks: list[Block] = [
        LlamaBlock(plain(block), Rotary(module)) for block in list(inner.layers)[: layer + 1]
    ]
    heads = config.num_attention_heads, config.num_key_value_heads
    d_head = plain(plain(inner.layers[0]).self_attn).head_dim
    return Tower(plain(inner.embed_tokens), None, blocks, config.max_position_embeddings, *heads, d_head)


class LlamaBlock(Block):
    """A block of Llama's form."""

    def __init__(self, block: Any, rotary: Rotary) -> None:
        self.ln1, self.ln2 = plain(block.input_layernorm), plain(block.post_attention_layernorm)
        attention, mlp = plain(block.self_attn), plain(block.mlp)
        self.q, self.k, self.v, self.out = (Linear(getattr(attention, f"{name}_proj")) for name in "qkvo")
        self.d_head, self.scale, self.rotary = attention.head_dim, attention.scaling, rotary
        self.gate, self.fc_in, self.fc_out = (
            Linear(getattr(mlp, f"{name}_proj")) for name in ("gate", "up", "down")
        )
        self.act = mlp.act_fn

    def heads(self, x: torch.Tensor, places: Places) -> tuple[torch.Tensor, ...]:
        """Queries, and keys and values that several of them may share."""
        q, k, v = (part(x).unflatten(-1, (-1, self.d_head)) for part in (self.q, self.k, self.v))
        return *places.turned(self.rotary, q, k), v
