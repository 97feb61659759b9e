"""The second half of a scan: the winners' windows are measured once more, each once for all its neurons.

A pass over the whole text need not carry texts and values along that way. What is measured lies in a file:
the ids of each window, followed by the activations of each of its winners. It goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.engine.engines import Engine, Worker
from pipeline.models import batches
from pipeline.models.language_model import LanguageModel
from pipeline.progress import progress
from pipeline.samples import text_windows
from pipeline.samples.search import Search
from pipeline.samples.text_windows import Text
from pipeline.samples.unfinished import Unfinished
from pipeline.samples.winners import Winners, begins

if TYPE_CHECKING:
    import torch

GROUPED = 2048  # windows taken together, to batch those of similar length
_SAVED = "values"
_OFF = 0.01  # of the highest peak of a side in a batch, by which arithmetic alone never moves one
_VALUES = 2**24  # of one batch, unless a single window has more


class Sample(NamedTuple):
    """A winner: the number of its window, the window's ids, and the activation at each of them."""

    number: int
    ids: np.ndarray
    values: np.ndarray


class Measurer:
    """A worker that measures windows: of each, `ids` and the `columns` that it won, ascending.

    Returns the same rows with `values`: those of each column, one after the other, at each of the ids.
    """

    def __init__(self, search: Search, model: LanguageModel) -> None:
        self._search, self._model = search, model

    def __call__(self, shard: pa.Table) -> pa.Table:
        ids, columns = (_lists(shard[name].combine_chunks()) for name in ("ids", "columns"))
        found = [np.empty((len(c), len(i)), np.float32) for c, i in zip(columns, ids, strict=True)]
        begin = begins(self._search.sides)
        # of each side and window, which of the window's columns are the side's
        ends = [np.searchsorted(each, begin) for each in columns]

        def look(sides: list[int], values: torch.Tensor) -> None:
            for side in sides:
                for window, place in enumerate(ends):
                    own = slice(place[side], place[side + 1])
                    if own.start < own.stop:
                        neurons = columns[window][own] - begin[side]
                        taken = _taken(values[window, : len(ids[window])], neurons)
                        found[window][own] = taken * self._search.sides[side].sign

        see = {
            layer: partial(look, sides)
            for layer, sides in self._search.by_layer().items()
            if any(end[side] < end[side + 1] for end in ends for side in sides)
        }
        self._model.look_through(batches.padded([each.tolist() for each in ids]), see)
        values = pa.LargeListArray.from_arrays(
            np.cumsum([0, *(each.size for each in found)]), np.concatenate([each.ravel() for each in found])
        )
        return shard.append_column("values", values)


def _taken(values: torch.Tensor, neurons: np.ndarray) -> np.ndarray:
    """The values (neurons, tokens) of some neurons, of values (tokens, neurons); only they leave the
    device."""
    import torch

    chosen = torch.from_numpy(neurons).to(values.device)
    return values[:, chosen].T.float().cpu().numpy()


def _lists(array: pa.ListArray) -> list[np.ndarray]:
    """The items of each list."""
    ends = array.offsets.to_numpy()[1:-1]
    return np.split(array.values.to_numpy(), ends)


class Measured:
    """Winners with their texts and activations, which lie in a file."""

    def __init__(self, search: Search, winners: Winners, unfinished: Unfinished) -> None:
        self._search, self._file = search, unfinished
        flat = winners.numbers.numpy().ravel()
        self._peaks = winners.peaks.numpy().ravel()
        slots = np.flatnonzero(flat >= 0)
        # of each window, in the order of their numbers, the winners: places in (columns, samples)
        self._slots = slots[np.argsort(flat[slots], kind="stable")]
        self.windows, self._begin = np.unique(flat[self._slots], return_index=True)
        self._places = winners.places.numpy().ravel()[self._slots[self._begin]]
        self._begin = np.append(self._begin, len(slots))
        self._at = np.full(flat.shape, -1)  # where each winner stands among all slots
        self._at[self._slots] = np.arange(len(slots))
        self._starts = np.full(len(self.windows), -1)  # where each window's part of the file begins
        self._lengths = np.zeros(len(self.windows), np.int64)
        saved = unfinished.load(_SAVED)
        if saved is not None and np.array_equal(saved["windows"], self.windows):
            self._starts, self._lengths = saved["starts"], saved["lengths"]

    def measure(
        self, worker: Callable[[], Worker], model: LanguageModel, text: Text, engine: Engine
    ) -> None:
        """Measure what is not measured yet; `worker` gives the function that does, as `Measurer` does.

        Raises PipelineError where texts or activations are not those of the winners any more.
        """
        missing = np.flatnonzero(self._starts < 0)
        if not len(missing):
            return
        found = engine.map(worker, self._batches(model, text.lines(), missing))
        for batch in progress(found, "scan, winners again", unit="window", total=len(missing)):
            self._keep(batch)
            if self._file.due(_SAVED):
                self._save()
        self._save()

    def _save(self) -> None:
        self._file.save(_SAVED, windows=self.windows, starts=self._starts, lengths=self._lengths)

    def _of(self, i: int) -> np.ndarray:
        """The winners that a window is, as places in (columns, samples)."""
        return self._slots[self._begin[i] : self._begin[i + 1]]

    def _batches(
        self, model: LanguageModel, lines: Iterable[str], missing: np.ndarray
    ) -> Iterator[pa.Table]:
        """All that is missing, in batches; those whose pass ends at the same layer are together."""
        wanted = self._places[missing].tolist()
        size = self._search.batch_tokens or model.batch_tokens
        found = zip(
            missing.tolist(),
            text_windows.again(model, lines, self._search.longest, wanted),
            strict=True,
        )
        for _, several in groupby(enumerate(found), key=lambda each: each[0] // GROUPED):
            group = [window for _, window in several]
            highest = [self._highest(i) for i, _ in group]
            for layer in sorted(set(highest)):
                own = [each for each, last in zip(group, highest, strict=True) if last == layer]
                for chosen in batches.by_length([len(ids) for _, ids in own], size):
                    yield from self._shards([own[place] for place in chosen])

    def _sides(self, slots: np.ndarray) -> np.ndarray:
        """The sides that places in (columns, samples) belong to."""
        begin = np.array(begins(self._search.sides)[:-1])
        return np.searchsorted(begin, slots // self._search.samples, side="right") - 1

    def _highest(self, i: int) -> int:
        """The highest layer in which a window won."""
        return max(self._search.sides[side].layer for side in np.unique(self._sides(self._of(i))))

    def _shards(self, batch: list[tuple[int, list[int]]]) -> Iterator[pa.Table]:
        """Windows to measure at once, of which there are fewer where they won much."""
        some: list[tuple[int, list[int]]] = []
        size = 0
        for i, ids in batch:
            own = len(self._of(i)) * len(ids)
            if some and size + own > _VALUES:
                yield self._shard(some)
                some, size = [], 0
            some.append((i, ids))
            size += own
        yield self._shard(some)

    def _shard(self, batch: list[tuple[int, list[int]]]) -> pa.Table:
        windows, ids = zip(*batch, strict=True)
        columns = [self._of(i) // self._search.samples for i in windows]
        return pa.table(
            dict(
                window=pa.array(windows, pa.int64()),
                ids=pa.array(ids, pa.list_(pa.int32())),
                columns=pa.array(columns, pa.list_(pa.int64())),
            )
        )

    def _keep(self, batch: pa.Table) -> None:
        """Write what was measured: of each window what its winners need."""
        indices = batch["window"].to_pylist()
        ids, values = (_lists(batch[name].combine_chunks()) for name in ("ids", "values"))
        slots = np.concatenate([self._of(i) for i in indices])
        own = [each.reshape(-1, len(window)) for each, window in zip(values, ids, strict=True)]
        found = np.concatenate([each[:, 1:].max(1) for each in own])
        peaks, sides = self._peaks[slots], self._sides(slots)
        highest = np.zeros(len(self._search.sides))
        np.maximum.at(highest, sides, np.abs(peaks))
        if not (np.abs(found - peaks) <= _OFF * highest[sides]).all():
            self._file.forget()
            raise text_windows.changed()
        for i, window, each in zip(indices, ids, own, strict=True):
            start = self._file.append(window.astype(np.int32).tobytes() + each.tobytes())
            self._lengths[i], self._starts[i] = len(window), start

    def samples(self, column: int) -> Iterator[Sample]:
        """A column's winners, the best first; fewer where there were fewer windows."""
        n_samples = self._search.samples
        for slot in range(column * n_samples, (column + 1) * n_samples):
            at = int(self._at[slot])
            if at < 0:
                return
            i = int(np.searchsorted(self._begin, at, side="right")) - 1
            size, start = 4 * int(self._lengths[i]), int(self._starts[i])
            ids = np.frombuffer(self._file.read(start, size), np.int32)
            own = self._file.read(start + size * (1 + at - int(self._begin[i])), size)
            yield Sample(int(self.windows[i]), ids, np.frombuffer(own, np.float32))
