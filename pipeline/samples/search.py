"""What a scan searches for, and the search of one range of texts: a function from texts to winners.

All sides are searched in one pass of the model, which ends at the highest layer. Peaks are found on the
device, and nothing but the winners' numbers and places leaves it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.errors import PipelineError
from pipeline.models import batches
from pipeline.models.language_model import LanguageModel
from pipeline.output import tell
from pipeline.samples import text_windows
from pipeline.samples.speed import Done
from pipeline.samples.text_windows import Window
from pipeline.samples.unfinished import Unfinished
from pipeline.samples.winners import Found, Side, Winners, begins

if TYPE_CHECKING:
    import torch

_SAVED = "range"
_WINDOWS, _TOKENS = b"windows", b"tokens"


@dataclass(frozen=True)
class Search:
    """What is searched: the sides, how many windows of each neuron, of how many tokens at most; and how
    many tokens are computed at once, None for as many as suit the device."""

    sides: tuple[Side, ...]
    samples: int
    longest: int
    batch_tokens: int | None = None

    @property
    def n_columns(self) -> int:
        """The number of neurons of all sides."""
        return begins(self.sides)[-1]

    def by_layer(self) -> dict[int, list[int]]:
        """The sides of each layer, as places among all sides."""
        found: dict[int, list[int]] = {}
        for number, side in enumerate(self.sides):
            found.setdefault(side.layer, []).append(number)
        return found


@dataclass(frozen=True)
class Here:
    """What a search has in the process that asked for it: where it saves itself, and whom it tells what is
    done. Another process it reaches without them."""

    unfinished: Unfinished | None = None
    tell: Callable[[Done], None] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Here, ()


class Batch(NamedTuple):
    """Windows that are computed at once, how many of their range are done after them, and how many texts
    before and after."""

    windows: list[Window]
    n_done: int
    texts_before: float
    texts_after: float


class Searched(NamedTuple):
    """What was found in a range of texts, and how much of it was computed: numbers of texts, windows,
    tokens."""

    found: Found
    n_texts: int
    n_windows: int
    n_tokens: int

    def table(self) -> pa.Table:
        """A row for each winner."""
        facts = {b"texts": self.n_texts, _WINDOWS: self.n_windows, _TOKENS: self.n_tokens}
        table = pa.table(self.found._asdict())
        return table.replace_schema_metadata({name: str(value) for name, value in facts.items()})

    @staticmethod
    def of(table: pa.Table) -> Searched:
        """What such a table says."""
        facts = (int(table.schema.metadata[name]) for name in (b"texts", _WINDOWS, _TOKENS))
        return Searched(Found(*(table[name].to_numpy() for name in Found._fields)), *facts)


class Searcher:
    """A worker that searches ranges of texts, given as `Text.ranges` cuts them.

    Of a range it returns (`Searched`) those winners that nothing in the ranges that it searched before
    beats. With `here` it saves itself and continues within a range.
    """

    def __init__(self, search: Search, model: LanguageModel, here: Here | None = None) -> None:
        self._search, self._model, self._here = search, model, here or Here()
        self._left: dict[str, np.ndarray] | None = None
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._winners = Winners(self._search.n_columns, self._search.samples, self._model.device)
        self._n_windows = self._n_texts = 0  # of its ranges up to now; the texts before, too

    def __call__(self, texts: pa.Table) -> pa.Table:
        """Search a range. Raises PipelineError for activations that are no finite numbers."""
        first = text_windows.first_of(texts)
        if first < self._n_texts:  # what it has may come later than this range, where ties would win
            self._begin_anew()
        done = self._continued(first)
        windows = text_windows.windows(self._model, texts, self._search.longest, self._n_windows)
        group = sorted(windows, key=lambda window: len(window.ids))
        n_tokens = 0
        size = self._search.batch_tokens or self._model.batch_tokens
        for batch in of_range(size, group, done, first, len(texts)):
            numbers, places, ids = zip(*batch.windows, strict=True)
            self._winners.offer(peaks(self._search, self._model, ids), list(numbers), list(places))
            computed = sum(map(len, ids))
            n_tokens += computed
            if self._here.tell:
                self._here.tell(Done(len(ids), computed, batch.texts_before, batch.texts_after))
            self._save(first, batch.n_done)
        found = self._winners.found(self._n_windows)
        self._n_windows, self._n_texts = self._n_windows + len(group), first + len(texts)
        return Searched(found, len(texts), len(group), n_tokens).table()

    def _continued(self, first: int) -> int:
        """How many windows of a range are done already, with what was found in them."""
        import torch

        if self._left is None:  # by a process that died, for this range or one that comes yet
            self._left = (self._here.unfinished and self._here.unfinished.load(_SAVED)) or {}
        saved = self._left
        if not saved or saved["at"][0] != first:
            return 0
        self._left = {}
        self._winners.keys.copy_(torch.from_numpy(saved["keys"]))
        self._winners.places.copy_(torch.from_numpy(saved["places"]))
        _, done, self._n_windows = saved["at"].tolist()
        tell(f"scan: of the texts from {first:,} on, {done:,} windows are done already")
        return done

    def _save(self, first: int, done: int) -> None:
        unfinished = self._here.unfinished
        if unfinished and unfinished.due(_SAVED):
            keys, places = (each.cpu().numpy() for each in (self._winners.keys, self._winners.places))
            unfinished.save(_SAVED, keys=keys, places=places, at=np.array([first, done, self._n_windows]))


def of_range(
    batch_tokens: int, windows: list[Window], done: int, first: int, n_texts: int
) -> Iterator[Batch]:
    """The windows of a range, ordered by their length, without those that are done: in batches that are the
    same wherever it continues."""
    total = sum(len(window.ids) for window in windows)
    tokens = sum(len(window.ids) for window in windows[:done])
    left = windows[done:]
    lengths = [len(window.ids) for window in left]
    for chosen in batches.by_length(lengths, batch_tokens):
        before = first + n_texts * tokens / total
        done, tokens = done + len(chosen), tokens + sum(lengths[place] for place in chosen)
        yield Batch([left[place] for place in chosen], done, before, first + n_texts * tokens / total)


def peaks(search: Search, model: LanguageModel, ids: tuple[list[int], ...]) -> torch.Tensor:
    """The peaks of windows (windows, columns), float32, on the model's device; the BOS does not count.

    Raises PipelineError for activations that are no finite numbers.
    """
    import torch

    lengths = list(map(len, ids))
    found: list[Any] = [None] * len(search.sides)

    def look(numbers: list[int], values: torch.Tensor) -> None:
        for number in numbers:
            found[number] = highest(values, lengths, search.sides[number].sign)

    see = {layer: partial(look, numbers) for layer, numbers in search.by_layer().items()}
    model.look_through(batches.padded(ids), see)
    whole = torch.cat(found, 1)
    if not torch.isfinite(whole).all():
        raise PipelineError(
            "MODEL: not all activations are finite numbers; is a file damaged or its precision too low?"
        )
    return whole


def highest(values: torch.Tensor, lengths: list[int], sign: int = 1) -> torch.Tensor:
    """The highest value (windows, neurons) of values (windows, tokens, neurons), float32; with a sign of -1
    the lowest one, negated. Neither the BOS counts nor what lies beyond a window's length."""
    import torch

    def most(part: torch.Tensor) -> torch.Tensor:
        return part.amax(1) if sign > 0 else -part.amin(1)

    shortest = max(2, min(lengths))  # every window has a token beside the BOS
    found = most(values[:, 1:shortest])
    if shortest < values.shape[1]:
        places = torch.arange(shortest, values.shape[1], device=values.device)
        beyond = places >= torch.tensor(lengths, device=values.device)[:, None]
        rest = values[:, shortest:].masked_fill(beyond[:, :, None], -sign * torch.inf)
        found = torch.maximum(found, most(rest))
    return found.float()
