"""Does one token, one word or one spelling stand out among what a neuron responds to?

In: `mat_words`, `words`, `samples`. Out: `dominance`: for each neuron the token, the word and the beginning
or ending that most of its activation is at, and the token that most of it comes right after.

Some token has to activate a neuron most, whatever its weights are; a share of the MATs says little. So the
null of a token or word is a neuron of no meaning, whose responses to the tokens of its texts fall off as
the tail of a distribution does: the mean response at the token is compared with the tail of the mean
responses at all others in the same texts, and p is the chance that any of the layer's tokens would reach
it. The tail is Weibull's, exp(-x^shape) (peaks over a threshold: Pickands 1975); its scale is the neuron's
own, from two high quantiles, so that a few other tokens that belong to the thing do not hide it, and its
shape the median over the layer's neurons, since the activation function decides it. A position, or a neuron
that is always on, responds to the token elsewhere as to any other, and has no p below 1.

The null of a spelling is words drawn from the layer's, one for each token: p is binomial, for the share of
words that begin or end so, times the number of beginnings and endings that could have been found
(Bonferroni). Words of which one token is part are a spelling too: of it p is the token's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.config import Config
from pipeline.engine.engines import Worker
from pipeline.engine.stage import Inputs, Stage
from pipeline.identification import mats
from pipeline.identification.mats import Key, Mat
from pipeline.tables.columns import NEURON_KEY, SAMPLE_KEY
from pipeline.tables.rows import Rows

TESTS = ("before", "spelling", "token", "word")
_TAIL = (0.8, 0.95, 0.98)  # quantiles: where the tail begins, of its scale, of its shape
_SHAPES = (0.5, 2.0)  # of a tail: heavier than any activation's, and normal
_OF_SHAPE = 200  # neurons that the shape is taken from, at most
_LEAST_TYPES = 100  # other tokens that a tail needs
_BLANKS = " \t\n\r\f\v"  # that sql/132_mat_words.sql takes off too
_LEAST_SHARE = 0.2  # of the activation, below which nothing stands out
_AFFIX = (3, 4, 5, 6)  # letters of a beginning or an ending
_LEAST_WORDS = 3  # that share a spelling
_WHOLE = 0.1  # share of a token's MATs in which it is a whole word, above which it is no mere piece


def tail_p(response: float, others: np.ndarray, n_types: int, shape: float) -> float:
    """How likely the highest of `n_types` responses reaches `response`, if they fall off as `others` do."""
    begin, scale = np.quantile(others, _TAIL[:2])
    if response <= scale or scale <= begin:
        return 1.0
    x = (response - begin) / (scale - begin)
    expected = n_types * (1 - _TAIL[0]) * np.exp(-np.log((1 - _TAIL[0]) / (1 - _TAIL[1])) * x**shape)
    return float(-np.expm1(-expected))


def tail_shape(others: np.ndarray) -> float | None:
    """The shape of a tail by three quantiles; None where they do not differ."""
    begin, scale, far = np.quantile(others, _TAIL)
    if not begin < scale < far:
        return None
    depths = [np.log((1 - _TAIL[0]) / (1 - quantile)) for quantile in _TAIL[1:]]
    return float(np.log(depths[1] / depths[0]) / np.log((far - begin) / (scale - begin)))


def _name(token: str) -> str:
    """A token as in `mats.Mat`."""
    return token.strip(_BLANKS).lower() or token


class Responses:
    """A neuron's mean response to each token in its texts, by the token as in `mats.Mat`; or, where
    `after`, to what comes right after it."""

    def __init__(self, texts: pa.Table, *, after: bool = False) -> None:
        tokens, activations = (texts[name].combine_chunks() for name in ("tokens", "activations"))
        starts = texts["text_start"].to_numpy()
        lengths = pc.list_value_length(tokens).to_numpy()
        place = np.concatenate([np.arange(length) for length in lengths])
        inside = place >= np.repeat(starts, lengths) + after
        values = activations.flatten().to_numpy(zero_copy_only=False)
        coded = tokens.flatten().dictionary_encode()
        codes = coded.indices.to_numpy()
        inside &= np.isfinite(values)
        names = [_name(text) for text in coded.dictionary.to_pylist()]
        self.names = sorted(set(names))
        number = {name: i for i, name in enumerate(self.names)}
        own = np.array([number[name] for name in names], np.int64)[np.roll(codes, after)[inside]]
        counts = np.bincount(own, minlength=len(self.names))
        sums = np.bincount(own, values[inside].astype(np.float64), len(self.names))
        self.means = np.where(counts > 0, sums / np.maximum(counts, 1), -np.inf)

    def apart(self, name: str) -> tuple[float, np.ndarray] | None:
        """The response to a token, and those to all others; None in texts of few tokens."""
        here = np.array([own == name for own in self.names])
        others = self.means[~here & np.isfinite(self.means)]
        if not here.any() or len(others) < _LEAST_TYPES:
            return None
        return float(self.means[here][0]), others


class Spellings:
    """Beginnings and endings of the words of a layer's MATs, and how many of these words have each."""

    def __init__(self, neurons: Iterable[list[Mat]]) -> None:
        words = {mat.word for own in neurons for mat in own if mat.word}
        self.n_words = len(words)
        self.counts = Counter(affix for word in words for affix in _affixes(word))
        self.n_shared = sum(count > 1 for count in self.counts.values())

    def best(self, own: list[Mat]) -> tuple[str, float, list[Mat]] | None:
        """The spelling that is least likely by chance, its p, and the MATs whose words have it; None where
        no three tokens share one."""
        from scipy.stats import binom

        words = set({mat.token: mat.word for mat in own if mat.word}.values())  # one for each token
        shared = Counter(affix for word in words for affix in _affixes(word))
        found = []
        for affix, n in shared.items():
            if n >= _LEAST_WORDS:
                tail = float(binom.sf(n - 1, len(words), self.counts[affix] / self.n_words))
                found.append((min(1.0, self.n_shared * tail), -len(affix), affix))
        if not found:
            return None
        p, _, affix = min(found)
        return affix, p, [mat for mat in own if mat.word and affix in _affixes(mat.word)]


def _affixes(word: str) -> list[str]:
    """The beginnings (`un-`) and endings (`-ing`) of a word that leave some of it."""
    return [f"{word[:n]}-" for n in _AFFIX if n < len(word)] + [
        f"-{word[-n:]}" for n in _AFFIX if n < len(word)
    ]


class Layer:
    """What the neurons of a layer are compared with: its spellings, the number of different tokens in its
    texts, and the shape of the tail of its neurons' responses."""

    def __init__(self, own: dict[Key, list[Mat]], samples: Iterable[tuple[Key, pa.Table]]) -> None:
        """`samples` are those of each neuron."""
        self.spellings = Spellings(own.values())
        types: set[str] = set()
        shapes: list[float] = []
        for number, (key, texts) in enumerate(samples):
            types.update(pc.unique(texts["tokens"].combine_chunks().flatten()).to_pylist())
            if number < _OF_SHAPE:
                apart = Responses(texts).apart(_largest(own[key], lambda mat: mat.token)[0].token)
                if apart and (shape := tail_shape(apart[1])) is not None:
                    shapes.append(shape)
        self.n_types = len(types)
        self.shape = float(np.clip(np.median(shapes), *_SHAPES)) if shapes else 1.0

    def p(self, responses: Responses, name: str) -> float:
        """How likely some token stands out as this one does; 1 in texts of few tokens."""
        apart = responses.apart(name)
        return tail_p(*apart, self.n_types, self.shape) if apart else 1.0


def _worker(inputs: Inputs, settings: Config) -> Worker:
    """The function from a layer's MATs to the tests of its neurons, whose samples are read one by one."""
    words = inputs.columns("words", mats.OF_WORDS)
    samples = inputs.rows("samples", [*SAMPLE_KEY, "tokens", "activations", "text_start", "mat_index"])

    def tested(mat_words: pa.Table) -> pa.Table:
        own = mats.mats_of(mat_words, words)
        layer = Layer(own, _by_neuron(own, samples))
        rows = [
            dict(zip(NEURON_KEY, key, strict=True)) | row
            for key, texts in _by_neuron(own, samples)
            for row in _tests(own[key], texts, layer)
        ]
        return pa.Table.from_pylist(rows, schema=tables.TABLES["dominance"].schema)

    return tested


def _by_neuron(own: dict[Key, list[Mat]], samples: Rows) -> Iterator[tuple[Key, pa.Table]]:
    """The samples of each of some neurons."""
    for key in sorted(own):
        neuron = pa.table({name: [value] for name, value in zip(NEURON_KEY, key, strict=True)})
        yield key, samples.of_neurons(neuron)


def _tests(own: list[Mat], texts: pa.Table, layer: Layer) -> list[dict[str, Any]]:
    """The rows of a neuron, by test; none of what has a small share of the activation."""
    tokens, words = _largest(own, lambda mat: mat.token), _largest(own, lambda mat: mat.word)
    found: dict[str, tuple[str, float, list[Mat]]] = {}
    if mats.coverage(tokens, own) >= _LEAST_SHARE:
        responses = Responses(texts)
        p = layer.p(responses, tokens[0].token)
        found["spelling" if _is_piece(tokens) else "token"] = tokens[0].token, p, tokens
        if words:
            piece = _largest(words, lambda mat: mat.token)[0].token
            found["word"] = str(words[0].word), layer.p(responses, piece), words
    name = _before(texts)
    after = _largest(own, lambda mat: name.get(mat.rank))
    if mats.coverage(after, own) >= _LEAST_SHARE:
        thing = name[after[0].rank]
        found["before"] = thing, layer.p(Responses(texts, after=True), thing), after
    affix = layer.spellings.best(own)
    if affix and ("spelling" not in found or len(affix[2]) > len(found["spelling"][2])):
        found["spelling"] = affix
    return [
        dict(test=test, thing=thing, p=p, coverage=mats.coverage(part, own), ranks=mats.ranks(part))
        for test, (thing, p, part) in sorted(found.items())
    ]


def _before(texts: pa.Table) -> dict[int, str]:
    """The token right before the MAT of each text of a neuron, by rank; none where that begins it."""
    rows = texts.select(["rank", "tokens", "mat_index", "text_start"]).to_pylist()
    return {
        row["rank"]: _name(row["tokens"][row["mat_index"] - 1])
        for row in rows
        if row["mat_index"] > row["text_start"]
    }


def _largest(own: list[Mat], name: Callable[[Mat], str | None]) -> list[Mat]:
    """The MATs of the one name that most of the activation is at; of equal ones the first by name."""
    parts: dict[str, list[Mat]] = defaultdict(list)
    for mat in own:
        if (each := name(mat)) is not None:
            parts[each].append(mat)
    return max(
        (part for _, part in sorted(parts.items())),
        key=lambda part: sum(mat.activation for mat in part),
        default=[],
    )


def _is_piece(own: list[Mat]) -> bool:
    """Whether a token is a part of several words, and mostly no word itself."""
    whole = sum(mat.word == mat.token for mat in own)
    return (
        own[0].token.isalpha()
        and len({mat.word for mat in own if mat.word}) > 1
        and whole < _WHOLE * len(own)
    )


STAGE = Stage(
    __name__,
    "144",
    "dominance",
    reads=("mat_words", "words", "samples"),
    shards=mats.shards,
    worker=_worker,
)
