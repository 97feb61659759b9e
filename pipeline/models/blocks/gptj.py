"""GPT-J's form: rotary positions that turn neighbouring dimensions, and an MLP beside attention."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.models.blocks.block import Block, Linear, NoBlocksError, Places, Tower, plain


def tower(model: Any, layer: int) -> Tower:
    """The tower of a GPTJForCausalLM; raises NoBlocksError where it does not say how many dimensions
    are turned."""
    inner, config = model.transformer, model.config
    if config.rotary_dim is None:
        raise NoBlocksError("it does not say how many dimensions are turned")
    blocks: list[Block] = [GPTJBlock(plain(block)) for block in list(inner.h)[: layer + 1]]
    shape = config.n_head, config.n_head, config.n_embd // config.n_head
    return Tower(plain(inner.wte), None, blocks, *shape)


class GPTJBlock(Block):
    """A block of GPT-J's form."""

    parallel = True

    def __init__(self, block: Any) -> None:
        self.ln1 = self.ln2 = plain(block.ln_1)
        self.attention, mlp = plain(block.attn), plain(block.mlp)
        self.q, self.k, self.v = (Linear(getattr(self.attention, f"{name}_proj")) for name in "qkv")
        self.out = Linear(self.attention.out_proj)
        self.d_head, self.scale = self.attention.head_dim, self.attention.head_dim**-0.5
        self.fc_in, self.fc_out, self.act = Linear(mlp.fc_in), Linear(mlp.fc_out), plain(mlp.act)

    def heads(self, x: torch.Tensor, places: Places) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values; the first part of queries and keys is turned."""
        q, k, v = (part(x).unflatten(-1, (-1, self.d_head)) for part in (self.q, self.k, self.v))
        angles = self.attention.embed_positions.to(x.device)[places.of].to(x.dtype)
        sin, cos = (part.repeat_interleave(2, -1)[:, None] for part in angles.chunk(2, -1))
        return _turned(q, cos, sin), _turned(k, cos, sin), v


def _turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    turned, rest = x.split([cos.shape[-1], x.shape[-1] - cos.shape[-1]], -1)
    crossed = torch.stack([-turned[..., 1::2], turned[..., ::2]], -1).flatten(-2)
    return torch.cat([turned * cos + crossed * sin, rest], -1)
