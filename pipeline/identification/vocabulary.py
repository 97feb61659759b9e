"""The words of the reference text with their frequencies and vectors.

Out: `vocabulary`, all words with a vector, most frequent first. Vectors are trained on the text, or read
from a published file.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.config import Config
from pipeline.engine.engines import Worker
from pipeline.engine.stage import Inputs, Stage
from pipeline.language import fasttext, texts
from pipeline.tables.rows import Columns

_FEW_WORDS = 5_000  # below which vectors trained on them say little


def _trained(inputs: Inputs, settings: Config) -> Worker:
    return lambda shard: fasttext.train(texts.of(settings), settings.seed).to_table()


def _published(inputs: Inputs, settings: Config) -> Worker:
    return lambda shard: fasttext.load(Path(settings.fasttext)).to_table()


def _left_out(data: Columns, inputs: Inputs, settings: Config) -> str:
    return fasttext.left_out(Path(settings.fasttext))


def _warn(data: Columns, inputs: Inputs, settings: Config) -> list[str]:
    if len(data) >= _FEW_WORDS:
        return []
    return [
        f"TEXT has few words to train vectors on ({len(data):,} that occur often enough; {_FEW_WORDS:,} or "
        "more are better), so what means alike may not be found; give more TEXT, or published vectors with "
        "FASTTEXT"
    ]


TRAINED = Stage(
    __name__,
    "120",
    "vocabulary",
    where={"fasttext": "train"},
    settings=(*texts.SETTINGS, "seed"),
    worker=_trained,
    ready=texts.ready,
    warn=_warn,
)
PUBLISHED = Stage(
    __name__,
    "120",
    "vocabulary",
    settings=("fasttext",),
    worker=_published,
    ready=fasttext.ready,
    note=_left_out,
)
