"""What evidence against chance costs: the tests of step 1 over an invented layer of 4,096 neurons."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parent.parent))  # of a program that is run as a file
from given import Given

from pipeline.config import Config
from pipeline.identification import dominance, groups, likeness
from pipeline.language.hypernyms import FILES
from pipeline.language.word_vectors import Vectors
from pipeline.resources import resource
from pipeline.tables import TABLES

_TEXTS, _TOKENS, _WORDS, _WIDTH, _AROUND = 20, 128, 20_000, 100, 8


def layer(neurons: int) -> Given:
    """An invented layer: each neuron's MATs are five words of its own, its texts words by Zipf's law."""
    import pyarrow.parquet as pq

    draw = np.random.default_rng(0)
    names = pq.read_table(resource("data/wordnet") / list(FILES)[-1])["word"].to_pylist()
    names = draw.permutation([name for name in names if name.isalpha()])[:_WORDS].tolist()
    share = 1 / (np.arange(_WORDS) + 2.7)
    matrix = draw.normal(size=(_WORDS, _WIDTH)).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    vectors = Vectors(names, share / share.sum(), matrix)
    n_maps = neurons * _TEXTS
    own = draw.choice(_WORDS, (neurons, 5), p=share / share.sum())
    mats = np.take_along_axis(own, draw.integers(0, 5, (neurons, _TEXTS)), 1).ravel()
    words = np.array(names, object)
    keys = dict(
        model=["m"] * n_maps,
        layer=np.zeros(n_maps, np.int32),
        sign=np.full(n_maps, "positive", object),
        neuron=np.repeat(np.arange(neurons), _TEXTS).astype(np.int32),
        rank=np.tile(np.arange(_TEXTS), neurons).astype(np.int32),
    )
    mat_words = dict(
        **keys,
        duplicate=np.zeros(n_maps, bool),
        token=words[mats],
        word=words[mats],
        whole_word=words[mats],
        activation=np.sort(draw.random((neurons, _TEXTS)))[:, ::-1].ravel().astype(np.float32) + 1,
    )
    around = draw.choice(_WORDS, (n_maps, _AROUND), p=share / share.sum())
    spoken = {name: np.repeat(values, _AROUND) for name, values in keys.items()}
    spoken |= dict(word_index=np.tile(np.arange(_AROUND), n_maps), word=words[around.ravel()])
    spoken |= dict(is_mat=np.zeros(n_maps * _AROUND, bool))
    said = draw.choice(_WORDS, n_maps * _TOKENS, p=share / share.sum())
    ends = np.arange(0, n_maps * _TOKENS + 1, _TOKENS, dtype=np.int32)
    samples = dict(
        **keys,
        tokens=pa.ListArray.from_arrays(ends, pa.array(words[said], pa.string())),
        activations=pa.ListArray.from_arrays(ends, draw.normal(size=len(said)).astype(np.float32)),
        text_start=np.zeros(n_maps, np.int32),
        mat_index=np.full(n_maps, _TOKENS - 1, np.int32),
    )
    return Given(
        dict(
            mat_words=pa.table(mat_words, schema=TABLES["mat_words"].schema),
            words=pa.table(spoken),
            samples=pa.table(samples),
            vocabulary=vectors.to_table(),
        )
    )


def rows(neurons: int = 4096) -> dict[str, Any]:
    """Seconds of each test over a layer."""
    inputs, seconds = layer(neurons), {}
    for stage in (likeness.STAGE, dominance.STAGE, groups.STAGE):
        start = time.perf_counter()
        settings = stage.handed(Config())
        work = stage.worker(inputs, settings)  # type: ignore[misc, arg-type]
        for shard in stage.shards(inputs, settings):  # type: ignore[arg-type]
            work(shard)
        seconds[stage.table] = time.perf_counter() - start
    return dict(neurons=neurons, draws=likeness.n_draws(neurons, Config().fdr), seconds=seconds)


def told(found: dict[str, Any]) -> str:
    """A line for people."""
    parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in found["seconds"].items())
    return (
        f"evidence of {found['neurons']:,} neurons, {found['draws']:,} draws: "
        f"{sum(found['seconds'].values()):.1f} s ({parts})"
    )


if __name__ == "__main__":
    print(told(rows()))
