"""Batches of token sequences of similar length, so that little of a pass is padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def by_length(lengths: Sequence[int], batch_tokens: int, apart: int | None = None) -> Iterator[list[int]]:
    """Places of sequences, shortest first, in batches of at most `batch_tokens` with padding.

    A batch holds at least one sequence, however long; ties keep their order. Sequences of up to `apart`
    tokens and longer ones are never together.
    """
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        crosses = apart is not None and bool(batch) and lengths[batch[-1]] <= apart < lengths[place]
        if batch and (crosses or (len(batch) + 1) * lengths[place] > batch_tokens):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def padded(sequences: Sequence[Sequence[int]]) -> torch.Tensor:
    """(sequences, longest) ids, padded on the right with a token whose results are ignored."""
    import torch

    ids = torch.zeros((len(sequences), max(map(len, sequences))), dtype=torch.long)
    for row, sequence in zip(ids, sequences, strict=True):
        row[: len(sequence)] = torch.tensor(sequence)
    return ids
