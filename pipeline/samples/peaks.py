"""The first half of a scan: which windows each neuron is strongest in, by one pass over the text.

Peaks are found on the device, and nothing but the winners' numbers and places leaves it. The pass saves
itself and goes on where it was: within a group, windows are taken in the order of their lengths.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from pipeline.config import Config
from pipeline.errors import PipelineError
from pipeline.models import batches
from pipeline.models.language_model import LanguageModel
from pipeline.output import tell
from pipeline.progress import progress
from pipeline.samples.text_windows import Window, windows
from pipeline.samples.unfinished import Unfinished
from pipeline.samples.winners import Winners, text_and_part

if TYPE_CHECKING:
    import torch

GROUPED = 2048  # windows taken together, to batch those of similar length
_SAVED = "winners"


@dataclass(frozen=True)
class At:
    """How far a pass is: the group of windows by its first one, and how many of the group are done."""

    number: int = 0
    place: int = 0
    done: int = 0
    whole: bool = False


@dataclass(frozen=True)
class Batch:
    """Windows that are computed at once, where the pass is `after` it, and how many texts that are."""

    windows: list[Window]
    after: At
    texts_before: float
    texts_after: float

    @property
    def num_rows(self) -> int:
        """The number of windows."""
        return len(self.windows)


def find(
    config: Config,
    model: LanguageModel,
    lines: Callable[[], Iterable[str]],
    unfinished: Unfinished,
    n_texts: int | None = None,
) -> Winners:
    """The `config.samples` windows with the highest peak of each neuron, ties to the earlier window.

    `n_texts` is the number of texts, where known. Raises PipelineError for activations that are no finite
    numbers.
    """
    winners = Winners(model.n_neurons, config.samples, model.device)
    at = _continued(winners, unfinished)
    speed = Speed(n_texts)
    if at.whole:
        return winners
    for batch in progress(of_text(config, model, lines(), at), "scan", unit="window", note=speed.told):
        ids = [window.ids for window in batch.windows]
        peaks = of_windows(model.measured(batches.padded(ids), config.one_layer), list(map(len, ids)))
        numbers, places, _ = zip(*batch.windows, strict=True)
        winners.offer(peaks, list(numbers), list(places))
        at = batch.after
        speed.add(batch)
        if unfinished.due:
            _save(winners, at, unfinished)
    _save(winners, At(at.number, at.place, at.done, whole=True), unfinished)
    return winners


def _continued(winners: Winners, unfinished: Unfinished) -> At:
    """Fill the winners with what was saved, if anything was; how far the pass is."""
    import torch

    saved = unfinished.load(_SAVED)
    if saved is None:
        return At()
    winners.keys.copy_(torch.from_numpy(saved["keys"]))
    winners.places.copy_(torch.from_numpy(saved["places"]))
    number, place, done, whole = saved["at"].tolist()
    tell(f"scan: continues after {number + done:,} windows")
    return At(number, place, done, bool(whole))


def _save(winners: Winners, at: At, unfinished: Unfinished) -> None:
    keys, places = winners.keys.cpu().numpy(), winners.places.cpu().numpy()
    now = np.array([at.number, at.place, at.done, at.whole])
    unfinished.save(_SAVED, keys=keys, places=places, at=now)


def of_text(config: Config, model: LanguageModel, lines: Iterable[str], at: At) -> Iterator[Batch]:
    """All windows of the texts from there on; a group is the same whatever is computed at once."""
    longest = min(model.n_ctx, config.max_tokens)
    numbered = windows(model, lines, longest, at.number, at.place)
    while group := list(islice(numbered, GROUPED)):
        first, number = group[0].place, group[0].number
        text, texts = text_and_part(first)[0], 1 + text_and_part(group[-1].place)[0]
        ordered = sorted(group, key=lambda window: len(window.ids))
        total = sum(len(window.ids) for window in group)
        tokens = sum(len(window.ids) for window in ordered[: at.done])
        left, done = ordered[at.done :], at.done
        lengths = [len(window.ids) for window in left]
        for places in batches.by_length(lengths, config.batch_tokens or model.batch_tokens):
            before = text + (texts - text) * tokens / total
            done, tokens = done + len(places), tokens + sum(lengths[place] for place in places)
            after = text + (texts - text) * tokens / total
            yield Batch([left[place] for place in places], At(number, first, done), before, after)
        at = At()


def of_windows(values: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    """The peak of each neuron in each window, (windows, neurons), float32, on the same device.

    `values` (windows, tokens, neurons) are overwritten where they are padding. The BOS does not count.
    """
    import torch

    if min(lengths) < values.shape[1]:
        places = torch.arange(values.shape[1], device=values.device)
        beyond = places >= torch.tensor(lengths, device=values.device)[:, None]
        values.masked_fill_(beyond[:, :, None], -torch.inf)
    peaks = values[:, 1:].amax(1).float()
    if not torch.isfinite(peaks).all():
        raise PipelineError(
            "MODEL: not all activations are finite numbers; is a file damaged or its precision too low?"
        )
    return peaks


class Speed:
    """How fast a pass is, and how long it takes yet."""

    def __init__(self, n_texts: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.n_texts, self._clock, self._start = n_texts, clock, clock()
        self._tokens, self._texts = 0, 0.0
        self._first: float | None = None  # the text with which it began

    def add(self, batch: Batch) -> None:
        """A batch is done."""
        self._tokens += sum(len(window.ids) for window in batch.windows)
        self._first = batch.texts_before if self._first is None else self._first
        self._texts = batch.texts_after

    def told(self) -> str:
        """Tokens a second, and where the number of texts is known, the time left."""
        seconds = self._clock() - self._start
        rate = f"{self._tokens / max(seconds, 1e-9):,.0f} tokens/s"
        if not self.n_texts or self._first is None or self._texts <= self._first:
            return rate
        left = seconds * max(0.0, self.n_texts - self._texts) / (self._texts - self._first)
        return f"{rate}, {_duration(left)} left"


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
