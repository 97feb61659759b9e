"""What every form of model consists of here: a tower of blocks without hooks.

A tower is a model up to the block that holds the neurons. Its blocks work on tokens in one row, each with
its place in its text, so that texts of any length are multiplied with the weights together. Attention
between tokens is computed in resumed_passes.py, which knows which of them see each other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

_ROWS = 256  # tokens whose MLP is computed at once: what lies between its products stays in the cache
_ROTARY = {"default", "linear", "dynamic", "yarn", "longrope", "llama3", "proportional"}


@dataclass(frozen=True)
class Tower:
    """A model's embeddings and its blocks up to a layer's.

    Where queries share keys and values, `n_kv` of these serve `n_heads`.
    """

    tokens: Any
    positions: Any | None
    blocks: list[Block]
    n_heads: int
    n_kv: int
    d_head: int
    norm: Any | None = None  # of embeddings
    sign: int = 1  # of its neurons' values, -1 where the negative end is looked at

    def embed(self, ids: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """The residual stream (token, d_model) before the first block."""
        x = self.tokens(ids)
        x = x if self.positions is None else x + self.positions(place)
        return x if self.norm is None else self.norm(x)

    @property
    def itemsize(self) -> int:
        """Bytes of one number."""
        return self.tokens.weight.itemsize

    @property
    def cache_bytes(self) -> int:
        """Bytes that the keys and values of one token of a text take in all blocks."""
        return len(self.blocks) * 2 * self.n_kv * self.d_head * self.itemsize

    def token_bytes(self, seen: int) -> int:
        """Bytes that one token takes at most while a block computes it and it sees `seen` others."""
        width = self.tokens.weight.shape[1]
        return self.itemsize * (6 * width + 8 * self.n_heads * self.d_head + 2 * self.n_heads * seen)

    @property
    def device(self) -> torch.device:
        """The device it is on."""
        return self.tokens.weight.device


class NoBlocksError(Exception):
    """A model has something that no block here computes; the message says what, after "since"."""


def plain(module: Any) -> Any:
    """A module without the wrapper that hooks need."""
    return getattr(module, "_original_component", module)


@dataclass(frozen=True)
class Learned:
    """Learned vectors of places, some rows before the first; a place past the end counts as the last."""

    weight: torch.Tensor
    before: int = 0

    def __call__(self, place: torch.Tensor) -> torch.Tensor:
        return F.embedding((place + self.before).clamp(max=len(self.weight) - 1), self.weight)


@dataclass(frozen=True)
class Rotary:
    """How a model turns queries and keys by their tokens' places: its own module, for a kind of layer."""

    module: Any
    layer_type: str | None = None

    def __post_init__(self) -> None:
        """Raise NoBlocksError unless angles follow from a token's place alone, as those of every kind named
        here do.

        Those of `dynamic` do up to the model's context, of `longrope` up to `LanguageModel.turns_at`.
        """
        kind = self.module.rope_type
        own = kind if self.layer_type is None else kind[self.layer_type]
        if own not in _ROTARY:
            raise NoBlocksError(f"its rotary positions are of a kind unknown here ({own})")

    def angles(self, x: torch.Tensor, place: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines (token, 1, dimensions that are turned), of x's type."""
        kind = {} if self.layer_type is None else {"layer_type": self.layer_type}
        cos, sin = self.module(x, place[None], **kind)
        return cos[0][:, None], sin[0][:, None]


@dataclass(frozen=True)
class Places:
    """Each token's place in its text (token), and its angles, found once for all blocks."""

    of: torch.Tensor
    _angles: dict[Rotary, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    def turned(self, rotary: Rotary, *parts: torch.Tensor) -> list[torch.Tensor]:
        """Queries or keys (token, head, d_head), the first of their dimensions turned, each paired with the
        one half of those further on."""
        if rotary not in self._angles:
            self._angles[rotary] = rotary.angles(parts[0], self.of)
        return [_turned(part, *self._angles[rotary]) for part in parts]


def _turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    turned, rest = x.split([cos.shape[-1], x.shape[-1] - cos.shape[-1]], -1)
    first, second = turned.chunk(2, -1)
    turned = turned * cos + torch.cat([-second, first], -1) * sin
    return torch.cat([turned, rest], -1) if rest.shape[-1] else turned


def same(x: torch.Tensor) -> torch.Tensor:
    """What stands where a form has no norm."""
    return x


class Block(ABC):
    """One block: its attention's products with weights, and its MLP.

    A `parallel` block computes its MLP from the block's input, any other from the output of its attention.
    `rows` are the tokens whose MLP is computed at once.
    """

    ln1: Any = staticmethod(same)  # before attention
    ln2: Any = staticmethod(same)  # before the MLP
    after_attention: Any | None = None  # norms of what is added to the residual stream
    after_mlp: Any | None = None
    scale: float  # of attention's scores
    cap: float = 0.0  # the scores' soft limit; 0 is none
    window: int | None = None  # the last tokens that one sees, itself included
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
    def heads(self, x: torch.Tensor, places: Places) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values, each (token, head, d_head), of x (token, d_model)."""

    def attended(self, x: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        """The residual stream after attention, given the output of its heads (token, head, d_head)."""
        added = self.out(mixed.flatten(1))
        return x + (added if self.after_attention is None else self.after_attention(added))

    def onwards(self, x: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        """The residual stream after the block, given the output of its heads (token, head, d_head)."""
        middle = self.attended(x, mixed)
        added = self.mlp(self.ln2(x if self.parallel else middle))
        return middle + (added if self.after_mlp is None else self.after_mlp(added))

    def mlp(self, x: torch.Tensor) -> torch.Tensor:
        """The output of the MLP for x (token, d_model)."""
        return torch.cat([self.fc_out(self._middle(part)) for part in x.split(self.rows)])

    def active(self, x: torch.Tensor) -> torch.Tensor:
        """All neurons (token, n_neurons) for x (token, d_model), before an inner LayerNorm."""
        return torch.cat([self._active(part) for part in self._parts(x)])

    def added(self, active: torch.Tensor) -> torch.Tensor:
        """The output of the MLP (token, d_model), given its neurons."""
        return torch.cat([self.fc_out(self._normed(part)) for part in self._parts(active)])

    def _parts(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Some rows at once; on an accelerator all, which takes the fewest calls."""
        return x.split(self.rows) if x.device.type == "cpu" else (x,)

    def _middle(self, x: torch.Tensor) -> torch.Tensor:
        """The neurons as they enter the product that gives the layer's output."""
        return self._normed(self._active(x))

    def _active(self, x: torch.Tensor) -> torch.Tensor:
        into = self.fc_in(x) if self.gate is None else self.gate(x)
        active = into.softmax(-1).mul_(into) if self.solu else self.act(into)
        return active if self.gate is None else active.mul_(self.fc_in(x))

    def _normed(self, active: torch.Tensor) -> torch.Tensor:
        return active if self.inner_ln is None or self.gate is not None else self.inner_ln(active)

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
    """A linear layer: torch's own, or GPT-2's, whose weight is transposed; or some of its outputs."""

    def __init__(self, module: Any, outputs: slice = slice(None)) -> None:
        module = plain(module)
        weight = module.weight if isinstance(module, torch.nn.Linear) else module.weight.T
        self.weight = weight[outputs]
        self.bias = None if module.bias is None else module.bias[outputs]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight, self.bias)

    def column(self, x: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        """One output of each token (token)."""
        own = (_exact(x) * _exact(self.weight[which])).sum(-1)
        return own if self.bias is None else own + _exact(self.bias[which])


def _exact(x: torch.Tensor) -> torch.Tensor:
    """In float32 at least."""
    return x if x.dtype == torch.float64 else x.float()
