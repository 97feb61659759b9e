"""What a language model is to measure: phrases in their texts, and variants of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Phrase:
    """One neuron's phrase in a text, from `start` to before `end`, and its variants: each the place of the
    first token that differs and the ids from there to the phrase's end."""

    neuron: int
    start: int
    end: int
    variants: list[tuple[int, list[int]]]


class Run(NamedTuple):
    """Tokens of a variant, or of a phrase as it is, from the first that differs from the text on."""

    neuron: int
    start: int  # of the phrase
    first: int  # of these tokens
    ids: list[int]


class Runs(NamedTuple):
    """Runs as arrays with a number for each of them; the ids of a run are `sizes` of all `ids`, from
    `begins` on. `counts` says of how many runs each phrase consists, itself included, which is first."""

    neurons: np.ndarray
    starts: np.ndarray
    firsts: np.ndarray
    begins: np.ndarray
    sizes: np.ndarray
    ids: np.ndarray
    counts: np.ndarray

    @staticmethod
    def joined(runs: list[Runs]) -> Runs:
        """The runs of several texts."""
        sizes = [len(each.ids) for each in runs]
        begins = [each.begins + before for each, before in zip(runs, np.cumsum([0, *sizes]), strict=False)]
        parts = dict(zip(Runs._fields, map(np.concatenate, zip(*runs, strict=True)), strict=True))
        return Runs(**parts | dict(begins=np.concatenate(begins)))


class Text:
    """A text's ids, at least to the end of its last phrase, and what is asked of it: phrases, or runs."""

    def __init__(
        self, ids: Sequence[int] | np.ndarray, phrases: list[Phrase] | None = None, runs: Runs | None = None
    ) -> None:
        self.array = np.asarray(ids, np.int64)
        if phrases is not None:
            self.phrases = phrases
        if runs is not None:
            self.flat = runs

    def __repr__(self) -> str:
        return f"Text({self.ids}, {self.phrases})"

    @cached_property
    def ids(self) -> list[int]:
        """The ids as a list."""
        return self.array.tolist()

    @cached_property
    def phrases(self) -> list[Phrase]:
        """The phrases, each with its variants."""
        flat, stops = self.flat, np.cumsum(self.flat.counts).tolist()
        arrays = flat.neurons, flat.starts, flat.firsts, flat.begins, flat.sizes
        runs = [
            Run(neuron, start, first, flat.ids[begin : begin + size].tolist())
            for neuron, start, first, begin, size in zip(*(a.tolist() for a in arrays), strict=True)
        ]
        return [
            Phrase(
                own.neuron, own.start, own.first + len(own.ids), [(run.first, run.ids) for run in variants]
            )
            for own, *variants in (runs[begin:stop] for begin, stop in pairwise([0, *stops]))
        ]

    @cached_property
    def runs(self) -> list[Run]:
        """Each phrase as it is, followed by its variants."""
        return [
            Run(each.neuron, each.start, first, ids)
            for each in self.phrases
            for first, ids in [(each.start, self.ids[each.start : each.end]), *each.variants]
        ]

    @cached_property
    def flat(self) -> Runs:
        """The same as arrays."""
        runs = self.runs
        sizes = np.array([len(run.ids) for run in runs], np.int64)
        neurons, starts, firsts = np.array([run[:3] for run in runs], np.int64).reshape(-1, 3).T
        return Runs(
            neurons,
            starts,
            firsts,
            begins=np.cumsum(sizes) - sizes,
            sizes=sizes,
            ids=np.fromiter(chain.from_iterable(run.ids for run in runs), np.int64, sizes.sum()),
            counts=np.array([1 + len(phrase.variants) for phrase in self.phrases], np.int64),
        )

    @cached_property
    def n_tokens(self) -> int:
        """Tokens of all its runs."""
        return int(self.flat.sizes.sum())

    @cached_property
    def seen(self) -> int:
        """Tokens of the text itself that any run can see."""
        return int(self.flat.firsts.max())

    @cached_property
    def end(self) -> int:
        """Tokens up to the end of the longest run."""
        return int((self.flat.firsts + self.flat.sizes).max())


@dataclass(frozen=True)
class Batch:
    """How much is computed at once: tokens, padding included, and bytes of memory beside the model; or one
    text and one variant, if that is more. `queries` are the tokens of a text that attend at once."""

    tokens: int
    memory: int
    queries: int = 128  # their scores stay in the cache


def peaks(runs: list[tuple[Run, np.ndarray]]) -> list[float]:
    """The maxima of a phrase's runs, the phrase as it is first, given the neuron at each of its tokens."""
    phrase, values = runs[0]
    own = [of_run[max(0, run.start - run.first) : len(run.ids)].max() for run, of_run in runs]
    shared = np.array([run.first - run.start for run, _ in runs])
    return with_shared(values[phrase.start - phrase.first : len(phrase.ids)], np.array(own), shared)


def with_shared(values: np.ndarray, own: np.ndarray, shared: np.ndarray) -> list[float]:
    """The maxima of a phrase's runs, the phrase as it is first, given those over their own tokens.

    Before its first token that differs, a variant equals the phrase: `values` are the neuron at each of the
    phrase's tokens, of which each run has `shared`, or none if that is below 1.
    """
    so_far = np.maximum.accumulate(values)[np.clip(shared, 1, len(values)) - 1]
    return np.where((shared > 0) & (so_far > own), so_far, own).tolist()
