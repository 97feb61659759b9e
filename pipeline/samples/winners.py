"""The best windows of each neuron so far: two numbers for each, however long the windows are.

Windows are numbered in the order of the texts. A key holds a window's peak and its number, so that
comparing keys compares peaks, of equal ones the lower number first: the best of a whole are the best of the
best of its parts. The neurons of all sides that are searched are columns beside each other.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import torch

_NONE = -(2**63)  # below every key
_LAST = 2**32 - 1  # the highest number of a window
_PART_BITS = 24  # of a place: which part of its text a window is


class Side(NamedTuple):
    """What is searched at once: the neurons of a layer, for their highest values, or with a sign of -1 for
    their lowest, which are negated."""

    layer: int
    n_neurons: int
    sign: int = 1


def begins(sides: tuple[Side, ...]) -> list[int]:
    """The column at which each side begins, and the number of all columns."""
    return list(accumulate((side.n_neurons for side in sides), initial=0))


def place(text: int, part: int) -> int:
    """Where a window stands, as one number: its text and which part of it."""
    return text << _PART_BITS | part


def text_and_part(place: int) -> tuple[int, int]:
    """What a place says."""
    return place >> _PART_BITS, place & (2**_PART_BITS - 1)


class Found(NamedTuple):
    """Winners in a row: of each its column, its key and its place, int64; by column, the best first."""

    columns: np.ndarray
    keys: np.ndarray
    places: np.ndarray


class Winners:
    """The best `samples` windows of each column, the best first.

    `keys` and `places` are (columns, samples), int64, on the device that finds the peaks.
    """

    def __init__(self, n_columns: int, samples: int, device: torch.device | str = "cpu") -> None:
        import torch

        self.keys = torch.full((n_columns, samples), _NONE, device=device)
        self.places = torch.full((n_columns, samples), -1, device=device)

    def offer(self, peaks: torch.Tensor, numbers: list[int], places: list[int]) -> None:
        """Compare windows with the winners so far; peaks (windows, columns), float32, finite."""
        import torch

        peaks = peaks + 0.0  # of -0.0 and 0.0 none is the higher one
        better = (peaks.amax(0) >= self._least()).nonzero().flatten()
        bits = peaks[:, better].view(torch.int32).long()
        last = _LAST - torch.tensor(numbers, device=peaks.device)
        keys = (_ordered(bits) << 32 | last[:, None]).T  # (columns, windows)
        where = torch.tensor(places, device=peaks.device)
        self._take(better, keys, where.expand(len(better), -1))

    def _least(self) -> torch.Tensor:
        """The peak of each column below which no window wins any more."""
        import torch

        last = self.keys[:, -1]
        return torch.where(last == _NONE, -torch.inf, _peaks(last))

    def join(self, found: Found, n_windows: int = 0, n_texts: int = 0) -> None:
        """Compare with the winners of another part of the text, before which so many windows and texts
        stand that it did not count; in any order of the parts."""
        import numpy as np
        import torch

        if not len(found.columns):
            return
        columns, begin, row = np.unique(found.columns, return_index=True, return_inverse=True)
        rank = np.arange(len(row)) - begin[row]
        keys, places = (torch.full((len(columns), int(rank.max()) + 1), each) for each in (_NONE, -1))
        at = torch.from_numpy(row), torch.from_numpy(rank)
        keys[at] = torch.from_numpy(found.keys - n_windows)
        places[at] = torch.from_numpy(found.places + place(n_texts, 0))
        device = self.keys.device
        self._take(torch.from_numpy(columns).to(device), keys.to(device), places.to(device))

    def drop(self, begin: int, end: int) -> None:
        """Forget the winners of some columns."""
        self.keys[begin:end], self.places[begin:end] = _NONE, -1

    def found(self, since: int = 0) -> Found:
        """The winners whose number is at least `since`, as if their numbers began there."""
        wins = self.numbers >= since
        columns = wins.nonzero()[:, 0]
        parts = columns, self.keys[wins] + since, self.places[wins]
        return Found(*(part.cpu().numpy() for part in parts))

    def _take(self, columns: torch.Tensor, keys: torch.Tensor, places: torch.Tensor) -> None:
        """Of some columns, the best of those that they have and others, (columns, windows)."""
        import torch

        best, order = torch.cat([self.keys[columns], keys], 1).topk(self.keys.shape[1], 1)
        self.places[columns] = torch.cat([self.places[columns], places], 1).gather(1, order)
        self.keys[columns] = best

    @property
    def numbers(self) -> torch.Tensor:
        """The winners' windows, (columns, samples); -1 where there were fewer windows."""
        import torch

        return torch.where(self.keys == _NONE, -1, _LAST - (self.keys & _LAST))

    @property
    def peaks(self) -> torch.Tensor:
        """Their peaks, float32, raw units; of any value where there is no window."""
        return _peaks(self.keys)


def _peaks(keys: torch.Tensor) -> torch.Tensor:
    import torch

    return _ordered(keys >> 32).int().view(torch.float32)


def _ordered(bits: torch.Tensor) -> torch.Tensor:
    """The bits of float32 as numbers in the same order, and such numbers as bits; (any shape), int64."""
    return bits ^ (bits >> 31 & 0x7FFFFFFF)
