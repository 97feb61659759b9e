"""Llama's form and its kin: rotary positions, queries that share keys and values, most MLPs gated.

What differs among them is read from the modules that a block has: norms after attention and MLP (Gemma 2
and 3, OLMo 2 and 3), norms of queries and keys, products of several weights in one (Phi 3), MLPs without a
gate (Phi), an MLP beside attention (Phi, StableLM). What no module shows is in `WINDOWS`.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch

from pipeline.models.blocks.block import Block, Linear, NoBlocksError, Places, Rotary, Tower, plain

# models of this form, and which of their layers see the last tokens only
WINDOWS = {
    "LlamaForCausalLM": "none",
    "MistralForCausalLM": "all",
    "Qwen2ForCausalLM": "some",
    "Qwen3ForCausalLM": "some",
    "GemmaForCausalLM": "none",
    "Gemma2ForCausalLM": "some",
    "Gemma3ForCausalLM": "some",
    "PhiForCausalLM": "none",
    "Phi3ForCausalLM": "all",
    "OlmoForCausalLM": "none",
    "Olmo2ForCausalLM": "none",
    "Olmo3ForCausalLM": "some",
    "SmolLM3ForCausalLM": "some",
    "StableLmForCausalLM": "none",
}


def tower(model: Any, layer: int) -> Tower:
    """The tower of a model of Llama's form; raises NoBlocksError where its rotary positions or one of its
    layers are of an unknown kind, or where it looks ahead."""
    inner, config = model.model, model.config
    module = plain(inner.rotary_emb)
    if getattr(config, "use_bidirectional_attention", None):
        raise NoBlocksError("it looks ahead")
    blocks: list[LlamaBlock] = []
    for number, block in enumerate(list(inner.layers)[: layer + 1]):
        kind = config.layer_types[number] if WINDOWS[type(model).__name__] == "some" else None
        if kind not in (None, "full_attention", "sliding_attention"):
            raise NoBlocksError(f"one of its layers is of a kind unknown here ({kind})")
        rotary = Rotary(module, kind if isinstance(module.rope_type, dict) else None)
        windowed = kind == "sliding_attention" or WINDOWS[type(model).__name__] == "all"
        blocks.append(LlamaBlock(plain(block), rotary, config.sliding_window if windowed else None))
    heads = config.num_attention_heads, config.num_key_value_heads
    return Tower(plain(inner.embed_tokens), None, list(blocks), *heads, blocks[0].d_head)


class LlamaBlock(Block):
    """A block of Llama's form."""

    rotary: Rotary | None
    q_norm: Any
    k_norm: Any
    clip: float | None  # of queries, keys and values

    def __init__(self, block: Any, rotary: Rotary, window: int | None) -> None:
        self.window = window
        self._set_norms(block)
        self._set_attention(plain(block.self_attn), rotary)
        self._set_mlp(plain(block.mlp))

    def _set_norms(self, block: Any) -> None:
        ln1, second = _part(block, "input_layernorm"), _part(block, "post_attention_layernorm")
        self.ln1 = self.ln1 if ln1 is None else ln1
        if (after_mlp := _part(block, "post_feedforward_layernorm")) is not None:
            self.after_attention, self.after_mlp = second, after_mlp
            second = _part(block, "pre_feedforward_layernorm")
            self.ln2 = self.ln2 if second is None else second
        else:
            self.parallel = second is None
            self.ln2 = self.ln1 if second is None else second

    def _set_attention(self, attention: Any, rotary: Rotary) -> None:
        self.d_head, self.scale = attention.head_dim, attention.scaling
        config = attention.config
        if hasattr(attention, "qkv_proj"):
            n_queries, n_keys = (
                n * self.d_head for n in (config.num_attention_heads, config.num_key_value_heads)
            )
            ends = 0, n_queries, n_queries + n_keys, n_queries + 2 * n_keys
            parts = [slice(*each) for each in itertools.pairwise(ends)]
            self.q, self.k, self.v = (Linear(attention.qkv_proj, part) for part in parts)
        else:
            self.q, self.k, self.v = (Linear(getattr(attention, f"{name}_proj")) for name in "qkv")
        self.out = Linear(_one_of(attention, "o_proj", "dense"))
        self.q_norm, self.k_norm = (
            _part(attention, f"{name}_norm") or _part(attention, f"{name}_layernorm") for name in "qk"
        )
        # OLMo 2 and 3 norm all heads together, others each by itself
        weight = getattr(self.q_norm, "weight", None)
        self.norms_together = weight is not None and len(weight) != self.d_head
        self.rotary = rotary if getattr(attention, "use_rope", True) else None
        self.clip = getattr(config, "clip_qkv", None) if config.model_type == "olmo" else None
        if config.model_type == "gemma2":
            self.cap = attention.attn_logit_softcapping or 0.0

    def _set_mlp(self, mlp: Any) -> None:
        self.act = _one_of(mlp, "act_fn", "activation_fn")
        if hasattr(mlp, "gate_up_proj"):
            half = plain(mlp.gate_up_proj).out_features // 2
            self.gate = Linear(mlp.gate_up_proj, slice(half))
            self.fc_in = Linear(mlp.gate_up_proj, slice(half, None))
        elif hasattr(mlp, "gate_proj"):
            self.gate, self.fc_in = Linear(mlp.gate_proj), Linear(mlp.up_proj)
        else:
            self.fc_in = Linear(mlp.fc1)
        self.fc_out = Linear(_one_of(mlp, "down_proj", "fc2"))

    def heads(self, x: torch.Tensor, places: Places) -> tuple[torch.Tensor, ...]:
        """Queries, and keys and values that several of them may share."""
        q, k, v = (part(x) for part in (self.q, self.k, self.v))
        if self.clip is not None:
            q, k, v = (part.clamp(-self.clip, self.clip) for part in (q, k, v))
        if self.norms_together:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k, v = (part.unflatten(-1, (-1, self.d_head)) for part in (q, k, v))
        if self.q_norm is not None and not self.norms_together:
            q, k = self.q_norm(q), self.k_norm(k)
        if self.rotary is not None:
            q, k = places.turned(self.rotary, q, k)
        return q, k, v


def _part(module: Any, name: str) -> Any | None:
    """A module's part; None where it has none of that name."""
    part = getattr(module, name, None)
    return None if part is None else plain(part)


def _one_of(module: Any, *names: str) -> Any:
    """The part that has one of these names."""
    return next(plain(getattr(module, name)) for name in names if hasattr(module, name))
