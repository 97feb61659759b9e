"""GPT-2's form."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.models.blocks.block import Block, Learned, Linear, NoBlocksError, Places, Tower, plain


def tower(model: Any, layer: int) -> Tower:
    """The tower of a GPT2LMHeadModel; raises NoBlocksError where it also attends to another text."""
    inner, config = model.transformer, model.config
    if config.add_cross_attention:
        raise NoBlocksError("it attends to another text too")
    blocks: list[Block] = [GPT2Block(plain(block)) for block in list(inner.h)[: layer + 1]]
    shape = config.n_head, config.n_head, config.n_embd // config.n_head
    return Tower(plain(inner.wte), Learned(plain(inner.wpe).weight), blocks, *shape)


class GPT2Block(Block):
    """A block of GPT-2's form."""

    def __init__(self, block: Any) -> None:
        self.ln1, self.ln2 = plain(block.ln_1), plain(block.ln_2)
        attention, mlp = plain(block.attn), plain(block.mlp)
        self.qkv, self.out = Linear(attention.c_attn), Linear(attention.c_proj)
        self.n_heads, self.scale = attention.num_heads, attention.scaling
        self.fc_in, self.fc_out, self.act = Linear(mlp.c_fc), Linear(mlp.c_proj), mlp.act

    def heads(self, x: torch.Tensor, places: Places) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values, which follow each other in the product."""
        return tuple(part.unflatten(-1, (self.n_heads, -1)) for part in self.qkv(x).chunk(3, -1))
