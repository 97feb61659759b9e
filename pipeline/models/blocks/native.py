"""The form of TransformerLens' own models."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.models.blocks.block import Block, Learned, Linear, NoBlocksError, Places, Tower, plain


def tower(model: Any, layer: int) -> Tower:
    """The tower of a native model; raises NoBlocksError where it has no neurons or looks ahead."""
    cfg = model.cfg
    if cfg.attention_dir != "causal" or cfg.attn_only:
        raise NoBlocksError("it has no neurons or looks ahead")
    blocks: list[Block] = [NativeBlock(plain(block)) for block in list(model.layers)[: layer + 1]]
    positions = None if model.pos is None else Learned(plain(model.pos).weight)
    n_kv = plain(plain(model.layers[0]).attn).n_kv_heads
    return Tower(plain(model.tok_embed), positions, blocks, cfg.n_heads, n_kv, cfg.d_head)


class NativeBlock(Block):
    """A block of TransformerLens' native form."""

    def __init__(self, block: Any) -> None:
        self.ln1, self.ln2 = plain(block.ln1), plain(block.ln2)
        self.attention = attention = plain(block.attn)
        self.q, self.k, self.v, self.out = (Linear(getattr(attention, name)) for name in "qkvo")
        self.scale, self.cap = 1 / attention.scale, attention.attn_scores_soft_cap
        mlp = plain(block.mlp)
        gated = hasattr(mlp, "gate")
        self.act, self.gate = mlp.act, Linear(mlp.gate) if gated else None
        self.fc_in, self.fc_out = (
            Linear(getattr(mlp, name)) for name in (("in", "out") if gated else ("fc_in", "fc_out"))
        )
        inner = getattr(mlp, "ln", None)
        self.inner_ln = None if inner is None else plain(inner)
        self.solu = (attention.cfg.act_fn or "").lower() in ("solu", "solu_ln")

    def heads(self, x: torch.Tensor, places: Places) -> tuple[torch.Tensor, ...]:
        """Queries, and keys and values that several of them may share."""
        attention = self.attention
        q = self.q(x).unflatten(-1, (attention.n_heads, -1))
        k, v = (part(x).unflatten(-1, (attention.n_kv_heads, -1)) for part in (self.k, self.v))
        if attention.rotary is not None:
            turned = (part.transpose(0, 1)[None] for part in (q, k))
            place = places.of.clamp(max=attention.cfg.n_ctx - 1)
            turned = plain(attention.rotary).apply_rope(*turned, position_ids=place[None])
            q, k = (part[0].transpose(0, 1) for part in turned)
        return q, k, v
