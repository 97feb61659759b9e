"""Activations of many variants of a text, computed from what they share.

A model is causal, so a variant differs from its text from the replaced word on only. Each text is computed
once, as the keys and values of its attention, for all neurons and phrases; a variant resumes at its
replaced word and sees the text before it through them. Blocks above the layer are left out, and of the
layer's own MLP only what the neurons need is computed, at the tokens of the phrases.
Method: key-value caching as in any autoregressive decoder, here over variants instead of new tokens; the
two parts of attention, over the text and over the variant itself, are joined by their log-sums as in
flash-decoding (Dao et al. 2023).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from pipeline.models import phrases
from pipeline.models.blocks.block import Block, Places, Tower
from pipeline.models.phrases import Batch, Runs, Text

_LEAST = -80.0  # a score further below the highest adds nothing, and its exponential is slow
_OF_TEXT = 64  # tokens of one text's variants for which a chunk has room, about
_CHUNKS = 2  # chunks of runs for which a batch of texts is used, about
_HIDDEN = -1e30  # a score that adds nothing; minus infinity would make an empty sum not a number


@torch.no_grad()
def peaks(tower: Tower, texts: Sequence[Text], batch: Batch) -> list[list[list[float]]]:
    """The maximum over each phrase, and over each of its variants: by text, phrase and variant, the phrase
    as it is first."""
    maxima: list[list[list[float]]] = [[]] * len(texts)
    waiting: list[tuple[list[int], _Launched]] = []

    def collect() -> None:
        places, launched = waiting.pop(0)
        for place, found in zip(places, launched.collect(), strict=True):
            maxima[place] = found

    for places in _batches(tower, texts, batch):
        # launched before the values of the one before are read: an accelerator computes meanwhile
        waiting.append((places, _launch(tower, [texts[p] for p in places], batch)))
        if len(waiting) == 2:
            collect()
    while waiting:
        collect()
    return maxima


def _batches(tower: Tower, texts: Sequence[Text], batch: Batch) -> Iterator[list[int]]:
    """Places of texts of similar length whose keys and values leave half of the memory to the variants."""
    if not texts:
        return
    kept, computed = tower.cache_bytes, tower.token_bytes(batch.queries)
    most = min(batch.tokens, batch.memory / 2 / kept, batch.memory / (kept + computed))
    most_texts = batch.memory / 2 / (_OF_TEXT * tower.token_bytes(max(text.seen for text in texts)))
    places: list[int] = []
    n_tokens = 0
    for place in sorted(range(len(texts)), key=lambda p: (texts[p].seen, texts[p].n_tokens)):
        n_tokens += texts[place].n_tokens
        length = (len(places) + 1) * texts[place].seen
        full = length > most or len(places) + 1 > most_texts or n_tokens > _CHUNKS * batch.tokens
        if places and full:
            yield places
            places, n_tokens = [], texts[place].n_tokens
        places.append(place)
    if places:
        yield places


@dataclass
class _Chunk:
    """Runs computed at once: their numbers, and how many tokens they have."""

    runs: list[int] = field(default_factory=list)
    n_tokens: int = 0
    of_texts: dict[int, int] = field(default_factory=dict)  # tokens of each text
    widest: int = 0  # of these, the most
    values: torch.Tensor | None = None  # the neuron at each token (run, token), once launched


@dataclass
class _Launched:
    """The runs of some texts, in order, and the chunks in which they are computed."""

    texts: list[Text]
    runs: Runs
    chunks: list[_Chunk]

    def collect(self) -> list[list[list[float]]]:
        """The maxima by text, phrase and variant."""
        own = np.empty(len(self.runs.sizes), np.float64)  # holds either precision
        shared = self.runs.firsts - self.runs.starts
        ends = np.cumsum(self.runs.counts)
        begins = ends - self.runs.counts
        is_phrase = np.zeros(len(own), bool)
        is_phrase[begins] = True
        phrase: dict[int, np.ndarray] = {}  # the neuron at each token of a phrase as it is
        for chunk in self.chunks:
            assert chunk.values is not None
            values, runs = chunk.values.cpu().numpy(), np.array(chunk.runs)
            before = np.arange(values.shape[1]) < -shared[runs, None]  # the phrase begins
            own[runs] = np.where(before, -np.inf, values).max(1)
            phrase |= {int(runs[i]): values[i] for i in np.flatnonzero(is_phrase[runs])}
        maxima = iter(
            phrases.with_shared(phrase[begin][: self.runs.sizes[begin]], own[begin:end], shared[begin:end])
            for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
        )
        return [[next(maxima) for _ in text.flat.counts] for text in self.texts]


def _launch(tower: Tower, texts: list[Text], batch: Batch) -> _Launched:
    """The runs of some texts, those of similar length together."""
    caches = _texts(tower, texts, batch.queries)
    seen = max(text.seen for text in texts)
    free = batch.memory - len(texts) * seen * tower.cache_bytes
    by_text, by_run = len(texts) * tower.token_bytes(seen), tower.token_bytes(0)
    runs = Runs.joined([text.flat for text in texts])
    rows = np.repeat(np.arange(len(texts)), [len(text.flat.sizes) for text in texts])
    order = np.argsort(runs.sizes, kind="stable")
    ordered = (order, rows[order], runs.sizes[order])
    chunks = [chunk := _Chunk()]
    for number, row, size in zip(*(each.tolist() for each in ordered), strict=True):
        of_text = chunk.of_texts.get(row, 0) + size
        memory = max(chunk.widest, of_text) * by_text + (len(chunk.runs) + 1) * size * by_run
        if chunk.runs and (chunk.n_tokens + size > batch.tokens or memory > free):
            chunks.append(chunk := _Chunk())
            of_text = size
        chunk.runs.append(number)
        chunk.n_tokens += size
        chunk.of_texts[row] = of_text
        chunk.widest = max(chunk.widest, of_text)
    for chunk in chunks:
        chunk.runs.sort()
        chunk.values = _runs(tower, _Layout.of(runs, rows, np.array(chunk.runs), tower), caches)
    return _Launched(texts, runs, chunks)


_Cache = tuple[torch.Tensor, torch.Tensor]  # keys and values (text, head, position, d_head)


def _texts(tower: Tower, texts: list[Text], queries: int) -> list[_Cache]:
    """Each block's keys and values of the texts; no token sees the padding on the right."""
    length = max([1, *(text.seen for text in texts)])
    padded = np.zeros((len(texts), length), np.int64)
    for row, text in zip(padded, texts, strict=True):
        row[: text.seen] = text.array[: text.seen]
    ids = torch.from_numpy(padded)
    shape = ids.shape
    places = Places(torch.arange(length, device=tower.device).repeat(len(texts)))
    x = tower.embed(_moved(ids.flatten(), tower), places.of)  # (text and position, d_model)
    caches = []
    for block in tower.blocks:
        heads = block.heads(block.ln1(x), places)
        q, k, v = (part.unflatten(0, shape).transpose(1, 2) for part in heads)
        caches.append((k.contiguous(), v.contiguous()))
        if block is tower.blocks[-1]:
            break
        parts = []
        for start in range(0, length, queries):
            stop = min(length, start + queries)
            first, hidden = _hidden(start, stop, block.window, tower.device)
            parts.append(
                _attend(block, q[:, :, start:stop], k[:, :, first:stop], v[:, :, first:stop], hidden)[0]
            )
        x = block.onwards(x, torch.cat(parts, 2).transpose(1, 2).flatten(0, 1))
    return caches


def _hidden(start: int, stop: int, window: int | None, device: torch.device) -> tuple[int, torch.Tensor]:
    """The first token that any of those from `start` to before `stop` sees, and what each of these does not
    see of the last ones (token, some last tokens)."""
    token = torch.arange(start, stop, device=device)[:, None]
    if window is None or window >= stop:
        return 0, token < token.T
    first = max(0, start - window + 1)
    seen = torch.arange(first, stop, device=device)
    return first, (seen > token) | (seen <= token - window)


def _runs(tower: Tower, layout: _Layout, caches: list[_Cache]) -> torch.Tensor:
    """The neuron of each run at each of its tokens (run, token), padded with minus infinity."""
    x = tower.embed(layout.ids, layout.places.of)
    for block, (keys, values) in zip(tower.blocks, caches, strict=True):
        q, k, v = block.heads(block.ln1(x), layout.places)
        own_q, own_k, own_v = (layout.by_run(part).transpose(1, 2) for part in (q, k, v))
        attended = _attend(block, own_q, own_k, own_v, layout.later(block.window))
        own_mixed, own_sum = (layout.of_runs(part) for part in attended)
        first, unseen = layout.unseen(block.window)
        text_k, text_v = (part[layout.rows, :, first : layout.length] for part in (keys, values))
        text_q = layout.by_text(q).transpose(1, 2)
        mixed, sum_ = _attend(block, text_q, text_k, text_v, unseen)
        share = torch.sigmoid(layout.of_texts(sum_) - own_sum)  # of attention that goes to the text
        mixed = own_mixed.lerp(layout.of_texts(mixed), share.to(own_mixed.dtype))
        if block is tower.blocks[-1]:
            middle = x if block.parallel else block.attended(x, mixed)
            found = tower.sign * block.neurons(block.ln2(middle), layout.neuron)
            return layout.by_run(found, -torch.inf)
        x = block.onwards(x, mixed)
    raise AssertionError("a tower has blocks")


def _attend(
    block: Block, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, hidden: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention of q (row, head, token, d_head) to k and v, and the log of the scores' sum (row, head,
    token, 1); `hidden` (row or 1, 1, token, seen) is what a token must not see of the last ones.

    Heads that share a key follow each other, and are multiplied with it as if they were tokens.
    """
    shape, by_key = q.shape[:3], (q.shape[0], k.shape[1], -1)
    q = (q * block.scale).reshape(*by_key, q.shape[3])
    scores = (q @ k.transpose(2, 3)).reshape(*shape, k.shape[2])
    if block.cap > 0:
        scores = block.cap * torch.tanh(scores / block.cap)
    scores[..., scores.shape[-1] - hidden.shape[-1] :].masked_fill_(hidden, _HIDDEN)
    highest = scores.amax(-1, keepdim=True)
    scores = scores.sub_(highest).clamp_(min=_LEAST).exp_()
    total = scores.sum(-1, keepdim=True)
    mixed = (scores.reshape(*by_key, k.shape[2]) @ v).reshape(*shape, v.shape[3])
    return mixed.div_(total), total.log() + highest


@dataclass(frozen=True)
class _Layout:
    """Where the tokens of some runs are: all in one row for the products with weights, which then need no
    padding, and (text, token) or (run, token) for attention."""

    ids: torch.Tensor  # (token)
    places: Places
    neuron: torch.Tensor  # (token); the neuron asked for
    rows: slice  # the texts they are of
    length: int  # tokens of those texts that any of them sees
    text_shape: tuple[int, int]
    text_slot: torch.Tensor  # (token); place in (text, token) counted through
    run_shape: tuple[int, int]
    run_slot: torch.Tensor  # the same in (run, token)
    first: int  # the lowest place of any of these tokens, and the end of the last one
    end: int
    begun: torch.Tensor  # (text, token); where its run begins
    text_place: torch.Tensor  # (text, token); its own place
    _windows: dict[int | None, tuple[int, torch.Tensor]] = field(default_factory=dict, init=False)

    @staticmethod
    def of(runs: Runs, rows: np.ndarray, chosen: np.ndarray, tower: Tower) -> _Layout:
        """The layout of the `chosen` ones of runs, in order; `rows` are those of their texts."""
        sizes, firsts, own_rows = runs.sizes[chosen], runs.firsts[chosen], rows[chosen]
        run = np.repeat(np.arange(len(chosen)), sizes)
        token = np.arange(len(run)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        text = (own_rows - own_rows[0])[run]
        of_text = np.arange(len(run)) - np.searchsorted(text, text)  # text is sorted
        text_shape = (int(text[-1]) + 1, int(of_text.max()) + 1)
        run_shape = (len(chosen), int(sizes.max()))
        text_slot = text * text_shape[1] + of_text
        length = max(1, int(firsts.max()))
        place = firsts[run] + token
        begun, text_place = np.zeros((2, *text_shape), np.int64)
        begun.flat[text_slot], text_place.flat[text_slot] = firsts[run], place
        ids = runs.ids[runs.begins[chosen][run] + token]
        neuron = runs.neurons[chosen][run]
        arrays = dict(ids=ids, neuron=neuron, text_slot=text_slot, begun=begun, text_place=text_place)
        arrays |= dict(run_slot=run * run_shape[1] + token)
        return _Layout(
            **{name: _moved(torch.from_numpy(array), tower) for name, array in arrays.items()},
            places=Places(_moved(torch.from_numpy(place), tower)),
            rows=slice(int(own_rows[0]), int(own_rows[-1]) + 1),
            length=length,
            text_shape=text_shape,
            run_shape=run_shape,
            first=int(firsts.min()),
            end=int(place.max()) + 1,
        )

    def later(self, window: int | None) -> torch.Tensor:
        """What no token of a run sees of the run itself (token, token)."""
        return _hidden(0, self.run_shape[1], window, self.ids.device)[1]

    def unseen(self, window: int | None) -> tuple[int, torch.Tensor]:
        """The first token of a text that any of these sees, and what each does not see of the text's last
        ones, since its run has begun or its window ends (text, 1, token, some last tokens)."""
        if window is not None and window >= self.end:
            window = None
        if window not in self._windows:
            last = self.length - 1
            first = 0 if window is None else max(0, min(last, self.first - window + 1))
            seen = torch.arange(
                min(last, self.first) if window is None else first, self.length, device=self.ids.device
            )
            hidden = seen >= self.begun[..., None]
            if window is not None:
                hidden |= seen <= self.text_place[..., None] - window
            self._windows[window] = first, hidden[:, None]
        return self._windows[window]

    def by_text(self, values: torch.Tensor) -> torch.Tensor:
        """Values of the tokens in one row (token, ...) as (text, token, ...)."""
        return _padded(values, self.text_slot, self.text_shape, 0.0)

    def by_run(self, values: torch.Tensor, blank: float = 0.0) -> torch.Tensor:
        """The same as (run, token, ...)."""
        return _padded(values, self.run_slot, self.run_shape, blank)

    def of_texts(self, values: torch.Tensor) -> torch.Tensor:
        """(text, head, token, ...) as (token, head, ...)."""
        return values.transpose(1, 2).flatten(0, 1)[self.text_slot]

    def of_runs(self, values: torch.Tensor) -> torch.Tensor:
        """(run, head, token, ...) as (token, head, ...)."""
        return values.transpose(1, 2).flatten(0, 1)[self.run_slot]


def _padded(values: torch.Tensor, slot: torch.Tensor, shape: tuple[int, int], blank: float) -> torch.Tensor:
    out = values.new_full((shape[0] * shape[1], *values.shape[1:]), blank)
    out[slot] = values
    return out.unflatten(0, shape)


def _moved(values: torch.Tensor, tower: Tower) -> torch.Tensor:
    """Values on the model's device; a copy to an accelerator does not wait."""
    if tower.device.type == "cuda":
        return values.pin_memory().to(tower.device, non_blocking=True)
    return values.to(tower.device)
