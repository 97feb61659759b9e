"""Word vectors in memory: as arrays, as a `vocabulary` table, and which words are nearest to a word."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from pipeline import tables
from pipeline.language import word

_CHUNK = 512  # query words computed together
_TILE = 2048  # words of the vocabulary multiplied together, so that the product stays in the cache
SMALL = 16_384  # words of a vocabulary up to which small blocks are faster
_BLOCKS = (4, 32)  # words of a block, of which only the best score is kept: small and large vocabulary
_AGAIN = 256  # query words whose best blocks are searched together


@dataclass(frozen=True)
class Vectors:
    """Words by falling frequency; `frequencies` (words,) sum to at most 1; unit `matrix`
    (words, dimensions) in float32."""

    words: list[str]
    frequencies: np.ndarray
    matrix: np.ndarray

    @cached_property
    def places(self) -> dict[str, int]:
        """The row of each word."""
        return {name: place for place, name in enumerate(self.words)}

    @cached_property
    def known(self) -> word.Known:
        """The words of scripts without blanks."""
        return word.Known(self.words)

    @classmethod
    def from_table(cls, vocabulary: pa.Table) -> Vectors:
        """The vectors of a `vocabulary` table."""
        matrix = vocabulary["vector"].combine_chunks().flatten().to_numpy()
        return cls(
            vocabulary["word"].to_pylist(),
            vocabulary["frequency"].to_numpy(),
            matrix.reshape(len(vocabulary), -1),
        )

    def to_table(self) -> pa.Table:
        """The vectors as rows of `vocabulary`."""
        count, width = self.matrix.shape
        offsets = np.arange(0, count * width + 1, width, dtype=np.int32)
        columns = [
            pa.array(self.words),
            pa.array(np.arange(count, dtype=np.int32)),
            pa.array(self.frequencies.astype(np.float64)),
            pa.ListArray.from_arrays(offsets, pa.array(self.matrix.ravel())),
        ]
        return pa.Table.from_arrays(columns, schema=tables.TABLES["vocabulary"].schema)


def nearest(
    matrix: np.ndarray, queries: np.ndarray, count: int, small: int = SMALL
) -> tuple[np.ndarray, np.ndarray]:
    """The `count` nearest rows of a unit `matrix` (words, dimensions) to each row in `queries`.

    `queries` (n,) are row numbers; a row is not its own neighbour. Returns (n, count) row numbers and
    cosines, nearest first, ties by row number; fewer columns where there are fewer words. A matrix of more
    than `small` rows is searched in large blocks; the result is the same.

    The largest k of a row of scores lie in the k blocks with the largest maxima. So only each block's
    maximum is kept of the whole product, tile by tile while it is in the cache, and the words of the
    best blocks are searched again; all words are where more of them tie than eight blocks hold.
    """
    import torch
    import torch.nn.functional as F

    block = _BLOCKS[len(matrix) > small]
    everything = F.pad(torch.from_numpy(matrix), (0, 0, 0, -len(matrix) % block))
    count = min(count, len(matrix) - 1)
    n_blocks = min(count + 9, len(everything) // block)  # one for the word itself, eight for ties
    rows = [torch.zeros((0, count), dtype=torch.long)]
    cosines = [torch.zeros((0, count))]

    def best(own: torch.Tensor, near: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The best of the rows `near` (queries, rows), which ascend, for each query."""
        scores = torch.bmm(everything[near], everything[own][:, :, None])[:, :, 0]
        scores[(near == own[:, None]) | (near >= len(matrix))] = -torch.inf
        order = scores.argsort(dim=1, descending=True, stable=True)[:, :count]
        return near.gather(1, order), scores.gather(1, order)

    for chunk in torch.from_numpy(queries.astype(np.int64)).split(_CHUNK):
        asked = everything[chunk].T.contiguous()
        products = (tile @ asked for tile in everything.split(_TILE))  # (tile, chunk)
        peaks = torch.cat([p.unflatten(0, (-1, block)).amax(1) for p in products]).T
        chosen = peaks.topk(n_blocks)
        blocks = chosen.indices.sort(1).values  # (chunk, n_blocks), ascending
        within = (blocks[:, :, None] * block + torch.arange(block)).flatten(1)
        found = [best(*parts) for parts in zip(chunk.split(_AGAIN), within.split(_AGAIN), strict=True)]
        near, scores = (torch.cat(parts) for parts in zip(*found, strict=True))
        for tied in (chosen.values[:, -1] >= scores[:, -1] - 1e-6).nonzero().flatten().tolist():
            near[tied], scores[tied] = (
                part[0] for part in best(chunk[tied : tied + 1], torch.arange(len(matrix))[None])
            )
        rows.append(near)
        cosines.append(scores)
    return torch.cat(rows).numpy(), torch.cat(cosines).numpy()
