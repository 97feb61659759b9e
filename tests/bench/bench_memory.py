"""The most memory that each Python stage takes, for a layer of a published model all of whose neurons are
candidates: 4,096 neurons of 20 texts of 1,024 tokens, and 4.5 million variants.

Texts and vocabulary are invented, the model is one that knows its tokens and computes nothing; the
pipeline's own code makes all other tables from them, each in a process of its own, as a run does: inputs
read from the store, rows checked and written. What that process takes before it makes anything, Python and
its packages, counts too.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import synthetic
import torch
from bench_sql import NEURONS, TOKENS, apart, make
from bench_stages import Idle

from pipeline.config import Config
from pipeline.models import language_model
from pipeline.plan import plan
from pipeline.run import part_of

_FACTS: dict[str, Any] = dict(created="", warnings=[], made_of={})
_GB = 2.0  # that no stage may exceed
_INVENTED = ("pages", "samples", "vocabulary")


class Invented:
    """A model whose tokens are the made-up words, each with a space before it, that computes nothing: a
    neuron of its layer is 1 at its own words."""

    n_ctx, batch_tokens, turns_at, bos_id, n_neurons, dtype = TOKENS + 1, 2048, None, 0, NEURONS, None
    tokenizer = SimpleNamespace(added_tokens_decoder={})

    def __init__(self, layer: synthetic.Layer) -> None:
        self.own = torch.from_numpy(1 + layer.own)  # as ids, of which the first is that of <s>

    @cached_property
    def token_texts(self) -> list[str]:
        return ["<s>", *(f" {name}" for name in synthetic.names())]

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {text: number for number, text in enumerate(self.token_texts)}

    def ids_of(self, token: str) -> list[int]:
        return [self._ids[token]] if token in self._ids else []

    def opens(self, token: str) -> bool:
        return token[:1] == " "

    def encode_parts(self, texts: list[str]) -> list[list[int]]:
        return [[self._ids.get(f" {word}", 1) for word in text.split()] for text in texts]

    def spells(self, ids: list[int], tokens: list[str]) -> bool:
        return len(ids) == len(tokens) and all(
            self.token_texts[i] == t for i, t in zip(ids, tokens, strict=True)
        )

    def tower(self, layer: int) -> Idle:
        return Idle()

    def activations(self, ids: torch.Tensor, layer: int) -> _Asked:
        """What neurons are at each token, once it is asked which: (text, token, neuron)."""
        return _Asked(ids, self.own)


class _Asked:
    """Activations of all neurons, of which only those that are asked for are computed."""

    def __init__(self, ids: torch.Tensor, own: torch.Tensor) -> None:
        self.ids, self.own = ids, own

    def __getitem__(self, asked: tuple[slice, slice, list[int]]) -> torch.Tensor:
        texts, tokens, neurons = asked
        return (self.ids[texts, tokens, None, None] == self.own[neurons]).any(-1).float()


def _made(config: Config, names: list[str], layer: synthetic.Layer) -> dict[str, tuple[float, float]]:
    """Make tables as a run does, with the invented model; their seconds, and those of the processor."""
    load = language_model.load
    language_model.load = lambda *given: Invented(layer)  # type: ignore[assignment]
    try:
        return make(config, names)
    finally:
        language_model.load = load


def rows(
    neurons: int = NEURONS,
    tokens: int = TOKENS,
    only: tuple[str, ...] = (),
    run_apart: Callable[..., tuple[Any, float]] = apart,
) -> Iterator[dict[str, Any]]:
    """The most memory of each Python stage, and its seconds; of `only` some where they are named."""
    folder = Path(tempfile.mkdtemp(prefix="bench-memory-"))
    config = Config(
        source="scan",
        similarity=-1,
        activation=0,
        score=True,
        describe_groups=True,
        precision="bfloat16",
        data=str(folder),
    )
    tables = part_of(config)
    tables.store.prepare()
    layer = synthetic.Layer(config.one_layer, neurons, tokens)
    given = dict(pages=synthetic.pages, samples=synthetic.samples, vocabulary=synthetic.vocabulary)
    try:
        for name, planned in plan(config).items():
            if name in given:
                tables.store.write(name, planned.key, given[name](layer), _FACTS)
                continue
            made, most = run_apart(_made, config, [name], layer)
            if not planned.stage.sql:
                yield dict(table=name, n=tables.n_rows(name), memory_gb=most, seconds=made[name][0])
            if only and name == only[-1]:
                return
    finally:
        shutil.rmtree(folder)


def told(row: dict[str, Any]) -> str:
    """A row as it is printed."""
    beyond = "" if row["memory_gb"] <= _GB else f", more than {_GB:.0f} GB"
    return (
        f"{row['table']:<18} {row['n']:>11,} rows {row['seconds']:7.1f} s"
        f" {row['memory_gb']:6.2f} GB at most{beyond}"
    )


if __name__ == "__main__":
    size = int(sys.argv[1]) if len(sys.argv) > 1 else NEURONS
    start = time.perf_counter()
    for found in rows(size, only=tuple(sys.argv[2:])):
        print(told(found), flush=True)
    print(f"{size:,} neurons of {TOKENS:,} tokens: {time.perf_counter() - start:.0f} s")
