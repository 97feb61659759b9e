"""Speed of a scan: tokens a second beside bare passes up to the layer, and beside a loop of run_with_cache.

Random weights in the shape of SmolLM2-135M, whole, few tokens, layer 3; random texts. To print it alone:

    .venv/bin/python tests/bench/bench_scan.py
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))  # of a program that is run as a file
import bench_llama
from bench import best_of

from pipeline.config import Config
from pipeline.models import batches
from pipeline.models.language_model import LanguageModel
from pipeline.samples import peaks
from pipeline.samples.measured_again import Measured
from pipeline.samples.peaks import At
from pipeline.samples.unfinished import Unfinished

SHAPE = replace(bench_llama.SHAPES[0], layer=3)
GOAL_BARE, GOAL_CACHE = 0.85, 2.2
_SOME = 10  # windows of which the loop's time is told from


class Spelled(LanguageModel):
    """A model whose texts are the ids of their tokens, with blanks between."""

    @property
    def bos_id(self) -> int:
        """No token of a text."""
        return 0

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text."""
        return [[int(each) for each in text.split()] for text in texts]


def texts(n_tokens: int) -> list[str]:
    """Random texts of at most 2,000 tokens, so many tokens in all."""
    draw = np.random.default_rng(0)
    found = []
    while n_tokens > 0:
        ids = draw.integers(1, bench_llama.SHAPE["d_vocab"], min(n_tokens, int(draw.integers(50, 2000))))
        found.append(" ".join(map(str, ids)))
        n_tokens -= len(ids)
    return found


def row(shape: bench_llama.Shape = SHAPE, n_tokens: int = 60_000) -> dict[str, Any]:
    """Seconds of the pass over all windows, of bare passes over the same batches, of the loop, and of
    measuring the winners again."""
    bare = bench_llama.model_of(shape)
    model = Spelled(shape.name, bare.bridge, None, shape.n_neurons)
    config, lines = Config(layer=shape.layer, samples=20), texts(n_tokens)
    computed = list(peaks.of_text(config, model, lines, At()))
    windows = [window.ids for batch in computed for window in batch.windows]

    def bare_passes() -> None:
        for batch in computed:
            model.measured(batches.padded([window.ids for window in batch.windows]), shape.layer)

    def loop() -> None:
        for ids in windows[:: max(1, len(windows) // _SOME)]:
            with torch.no_grad():
                found = model.bridge.run_with_cache(
                    torch.tensor([ids]), names_filter=model.hook(shape.layer)
                )
            found[1][model.hook(shape.layer)][0, 1:].amax(0)

    def scan() -> None:
        peaks.find(config, model, lambda: lines, Unfinished())

    # the machine's speed changes from minute to minute: everything in turn, the best of each counts
    turns = [(best_of(1, scan), best_of(1, bare_passes)) for _ in range(3)]
    looped = windows[:: max(1, len(windows) // _SOME)]
    loop_s = best_of(2, loop) * sum(map(len, windows)) / sum(map(len, looped))
    unfinished = Unfinished()
    measured = Measured(peaks.find(config, model, lambda: lines, unfinished), unfinished)
    again_s = best_of(1, lambda: measured.measure(config, model, lambda: lines))
    scan_s, bare_s = (min(each) for each in zip(*turns, strict=True))
    what = f"scan of {n_tokens:,} tokens, shape of {shape.name}, layer {shape.layer}"
    sizes = dict(tokens=sum(map(len, windows)), windows=len(windows), won=len(measured.windows))
    return dict(what=what, scan_s=scan_s, bare_s=bare_s, loop_s=loop_s, again_s=again_s) | sizes


def told(found: dict[str, Any]) -> str:
    """Lines for people."""
    ours, bare, loop = (found["tokens"] / found[f"{name}_s"] for name in ("scan", "bare", "loop"))
    return (
        f"{found['what']}: {ours:,.0f} tokens/s, {ours / bare:.0%} of bare passes ({bare:,.0f}), "
        f"{ours / loop:.1f} x run_with_cache ({loop:,.0f})\n"
        f"    goals: {GOAL_BARE:.0%} and {GOAL_CACHE} x; {found['won']:,} of {found['windows']:,} windows "
        f"measured again in {found['again_s']:.1f} s"
    )


if __name__ == "__main__":
    print(told(row()))
