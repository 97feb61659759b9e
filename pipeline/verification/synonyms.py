"""The replacements of a word: its nearest neighbours, and of a MAT's word its relatives and controls.

In: `candidates`, `maps`, `words`, `vocabulary`. Out: `synonyms`. Neighbours are found by one matrix
product; relatives (`relatives.py`) may be among them. Controls are unrelated: drawn, with a seed per word,
from the less similar half of the words of similar frequency. Words without a vector have none of these.
There are more relatives and controls than are put into one MAP, as the MAPs of a word take turns
(`sql/220_places.sql`).
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
from pipeline.language.hypernyms import hypernyms
from pipeline.language.word_vectors import Vectors, nearest
from pipeline.tables import query
from pipeline.tables.rows import Columns
from pipeline.verification.relatives import Relatives

_SHARD_ROWS = 8192
_LIKE_FREQUENCY = 200  # words on each side in order of frequency from which controls are drawn
_SPARE = 30  # more neighbours that are considered where inflections are skipped
_RELATIVE_TURNS, _CONTROL_TURNS = 3, 13  # of as many as one MAP has


_WORDS = """
select word, bool_or(is_mat) as is_mat
from words
semi join (
    select model, layer, sign, neuron, rank
    from maps
    semi join candidates using (model, layer, sign, neuron)
    where not duplicate
) using (model, layer, sign, neuron, rank)
where replaceable
group by word
order by word
"""


def _words(inputs: Inputs) -> pa.Table:
    """The distinct words that can be replaced in the MAPs of candidates, sorted; `is_mat` is true for those
    that hold a MAT in one of them."""
    with query.connect() as con:
        for name in ("candidates", "maps", "words"):
            query.parquet(con, inputs.file(name)).create_view(name)
        return con.sql(_WORDS).to_arrow_table()


def _shards(inputs: Inputs, settings: Config) -> Iterator[pa.Table]:
    """Runs of these words."""
    words = _words(inputs)
    for start in range(0, len(words), _SHARD_ROWS):
        yield words.slice(start, _SHARD_ROWS)


def replacements(words: pa.Table, relatives: Relatives, settings: Config) -> pa.Table:
    """All replacements of each word that has a vector, as rows of `synonyms`; `words` as in a shard."""
    vectors = relatives.vectors
    known = [row for row in words.to_pylist() if row["word"] in vectors.places]
    queries = np.array([vectors.places[row["word"]] for row in known], np.int64)
    skip = settings.inflections == "skip"
    wanted = settings.synonyms + (_SPARE if skip else 0)
    near, cosines = nearest(vectors.matrix, queries, wanted)
    rows = []
    for row, own, neighbours, scores in zip(known, queries, near, cosines, strict=True):
        name, pairs = row["word"], list(zip(neighbours.tolist(), scores.tolist(), strict=True))
        if skip:
            pairs = [p for p in pairs if not fasttext.inflection(name, vectors.words[p[0]])]
        rows += _rows(name, "synonym", pairs[: settings.synonyms], vectors.words)
        if row["is_mat"]:
            related = relatives.of(name, _RELATIVE_TURNS * settings.relatives)
            rows += _rows(name, "relative", related, vectors.words)
            taken = {place for place, _ in related}
            rows += _rows(name, "control", _controls(int(own), vectors, taken, settings), vectors.words)
    return pa.Table.from_pylist(rows, schema=tables.TABLES["synonyms"].schema)


def _controls(own: int, vectors: Vectors, leave_out: set[int], settings: Config) -> list[tuple[int, float]]:
    """Unrelated words of similar frequency, drawn with a seed per word; (place, cosine)."""
    first = max(0, own - _LIKE_FREQUENCY)
    scores = vectors.matrix[first : own + _LIKE_FREQUENCY + 1] @ vectors.matrix[own]
    by_score = np.argsort(scores, kind="stable")[: int(settings.control_share * len(scores))]
    unrelated = np.sort(by_score)
    draw = np.random.default_rng([settings.seed, crc32(vectors.words[own].encode())])
    drawn = [place for place in draw.permutation(unrelated) if first + place not in leave_out]
    wanted = _CONTROL_TURNS * settings.controls
    return [(first + int(place), float(scores[place])) for place in drawn[:wanted]]


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
    relatives = Relatives(usable, hypernyms())
    key = [(name, "ascending") for name in tables.TABLES["synonyms"].key]
    return lambda shard: replacements(shard, relatives, settings).sort_by(key)


def _note(data: Columns, inputs: Inputs, settings: Config) -> str:
    asked = len(_words(inputs))
    return f"{asked - len(pc.unique(data['word'])):,} of {asked:,} words have no vector"


STAGE = Stage(
    __name__,
    "210",
    "synonyms",
    reads=("candidates", "maps", "words", "vocabulary"),
    settings=("synonyms", "inflections", "relatives", "controls", "control_share", "seed"),
    shards=_shards,
    worker=_worker,
    note=_note,
)
