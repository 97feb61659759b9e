"""Memory of a scan of the shape of solu-8l-pile: eight layers of 4,096 neurons, texts of 1,024 tokens.

Activations are invented, so that all memory but their own is the scan's: each neuron has its 20 windows.
The rows are made in batches, as a run writes them. To print it alone:

    .venv/bin/python tests/bench/bench_scan_memory.py
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.config import Config
from pipeline.engine.engines import InProcess
from pipeline.samples.scan import Scan
from pipeline.samples.text_windows import Text
from pipeline.samples.unfinished import Unfinished

ROOT = Path(__file__).parents[2]
GOAL_GB = 2.0
_KINDS, _SCALES = 97, 199  # of tokens and of windows, as far as activations go


@dataclass
class Invented:
    """A model without weights: what a neuron does is a product of what its token and its window say."""

    n_layers: int = 8
    n_neurons: int = 4096
    n_ctx: int = 1024
    n_tokens: int = 50_000
    batch_tokens: int = 2048
    bos_id: int = 0
    device: str = "cpu"
    _by_token: list[torch.Tensor] = field(init=False)
    _by_window: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        shape = (_KINDS, self.n_neurons)
        self._by_token = [torch.rand(shape, generator=draw) for _ in range(self.n_layers)]
        self._by_window = torch.rand((_SCALES, self.n_neurons), generator=draw)
        self.token_texts = [f" token{number}" for number in range(self.n_tokens)]

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """A text is the seed of its ids."""
        return [
            np.random.default_rng(int(text)).integers(1, self.n_tokens, self.n_ctx - 1).tolist()
            for text in texts
        ]

    def look_through(self, ids: torch.Tensor, see: dict[int, Any]) -> None:
        """Invented activations of each layer."""
        for layer, look in see.items():
            values = self._by_token[layer][ids % _KINDS]
            own = (ids[:, 1] + 31 * layer) % _SCALES
            look(values.mul_(self._by_window[own][:, None]))


def resident_gb() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def row(model: Invented | None = None, n_texts: int = 40, samples: int = 20) -> dict[str, Any]:
    """The most memory beside the model, after each part of the work, and its seconds."""
    model = model or Invented()
    parts = [replace(Config(samples=samples), layer=layer) for layer in range(model.n_layers)]
    see = dict.fromkeys(range(model.n_layers), lambda values: values.float().amax(1))
    model.look_through(torch.ones((2, model.n_ctx), dtype=torch.long), see)
    before, start = resident_gb(), time.process_time()
    text = Text(lambda: map(str, range(n_texts)), n_texts)
    found = Scan(parts, lambda part: model, text, Unfinished(), InProcess())  # type: ignore[arg-type, return-value]
    scanned, rows, tokens = resident_gb(), 0, 0
    for part in range(model.n_layers):
        for table in found.rows(part):
            rows, tokens = rows + len(table), tokens + len(table["activations"].combine_chunks().values)
    facts = dict(rows=rows, tokens=tokens, seconds=time.process_time() - start)
    facts |= dict(scan_gb=scanned - before, rows_gb=resident_gb() - before, goal_gb=GOAL_GB)
    shape = f"{model.n_layers} layers of {model.n_neurons:,} neurons, texts of {model.n_ctx:,} tokens"
    return dict(what=f"scan of {shape}") | facts


def told(found: dict[str, Any]) -> str:
    """A line for people."""
    return (
        f"{found['what']}: at most {found['scan_gb']:.2f} GB beside the model, {found['rows_gb']:.2f} GB "
        f"with its {found['rows']:,} rows ({found['tokens']:,} tokens, {found['seconds']:.0f} s); "
        f"goal: {found['goal_gb']:.0f} GB"
    )


def alone() -> dict[str, Any]:
    """The same in a process of its own, where nothing has taken more memory before."""
    code = "import json, bench_scan_memory; print(json.dumps(bench_scan_memory.row()))"
    folders = os.pathsep.join([str(Path(__file__).parent), str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": folders},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


if __name__ == "__main__":
    print(told(row()))
