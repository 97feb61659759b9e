"""Tables of the size of a published model, invented: what the Python stages of a layer would write.

Every tenth token is a number and no word, so that a MAP of eleven tokens has about 55 variants.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.tables import TABLES
from pipeline.verification import variants

MAPS = 20
KEY = ["model", "layer", "sign", "neuron", "rank", "variant"]
_WORDS, _DIMENSIONS, _NEIGHBOURS, _AROUND = 20_000, 300, 5, 5
_NAME = "solu-8l-pile"


@dataclass(frozen=True)
class Layer:
    """One layer's texts, as ids of made-up tokens; every tenth token is a number and no word."""

    number: int
    neurons: int
    tokens: int

    @property
    def draw(self) -> np.random.Generator:
        return np.random.default_rng(self.number)

    def texts(self) -> tuple[np.ndarray, np.ndarray]:
        """The ids of each text's tokens, and the place of its MAT, which a neuron's texts share often."""
        draw, n = self.draw, self.neurons * MAPS
        ids = draw.integers(0, _WORDS, (n, self.tokens), dtype=np.int32)
        mats = draw.integers(1, self.tokens, n).astype(np.int32)
        ids[np.arange(n), mats] = self.own[np.arange(n) // MAPS, draw.integers(0, 5, n)]
        return ids, mats

    @property
    def own(self) -> np.ndarray:
        """The ids of the tokens that activate each neuron (neuron, 5): one of them is each MAT."""
        return np.random.default_rng([self.number, 1]).integers(0, _WORDS, (self.neurons, 5))

    def keys(self) -> dict[str, pa.Array]:
        """The key of each sample."""
        n = self.neurons * MAPS
        return dict(
            model=_same(_NAME, n),
            layer=_same(self.number, n, pa.int32()),
            sign=_same("positive", n),
            neuron=pa.array(np.arange(n, dtype=np.int32) // MAPS),
            rank=pa.array(np.arange(n, dtype=np.int32) % MAPS),
        )


@cache
def names() -> pa.Array:
    """The made-up words, in lower case, and numbers."""
    draw = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlu"))[draw.integers(0, 12, (2 * _WORDS, 9))]
    lengths = draw.integers(3, 10, 2 * _WORDS)
    words = {"".join(row[:length]) for row, length in zip(letters, lengths, strict=True)}
    names = sorted(words)[:_WORDS]
    return pa.array([str(1000 + i) if i % 10 == 0 else name for i, name in enumerate(names)])


def _same(value: object, n: int, kind: pa.DataType | None = None) -> pa.Array:
    return pa.repeat(pa.scalar(value, kind), n)


def _lists(values: pa.Array, width: int) -> pa.ListArray:
    ends = np.arange(0, len(values) + 1, width, dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), values)


def _table(name: str, columns: dict[str, pa.Array]) -> pa.Table:
    """A table of which columns not given are null."""
    n = len(next(iter(columns.values())))
    schema = TABLES[name].schema
    found = {f.name: columns.get(f.name, pa.nulls(n, f.type)) for f in schema}
    return pa.table({f.name: found[f.name].cast(f.type) for f in schema}, schema=schema)


def samples(layer: Layer) -> pa.Table:
    """20 texts of each neuron, with an activation at each token."""
    ids, mats = layer.texts()
    n = len(ids)
    activations = layer.draw.normal(0, 0.3, ids.shape).astype(np.float32)
    highest = (3 - np.arange(n) % MAPS / MAPS).astype(np.float32)
    activations[np.arange(n), mats] = highest
    spoken = pa.array([f" {name}" for name in names().to_pylist()])
    columns = dict(
        tokens=_lists(spoken.take(pa.array(ids.reshape(-1))), layer.tokens),
        activations=_lists(pa.array(activations.reshape(-1)), layer.tokens),
        text_start=_same(0, n, pa.int32()),
        mat_index=pa.array(mats),
        max_activation=pa.array(highest),
        source=_same("scan", n),
    )
    return _table("samples", layer.keys() | columns)


def pages(layer: Layer) -> pa.Table:
    """None: a scan has none."""
    return TABLES["pages"].schema.empty_table()


def vocabulary(layer: Layer) -> pa.Table:
    """The made-up words with random vectors, in the order of their frequency."""
    names_ = [name for name in names().to_pylist() if not name.isdigit()]
    draw = np.random.default_rng(1)
    found = draw.normal(size=(len(names_), _DIMENSIONS)).astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    share = 1 / np.arange(1, len(names_) + 1)
    columns = dict(
        word=pa.array(draw.permutation(names_)),
        rank=pa.array(np.arange(len(names_), dtype=np.int32)),
        frequency=pa.array(share / share.sum()),
        vector=_lists(pa.array(found.reshape(-1)), _DIMENSIONS),
    )
    return _table("vocabulary", columns)


def words(layer: Layer) -> pa.Table:
    """The words of each MAP, a token each."""
    ids, mats = layer.texts()
    places = mats[:, None] + np.arange(-_AROUND, _AROUND + 1)
    sample, column = np.nonzero((places >= 0) & (places < layer.tokens))
    place = places[sample, column].astype(np.int32)
    first = np.maximum(0, mats - _AROUND)[sample]
    word = ids[sample, place]
    text = names().take(pa.array(word))
    columns = {name: values.take(pa.array(sample)) for name, values in layer.keys().items()} | dict(
        word_index=pa.array((place - first).astype(np.int32)),
        text=text,
        word=text,
        blank=_same(" ", len(text)),
        first_token=pa.array(place),
        end_token=pa.array(place + 1),
        replaceable=pa.array(word % 10 != 0),
        is_mat=pa.array(place == mats[sample]),
        upto_mat=pa.array(place <= mats[sample]),
    )
    return _table("words", columns)


def vectors(layer: Layer) -> pa.Table:
    """A vector of length 1 for each MAP and its MAT."""
    n = layer.neurons * MAPS

    def drawn() -> pa.Array:
        found = layer.draw.normal(size=(n, _DIMENSIONS)).astype(np.float32)
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        return _lists(pa.array(found.reshape(-1)), _DIMENSIONS)

    number = _same(2 * _AROUND + 1, n, pa.int32())
    return _table(
        "vectors",
        layer.keys() | dict(n_words=number, n_known=number, vector=drawn(), mat_vector=drawn()),
    )


def synonyms(layer: Layer) -> pa.Table:
    """Five neighbours and five controls of each word that is one."""
    known_names = names()
    known = np.flatnonzero(np.arange(_WORDS) % 10)
    n = 2 * _NEIGHBOURS * len(known)
    other = known[layer.draw.integers(0, len(known), n)]
    columns = dict(
        word=known_names.take(pa.array(np.repeat(known, 2 * _NEIGHBOURS))),
        kind=pa.array(np.tile(["control"] * _NEIGHBOURS + ["synonym"] * _NEIGHBOURS, len(known))),
        rank=pa.array(np.tile(np.arange(_NEIGHBOURS, dtype=np.int32), 2 * len(known))),
        neighbour=known_names.take(pa.array(other)),
        cosine=pa.array(np.linspace(0, 1, n, dtype=np.float32)),
    )
    return _table("synonyms", columns)


def _variants(places: Path) -> pa.Table:
    """The key of each variant of a file of places."""
    return variants.of_places(pq.read_table(places, columns=variants.COLUMNS)).select(KEY)


def encodings(places: Path) -> pa.Table:
    """What stands for each variant; only its key and how sure it is are read."""
    key = _variants(places)
    n = len(key)
    columns = dict(
        {name: key[name] for name in KEY},
        key=_same("0" * 32, n),
        text=_same("0" * 32, n),
        phrase_start=_same(0, n, pa.int32()),
        first_token=_same(0, n, pa.int32()),
        token_ids=_lists(_same(1, 7 * n, pa.int32()), 7),
        tokens=_same("exact", n),
        status=_same("ok", n),
    )
    return _table("encodings", columns)


def activations(places: Path, number: int) -> pa.Table:
    """An activation for each variant, of which about a tenth are above their originals'."""
    key = _variants(places)
    draw = np.random.default_rng(number)
    found = np.where(key["variant"].to_numpy() == 0, 2.0, draw.uniform(0, 2.2, len(key)))
    columns = dict(
        {name: key[name] for name in KEY},
        activation=pa.array(found.astype(np.float32)),
        status=_same("ok", len(key)),
    )
    return _table("activations", columns)


def _each(layer: Layer, n: int) -> dict[str, pa.Array]:
    """The key of each neuron, `n` times."""
    return dict(
        model=_same(_NAME, n * layer.neurons),
        layer=_same(layer.number, n * layer.neurons, pa.int32()),
        sign=_same("positive", n * layer.neurons),
        neuron=pa.array(np.repeat(np.arange(layer.neurons, dtype=np.int32), n)),
    )


def _shares(layer: Layer, n: int) -> pa.Array:
    return pa.array(layer.draw.random(n))


def likeness(layer: Layer) -> pa.Table:
    """Both tests of each neuron."""
    n = 2 * layer.neurons
    own = dict(test=pa.array(["phrases", "words"] * layer.neurons), n_units=_same(20, n))
    return _table("likeness", _each(layer, 2) | own | dict(score=_shares(layer, n), p=_shares(layer, n)))


def dominance(layer: Layer) -> pa.Table:
    """All four tests of each neuron."""
    n = 4 * layer.neurons
    own = dict(test=pa.array(["before", "spelling", "token", "word"] * layer.neurons), thing=_same("a", n))
    shares = dict(p=_shares(layer, n), coverage=_shares(layer, n), ranks=_ranks(n))
    return _table("dominance", _each(layer, 4) | own | shares)


def groups(layer: Layer) -> pa.Table:
    """Three groups of each neuron, of which about half are clean."""
    n = 3 * layer.neurons
    own = dict(
        number=pa.array(np.arange(n) % 3),
        by=pa.array(["words", "phrases", "words"] * layer.neurons),
        n_maps=_same(5, n),
        n_units=_same(5, n),
        clean=pa.array(layer.draw.random(n) < 0.5),
        mats=_lists(_same(" a", 5 * n), 5),
    )
    shares = {name: _shares(layer, n) for name in ("score", "p", "coverage")}
    return _table("groups", _each(layer, 3) | own | shares | dict(ranks=_ranks(n)))


def _ranks(n: int) -> pa.Array:
    return _lists(pa.array(np.tile(np.arange(5, dtype=np.int32), n)), 5)


def substitution(layer: Layer) -> pa.Table:
    """The test of each neuron."""
    n = layer.neurons
    shares = dict(effect=_shares(layer, n), p=_shares(layer, n))
    return _table("substitution", _each(layer, 1) | dict(n_words=_same(5, n)) | shares)


def descriptions(layer: Layer) -> pa.Table:
    """A description of each neuron."""
    n = layer.neurons
    own = dict(describer=_same("lexical", n), description=_same("made up", n), status=_same("ok", n))
    return _table("descriptions", _each(layer, 1) | own)
