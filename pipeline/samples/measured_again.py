"""The second half of a scan: the winners' windows are measured once more, each once for all its neurons.

A pass over the whole text need not carry texts and values along that way. What is measured lies in a file:
the ids of each window, followed by the activations of each of its winners. It goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import numpy as np

from pipeline.config import Config
from pipeline.models import batches
from pipeline.models.language_model import LanguageModel
from pipeline.progress import progress
from pipeline.samples import text_windows
from pipeline.samples.text_windows import Window
from pipeline.samples.unfinished import Unfinished
from pipeline.samples.winners import Winners

GROUPED = 2048  # windows taken together, to batch those of similar length
_SAVED = "values"
_OFF = 0.01  # of the highest peak of a batch, by which arithmetic alone never moves one


class Sample(NamedTuple):
    """A winner: the number of its window, the window's ids, and the activation at each of them."""

    number: int
    ids: np.ndarray
    values: np.ndarray


class Batch(NamedTuple):
    """Windows that are measured at once, and which of all that won they are."""

    indices: list[int]
    windows: list[Window]

    @property
    def num_rows(self) -> int:
        """The number of windows."""
        return len(self.windows)


class Measured:
    """Winners with their texts and activations, which lie in a file."""

    def __init__(self, winners: Winners, unfinished: Unfinished) -> None:
        self._file = unfinished
        self._numbers = winners.numbers.cpu().numpy()  # (neurons, samples)
        self._peaks = winners.peaks.cpu().numpy()
        flat = self._numbers.ravel()
        slots = np.flatnonzero(flat >= 0)
        # of each window, in the order of their numbers, the winners: places in (neurons, samples)
        self._slots = slots[np.argsort(flat[slots], kind="stable")]
        self.windows, begin = np.unique(flat[self._slots], return_index=True)
        self._begin = np.append(begin, len(slots))
        self._places = winners.places.cpu().numpy().ravel()[self._slots[begin]]
        self._starts = np.full(len(self.windows), -1)  # where each window's part of the file begins
        self._lengths = np.zeros(len(self.windows), np.int64)
        saved = unfinished.load(_SAVED)
        if saved is not None and np.array_equal(saved["windows"], self.windows):
            self._starts, self._lengths = saved["starts"], saved["lengths"]

    def measure(self, config: Config, model: LanguageModel, lines: Callable[[], Iterable[str]]) -> None:
        """Measure what is not measured yet.

        Raises PipelineError where texts or activations are not those of the winners any more.
        """
        missing = np.flatnonzero(self._starts < 0)
        if not len(missing):
            return
        found = self._batches(config, model, lines(), missing)
        for batch in progress(found, "scan, winners again", unit="window", total=len(missing)):
            self._measure(config, model, batch)
            if self._file.due:
                self._save()
        self._save()

    def _save(self) -> None:
        self._file.save(_SAVED, windows=self.windows, starts=self._starts, lengths=self._lengths)

    def _batches(
        self, config: Config, model: LanguageModel, lines: Iterable[str], missing: np.ndarray
    ) -> Iterator[Batch]:
        """All that is missing, in batches."""
        wanted = zip(self.windows[missing].tolist(), self._places[missing].tolist(), strict=True)
        longest = min(model.n_ctx, config.max_tokens)
        found = zip(missing.tolist(), text_windows.again(model, lines, longest, wanted), strict=True)
        for _, several in groupby(found, key=lambda each: each[0] // GROUPED):
            group = list(several)
            lengths = [len(window.ids) for _, window in group]
            for chosen in batches.by_length(lengths, config.batch_tokens or model.batch_tokens):
                yield Batch([group[i][0] for i in chosen], [group[i][1] for i in chosen])

    def _measure(self, config: Config, model: LanguageModel, batch: Batch) -> None:
        """Measure some windows and write what their winners need."""
        import torch

        indices, windows = batch
        acts = model.measured(batches.padded([window.ids for window in windows]), config.one_layer)
        slots = [self._slots[self._begin[i] : self._begin[i + 1]] for i in indices]
        counts = [len(each) for each in slots]
        row = torch.tensor(np.repeat(np.arange(len(slots)), counts), device=acts.device)
        neuron = torch.tensor(np.concatenate(slots) // self._numbers.shape[1], device=acts.device)
        own = acts[row, :, neuron].float().cpu().numpy()  # (winners, tokens)
        lengths = [len(window.ids) for window in windows]
        self._compare(own, np.repeat(lengths, counts), self._peaks.ravel()[np.concatenate(slots)])
        ends = np.cumsum(counts)
        for i, window, length, count, end in zip(indices, windows, lengths, counts, ends, strict=True):
            values = own[end - count : end, :length]
            data = np.array(window.ids, np.int32).tobytes() + values.astype(np.float32).tobytes()
            self._lengths[i], self._starts[i] = length, self._file.append(data)

    def _compare(self, own: np.ndarray, lengths: np.ndarray, peaks: np.ndarray) -> None:
        """Raise PipelineError where the peaks are not those that won."""
        beyond = np.arange(own.shape[1]) >= lengths[:, None]
        found = np.where(beyond, -np.inf, own)[:, 1:].max(1)
        if not (np.abs(found - peaks) <= _OFF * np.abs(peaks).max()).all():
            self._file.forget()
            raise text_windows.changed()

    def samples(self, neuron: int) -> Iterator[Sample]:
        """A neuron's winners, the best first; fewer where there were fewer windows."""
        n_samples = self._numbers.shape[1]
        for rank, number in enumerate(self._numbers[neuron].tolist()):
            if number < 0:
                return
            i = int(np.searchsorted(self.windows, number))
            own = self._slots[self._begin[i] : self._begin[i + 1]]
            nth = int(np.searchsorted(own, neuron * n_samples + rank))
            size = 4 * int(self._lengths[i])
            start = int(self._starts[i])
            ids = np.frombuffer(self._file.read(start, size), np.int32)
            yield Sample(
                number, ids, np.frombuffer(self._file.read(start + size * (1 + nth), size), np.float32)
            )
