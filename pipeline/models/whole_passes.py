"""Whole texts through blocks without hooks: what hooked passes of the model show, in less time.

What a pass computes for nothing is left out (the last MLP's output, copies for hooks), attention is the
library's own, and what lies between the products of an MLP stays in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeGuard

import torch
import torch.nn.functional as F

from pipeline.models.blocks.block import Block, Places, Tower


def fits(tower: Tower | str) -> TypeGuard[Tower]:
    """Whether whole texts can be computed in the blocks of a tower: none of them limits its scores."""
    return not isinstance(tower, str) and all(block.cap == 0 for block in tower.blocks)


@torch.no_grad()
def look_through(
    tower: Tower, ids: torch.Tensor, see: Mapping[int, Callable[[torch.Tensor], None]]
) -> None:
    """Show the neurons (texts, tokens, n_neurons) of some layers for ids (texts, tokens), padded on the
    right if at all, as `LanguageModel.look_through` does."""
    places = Places(torch.arange(ids.shape[1], device=ids.device).repeat(len(ids)))
    x = tower.embed(ids.flatten(), places.of)  # (text and token, d_model)
    last = max(see)
    for number, block in enumerate(tower.blocks[: last + 1]):
        heads = block.heads(block.ln1(x), places)
        mixed = _attended(block, *(part.unflatten(0, ids.shape).transpose(1, 2) for part in heads))
        middle = block.attended(x, mixed.transpose(1, 2).flatten(0, 1))
        into = block.ln2(x if block.parallel else middle)
        if number in see or ids.device.type != "cpu":
            active = block.active(into)
            see.get(number, _nothing)(active.unflatten(0, ids.shape))
            if number == last:
                return
            added = block.added(active)
        else:
            added = block.mlp(into)
        x = middle + (added if block.after_mlp is None else block.after_mlp(added))


def _nothing(values: torch.Tensor) -> None: ...


def _attended(block: Block, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """The output of attention (text, head, token, d_head) of each token to itself and those before it."""
    length, window = q.shape[2], block.window
    seen = None
    if window is not None and window < length:
        place = torch.arange(length, device=q.device)
        apart = place[:, None] - place
        seen = (apart >= 0) & (apart < window)
    return F.scaled_dot_product_attention(
        q, k, v, seen, is_causal=seen is None, scale=block.scale, enable_gqa=k.shape[1] != q.shape[1]
    )
