"""Variants a second of the Python stages of verification, without the model's arithmetic, on one core.

Seconds are those of the process, on the embedded model's own variants.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "verification"))
import one_by_one

from pipeline.config import Config
from pipeline.models import language_model
from pipeline.models.language_model import LanguageModel
from pipeline.plan import plan
from pipeline.run import run, store_of
from pipeline.verification import encodings, measurement


def seconds_of(work: Callable[[], object], times: int = 3) -> float:
    """Processor seconds of the fastest of some calls."""
    found = []
    for _ in range(times):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


class Idle:
    """A tower whose blocks compute nothing: what is left is preparing and collecting."""

    def __init__(self) -> None:
        self.device, self.blocks, self.cache_bytes = torch.device("cpu"), [_Block()], 4096

    def token_bytes(self, seen: int) -> int:
        return 4096 + 64 * seen

    def embed(self, ids: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return ids.new_zeros((len(ids), 4), dtype=torch.float32)


class _Block:
    """A block of heads of one number."""

    window, cap, scale, parallel = None, 0.0, 1.0, True
    ln1 = ln2 = staticmethod(lambda x: x)

    def heads(self, x: torch.Tensor, places: object) -> tuple[torch.Tensor, ...]:
        return (x[:, :1, None],) * 3

    def neurons(self, x: torch.Tensor, neuron: torch.Tensor) -> torch.Tensor:
        return x[:, 0]


class IdleModel:
    """A model whose tower computes nothing."""

    batch_tokens, turns_at = 2048, None

    def tower(self, layer: int) -> Idle:
        return Idle()


def rows(most: int = 30_000) -> list[dict[str, object]]:
    """The stages, on some variants of a default run."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config(data=folder)
        run(config, until="encodings")
        names = ("variants", "samples", "encodings")
        tables = {name: store_of(config).read(name, plan(config)[name].key) for name in names}
    return [*_ids(language_model.load(config), tables, most), measuring(tables["encodings"], config)]


def _ids(model: LanguageModel, tables: dict[str, pa.Table], most: int) -> list[dict[str, object]]:
    """Ids of the variants of some whole phrases: as the stage finds them, and one text after the other."""
    samples, config = tables["samples"], Config()
    starts = np.flatnonzero(tables["variants"]["variant"].to_numpy() == 0)
    parts = [tables["variants"].slice(0, int(starts[starts <= n][-1])) for n in (most, most // 8)]
    ways: list[Callable[[pa.Table], pa.Table]] = [
        lambda part: encodings.Encoder(config, model, samples)(part),  # noqa: PLW0108  (one that has learnt nothing)
        lambda part: one_by_one.encoded(part, samples, model, config),
    ]
    return [
        dict(what=what, n=len(part), seconds=seconds_of(lambda way=way, part=part: way(part)))
        for what, way, part in zip(("ids", "ids, each text tokenised"), ways, parts, strict=True)
    ]


def measuring(table: pa.Table, config: Config) -> dict[str, object]:
    """Preparing and collecting measurements."""
    wanted, model = pa.array([True] * len(table)), IdleModel()

    def work() -> None:
        for shard in measurement.by_text(table, wanted, 4096):
            measurement.measure(shard, model, config)  # type: ignore[arg-type]

    return dict(what="preparing and collecting measurements", n=len(table), seconds=seconds_of(work))


def told(row: dict[str, object]) -> str:
    """A row as it is printed."""
    each = row["seconds"] / row["n"]  # type: ignore[operator]
    return f"{row['what']}: {1 / each:,.0f} variants a second of a core, {1e6 * each:.1f} µs each"


if __name__ == "__main__":
    for found in rows():
        print(told(found))
