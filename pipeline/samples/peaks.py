"""The first half of a scan: which windows each neuron is strongest in, by one pass over the text.

The text is cut into ranges, which are searched apart wherever the engine computes them, and joined in
order. The pass saves itself and goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np

from pipeline.engine.engines import Engine, Worker
from pipeline.output import tell
from pipeline.samples.search import Here, Search, Searched
from pipeline.samples.speed import Done, Speed
from pipeline.samples.text_windows import Text
from pipeline.samples.unfinished import Unfinished
from pipeline.samples.winners import Winners

_SAVED = "winners"


@dataclass(frozen=True)
class At:
    """How far a pass is: how many texts and windows of them are done, and whether that is all."""

    n_texts: int = 0
    n_windows: int = 0
    whole: bool = False


def find(
    search: Search, worker: Callable[[Here], Worker], text: Text, unfinished: Unfinished, engine: Engine
) -> Winners:
    """The `search.samples` windows with the highest peak of each column, ties to the earlier window.

    `worker` gives the function that searches a range, as `Searcher` does. Raises PipelineError for
    activations that are no finite numbers.
    """
    winners = Winners(search.n_columns, search.samples)
    at = _continued(winners, unfinished)
    if at.whole:
        return winners
    with closing(Speed(text.n_texts)) as speed:
        make = partial(worker, Here(unfinished, speed.add))
        for table in engine.map(make, text.ranges(at.n_texts)):
            part = Searched.of(table)
            winners.join(part.found, at.n_windows)
            after = At(at.n_texts + part.n_texts, at.n_windows + part.n_windows)
            if speed.texts < after.n_texts:  # it was not computed here
                speed.add(Done(part.n_windows, part.n_tokens, at.n_texts, after.n_texts))
            at = after
            if unfinished.due(_SAVED):
                _save(winners, at, unfinished)
    _save(winners, At(at.n_texts, at.n_windows, whole=True), unfinished)
    return winners


def _continued(winners: Winners, unfinished: Unfinished) -> At:
    """Fill the winners with what was saved, if anything was; how far the pass is."""
    import torch

    saved = unfinished.load(_SAVED)
    if saved is None:
        return At()
    winners.keys.copy_(torch.from_numpy(saved["keys"]))
    winners.places.copy_(torch.from_numpy(saved["places"]))
    n_texts, n_windows, whole = saved["at"].tolist()
    tell(f"scan: continues after {n_windows:,} windows")
    return At(n_texts, n_windows, bool(whole))


def _save(winners: Winners, at: At, unfinished: Unfinished) -> None:
    now = np.array([at.n_texts, at.n_windows, at.whole])
    unfinished.save(_SAVED, keys=winners.keys.numpy(), places=winners.places.numpy(), at=now)
