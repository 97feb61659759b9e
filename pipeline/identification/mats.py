"""What a neuron's MATs are, each thing once: words that are spelled alike, and MAPs of one text, are one
unit.

A word that is repeated is no evidence that a neuron's words mean alike, nor is a stem (hammer, hammered), a
token that several words share (" fig" in figwort, figment), or boilerplate in which the MAT moves. So the
tests of likeness compare units, each by the word that stands for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import Config
from pipeline.engine.stage import Inputs
from pipeline.language.spelling import spelled_alike
from pipeline.tables.columns import LAYER_KEY, NEURON_KEY, SAMPLE_KEY, of_layer

_SAME_WORD = 0.5  # of a unit's activation, that forms of one word have at least if it stands for them
_SAME_TEXT, _FEW = 0.6, 4  # shared words of two contexts of one text, and words that a context needs for it
_BATCH = 4096  # words that are Python objects at once
OF_WORDS = [*SAMPLE_KEY, "word_index", "word", "is_mat"]  # what is read of them
Key = tuple[str, int, str, int]  # model, layer, sign, neuron


@dataclass(frozen=True)
class Mat:
    """The MAT of a distinct MAP, as in `mat_words`.

    Its token, the word read at it if there is one, the other words of the MAP, the activation (at least 0),
    and whether what is read is most of the word that stands there: at " fig" in "figment" it is not.
    """

    rank: int
    token: str
    word: str | None
    context: tuple[str, ...]
    activation: float
    is_whole: bool = True


@dataclass(frozen=True)
class Unit:
    """MATs that count once, strongest first.

    `word` stands for them: what the tokens themselves spell if one of the words is just that, else the word
    that activates most; None where the MATs are mere pieces of several words, or no part of any.
    """

    word: str | None
    mats: tuple[Mat, ...]

    @property
    def activation(self) -> float:
        """The sum over its MATs."""
        return sum(mat.activation for mat in self.mats)


def mats_of(mat_words: pa.Table, words: pa.Table) -> dict[Key, list[Mat]]:
    """The MATs of each neuron's distinct MAPs, strongest first; neurons in order."""
    around: dict[tuple, list[tuple[int, str]]] = defaultdict(list)
    others = words.filter(~pc.field("is_mat")).select([*SAMPLE_KEY, "word_index", "word"])
    for row in (row for batch in others.to_batches(_BATCH) for row in batch.to_pylist()):
        around[tuple(row[name] for name in SAMPLE_KEY)].append((row["word_index"], row["word"]))
    neurons: dict[Key, list[Mat]] = defaultdict(list)
    for row in mat_words.filter(~pc.field("duplicate")).to_pylist():
        own = sorted(around[tuple(row[name] for name in SAMPLE_KEY)])
        neurons[tuple(row[name] for name in NEURON_KEY)].append(
            Mat(
                row["rank"],
                row["token"],
                row["word"],
                tuple(word for _, word in own),
                row["activation"],
                row["word"] is None or spelled_alike(row["word"], row["whole_word"] or row["word"]),
            )
        )
    return dict(neurons)


def _is_one_text(one: Mat, other: Mat) -> bool:
    a, b = set(one.context), set(other.context)
    return min(len(a), len(b)) >= _FEW and len(a & b) >= _SAME_TEXT * len(a | b)


def units(mats: list[Mat]) -> list[Unit]:
    """The units of a neuron's MATs, the one with the strongest MAT first."""
    label = list(range(len(mats)))
    for i, one in enumerate(mats):
        for j, other in enumerate(mats[:i]):
            same_word = (
                one.word is not None and other.word is not None and spelled_alike(one.word, other.word)
            )
            if one.token == other.token or same_word or _is_one_text(one, other):
                label = [label[j] if own == label[i] else own for own in label]
    grouped: dict[int, list[Mat]] = defaultdict(list)
    for mat, own in zip(mats, label, strict=True):
        grouped[own].append(mat)
    return [Unit(_representative(own), tuple(own)) for own in grouped.values()]


def _representative(mats: list[Mat]) -> str | None:
    weights: dict[str, float] = defaultdict(float)
    for mat in mats:
        if mat.word is not None and mat.is_whole:
            weights[mat.word] += mat.activation
    spelled = {mat.token for mat in mats} & weights.keys()
    best = max(spelled or weights, key=lambda word: (weights[word], word), default=None)
    if best is None or spelled:
        return best
    alike = sum(weight for word, weight in weights.items() if spelled_alike(word, best))
    return best if alike >= _SAME_WORD * sum(mat.activation for mat in mats) else None


def coverage(own: list[Mat], of: list[Mat]) -> float:
    """The share that some MATs have of the activation of all, 0..1; of their number where all are 0."""
    total = sum(mat.activation for mat in of)
    part = sum(mat.activation for mat in own)
    return part / total if total > 0 else len(own) / max(1, len(of))


def ranks(own: list[Mat]) -> list[int]:
    """The ranks of some MATs' MAPs, strongest first."""
    return sorted(mat.rank for mat in own)


def by_layer(table: pa.Table) -> Iterator[pa.Table]:
    """The rows of each model, layer and end of its neurons."""
    places = table.select(LAYER_KEY).group_by(LAYER_KEY).aggregate([])
    for place in sorted(zip(*(places[name].to_pylist() for name in LAYER_KEY), strict=True)):
        yield table.filter(of_layer(place))


def shards(inputs: Inputs, settings: Config) -> Iterator[pa.Table]:
    """The MATs of each layer: what is by chance is told for each by itself."""
    yield from by_layer(inputs["mat_words"])
