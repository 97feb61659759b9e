"""Do related words keep the activation where unrelated ones of like frequency lose it?

In: `places`, `retentions`, `maps`. Out: `substitution`: one test for each verified neuron whose MATs are
words. For each word that holds a MAT, what related words keep, which are its synonyms and its relatives, is
compared with what its controls keep: each as a share of the way from the median of the controls in that
MAP, 0, to the MAP itself, 1, since what is left without the word differs from MAP to MAP. A replacement
counts once for a word, with its mean over the MAPs of that word. The statistic is the mean difference over
words, each with the square root of its activation as weight. If the neuron does not care for meaning,
related words and controls are exchangeable within each word: the null is what shuffling their labels gives
(a permutation test, paired within each word: Fisher 1935; Phipson and Smyth 2010). Related words that hold
the word or the MAT, or begin as the word does, are left out: what they keep may be due to spelling.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.config import Config
from pipeline.engine.engines import Worker
from pipeline.engine.stage import Inputs, Stage, runs_of
from pipeline.language.spelling import spelled_alike
from pipeline.tables.columns import NEURON_KEY, SAMPLE_KEY, VARIANT_KEY
from pipeline.verification import variants

_FIRST, _MORE = 2_000, 20_000  # shuffles, and where few of the first reach the statistic
_FEW = 20
_LOST = 0.1  # of the activation that controls lose at the median, below which a MAP tells nothing
Word = tuple[list[float], list[float], float]  # what related words keep, and controls, 0..1; weight


def p_of(words: list[Word], draw: np.random.Generator) -> tuple[float, float]:
    """The mean difference of a neuron's words, and how likely shuffled labels give at least as much."""
    weights = np.array([weight for _, _, weight in words])
    weights = weights / weights.sum() if weights.sum() > 0 else np.full(len(words), 1 / len(words))
    effect = sum(
        weight * (np.mean(own) - np.mean(other))
        for weight, (own, other, _) in zip(weights, words, strict=True)
    )
    reached = _reached(words, weights, effect, _FIRST, draw)
    if reached >= _FEW:
        return float(effect), (1 + reached) / (1 + _FIRST)
    return float(effect), (1 + _reached(words, weights, effect, _MORE, draw)) / (1 + _MORE)


def _reached(
    words: list[Word], weights: np.ndarray, effect: float, count: int, draw: np.random.Generator
) -> int:
    """In how many of `count` shuffles the mean difference is at least `effect`."""
    found = np.zeros(count, np.float32)
    for weight, (own, other, _) in zip(weights, words, strict=True):
        values = np.array([*own, *other], np.float32)
        subsets = np.unpackbits(_subsets(len(own), len(values), count), axis=1, count=len(values))
        mean_own = subsets.astype(np.float32) @ values / len(own)
        mean_other = (values.sum() - mean_own * len(own)) / len(other)
        found += weight * np.roll(mean_own - mean_other, int(draw.integers(count)))
    return int(np.count_nonzero(found >= effect - 1e-6))


@lru_cache(maxsize=256)  # as many sizes as a layer has, of some 40 kB; 140 MB if all were of the largest
def _subsets(size: int, of: int, count: int) -> np.ndarray:
    """Random subsets, the same ones each time: (count, of) bits, set for the `size` that are chosen."""
    draw = np.random.default_rng([size, of])
    chosen = draw.random((count, of), np.float32).argpartition(size - 1)[:, :size]
    subsets = np.zeros((count, of), bool)
    np.put_along_axis(subsets, chosen, True, 1)
    return np.packbits(subsets, axis=1)


_RETENTIONS = (*VARIANT_KEY, "kind", "is_mat", "retention", "baseline")


def _worker(inputs: Inputs, settings: Config) -> Worker:
    """The function from retentions to the tests of their neurons."""
    places = inputs.rows("places", [*variants.COLUMNS, "is_mat"])
    maps = inputs.rows("maps", [*SAMPLE_KEY, "mat"])

    def tested(retentions: pa.Table) -> pa.Table:
        of_mats = places.of_neurons(retentions).filter(pc.coalesce(pc.field("is_mat"), False))
        replaced = variants.of_places(of_mats).select([*VARIANT_KEY, "word", "replacement"])
        replacements = _of_mats(retentions, replaced, maps.of_neurons(retentions))
        neurons: dict[tuple, list[dict[str, Any]]] = defaultdict(list)
        for row in replacements.to_pylist():
            neurons[tuple(row[name] for name in NEURON_KEY)].append(row)
        rows = []
        for key, own in sorted(neurons.items()):
            if words := words_of(own):
                draw = np.random.default_rng([settings.seed, crc32(repr(key).encode())])
                effect, p = p_of(words, draw)
                rows.append(
                    dict(zip(NEURON_KEY, key, strict=True)) | dict(n_words=len(words), effect=effect, p=p)
                )
        return pa.Table.from_pylist(rows, schema=tables.TABLES["substitution"].schema)

    return tested


def _of_mats(retentions: pa.Table, replaced: pa.Table, maps: pa.Table) -> pa.Table:
    """All replacements of the MATs' words with their retentions; columns `word`, `replacement`, `mat`."""
    known = pc.field("retention").is_valid() & pc.coalesce(pc.field("is_mat"), False)
    return (
        retentions.filter(known)
        .join(replaced, list(VARIANT_KEY))
        .join(maps, list(SAMPLE_KEY))
        .sort_by([(name, "ascending") for name in VARIANT_KEY])
    )


def words_of(replacements: list[dict[str, Any]]) -> list[Word]:
    """The words of a neuron that have both related words and controls."""
    maps: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in replacements:
        maps[row["rank"]].append(row)
    found: dict[str, dict[str, dict[str, list[float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    weights: dict[str, float] = defaultdict(float)
    for own in maps.values():
        controls = [row["retention"] for row in own if row["kind"] == "control"]
        if not controls or (without := max(0.0, float(np.median(controls)))) > 1 - _LOST:
            continue
        weights[own[0]["word"]] += own[0]["baseline"]
        for row in own:
            word, replacement = row["word"], row["replacement"].strip().lower()
            if row["kind"] != "control" and _is_spelled_so(replacement, word, row["mat"].strip().lower()):
                continue
            kind = "control" if row["kind"] == "control" else "related"
            kept = (row["retention"] - without) / (1 - without)
            found[word][kind][replacement].append(min(1.0, max(0.0, kept)))
    return [
        (
            [float(np.mean(values)) for values in kinds["related"].values()],
            [float(np.mean(values)) for values in kinds["control"].values()],
            float(np.sqrt(weights[word])),
        )
        for word, kinds in sorted(found.items())
        if kinds["related"] and kinds["control"]
    ]


def _is_spelled_so(replacement: str, word: str, token: str) -> bool:
    """Whether what a replacement keeps may be due to spelling."""
    return spelled_alike(word, replacement) or (len(token) > 2 and token in replacement)


STAGE = Stage(
    __name__,
    "265",
    "substitution",
    reads=("retentions", "places", "maps"),
    settings=("seed",),
    shards=runs_of("retentions", 2**16, _RETENTIONS, whole_neurons=True),
    worker=_worker,
)
