"""OPT's form."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.models.blocks.block import Block, Learned, Linear, NoBlocksError, Places, Tower, plain


def tower(model: Any, layer: int) -> Tower:
    """The tower of an OPTForCausalLM; raises NoBlocksError where norms follow what is added or
    embeddings are projected: in the model of 350 million parameters."""
    inner, config = model.model.decoder, model.config
    if not config.do_layer_norm_before or inner.project_in is not None:
        raise NoBlocksError("its kind of OPT has no blocks here")
    blocks: list[Block] = [OPTBlock(plain(block)) for block in list(inner.layers)[: layer + 1]]
    positions = plain(inner.embed_positions)
    n_heads = config.num_attention_heads
    shape = n_heads, n_heads, config.hidden_size // n_heads
    return Tower(plain(inner.embed_tokens), Learned(positions.weight, positions.offset), blocks, *shape)


class OPTBlock(Block):
    """A block of OPT's form."""

    def __init__(self, block: Any) -> None:
        self.ln1, self.ln2 = plain(block.self_attn_layer_norm), plain(block.final_layer_norm)
        attention = plain(block.self_attn)
        self.q, self.k, self.v = (Linear(getattr(attention, f"{name}_proj")) for name in "qkv")
        self.out = Linear(attention.out_proj)
        self.d_head, self.scale = attention.head_dim, attention.scaling
        self.fc_in, self.fc_out, self.act = Linear(block.fc1), Linear(block.fc2), plain(block.activation_fn)

    def heads(self, x: torch.Tensor, places: Places) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values."""
        q, k, v = (part(x).unflatten(-1, (-1, self.d_head)) for part in (self.q, self.k, self.v))
        return q, k, v
