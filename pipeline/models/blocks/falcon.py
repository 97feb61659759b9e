"""Falcon's and BLOOM's form: one product gives queries, keys and values; positions are rotary or ALiBi.

ALiBi (Press et al. 2022) adds to a score what grows with the key's place. It is computed as one more
dimension: the key's is what is added, the query's undoes the scale. Two kinds of Falcon are left to other
passes: transformers adds its ALiBi twice where attention is computed step by step, as hooks need it, and
TransformerLens does not split the keys of the new form as the model does.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from pipeline.models.blocks.block import Block, Linear, NoBlocksError, Places, Rotary, Tower, plain


def falcon(model: Any, layer: int) -> Tower:
    """The tower of a FalconForCausalLM; raises NoBlocksError where its positions are ALiBi, or its
    blocks of the new form."""
    inner, config = model.transformer, model.config
    attention = plain(plain(inner.h[0]).self_attention)
    n_heads, n_kv = attention.num_heads, attention.num_kv_heads
    if config.alibi or config.new_decoder_architecture:
        raise NoBlocksError("its kind of Falcon has no blocks here")
    rotary = Rotary(plain(inner.rotary_emb))
    blocks: list[Block] = [FalconBlock(plain(each), n_kv, rotary) for each in list(inner.h)[: layer + 1]]
    return Tower(plain(inner.word_embeddings), None, blocks, n_heads, n_kv, attention.head_dim)


def bloom(model: Any, layer: int) -> Tower:
    """The tower of a BloomForCausalLM; raises NoBlocksError where it adds to what has been normed."""
    inner, config = model.transformer, model.config
    if config.apply_residual_connection_post_layernorm or (
        config.pretraining_tp > 1 and config.slow_but_exact
    ):
        raise NoBlocksError("its kind of BLOOM has no blocks here")
    attention = plain(plain(inner.h[0]).self_attention)
    slopes = _slopes(attention.num_heads)
    blocks: list[Block] = [
        FalconBlock(plain(each), attention.num_heads, slopes) for each in list(inner.h)[: layer + 1]
    ]
    shape = attention.num_heads, attention.num_heads, attention.head_dim
    return Tower(
        plain(inner.word_embeddings), None, blocks, *shape, norm=plain(inner.word_embeddings_layernorm)
    )


class FalconBlock(Block):
    """A block of Falcon's or BLOOM's form; its positions are rotary, or ALiBi's slopes (head)."""

    def __init__(self, block: Any, n_kv: int, positions: Rotary | torch.Tensor) -> None:
        attention, mlp = plain(block.self_attention), plain(block.mlp)
        self.parallel = not hasattr(block, "post_attention_layernorm")
        self.ln1 = self.ln2 = plain(block.input_layernorm)
        if not self.parallel:
            self.ln2 = plain(block.post_attention_layernorm)
        self.qkv, self.out = Linear(attention.query_key_value), Linear(attention.dense)
        self.n_kv, self.d_head, self.positions = n_kv, attention.head_dim, positions
        self.n_parts = attention.num_heads // n_kv + 2
        self.scale = attention.inv_norm_factor
        self.fc_in, self.fc_out = Linear(mlp.dense_h_to_4h), Linear(mlp.dense_4h_to_h)
        self.act = plain(mlp.act if hasattr(mlp, "act") else mlp.gelu_impl)

    def heads(self, x: torch.Tensor, places: Places) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values; for each key, the queries that share it stand before it."""
        parts = self.qkv(x).unflatten(-1, (self.n_kv, self.n_parts, self.d_head))
        q, k, v = parts[:, :, :-2].flatten(1, 2), parts[:, :, -2], parts[:, :, -1]
        if isinstance(self.positions, Rotary):
            return *places.turned(self.positions, q, k), v
        added = (self.positions.to(x.device) * places.of[:, None]).to(x.dtype)
        q = torch.cat([q, q.new_full((*q.shape[:2], 1), 1 / self.scale)], -1)
        return q, torch.cat([k, added[..., None]], -1), v


def _slopes(n_heads: int) -> torch.Tensor:
    """ALiBi's slope of each head: powers of one root of 2, and where the number of heads is not a power of
    2, of its own root between them."""
    whole = 2 ** math.floor(math.log2(n_heads))
    own = [2 ** (-8 * i / whole) for i in range(1, whole + 1)]
    between = [2 ** (-4 * i / whole) for i in range(1, 2 * (n_heads - whole), 2)]
    return torch.tensor(own + between)
