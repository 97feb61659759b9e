"""The replacements of a word: its nearest neighbours, and unrelated words as controls.

In: `candidates`, `maps`, `words`, `vocabulary`. Out: `synonyms`. Neighbours are found by one matrix
product. Controls are drawn, with a seed per word, from the less similar half of the words of similar
frequency. Words without a vector have neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.config import Config
from pipeline.engine.engines import Worker
from pipeline.engine.stage import Inputs, Stage
from pipeline.language import fasttext, word
from pipeline.language.word_vectors import Vectors, nearest
from pipeline.tables.columns import NEURON_KEY

_NEURON = list(NEURON_KEY)
_SHARD_ROWS = 8192
_LIKE_FREQUENCY = 100  # words on each side in order of frequency from which controls are drawn
_SPARE = 30  # more neighbours that are considered where inflections are skipped


def _shards(inputs: Inputs, settings: Config) -> Iterator[pa.Table]:
    """Runs of the distinct words that can be replaced in the MAPs of candidates, sorted."""
    maps = inputs["maps"].select([*_NEURON, "rank", "duplicate"])
    maps = maps.filter(pc.invert(maps["duplicate"])).join(
        inputs["candidates"].select(_NEURON), keys=_NEURON, join_type="left semi"
    )
    words = inputs["words"].select([*_NEURON, "rank", "word", "replaceable"])
    words = words.filter(words["replaceable"]).join(maps, keys=[*_NEURON, "rank"], join_type="left semi")
    distinct = pa.table({"word": sorted(pc.unique(words["word"]).to_pylist())})
    for start in range(0, len(distinct), _SHARD_ROWS):
        yield distinct.slice(start, _SHARD_ROWS)


def replacements(words: list[str], vectors: Vectors, settings: Config) -> pa.Table:
    """Synonyms and controls of each word that has a vector, as rows of `synonyms`."""
    known = [name for name in words if name in vectors.places]
    queries = np.array([vectors.places[name] for name in known], np.int64)
    skip = settings.inflections == "skip"
    wanted = settings.synonyms + (_SPARE if skip else 0)
    near, cosines = nearest(vectors.matrix, queries, wanted)
    rows = []
    for name, own, neighbours, scores in zip(known, queries, near, cosines, strict=True):
        pairs = list(zip(neighbours.tolist(), scores.tolist(), strict=True))
        if skip:
            pairs = [p for p in pairs if not fasttext.inflection(name, vectors.words[p[0]])]
        rows += _rows(name, "synonym", pairs[: settings.synonyms], vectors.words)
        rows += _rows(name, "control", _controls(int(own), vectors, settings), vectors.words)
    return pa.Table.from_pylist(rows, schema=tables.TABLES["synonyms"].schema)


def _controls(own: int, vectors: Vectors, settings: Config) -> list[tuple[int, float]]:
    """Unrelated words of similar frequency, drawn with a seed per word; (place, cosine)."""
    first = max(0, own - _LIKE_FREQUENCY)
    scores = vectors.matrix[first : own + _LIKE_FREQUENCY + 1] @ vectors.matrix[own]
    by_score = np.argsort(scores, kind="stable")[: int(settings.control_share * len(scores))]
    unrelated = np.sort(by_score)
    draw = np.random.default_rng([settings.seed, crc32(vectors.words[own].encode())])
    drawn = draw.permutation(unrelated)[: settings.controls]
    return [(first + int(place), float(scores[place])) for place in drawn]


def _rows(
    name: str, kind: str, pairs: list[tuple[int, float]], names: list[str]
) -> list[dict[str, object]]:
    return [
        dict(word=name, kind=kind, rank=rank, neighbour=names[place], cosine=cosine)
        for rank, (place, cosine) in enumerate(pairs)
    ]


def _worker(inputs: Inputs, settings: Config) -> Worker:
    """The function from words to their replacements; reads the vocabulary."""
    vectors = Vectors.from_table(inputs["vocabulary"])
    keep = [i for i, name in enumerate(vectors.words) if word.alphabetic(name)]
    usable = Vectors([vectors.words[i] for i in keep], vectors.frequencies[keep], vectors.matrix[keep])
    return lambda shard: replacements(shard["word"].to_pylist(), usable, settings)


def _note(data: pa.Table, inputs: Inputs, settings: Config) -> str:
    asked = sum(len(shard) for shard in _shards(inputs, settings))
    return f"{asked - len(pc.unique(data['word'])):,} of {asked:,} words have no vector"


STAGE = Stage(
    __name__,
    "210",
    "synonyms",
    reads=("candidates", "maps", "words", "vocabulary"),
    settings=("synonyms", "inflections", "controls", "control_share", "seed"),
    shards=_shards,
    worker=_worker,
    note=_note,
)
