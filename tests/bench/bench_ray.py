"""Cost of a cluster: what a shard costs beside this process, what a second worker brings, where a driver
ends.

Shards as the stage `activations` has them, of the embedded model; then of random weights in the shape of
solu-8l-pile, a text of 55 variants each, by one worker and by two of one core; then workers that only
wait. From this, computed and not measured: hours and GPUs for whole models. Needs Ray (`make cluster`
installs it). To print it alone, with another number of waiting workers and another speed of a GPU in GFLOP
a second:

    .venv/bin/python tests/bench/bench_ray.py 64 10000
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parent.parent))  # of a program that is run as a file
import bench_verification
from bench_llama import SHAPES, Shape

from pipeline.config import Config
from pipeline.engine.engines import InProcess
from pipeline.plan import STAGES, plan
from pipeline.run import run, store_of
from pipeline.verification import measurement

GOAL_OVERHEAD, GOAL_SECOND = 0.05, 1.7
WAITING, GPU_GFLOP_PER_S = 64, 10_000.0
_VARIANTS = 1_100  # of a neuron: 20 MAPs of 11 tokens with 5 replacements of each
_PREFIX = 500  # tokens before a phrase, in the middle of a text
_SHARD_ROWS = 4096
_DAY_H = 24
# Neurons of a layer and what a token costs; the two matrices of GPT-2's MLP count as three of two thirds.
WHOLE = (
    (3072, Shape("gpt2-small", 6, 12, 768, 12, 12, 2048, 0.0)),
    *((shape.n_neurons, shape) for shape in SHAPES),
    (14_336, Shape("Llama-3.1-8B", 16, 32, 4096, 32, 8, 14_336, 0.0)),
)


@dataclass(frozen=True)
class Measured:
    """The function of `activations` over the embedded model, which a worker makes for itself."""

    config: Config

    def __call__(self) -> Callable[[pa.Table], pa.Table]:
        """The function from encodings to activations."""
        stage = next(stage for stage in STAGES if stage.table == "activations")
        return stage.worker(None, stage.handed(self.config))


class Large:
    """Random weights in the shape of solu-8l-pile, one text of 55 variants for each shard."""

    def __call__(self) -> Callable[[pa.Table], pa.Table]:
        """The function from a shard to the peaks of its text."""
        import torch

        from pipeline.models import resumed_passes
        from pipeline.models.blocks import forms

        torch.set_num_threads(1)
        model = bench_verification.large()
        tower = forms.tower(model.bridge.original_model, bench_verification.LAYER)
        text = bench_verification.phrase(_PREFIX)
        batch = bench_verification.BATCH
        return lambda shard: pa.table({"peak": resumed_passes.peaks(tower, [text], batch)[0][0]})


def waits(seconds: float) -> Callable[[pa.Table], pa.Table]:
    """A function that gives back a shard after a while."""

    def wait(shard: pa.Table) -> pa.Table:
        time.sleep(seconds)
        return shard

    return wait


def taken(engine: Any, make: Callable[[], Any], shards: Iterable[pa.Table]) -> float:
    """Seconds from the first shard to the last result; processes have made their function before."""
    shards = list(shards)
    list(engine.map(make, shards[:2]))
    start = time.perf_counter()
    for _ in engine.map(make, shards):
        pass
    return time.perf_counter() - start


def in_turn(make: Callable[[], Any], shards: list[pa.Table], *engines: Any) -> list[float]:
    """Seconds that each engine takes, the best of three: a machine's speed changes meanwhile."""
    turns = [[taken(engine, make, shards) for engine in engines] for _ in range(3)]
    return [min(each) for each in zip(*turns, strict=True)]


def encodings() -> Iterator[pa.Table]:
    """Some shards of the embedded model's variants."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config(data=folder, neurons="0-63")
        run(config, until="encodings")
        rows = store_of(config).read("encodings", plan(config)["encodings"].key)
    yield from measurement.by_text(rows, pa.array([True] * len(rows)), _SHARD_ROWS)


def rows(n_waiting: int = WAITING, gpu: float = GPU_GFLOP_PER_S) -> dict[str, Any] | None:
    """All of it; None where Ray is not installed."""
    if find_spec("ray") is None:
        return None
    import ray
    import torch

    from pipeline.engine.ray_engine import Ray

    own = [str(Path(__file__).parent), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    # processes import this module, and are as quick as this one
    os.environ.update(PYTHONPATH=":".join(filter(None, own)), RAY_worker_niceness="0")
    ray.init(
        "local",
        num_cpus=max(3, n_waiting),
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # here, as in a worker of one core
    try:
        engines = partial(_engine, Ray)
        shards = list(encodings())[:12]
        measured = Measured(Config())
        with engines(1) as one, engines(2) as two:
            here, there = in_turn(measured, shards, InProcess(), one)
            alone, both = in_turn(Large(), shards[:8], one, two)
        with engines(n_waiting) as many:
            waiting = driving(many, shards[0], n_waiting)
    finally:
        ray.shutdown()
        torch.set_num_threads(threads)
    found = dict(overhead=there / here - 1, second=alone / both, shard_s=here / len(shards))
    return (
        found | waiting | dict(whole=[computed(n, shape, gpu) for n, shape in WHOLE], gpu_gflop_per_s=gpu)
    )


def driving(engine: Any, shard: pa.Table, n_waiting: int) -> dict[str, Any]:
    """How many shards and MB a second go to workers that give them back at once, and the milliseconds of
    its processor that the driver takes for each."""
    mb, n_shards = shard.nbytes / 2**20, 20 * n_waiting
    list(engine.map(partial(waits, 0.2), [shard] * 4 * n_waiting))  # every process has begun
    start, cpu = time.perf_counter(), time.process_time()
    for _ in engine.map(partial(waits, 0.0), [shard] * n_shards):
        pass
    rate = n_shards / (time.perf_counter() - start)
    found = dict(n_waiting=n_waiting, shards_per_s=rate, mb_per_s=2 * mb * rate, shard_mb=mb)
    return found | dict(driver_ms=1000 * (time.process_time() - cpu) / n_shards)


def _engine(kind: Any, workers: int) -> Any:
    return kind(Config(engine="ray", workers=workers, cpus_per_worker=1))


def computed(n_neurons: int, shape: Shape, gflop_per_s: float) -> dict[str, Any]:
    """What all layers of a model take at a speed: variants, hours of one GPU, GPUs for a day, and how many
    shards of theirs a second come to the driver."""
    variants = shape.n_layers * n_neurons * _VARIANTS
    texts = variants / (bench_verification.PHRASE * bench_verification.EACH)
    hours = texts * shape.operations(_PREFIX) / 1e9 / gflop_per_s / 3600
    gpus = math.ceil(hours / _DAY_H)
    shards = variants / _SHARD_ROWS / (hours / gpus * 3600)
    return dict(name=shape.name, variants=variants, hours=hours, gpus=gpus, shards_per_s=shards)


def table(gflop_per_s: float = GPU_GFLOP_PER_S) -> str:
    """What whole models take, as it stands in the README."""
    lines = [
        "| model | neurons | variants | hours of a GPU | GPUs for a day | shards a second then |",
        "|---|---|---|---|---|---|",
    ]
    for n, shape in WHOLE:
        row = computed(n, shape, gflop_per_s)
        lines.append(
            f"| {row['name']} | {shape.n_layers} x {n:,} | {row['variants'] / 1e6:,.0f} million | "
            f"{row['hours']:,.1f} | {row['gpus']} | {row['shards_per_s']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def told(found: dict[str, Any] | None) -> str:
    """It as it is printed."""
    if found is None:
        return "a cluster: not measured, Ray is not installed (`make cluster` installs it)"
    lines = [
        f"a shard of {_SHARD_ROWS:,} rows ({found['shard_mb']:.1f} MB, {found['shard_s']:.2f} s): "
        f"{found['overhead']:+.1%} in another process (goal: {GOAL_OVERHEAD:.0%})",
        f"a second worker of one core, shape of solu-8l-pile: {found['second']:.2f} x "
        f"(goal: {GOAL_SECOND} x)",
        f"a driver of {found['n_waiting']} workers that only wait: {found['shards_per_s']:.0f} shards "
        f"a second, {found['mb_per_s']:.0f} MB a second to them and back, {found['driver_ms']:.1f} ms of "
        "its processor for each",
        f"computed, not measured, at {found['gpu_gflop_per_s']:,.0f} GFLOP a second of a GPU:",
    ]
    lines += [
        f"    {each['name']:<14} {each['variants'] / 1e6:>6.0f} M variants, {each['hours']:>8.1f} hours of "
        f"a GPU; in a day {each['gpus']:>4} GPUs, {each['shards_per_s']:.1f} shards a second"
        for each in found["whole"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    given = sys.argv[1:]
    print(told(rows(*(kind(value) for kind, value in zip((int, float), given, strict=False)))))
