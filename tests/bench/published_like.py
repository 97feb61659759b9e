"""Word vectors of the kind that is published, made of a small text: not centred, and alike for rare words.

Counts of words within eight of each other, weighted by distance, their logarithms, and the first hundred
singular vectors (in place of GloVe's least squares: Pennington et al. 2014). They are none of the published
sets, and worse; `--vectors` of the evaluation takes a real one.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from pipeline.language import texts, word

_WINDOW, _LEAST, _WIDTH = 8, 3, 100


def write(path: Path, text: Path) -> Path:
    """Write the vectors of a text as word2vec text, unless they are there, and return the path."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import svds

    if path.exists():
        return path
    lines = [word.words(line) for each in texts.stream(str(text), text) for line in each.splitlines()]
    counts = Counter(name for line in lines for name in line)
    names = sorted((n for n in counts if counts[n] >= _LEAST), key=lambda n: (-counts[n], n))
    places = {name: place for place, name in enumerate(names)}
    coded = [np.array([places[name] for name in line if name in places]) for line in lines]
    pairs: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for distance in range(1, _WINDOW + 1):
        one = np.concatenate([line[:-distance] for line in coded if len(line) > distance])
        other = np.concatenate([line[distance:] for line in coded if len(line) > distance])
        pairs.append((one, other, np.full(len(one), 1 / distance)))
    rows, columns, values = (np.concatenate(part) for part in zip(*pairs, strict=True))
    joined = coo_matrix((values, (rows, columns)), (len(names), len(names))).tocsr()
    joined = joined + joined.T
    joined.data = np.log1p(joined.data)
    start = np.random.default_rng(0).normal(size=len(names))
    vectors, scales, _ = svds(joined, _WIDTH, v0=start)
    matrix = vectors * np.sqrt(scales)
    with path.open("w", encoding="utf-8") as file:
        print(*matrix.shape, file=file)
        for name, row in zip(names, matrix, strict=True):
            print(name, *(f"{value:.5f}" for value in row), file=file)
    return path
