"""Speed of a scan: tokens a second beside bare passes up to the last layer, and beside run_with_cache.

Random weights in the shapes of SmolLM2-135M, whole, layer 3, and of solu-8l-pile, all layers, with few
tokens; random texts. All layers are scanned together, and the highest alone. Times are of the processor,
so what else the machine does counts little. To print it alone:

    .venv/bin/python tests/bench/bench_scan.py
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))  # of a program that is run as a file
import bench_llama
import bench_verification

from pipeline.engine.engines import InProcess
from pipeline.models import batches
from pipeline.models.language_model import LanguageModel
from pipeline.samples import peaks, search, text_windows
from pipeline.samples.measured_again import Measured, Measurer
from pipeline.samples.search import Search, Searcher
from pipeline.samples.text_windows import Text
from pipeline.samples.unfinished import Unfinished
from pipeline.samples.winners import Side

SHAPE = replace(bench_llama.SHAPES[0], layer=3)
GOAL_BARE, GOAL_CACHE, GOAL_LAYERS = 0.85, 2.2, 1.3
_SOME = 4  # windows of which the loop's time is told from
_TURNS = 3
_WORDS = bench_llama.SHAPE["d_vocab"]


class Spelled(LanguageModel):
    """A model whose texts are the ids of their tokens, with blanks between."""

    @property
    def bos_id(self) -> int:
        """No token of a text."""
        return 0

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text."""
        return [[int(each) for each in text.split()] for text in texts]


@dataclass(frozen=True)
class Subject:
    """A model that is scanned, and its layers up to the last one asked for."""

    name: str
    model: Spelled
    layers: tuple[int, ...]
    n_neurons: int

    def search(self, layers: tuple[int, ...]) -> Search:
        """The search of some layers, of the 20 best windows."""
        sides = tuple(Side(layer, self.n_neurons) for layer in layers)
        return Search(sides, 20, min(1024, self.model.n_ctx))


def subject(shape: bench_llama.Shape) -> Subject:
    """A model of Llama's form, whole."""
    bare = bench_llama.model_of(shape)
    model = Spelled(shape.name, bare.bridge, None, shape.n_neurons)
    return Subject(shape.name, model, tuple(range(shape.layer + 1)), shape.n_neurons)


def subjects() -> Iterator[Subject]:
    """Both shapes."""
    yield subject(SHAPE)
    large, shape = bench_verification.large(), bench_verification.SHAPE
    model = Spelled("solu-8l-pile", large.bridge, None, shape["d_mlp"])
    yield Subject("solu-8l-pile", model, tuple(range(shape["n_layers"])), shape["d_mlp"])


def texts(n_tokens: int) -> list[str]:
    """Random texts of at most 2,000 tokens, so many tokens in all."""
    draw = np.random.default_rng(0)
    found = []
    while n_tokens > 0:
        ids = draw.integers(1, _WORDS, min(n_tokens, int(draw.integers(50, 2000))))
        found.append(" ".join(map(str, ids)))
        n_tokens -= len(ids)
    return found


def seconds(work: Callable[[], object]) -> float:
    """Of the processor."""
    start = time.process_time()
    work()
    return time.process_time() - start


def row(given: Subject, n_tokens: int = 60_000) -> dict[str, Any]:
    """Seconds of the pass over all windows for all layers and for the highest one alone, of bare passes
    over the same batches, of the model as it was loaded and in the blocks in which it is scanned, of the
    loop, and of measuring the winners again."""
    model, last = given.model, given.layers[-1]
    lines = texts(n_tokens)
    text = Text(lambda: lines, len(lines))
    every = given.search(given.layers)
    [texts_range] = text.ranges()
    found = text_windows.windows(model, texts_range, every.longest)
    group = sorted(found, key=lambda each: len(each.ids))
    computed = list(search.of_range(model.batch_tokens, group, 0, 0, len(lines)))
    windows = [window.ids for batch in computed for window in batch.windows]

    def bare_passes() -> None:
        for batch in computed:
            model.measured(batches.padded([window.ids for window in batch.windows]), last)

    def own_blocks() -> None:
        for batch in computed:
            ids = batches.padded([window.ids for window in batch.windows])
            model.look_through(ids, {last: lambda values: None})

    def loop() -> None:
        for ids in windows[:: max(1, len(windows) // _SOME)]:
            hooks = [model.hook(layer) for layer in given.layers]
            with torch.no_grad():
                found = model.bridge.run_with_cache(torch.tensor([ids]), names_filter=hooks)
            for hook in hooks:
                found[1][hook][0, 1:].amax(0)

    def scan(what: Search, unfinished: Unfinished) -> Measured:
        worker = partial(Searcher, what, model)
        return Measured(what, peaks.find(what, worker, text, unfinished, InProcess()), unfinished)

    def again(what: Search) -> tuple[float, int]:
        measured = scan(what, Unfinished())
        work = lambda: measured.measure(partial(Measurer, what, model), model, text, InProcess())  # noqa: E731
        return seconds(work), len(measured.windows)

    alone = given.search((last,))
    # the machine's speed changes from minute to minute: everything in turn, the best of each counts
    works = (
        lambda: scan(every, Unfinished()),
        lambda: scan(alone, Unfinished()),
        bare_passes,
        own_blocks,
        loop,
    )
    turns = [[seconds(work) for work in works] for _ in range(_TURNS)]
    scan_s, alone_s, bare_s, own_s, loop_s = (min(each) for each in zip(*turns, strict=True))
    looped = windows[:: max(1, len(windows) // _SOME)]
    loop_s *= sum(map(len, windows)) / sum(map(len, looped))
    what = f"scan of {n_tokens:,} tokens, shape of {given.name}, {len(given.layers)} layers"
    sizes = dict(tokens=sum(map(len, windows)), windows=len(windows))
    times = dict(scan_s=scan_s, alone_s=alone_s, bare_s=bare_s, own_s=own_s, loop_s=loop_s)
    (again_s, won), (again_alone_s, won_alone) = again(every), again(alone)
    times |= dict(again_s=again_s, again_alone_s=again_alone_s)
    return dict(what=what, **times, **sizes, won=won, won_alone=won_alone)


def rows() -> Iterator[dict[str, Any]]:
    """Both shapes; solu-8l-pile, whose passes take ten times as long, over fewer tokens."""
    for each, n_tokens in zip(subjects(), (60_000, 6_000), strict=True):
        yield row(each, n_tokens)


def told(found: dict[str, Any]) -> str:
    """Lines for people."""
    names = ("scan", "bare", "own", "loop")
    ours, bare, own, loop = (found["tokens"] / found[f"{name}_s"] for name in names)
    return (
        f"{found['what']}: {ours:,.0f} tokens/s, {ours / bare:.0%} of bare passes ({bare:,.0f}) "
        f"and {ours / own:.0%} of those in its own blocks ({own:,.0f}), "
        f"{ours / loop:.1f} x run_with_cache ({loop:,.0f}), {found['scan_s'] / found['alone_s']:.2f} x "
        f"the time of the highest layer alone\n"
        f"    goals: {GOAL_BARE:.0%}, {GOAL_CACHE} x and {GOAL_LAYERS} x; {found['won']:,} of "
        f"{found['windows']:,} windows measured again in {found['again_s']:.1f} s (highest layer alone "
        f"{found['won_alone']:,} in {found['again_alone_s']:.1f} s)"
    )


if __name__ == "__main__":
    for each in rows():
        print(told(each), flush=True)
