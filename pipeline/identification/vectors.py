"""A vector for each phrase, and for the word of its MAT.

In: `words` (of the maps), `maps`, `vocabulary`. Out: `vectors`. Method `sif`: the mean of the words'
unit vectors weighted by a / (a + p(word)), less its part along the common component (Arora, Liang and
Ma 2017); `mean`: their plain mean. The common component belongs to the vocabulary, not to the neurons
of a run, so that a neuron's similarity does not depend on which others are analysed.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.config import Config
from pipeline.engine.engines import Worker
from pipeline.engine.stage import Inputs, Stage, runs_of
from pipeline.language.word_vectors import Vectors
from pipeline.tables.columns import SAMPLE_KEY
from pipeline.tables.rows import Columns

SIF_A = 1e-3
_DRAWN = 10_000
_PHRASE_WORDS = 11
_SHARD_ROWS = 4096


def _with_words(maps: pa.Table, words: pa.Table) -> pa.Table:
    """Maps with the lists of their words: columns `words` and `mat_words`."""
    lists: dict[tuple, tuple[list[str], list[str]]] = {}
    for row in words.sort_by([(k, "ascending") for k in (*SAMPLE_KEY, "word_index")]).to_pylist():
        spoken, mat = lists.setdefault(tuple(row[k] for k in SAMPLE_KEY), ([], []))
        spoken.append(row["word"])
        if row["is_mat"]:
            mat.append(row["word"])
    of_maps = [lists.get(tuple(row.values()), ([], [])) for row in maps.to_pylist()]
    texts = pa.list_(pa.string())
    maps = maps.append_column("words", pa.array([spoken for spoken, _ in of_maps], texts))
    return maps.append_column("mat_words", pa.array([mat for _, mat in of_maps], texts))


class PhraseVectors:
    """Phrase vectors over one vocabulary."""

    def __init__(self, vectors: Vectors, method: str, seed: int) -> None:
        self.places = vectors.places
        self.matrix = vectors.matrix
        if method == "sif":
            self.weights = (SIF_A / (SIF_A + vectors.frequencies)).astype(np.float32)
            self.component = self._common_component(vectors.frequencies, seed)
        else:
            self.weights = np.ones(len(vectors.words), np.float32)
            self.component = np.zeros(self.matrix.shape[1], np.float32)

    def _common_component(self, frequencies: np.ndarray, seed: int) -> np.ndarray:
        """First right singular vector of phrases drawn from the words by frequency."""
        draw = np.random.default_rng(seed)
        share = frequencies / frequencies.sum()
        drawn = draw.choice(len(share), (_DRAWN, _PHRASE_WORDS), p=share)
        phrases = np.zeros((_DRAWN, self.matrix.shape[1]), np.float32)
        for places in drawn.T:
            phrases += self.weights[places, None] * self.matrix[places]
        return np.linalg.svd(phrases, full_matrices=False)[2][0]

    def vector(self, words: list[str]) -> np.ndarray | None:
        """The unit vector of a phrase; None where no word is known or nothing is left of it."""
        places = [self.places[word] for word in words if word in self.places]
        if not places:
            return None
        mean = self.weights[places] @ self.matrix[places] / len(places)
        mean -= (mean @ self.component) * self.component
        length = np.linalg.norm(mean)
        return mean / length if length > 1e-6 else None

    def mat_vector(self, words: list[str]) -> np.ndarray | None:
        """The unit vector of the MAT's word as it is; None where there is no word or it is unknown."""
        known = [word for word in words if word in self.places]
        return self.matrix[self.places[known[0]]] if known else None

    def __call__(self, shard: pa.Table) -> pa.Table:
        rows = [
            dict(
                {key: row[key] for key in SAMPLE_KEY},
                n_words=len(row["words"]),
                n_known=sum(word in self.places for word in row["words"]),
                vector=self.vector(row["words"]),
                mat_vector=self.mat_vector(row["mat_words"]),
            )
            for row in shard.to_pylist()
        ]
        return pa.Table.from_pylist(rows, schema=tables.TABLES["vectors"].schema)


def _worker(inputs: Inputs, settings: Config) -> Worker:
    """The function from maps to their vectors, with the vocabulary loaded."""
    found = PhraseVectors(Vectors.from_table(inputs["vocabulary"]), settings.phrases, settings.seed)
    words = inputs.rows("words", [*SAMPLE_KEY, "word_index", "word", "is_mat"])
    return lambda maps: found(_with_words(maps, words.of_neurons(maps)))


def _note(data: Columns, inputs: Inputs, settings: Config) -> str:
    words, known = (pc.sum(data[column]).as_py() or 0 for column in ("n_words", "n_known"))
    without = data["vector"].null_count
    return f"{words - known:,} of {words:,} words unknown, {without} MAPs without a vector"


STAGE = Stage(
    __name__,
    "130",
    "vectors",
    reads=("maps", "words", "vocabulary"),
    settings=("phrases", "seed"),
    shards=runs_of("maps", _SHARD_ROWS, SAMPLE_KEY),
    worker=_worker,
    note=_note,
)
