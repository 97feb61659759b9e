"""A model's blocks without their hooks: TransformerLens' native form, GPT-2's and GPT-NeoX's (Pythia's).

A tower is a model up to the block that holds the neurons. Its blocks work on tokens in one row, each with
its place in its text, so that texts of any length are multiplied with the weights together. Attention
between tokens is computed in resumed_passes.py, which knows which of them see each other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

_ROWS = 256  # tokens whose MLP is computed at once: what lies between its products stays in the cache


@dataclass(frozen=True)
class Tower:
    """A model's embeddings and its blocks up to a layer's."""

    tokens: Any
    positions: Any | None
    blocks: list[Block]
    n_ctx: int
    n_heads: int
    d_head: int

    def embed(self, ids: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """The residual stream (token, d_model) before the first block; a place past the end counts as the
        last."""
        x = self.tokens(ids)
        return x if self.positions is None else x + self.positions(place.clamp(max=self.n_ctx - 1))

    @property
    def itemsize(self) -> int:
        """Bytes of one number."""
        return self.tokens.weight.itemsize

    @property
    def cache_bytes(self) -> int:
        """Bytes that the keys and values of one token of a text take in all blocks."""
        return len(self.blocks) * 2 * self.n_heads * self.d_head * self.itemsize

    def token_bytes(self, seen: int) -> int:
        """Bytes that one token takes at most while a block computes it and it sees `seen` others."""
        width = self.tokens.weight.shape[1]
        return self.itemsize * (6 * width + 8 * self.n_heads * self.d_head + 2 * self.n_heads * seen)

    @property
    def device(self) -> torch.device:
        """The device it is on."""
        return self.tokens.weight.device


def tower(model: Any, layer: int) -> Tower | None:
    """The tower of a bridge's own model; None where it has none of the forms known here."""
    kind = type(model).__name__
    if kind == "NativeModel" and model.cfg.attention_dir == "causal" and not model.cfg.attn_only:
        cfg = model.cfg
        blocks: list[Block] = [NativeBlock(plain(block)) for block in list(model.layers)[: layer + 1]]
        positions = None if model.pos is None else plain(model.pos)
        return Tower(plain(model.tok_embed), positions, blocks, cfg.n_ctx, cfg.n_heads, cfg.d_head)
    if kind == "GPT2LMHeadModel" and not model.config.add_cross_attention:
        inner, config = model.transformer, model.config
        blocks = [GPT2Block(plain(block)) for block in list(inner.h)[: layer + 1]]
        shape = config.n_positions, config.n_head, config.n_embd // config.n_head
        return Tower(plain(inner.wte), plain(inner.wpe), blocks, *shape)
    if kind == "GPTNeoXForCausalLM" and model.config.rope_parameters["rope_type"] == "default":
        inner, config = model.gpt_neox, model.config
        rotary = plain(inner.rotary_emb)
        blocks = [NeoXBlock(plain(block), rotary) for block in list(inner.layers)[: layer + 1]]
        n_heads = config.num_attention_heads
        shape = config.max_position_embeddings, n_heads, config.hidden_size // n_heads
        return Tower(plain(inner.embed_in), None, blocks, *shape)
    return None


def plain(module: Any) -> Any:
    """A module without the wrapper that hooks need."""
    return getattr(module, "_original_component", module)


class Block(ABC):
    """One block: its attention's products with weights, and its MLP.

    A `parallel` block computes its MLP from the block's input, any other from the output of its attention.
    `rows` are the tokens whose MLP is computed at once.
    """

    ln1: Any
    ln2: Any
    scale: float  # of attention's scores
    cap: float = 0.0  # the scores' soft limit; 0 is none
    parallel: bool = False
    rows: int = _ROWS
    act: Any
    inner_ln: Any | None = None
    gate: Linear | None = None
    solu: bool = False
    fc_in: Linear
    fc_out: Linear
    out: Linear

    @abstractmethod
    def heads(self, x: torch.Tensor, place: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values, each (token, head, d_head), of x (token, d_model)."""

    def mlp(self, x: torch.Tensor) -> torch.Tensor:
        """The output of the MLP for x (token, d_model)."""
        return torch.cat([self.fc_out(self._middle(part)) for part in x.split(self.rows)])

    def _middle(self, x: torch.Tensor) -> torch.Tensor:
        """The neurons as they enter the product that gives the layer's output."""
        into = self.fc_in(x) if self.gate is None else self.gate(x)
        active = into.softmax(-1).mul_(into) if self.solu else self.act(into)
        if self.gate is not None:
            return active.mul_(self.fc_in(x))
        return active if self.inner_ln is None else self.inner_ln(active)

    def neurons(self, x: torch.Tensor, neuron: torch.Tensor) -> torch.Tensor:
        """One neuron of each token of x (token, d_model), before an inner LayerNorm, float32 (token).

        Only SoLU needs the other neurons for it.
        """
        return torch.cat(
            [self._neurons(*each) for each in zip(x.split(self.rows), neuron.split(self.rows), strict=True)]
        )

    def _neurons(self, x: torch.Tensor, neuron: torch.Tensor) -> torch.Tensor:
        into = self.fc_in if self.gate is None else self.gate
        if self.solu:
            pre = into(x)
            own = pre.gather(1, neuron[:, None]).squeeze(1)
            found = _exact(own) * (_exact(own) - _exact(pre).logsumexp(-1)).exp()
        else:
            found = self.act(into.column(x, neuron))
        return _exact(found if self.gate is None else found * self.fc_in.column(x, neuron))


class Linear:
    """A linear layer: torch's own, or GPT-2's, whose weight is transposed."""

    def __init__(self, module: Any) -> None:
        module = plain(module)
        self.weight = module.weight if isinstance(module, torch.nn.Linear) else module.weight.T
        self.bias = module.bias

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight, self.bias)

    def column(self, x: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        """One output of each token (token)."""
        own = (_exact(x) * _exact(self.weight[which])).sum(-1)
        return own if self.bias is None else own + _exact(self.bias[which])


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

    def heads(self, x: torch.Tensor, place: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values; a key that several queries share is repeated."""
        attention = self.attention
        q = self.q(x).unflatten(-1, (attention.n_heads, -1))
        k, v = (part(x).unflatten(-1, (attention.n_kv_heads, -1)) for part in (self.k, self.v))
        if attention.rotary is not None:
            turned = (part.transpose(0, 1)[None] for part in (q, k))
            place = place.clamp(max=attention.cfg.n_ctx - 1)
            turned = plain(attention.rotary).apply_rope(*turned, position_ids=place[None])
            q, k = (part[0].transpose(0, 1) for part in turned)
        if attention.kv_repeats > 1:
            k, v = (part.repeat_interleave(attention.kv_repeats, dim=1) for part in (k, v))
        return q, k, v


class GPT2Block(Block):
    """A block of GPT-2's form."""

    def __init__(self, block: Any) -> None:
        self.ln1, self.ln2 = plain(block.ln_1), plain(block.ln_2)
        attention, mlp = plain(block.attn), plain(block.mlp)
        self.qkv, self.out = Linear(attention.c_attn), Linear(attention.c_proj)
        self.n_heads, self.scale = attention.num_heads, attention.scaling
        self.fc_in, self.fc_out, self.act = Linear(mlp.c_fc), Linear(mlp.c_proj), mlp.act

    def heads(self, x: torch.Tensor, place: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values, which follow each other in the product."""
        return tuple(part.unflatten(-1, (self.n_heads, -1)) for part in self.qkv(x).chunk(3, -1))


class NeoXBlock(Block):
    """A block of GPT-NeoX's form: Pythia's."""

    def __init__(self, block: Any, rotary: Any) -> None:
        self.ln1, self.ln2 = plain(block.input_layernorm), plain(block.post_attention_layernorm)
        self.parallel = block.use_parallel_residual
        attention, mlp = plain(block.attention), plain(block.mlp)
        self.qkv, self.out = Linear(attention.query_key_value), Linear(attention.dense)
        self.d_head, self.scale, self.rotary = attention.head_size, attention.scaling, rotary
        self.fc_in, self.fc_out, self.act = Linear(mlp.dense_h_to_4h), Linear(mlp.dense_4h_to_h), mlp.act

    def heads(self, x: torch.Tensor, place: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values, beside each other for each head; the first part of queries and keys is
        turned."""
        q, k, v = self.qkv(x).unflatten(-1, (-1, 3 * self.d_head)).chunk(3, -1)
        cos, sin = (part[0][:, None] for part in self.rotary(x, place[None]))  # (token, 1, turned)
        return self._turned(q, cos, sin), self._turned(k, cos, sin), v

    @staticmethod
    def _turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """Rotary position embedding; each dimension is paired with the one half of them further on."""
        turned, rest = x.split([cos.shape[-1], x.shape[-1] - cos.shape[-1]], -1)
        first, second = turned.chunk(2, -1)
        turned = turned * cos + torch.cat([-second, first], -1) * sin
        return torch.cat([turned, rest], -1)


def _exact(x: torch.Tensor) -> torch.Tensor:
    """In float32 at least."""
    return x if x.dtype == torch.float64 else x.float()
