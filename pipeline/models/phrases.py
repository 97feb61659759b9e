"""What a language model is to measure: phrases in their texts, and variants of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
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


@dataclass(frozen=True)
class Text:
    """A text's ids, at least to the end of its last phrase."""

    ids: list[int]
    phrases: list[Phrase]

    @cached_property
    def runs(self) -> list[Run]:
        """Each phrase as it is, followed by its variants."""
        return [
            Run(each.neuron, each.start, first, ids)
            for each in self.phrases
            for first, ids in [(each.start, self.ids[each.start : each.end]), *each.variants]
        ]

    @cached_property
    def n_tokens(self) -> int:
        """Tokens of all its runs."""
        return sum(len(run.ids) for run in self.runs)

    @cached_property
    def seen(self) -> int:
        """Tokens of the text itself that any run can see."""
        return max(run.first for run in self.runs)


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
