"""The words of the reference text with their frequencies and vectors.

Out: `vocabulary`. Vectors are trained on the text, or read from a published file.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from pipeline import fasttext
from pipeline.config import Config


def vocabulary(config: Config, texts: Iterable[str]) -> pa.Table:
    """All words with a vector, most frequent first; `texts` are read only for training."""
    if config.fasttext == "train":
        return fasttext.train(texts, config.seed).to_table()
    return fasttext.load(Path(config.fasttext)).to_table()
