"""What is put into the place of a word: its nearest neighbours, and unrelated words as controls.

In: `candidates`, `maps`, `words`, `vocabulary`. Out: `synonyms`. All neighbours at once by a matrix
product. A control is drawn, with a seed of the word's own, from the less similar half of the words next
to it by frequency. Words without a vector have neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import fasttext, tables, word
from pipeline.config import Config
from pipeline.engine import Worker
from pipeline.word_vectors import Vectors, nearest

_NEURON = ["model", "layer", "neuron"]
_SHARD_ROWS = 8192
_LIKE_FREQUENCY = 100  # words on each side by frequency from which controls are drawn
_SPARE = 30  # neighbours looked at beyond those wanted, where inflections are skipped


def shards(inputs: Mapping[str, pa.Table]) -> Iterator[pa.Table]:
    """Runs of the distinct words that can be replaced in candidates' MAPs, sorted."""
    maps = inputs["maps"].select([*_NEURON, "rank", "duplicate"])
    maps = maps.filter(pc.invert(maps["duplicate"])).join(
        inputs["candidates"].select(_NEURON), keys=_NEURON, join_type="left semi"
    )
    words = inputs["words"].select([*_NEURON, "rank", "word", "replaceable"])
    words = words.filter(words["replaceable"]).join(maps, keys=[*_NEURON, "rank"], join_type="left semi")
    distinct = pa.table({"word": sorted(pc.unique(words["word"]).to_pylist())})
    for start in range(0, len(distinct), _SHARD_ROWS):
        yield distinct.slice(start, _SHARD_ROWS)


def worker(config: Config, inputs: Mapping[str, pa.Table]) -> Worker:
    """The function from words to their replacements, with the vocabulary at hand."""
    vectors = Vectors.from_table(inputs["vocabulary"])
    keep = [i for i, name in enumerate(vectors.words) if word.alphabetic(name)]
    usable = Vectors([vectors.words[i] for i in keep], vectors.frequencies[keep], vectors.matrix[keep])
    return lambda shard: replacements(shard["word"].to_pylist(), usable, config)


def replacements(words: list[str], vectors: Vectors, config: Config) -> pa.Table:
    """Synonyms and controls of each known word, as rows of `synonyms`."""
    known = [name for name in words if name in vectors.places]
    queries = np.array([vectors.places[name] for name in known], np.int64)
    skip = config.inflections == "skip"
    wanted = config.synonyms + (_SPARE if skip else 0)
    near, cosines = nearest(vectors.matrix, queries, wanted)
    rows = []
    for name, own, neighbours, scores in zip(known, queries, near, cosines, strict=True):
        pairs = list(zip(neighbours.tolist(), scores.tolist(), strict=True))
        if skip:
            pairs = [p for p in pairs if not fasttext.inflection(name, vectors.words[p[0]])]
        rows += _rows(name, "synonym", pairs[: config.synonyms], vectors.words)
        rows += _rows(name, "control", _controls(int(own), vectors, config), vectors.words)
    return pa.Table.from_pylist(rows, schema=tables.TABLES["synonyms"].schema)


def _controls(own: int, vectors: Vectors, config: Config) -> list[tuple[int, float]]:
    """Unrelated words of like frequency, drawn with a seed of the word's own; (place, cosine)."""
    first = max(0, own - _LIKE_FREQUENCY)
    scores = vectors.matrix[first : own + _LIKE_FREQUENCY + 1] @ vectors.matrix[own]
    by_score = np.argsort(scores, kind="stable")[: int(config.control_share * len(scores))]
    unrelated = np.sort(by_score)
    draw = np.random.default_rng([config.seed, crc32(vectors.words[own].encode())])
    drawn = draw.permutation(unrelated)[: config.controls]
    return [(first + int(place), float(scores[place])) for place in drawn]


def _rows(
    name: str, kind: str, pairs: list[tuple[int, float]], names: list[str]
) -> list[dict[str, object]]:
    return [
        dict(word=name, kind=kind, rank=rank, neighbour=names[place], cosine=cosine)
        for rank, (place, cosine) in enumerate(pairs)
    ]
