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


def _trained(inputs: Inputs, settings: Config) -> Worker:
    return lambda shard: fasttext.train(
        texts.stream(settings.text, settings.text_path), settings.seed
    ).to_table()


def _published(inputs: Inputs, settings: Config) -> Worker:
    return lambda shard: fasttext.load(Path(settings.fasttext)).to_table()


TRAINED = Stage(
    __name__,
    "120",
    "vocabulary",
    where={"fasttext": "train"},
    settings=("text", "seed"),
    worker=_trained,
    ready=texts.ready,
)
PUBLISHED = Stage(
    __name__,
    "120",
    "vocabulary",
    settings=("fasttext",),
    worker=_published,
    ready=fasttext.ready,
)
