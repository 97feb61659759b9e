"""The words of the reference text with their frequencies and vectors.

Out: `vocabulary`. Vectors are trained on the text, or read from a published file.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline import fasttext, tables
from pipeline.config import Config
from pipeline.progress import progress


def vocabulary(config: Config, texts: Iterable[str]) -> pa.Table:
    """All words with a vector, most frequent first; `texts` are read only for training."""
    if config.fasttext == "train":
        found = fasttext.train(progress(texts, "word vectors", unit="text"), config.seed)
    else:
        found = fasttext.load(Path(config.fasttext))
    return table(found)


def table(vectors: fasttext.Vectors) -> pa.Table:
    """Word vectors as rows of `vocabulary`."""
    count, width = vectors.matrix.shape
    offsets = np.arange(0, count * width + 1, width, dtype=np.int32)
    lists = pa.ListArray.from_arrays(offsets, pa.array(vectors.matrix.ravel()))
    columns = [
        pa.array(vectors.words),
        pa.array(np.arange(count, dtype=np.int32)),
        pa.array(vectors.frequencies.astype(np.float64)),
        lists,
    ]
    return pa.Table.from_arrays(columns, schema=tables.TABLES["vocabulary"].schema)


def vectors(table: pa.Table) -> fasttext.Vectors:
    """The word vectors of a `vocabulary` table."""
    matrix = table["vector"].combine_chunks().flatten().to_numpy()
    return fasttext.Vectors(
        table["word"].to_pylist(),
        table["frequency"].to_numpy(),
        matrix.reshape(len(table), -1),
    )
