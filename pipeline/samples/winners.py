"""The best windows of each neuron so far: two numbers for each, however long the windows are.

Windows are numbered in the order of the texts. A key holds a window's peak and its number, so that
comparing keys compares peaks, of equal ones the lower number first: the best of a whole are the best of the
best of its parts. The neurons of several layers are columns beside each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_NONE = -(2**63)  # below every key
_LAST = 2**32 - 1  # the highest number of a window
_PART_BITS = 24  # of a place: which part of its text a window is


def place(text: int, part: int) -> int:
    """Where a window stands, as one number: its text and which part of it."""
    return text << _PART_BITS | part


def text_and_part(place: int) -> tuple[int, int]:
    """What a place says."""
    return place >> _PART_BITS, place & (2**_PART_BITS - 1)


class Winners:
    """The best `samples` windows of each neuron, the best first.

    `keys` and `places` are (neurons, samples), int64, on the device that finds the peaks.
    """

    def __init__(self, n_neurons: int, samples: int, device: torch.device | str = "cpu") -> None:
        import torch

        self.keys = torch.full((n_neurons, samples), _NONE, device=device)
        self.places = torch.full((n_neurons, samples), -1, device=device)

    def offer(self, peaks: torch.Tensor, numbers: list[int], places: list[int]) -> None:
        """Compare windows with the winners so far; peaks (windows, neurons), float32, finite."""
        import torch

        bits = (peaks + 0.0).view(torch.int32).long()  # of -0.0 and 0.0 none is the higher one
        last = _LAST - torch.tensor(numbers, device=peaks.device)
        keys = (_ordered(bits) << 32 | last[:, None]).T  # (neurons, windows)
        better = (keys > self.keys[:, -1:]).any(1).nonzero().flatten()
        where = torch.tensor(places, device=peaks.device)
        self._take(better, keys[better], where.expand(len(better), -1))

    def join(self, other: Winners, n_windows: int, n_texts: int) -> None:
        """Compare with the winners of another part of the text, before which so many windows and texts
        stand that it did not count; in any order of the parts."""
        import torch

        there = other.keys != _NONE
        keys = torch.where(there, other.keys - n_windows, _NONE)
        places = torch.where(there, other.places + place(n_texts, 0), -1)
        everyone = torch.arange(len(keys), device=keys.device)
        self._take(everyone, keys, places)

    def _take(self, neurons: torch.Tensor, keys: torch.Tensor, places: torch.Tensor) -> None:
        """Of some neurons, the best of those that they have and others, (neurons, windows)."""
        import torch

        best, order = torch.cat([self.keys[neurons], keys], 1).topk(self.keys.shape[1], 1)
        self.places[neurons] = torch.cat([self.places[neurons], places], 1).gather(1, order)
        self.keys[neurons] = best

    @property
    def numbers(self) -> torch.Tensor:
        """The winners' windows, (neurons, samples); -1 where there were fewer windows."""
        import torch

        return torch.where(self.keys == _NONE, -1, _LAST - (self.keys & _LAST))

    @property
    def peaks(self) -> torch.Tensor:
        """Their peaks, float32, raw units; of any value where there is no window."""
        import torch

        return _ordered(self.keys >> 32).int().view(torch.float32)


def _ordered(bits: torch.Tensor) -> torch.Tensor:
    """The bits of float32 as numbers in the same order, and such numbers as bits; (any shape), int64."""
    return bits ^ (bits >> 31 & 0x7FFFFFFF)
