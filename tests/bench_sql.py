"""The SQL stages at the size of solu-8l-pile: 8 layers of 4,096 neurons with 20 MAPs each.

A run is one layer, and so each layer is made in a store of its own: the tables of Python stages are
invented here, and the pipeline's own code makes the others from them in a fresh process, checksums, checks
and writing included. The aggregation of verified activations is also done in pandas.
"""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import select
from pipeline.config import Config
from pipeline.engine import InProcess
from pipeline.plan import plan
from pipeline.run import Tables, _make, store_of
from pipeline.tables import TABLES, empty

LAYERS, NEURONS, MAPS, TOKENS = 8, 4096, 20, 1024
_WORDS, _DIMENSIONS, _NEIGHBOURS, _AROUND = 20_000, 300, 5, 5
_NAME = "solu-8l-pile"
_KEY = ["model", "layer", "neuron", "rank", "variant"]
_FACTS = dict(created="", warnings=[], made_of={})


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
        own = draw.integers(0, _WORDS, (self.neurons, 5))
        ids[np.arange(n), mats] = own[np.arange(n) // MAPS, draw.integers(0, 5, n)]
        return ids, mats

    def keys(self) -> dict[str, pa.Array]:
        """The key of each sample."""
        n = self.neurons * MAPS
        return dict(
            model=_same(_NAME, n),
            layer=_same(self.number, n, pa.int32()),
            neuron=pa.array(np.arange(n, dtype=np.int32) // MAPS),
            rank=pa.array(np.arange(n, dtype=np.int32) % MAPS),
        )


def _names() -> pa.Array:
    """The made-up words, in lower case, and numbers."""
    draw = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlu"))
    words = {"".join(draw.choice(letters, draw.integers(3, 10))) for _ in range(2 * _WORDS)}
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
    spoken = pa.array([f" {name}" for name in _names().to_pylist()])
    columns = dict(
        tokens=_lists(spoken.take(pa.array(ids.reshape(-1))), layer.tokens),
        activations=_lists(pa.array(activations.reshape(-1)), layer.tokens),
        text_start=_same(0, n, pa.int32()),
        mat_index=pa.array(mats),
        max_activation=pa.array(highest),
        source=_same("scan", n),
    )
    return _table("samples", layer.keys() | columns)


def words(layer: Layer) -> pa.Table:
    """The words of each MAP, a token each."""
    ids, mats = layer.texts()
    places = mats[:, None] + np.arange(-_AROUND, _AROUND + 1)
    sample, column = np.nonzero((places >= 0) & (places < layer.tokens))
    place = places[sample, column].astype(np.int32)
    first = np.maximum(0, mats - _AROUND)[sample]
    word = ids[sample, place]
    text = _names().take(pa.array(word))
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
    names = _names()
    known = np.flatnonzero(np.arange(_WORDS) % 10)
    n = 2 * _NEIGHBOURS * len(known)
    other = known[layer.draw.integers(0, len(known), n)]
    columns = dict(
        word=names.take(pa.array(np.repeat(known, 2 * _NEIGHBOURS))),
        kind=pa.array(np.tile(["control"] * _NEIGHBOURS + ["synonym"] * _NEIGHBOURS, len(known))),
        rank=pa.array(np.tile(np.arange(_NEIGHBOURS, dtype=np.int32), 2 * len(known))),
        neighbour=names.take(pa.array(other)),
        cosine=pa.array(np.linspace(0, 1, n, dtype=np.float32)),
    )
    return _table("synonyms", columns)


def encodings(file: Path) -> pa.Table:
    """What stands for each variant; only its key and how sure it is are read."""
    key = pq.read_table(file, columns=_KEY)
    n = len(key)
    columns = dict(
        {name: key[name] for name in _KEY},
        key=_same("0" * 32, n),
        text=_same("0" * 32, n),
        phrase_start=_same(0, n, pa.int32()),
        first_token=_same(0, n, pa.int32()),
        token_ids=_lists(_same(1, 7 * n, pa.int32()), 7),
        tokens=_same("exact", n),
        status=_same("ok", n),
    )
    return _table("encodings", columns)


def activations(file: Path, number: int) -> pa.Table:
    """An activation for each variant, of which about a tenth are above their originals'."""
    key = pq.read_table(file, columns=_KEY)
    draw = np.random.default_rng(number)
    found = np.where(key["variant"].to_numpy() == 0, 2.0, draw.uniform(0, 2.2, len(key)))
    columns = dict(
        {name: key[name] for name in _KEY},
        activation=pa.array(found.astype(np.float32)),
        status=_same("ok", len(key)),
    )
    return _table("activations", columns)


def descriptions(layer: Layer) -> pa.Table:
    """A description of each neuron."""
    n = layer.neurons
    columns = dict(
        model=_same(_NAME, n),
        layer=_same(layer.number, n, pa.int32()),
        neuron=pa.array(np.arange(n, dtype=np.int32)),
        describer=_same("lexical", n),
        description=_same("made up", n),
        status=_same("ok", n),
    )
    return _table("descriptions", columns)


def _invented(layer: Layer, tables: Tables) -> dict[str, Callable[[], pa.Table]]:
    """The makers of the tables that Python stages would write."""
    return {
        "samples": lambda: samples(layer),
        "words": lambda: words(layer),
        "vectors": lambda: vectors(layer),
        "synonyms": lambda: synonyms(layer),
        "encodings": lambda: encodings(tables.file("variants")),
        "activations": lambda: activations(tables.file("variants"), layer.number),
        "descriptions": lambda: descriptions(layer),
    }


def _apart(work: Callable, *args: object) -> tuple[Any, float]:
    """What some work gives in a process of its own, and the most memory that held, in GB."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, work, *args).result()


def _measured(work: Callable, *args: object) -> tuple[Any, float]:
    found = work(*args)
    return found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def make(config: Config, names: list[str]) -> dict[str, float]:
    """Make SQL stages as a run does; their seconds."""
    tables = Tables(store_of(config), plan(config))
    seconds = {}
    for name in names:
        start = time.perf_counter()
        _make(tables.planned[name], config, tables, InProcess())
        seconds[name] = time.perf_counter() - start
    return seconds


def read(config: Config, names: list[str]) -> float:
    """Seconds of the SELECTs of these stages alone, from the store's Parquet; nothing is checked or kept."""
    tables = Tables(store_of(config), plan(config))
    files = {name: tables.file(name) for name in tables}
    start = time.perf_counter()
    for name in names:
        stage = tables.planned[name].stage
        inputs = {table: files[table] for table in stage.reads}
        for _ in select.stream(select.query(stage.sql), inputs, config.values(stage.settings)):
            pass
    return time.perf_counter() - start


def in_pandas(config: Config) -> float:
    """Seconds of retentions, averages and their normalisation in pandas, from the same Parquet to tables
    whose averages are the same."""
    import pandas as pd

    tables = Tables(store_of(config), plan(config))
    start = time.perf_counter()
    variants = pd.read_parquet(tables.file("variants"), columns=[*_KEY, "kind", "is_mat", "upto_mat"])
    tokens = pd.read_parquet(tables.file("encodings"), columns=[*_KEY, "tokens"])
    measured = pd.read_parquet(tables.file("activations"), columns=[*_KEY, "activation"])
    rows = variants.merge(tokens, on=_KEY).merge(measured, on=_KEY)
    original = measured[measured["variant"] == 0].drop(columns="variant")
    rows = rows.merge(original.rename(columns={"activation": "baseline"}), on=_KEY[:4])
    activation, baseline = rows["activation"].astype(float), rows["baseline"].astype(float)
    above = activation > baseline + 1e-4 * baseline.abs()
    rows["retention"] = (activation / baseline).where(baseline > 0)
    rows["raised"] = (rows["kind"] == "synonym") & above
    synonym = rows["kind"] == "synonym"
    upto, is_mat = (rows[name].eq(True) for name in ("upto_mat", "is_mat"))
    group = _KEY[:3]
    found = {
        "avg_activation": rows[rows["kind"] != "control"].groupby(group)["activation"],
        "retention": rows[synonym & upto].groupby(group)["retention"],
        "retention_after": rows[synonym & ~upto].groupby(group)["retention"],
        "retention_mat": rows[synonym & is_mat].groupby(group)["retention"],
        "retention_controls": rows[rows["kind"] == "control"].groupby(group)["retention"],
    }
    averages = pd.DataFrame({name: values.mean() for name, values in found.items()}).reset_index()
    averages["n_raised"] = rows.groupby(group)["raised"].sum().to_numpy()
    strongest = averages.groupby(group[:2])["avg_activation"].transform("max")
    averages["normalised"] = averages["avg_activation"] / strongest
    rows.to_parquet(tables.store.folder / "pandas.parquet", compression="zstd")
    seconds = time.perf_counter() - start
    ours = tables["averages"].to_pandas()
    for name in found:
        np.testing.assert_allclose(averages[name], ours[name], rtol=1e-5)
    assert (averages["n_raised"] == ours["n_raised"]).all()
    return seconds


def stages(config: Config) -> Iterator[tuple[bool, list[str]]]:
    """The plan's tables in order, in runs of those that are SQL and those that are not."""
    group: list[str] = []
    kind = False
    for name, planned in plan(config).items():
        if bool(planned.stage.sql) != kind:
            yield kind, group
            kind, group = not kind, []
        group.append(name)
    yield kind, group


def layer(number: int, folder: Path, *, neurons: int = NEURONS, tokens: int = TOKENS) -> dict[str, Any]:
    """Seconds of each SQL stage of a layer, the most memory one process of it took, and its variants;
    of the first layer also what pandas takes."""
    config = Config(source="scan", layer=number, similarity=-1, activation=0, data=str(folder))
    tables = Tables(store_of(config), plan(config))
    tables.store.prepare()
    seconds: dict[str, float] = {}
    memory = 0.0
    invented = _invented(Layer(number, neurons, tokens), tables)
    for is_sql, names in stages(config):
        if is_sql:
            made, most = _apart(make, config, names)
            seconds |= made
            memory = max(memory, most)
        else:
            for name in names:
                data = invented[name]() if name in invented else empty(name)
                tables.store.write(name, tables.planned[name].key, data, _FACTS)
    found = dict(seconds=seconds, memory_gb=memory, n_variants=tables.n_rows("variants"))
    found["select_s"], _ = _apart(read, config, list(seconds))
    if number == 0:
        found["pandas_s"], found["pandas_gb"] = _apart(in_pandas, config)
    return found


def rows(layers: int = LAYERS, **size: int) -> dict[str, Any]:
    """All layers together: seconds by stage, the most memory, variants; and pandas beside it."""
    found = []
    for number in range(layers):
        folder = Path(tempfile.mkdtemp(prefix="bench-sql-"))
        try:
            found.append(layer(number, folder, **size))
        finally:
            shutil.rmtree(folder)
    stage_s = {name: sum(each["seconds"][name] for each in found) for name in found[0]["seconds"]}
    same = sum(found[0]["seconds"][name] for name in ("retentions", "averages", "normalised"))
    return dict(
        layers=layers,
        n_variants=sum(each["n_variants"] for each in found),
        seconds=sum(stage_s.values()),
        select_s=sum(each["select_s"] for each in found),
        stage_s=stage_s,
        memory_gb=max(each["memory_gb"] for each in found),
        pandas_s=found[0]["pandas_s"],
        pandas_gb=found[0]["pandas_gb"],
        against_pandas=found[0]["pandas_s"] / same,
    )


def told(found: dict[str, Any]) -> str:
    """A line for people."""
    slowest = sorted(found["stage_s"].items(), key=lambda each: -each[1])
    most = ", ".join(f"{name} {seconds:.1f}" for name, seconds in slowest[:5])
    return (
        f"SQL stages of {found['layers']} layers, {found['n_variants']:,} variants: "
        f"{found['seconds']:.1f} s, of which the SELECTs {found['select_s']:.1f} s ({most}), {found['memory_gb']:.1f} GB; retentions and averages of one "
        f"layer in pandas {found['pandas_s']:.1f} s, {found['against_pandas']:.1f} x ours, "
        f"{found['pandas_gb']:.1f} GB"
    )


if __name__ == "__main__":
    print(told(rows()))
