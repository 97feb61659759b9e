"""Are a neuron's words, or its phrases, more alike than those of its layer are by chance?

In: `mat_words`, `words`, `vocabulary`. Out: `likeness`. Two tests of each neuron over its units
(`mats.py`): by the words of its MATs, and by its phrases without these words. The statistic is the mean
score over pairs of units, its null the same mean of as many units drawn from the layer (`chance.py`). A
layer of too few neurons or words has no null, and no rows.
"""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa

from pipeline import tables
from pipeline.config import Config
from pipeline.engine.engines import Worker
from pipeline.engine.stage import Inputs, Stage
from pipeline.identification import layer_scores, mats
from pipeline.identification.chance import MeanScore, mean_score
from pipeline.tables.columns import NEURON_KEY

_SHARPER = 2  # times the draws that a p of FDR / neurons needs: of the tests' weights the largest is 0.45
_LEAST_DRAWS, _MOST_DRAWS = 2_000, 400_000


def n_draws(n_neurons: int, fdr: float) -> int:
    """How often a layer's null is drawn: Benjamini and Hochberg's rule decides by a p of FDR / neurons at
    least."""
    return min(_MOST_DRAWS, max(_LEAST_DRAWS, math.ceil(_SHARPER * n_neurons / fdr)))


def _worker(inputs: Inputs, settings: Config) -> Worker:
    """The function from a layer's MATs to the tests of its neurons."""
    scored = layer_scores.maker(inputs, settings.seed)

    def tested(mat_words: pa.Table) -> pa.Table:
        layer = scored(mat_words)
        rows = []
        count = n_draws(len(layer.units), settings.fdr)
        for number, by in enumerate(layer_scores.TESTS):
            if (scores := layer.scores(by)) is None:
                continue
            compared = {key: each for key in layer.units if (each := layer.compared(key, by))}
            nulls = {}
            for even in sorted({each.even for each in compared.values()}):
                draw = np.random.default_rng([settings.seed, 10 + number, even])
                nulls[even] = MeanScore(scores, count, draw, f"chance of {by}", even=even)
            for key, each in compared.items():
                n_units, mean = len(each.units), mean_score(each.scores)
                own = dict(test=by, n_units=n_units, score=mean, p=nulls[each.even].p(n_units, mean))
                rows.append(dict(zip(NEURON_KEY, key, strict=True)) | own)
        rows.sort(key=lambda row: tuple(row[name] for name in (*NEURON_KEY, "test")))
        return pa.Table.from_pylist(rows, schema=tables.TABLES["likeness"].schema)

    return tested


STAGE = Stage(
    __name__,
    "142",
    "likeness",
    reads=("mat_words", "words", "vocabulary"),
    settings=("seed", "fdr"),
    shards=mats.shards,
    worker=_worker,
)
