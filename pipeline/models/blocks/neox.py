"""GPT-NeoX's form: Pythia's."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.models.blocks.block import Block, Linear, Places, Rotary, Tower, plain


def tower(model: Any, layer: int) -> Tower:
    """The tower of a GPTNeoXForCausalLM."""
    inner, config = model.gpt_neox, model.config
    rotary = Rotary(plain(inner.rotary_emb))
    blocks: list[Block] = [NeoXBlock(plain(block), rotary) for block in list(inner.layers)[: layer + 1]]
    n_heads = config.num_attention_heads
    shape = n_heads, n_heads, config.hidden_size // n_heads
    return Tower(plain(inner.embed_in), None, blocks, *shape)


class NeoXBlock(Block):
    """A block of GPT-NeoX's form: Pythia's."""

    def __init__(self, block: Any, rotary: Rotary) -> None:
        self.ln1, self.ln2 = plain(block.input_layernorm), plain(block.post_attention_layernorm)
        self.parallel = block.use_parallel_residual
        attention, mlp = plain(block.attention), plain(block.mlp)
        self.qkv, self.out = Linear(attention.query_key_value), Linear(attention.dense)
        self.d_head, self.scale, self.rotary = attention.head_size, attention.scaling, rotary
        self.fc_in, self.fc_out, self.act = Linear(mlp.dense_h_to_4h), Linear(mlp.dense_4h_to_h), mlp.act

    def heads(self, x: torch.Tensor, places: Places) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values, beside each other for each head."""
        q, k, v = self.qkv(x).unflatten(-1, (-1, 3 * self.d_head)).chunk(3, -1)
        return *places.turned(self.rotary, q, k), v
