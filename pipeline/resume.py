"""Activations of many variants of a text, computed from what they share: TransformerLens' native models.

A model is causal, so a variant differs from its text from the replaced word on only. Each text is computed
once, with the keys and values of its attention; a variant resumes at its replaced word and sees the text
before it through them. Blocks above the layer are left out, and of the layer itself the MLP is computed
where the phrase is. Texts are batched together; padding is never looked at.
Method: key-value caching as in any autoregressive decoder, here over variants instead of new tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Text:
    """A text up to the end of its phrase, and its variants: each a place and the ids from there on."""

    ids: list[int]
    phrase_start: int
    variants: list[tuple[int, list[int]]]


def plain(module: Any) -> Any:
    """A module without the wrapper that hooks need."""
    return getattr(module, "_original_component", module)


def supports(model: Any) -> bool:
    """Whether a model is of the native form with causal attention and an MLP in every block."""
    return (
        type(model).__name__ == "NativeModel"
        and model.cfg.attention_dir == "causal"
        and not model.cfg.attn_only
    )


class Resuming:
    """Measures one neuron of one layer of a native model over batches of texts."""

    def __init__(self, model: Any, layer: int, neuron: int) -> None:
        self.model, self.layer, self.neuron = model, layer, neuron
        self.blocks = [_Block(block) for block in list(model.layers)[: layer + 1]]
        self.embed = plain(model.tok_embed)
        self.positions = None if model.pos is None else plain(model.pos)
        self.n_ctx = model.cfg.n_ctx

    @torch.no_grad()
    def peaks(self, texts: Sequence[Text], batch_bytes: int) -> list[tuple[float, list[float]]]:
        """The maximum over the phrase of each text, and of each of its variants, in order.

        What is computed at once takes about `batch_bytes`, and at least one text or one variant of each.
        """
        found: list[tuple[float, list[float]]] = [(0.0, [])] * len(texts)
        for places in self._batches(texts, batch_bytes):
            for place, peaks in zip(
                places, self._batch([texts[p] for p in places], batch_bytes), strict=True
            ):
                found[place] = peaks
        return found

    def _batches(self, texts: Sequence[Text], batch_bytes: int) -> Iterator[list[int]]:
        """Places of texts of like length, as many together as there is memory for."""
        batch: list[int] = []
        for place in sorted(range(len(texts)), key=lambda p: len(texts[p].ids)):
            length = len(texts[place].ids)
            if batch and (len(batch) + 1) * self._bytes(length, length) > batch_bytes:
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    def _bytes(self, n_tokens: int, seen: int) -> int:
        """About what so many tokens take in one block, each of which sees so many."""
        cfg = self.model.cfg
        return 4 * n_tokens * (3 * cfg.d_mlp + 8 * cfg.d_model + 3 * cfg.n_heads * seen)

    def _batch(self, texts: list[Text], batch_bytes: int) -> list[tuple[float, list[float]]]:
        """The peaks of some texts, computed once, and of their variants, some columns at a time."""
        starts = torch.tensor([text.phrase_start for text in texts])
        lengths = torch.tensor([len(text.ids) for text in texts])
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(text.ids) for text in texts], batch_first=True)
        first = int(starts.min())
        base, caches = self._texts(ids, first)  # (text, position from `first`)
        place = torch.arange(first, ids.shape[1])
        inside = (place >= starts[:, None]) & (place < lengths[:, None])
        peaks = base.masked_fill(~inside, -torch.inf).amax(1).tolist()

        changed: list[list[float]] = [[] for _ in texts]
        longest = max((len(ids) for text in texts for _, ids in text.variants), default=0)
        column = len(texts) * self._bytes(longest, ids.shape[1] + longest)
        step = max(1, batch_bytes // max(1, column))
        for start in range(0, max(len(text.variants) for text in texts), step):
            chosen = [text.variants[start : start + step] for text in texts]
            layout = _Layout.of(chosen, ids.shape[1])
            values = layout.padded(self._variants(layout, caches), -torch.inf)  # (text, variant, token)
            own = values.masked_fill(layout.place < starts[:, None, None], -torch.inf).amax(2)
            # before the replaced word a variant is its text
            before = inside[:, None] & (place < layout.resumed[:, :, None])
            shared = base[:, None].masked_fill(~before, -torch.inf).amax(2)
            rows = torch.maximum(own, shared).tolist()
            for row, variants, so_far in zip(rows, chosen, changed, strict=True):
                so_far.extend(row[: len(variants)])
        return list(zip(peaks, changed, strict=True))

    def _texts(self, ids: torch.Tensor, first: int) -> tuple[torch.Tensor, list[_Cache]]:
        """The neuron at every position from `first` on (text, position), and each block's cache."""
        place = torch.arange(ids.shape[1])
        x = self.embed(ids)
        if self.positions is not None:
            x = x + self.positions(place)
        caches = []
        for block in self.blocks[:-1]:
            out, cache = block.attend(x, place)
            x = x + out
            x = x + block.mlp(block.ln2(x))
            caches.append(cache)
        last = self.blocks[-1]
        out, cache = last.attend(x, place, first)
        x = x[:, first:] + out
        return last.neuron(last.ln2(x), self.neuron), [*caches, cache]

    def _variants(self, layout: _Layout, caches: list[_Cache]) -> torch.Tensor:
        """The neuron at every token of all variants from their replaced words on (token)."""
        place = layout.place[layout.real].clamp(max=self.n_ctx - 1)
        x = self.embed(layout.ids[layout.real])
        if self.positions is not None:
            x = x + self.positions(place)
        for block, cache in zip(self.blocks[:-1], caches, strict=False):
            x = x + block.resume(x, place, layout, cache)
            x = x + block.mlp(block.ln2(x))
        last = self.blocks[-1]
        x = x + last.resume(x, place, layout, caches[-1])
        return last.neuron(last.ln2(x), self.neuron)


@dataclass(frozen=True)
class _Layout:
    """Where the tokens of some variants are: all of them in one row for the products with weights, which
    so take no padding, and (text, variant, token) for attention."""

    ids: torch.Tensor  # (text, variant, token)
    real: torch.Tensor  # the same; whether a token is one
    resumed: torch.Tensor  # (text, variant); place of the first token
    place: torch.Tensor  # (text, variant, token); place in the text
    hidden: torch.Tensor  # (text, 1, variant, token, text's tokens and own); what a token must not see

    @staticmethod
    def of(chosen: Sequence[Sequence[tuple[int, list[int]]]], length: int) -> _Layout:
        """The layout of each text's variants over texts padded to `length`."""
        n_variants = max(map(len, chosen))
        longest = max(len(ids) for variants in chosen for _, ids in variants)
        blank = (1, [])
        all_ = [variant for each in chosen for variant in (*each, *[blank] * (n_variants - len(each)))]
        shape = (len(chosen), n_variants)
        resumed = torch.tensor([start for start, _ in all_]).view(shape)
        sizes = torch.tensor([len(ids) for _, ids in all_]).view(*shape, 1)
        ids = torch.tensor([ids + [0] * (longest - len(ids)) for _, ids in all_]).view(*shape, longest)
        token = torch.arange(longest)
        unseen = torch.arange(length) >= resumed[:, None, :, None, None]
        later = (token > token[:, None]).expand(*shape, longest, longest)[:, None]
        hidden = torch.cat([unseen.expand(-1, -1, -1, longest, -1), later], -1)
        return _Layout(ids, token < sizes, resumed, resumed[:, :, None] + token, hidden)

    def padded(self, values: torch.Tensor, blank: float) -> torch.Tensor:
        """Values of the tokens in one row (token, ...) as (text, variant, token, ...)."""
        out = values.new_full((*self.real.shape, *values.shape[1:]), blank)
        out[self.real] = values
        return out


_Cache = tuple[torch.Tensor, torch.Tensor]  # keys and values (text, head, position, d_head)


class _Block:
    """One block's modules, without their wrappers."""

    def __init__(self, block: Any) -> None:
        block = plain(block)
        self.ln1, self.ln2 = plain(block.ln1), plain(block.ln2)
        attention = plain(block.attn)
        self.attention = attention
        self.q, self.k, self.v, self.o = (plain(getattr(attention, name)) for name in "qkvo")
        mlp = plain(block.mlp)
        self.act = mlp.act
        self.gate = plain(mlp.gate) if hasattr(mlp, "gate") else None
        names = ("in", "out") if self.gate is not None else ("fc_in", "fc_out")
        self.fc_in, self.fc_out = (plain(getattr(mlp, name)) for name in names)
        inner = getattr(mlp, "ln", None)
        self.inner_ln = None if inner is None else plain(inner)
        name = (attention.cfg.act_fn or "").lower()
        self.is_solu = name in ("solu", "solu_ln")

    def mlp(self, x: torch.Tensor) -> torch.Tensor:
        """What the MLP adds."""
        if self.gate is not None:
            return self.fc_out(self.act(self.gate(x)) * self.fc_in(x))
        mid = self.act(self.fc_in(x))
        return self.fc_out(mid if self.inner_ln is None else self.inner_ln(mid))

    def neuron(self, x: torch.Tensor, neuron: int) -> torch.Tensor:
        """One neuron's activation, before an inner LayerNorm; only SoLU needs the others for it."""
        if self.is_solu and self.gate is None:
            pre = self.fc_in(x)
            own = pre[..., neuron]
            return own * (own - pre.logsumexp(-1)).exp()
        if self.is_solu:
            return self.act(self.gate(x))[..., neuron] * _column(self.fc_in, x, neuron)
        if self.gate is not None:
            return self.act(_column(self.gate, x, neuron)) * _column(self.fc_in, x, neuron)
        return self.act(_column(self.fc_in, x, neuron))

    def _heads(self, x: torch.Tensor, place: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values (token, head, d_head) of x (token, d_model)."""
        attention = self.attention
        q = self.q(x).unflatten(-1, (attention.n_heads, -1))
        k, v = (part(x).unflatten(-1, (attention.n_kv_heads, -1)) for part in (self.k, self.v))
        if attention.rotary is not None:
            turned = (part.transpose(0, 1)[None] for part in (q, k))
            turned = plain(attention.rotary).apply_rope(*turned, position_ids=place[None])
            q, k = (part[0].transpose(0, 1) for part in turned)
        if attention.kv_repeats > 1:
            k, v = (part.repeat_interleave(attention.kv_repeats, dim=1) for part in (k, v))
        return q, k, v

    def _pattern(self, scores: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Softmax over what a token may see."""
        scores = scores / self.attention.scale
        cap = self.attention.attn_scores_soft_cap
        if cap > 0:
            scores = cap * torch.tanh(scores / cap)
        return scores.masked_fill_(hidden, -torch.inf).softmax(-1)

    def attend(self, x: torch.Tensor, place: torch.Tensor, first: int = 0) -> tuple[torch.Tensor, _Cache]:
        """What attention adds to texts x (text, position, d_model) from `first` on, and the keys and values
        of all positions."""
        parts = self._heads(self.ln1(x).flatten(0, 1), place.repeat(len(x)))
        q, k, v = (part.unflatten(0, x.shape[:2]).transpose(1, 2) for part in parts)
        q, hidden = q[:, :, first:], place > place[first:, None]
        if self.attention.attn_scores_soft_cap > 0:
            mixed = self._pattern(q @ k.transpose(2, 3), hidden) @ v
        else:  # without the whole matrix of scores in memory
            mixed = F.scaled_dot_product_attention(q, k, v, ~hidden, scale=1 / self.attention.scale)
        return self.o(mixed.transpose(1, 2).flatten(2)), (k, v)

    def resume(self, x: torch.Tensor, place: torch.Tensor, layout: _Layout, cache: _Cache) -> torch.Tensor:
        """What attention adds to variants x (token, d_model), each of which sees its text up to where it
        resumes, and itself."""
        keys, values = cache
        length = keys.shape[2]
        parts = self._heads(self.ln1(x), place)
        # (text, head, variant, token, d_head)
        q, k, v = (layout.padded(part, 0.0).permute(0, 3, 1, 2, 4) for part in parts)
        shape = q.shape[2:4]
        of_text = (q.flatten(2, 3) @ keys.transpose(2, 3)).unflatten(2, shape)
        scores = torch.cat([of_text, q @ k.transpose(3, 4)], -1)
        pattern = self._pattern(scores, layout.hidden)
        mixed = (pattern[..., :length].flatten(2, 3) @ values).unflatten(2, shape)
        mixed = mixed + pattern[..., length:] @ v
        return self.o(mixed.permute(0, 2, 3, 1, 4)[layout.real].flatten(1))


def _column(linear: Any, x: torch.Tensor, neuron: int) -> torch.Tensor:
    """One output of a linear layer."""
    bias = None if linear.bias is None else linear.bias[neuron : neuron + 1]
    return F.linear(x, linear.weight[neuron : neuron + 1], bias).squeeze(-1)
