"""The SQL stages at the size of solu-8l-pile: 8 layers of 4,096 neurons with 20 MAPs each.

A stage is run once for each layer, and so each layer is made in a store of its own: the tables of Python
stages are invented here, and the pipeline's own code makes the others from them in a fresh process,
checksums, checks and writing included. What is printed tells what each stage takes for one to all layers,
which is to grow with their number and no more. The aggregation of verified activations is also done in
pandas.
"""

from __future__ import annotations

import multiprocessing
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import synthetic
from synthetic import KEY

from pipeline.config import Config
from pipeline.engine.engines import InProcess
from pipeline.engine.kept import Kept, Spent
from pipeline.engine.made import Part
from pipeline.plan import plan
from pipeline.run import make as make_table
from pipeline.run import part_of
from pipeline.tables import empty, query

LAYERS, NEURONS, TOKENS = 8, 4096, 1024
_FACTS = dict(created="", warnings=[], made_of={})


def _invented(layer: synthetic.Layer, tables: Part) -> dict[str, Callable[[], pa.Table]]:
    """The makers of the tables that Python stages would write."""
    return {
        "samples": lambda: synthetic.samples(layer),
        "words": lambda: synthetic.words(layer),
        "vectors": lambda: synthetic.vectors(layer),
        "vocabulary": lambda: synthetic.vocabulary(layer),
        "likeness": lambda: synthetic.likeness(layer),
        "dominance": lambda: synthetic.dominance(layer),
        "groups": lambda: synthetic.groups(layer),
        "synonyms": lambda: synthetic.synonyms(layer),
        "encodings": lambda: synthetic.encodings(tables.file("places")),
        "activations": lambda: synthetic.activations(tables.file("places"), layer.number),
        "substitution": lambda: synthetic.substitution(layer),
        "descriptions": lambda: synthetic.descriptions(layer),
    }


def apart(work: Callable, *args: object) -> tuple[Any, float]:
    """What some work gives in a process of its own, and the most memory that held, in GB."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, work, *args).result()


def _measured(work: Callable, *args: object) -> tuple[Any, float]:
    found = work(*args)
    [most] = re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return found, int(most) * 1024 / 1e9  # ru_maxrss begins with that of the parent


def make(config: Config, names: list[str]) -> dict[str, tuple[float, float]]:
    """Make SQL stages as a run does; their seconds, and those of the processor."""
    import pandas  # noqa: F401 - Arrow loads it with its first array, once in a run and not once in a stage

    tables = part_of(config)
    kept = Kept(config, tables.store, Spent())
    seconds = {}
    for name in names:
        start, busy = time.perf_counter(), time.process_time()
        make_table(tables.planned[name], tables, kept, InProcess())
        seconds[name] = time.perf_counter() - start, time.process_time() - busy
    return seconds


def read(config: Config, names: list[str]) -> float:
    """Seconds of the SELECTs of these stages alone, from the store's Parquet; what they give is dropped."""
    tables = part_of(config)
    files = {name: tables.file(name) for name in tables}
    start = time.perf_counter()
    for name in names:
        stage = tables.planned[name].stage
        inputs = {table: files[table] for table in stage.reads}
        for _ in query.stream(stage.sql, inputs, config.values(stage.settings)):
            pass
    return time.perf_counter() - start


def in_pandas(config: Config) -> float:
    """Seconds of retentions, averages and their normalisation in pandas, from the same Parquet to tables
    whose averages are the same."""
    import pandas as pd

    tables = part_of(config)
    given = {name: tables.file(name) for name in ("places", "maps")}
    file = tables.store.folder / "variants.parquet"
    pq.write_table(query.run(query.query("views/variants.sql"), given, {}), file)
    start = time.perf_counter()
    variants = pd.read_parquet(file, columns=[*KEY, "kind", "is_mat", "upto_mat"])
    tokens = pd.read_parquet(tables.file("encodings"), columns=[*KEY, "tokens"])
    measured = pd.read_parquet(tables.file("activations"), columns=[*KEY, "activation"])
    rows = variants.merge(tokens, on=KEY).merge(measured, on=KEY)
    original = measured[measured["variant"] == 0].drop(columns="variant")
    rows = rows.merge(original.rename(columns={"activation": "baseline"}), on=KEY[:5])
    activation, baseline = rows["activation"].astype(float), rows["baseline"].astype(float)
    above = activation > baseline + 1e-4 * baseline.abs()
    rows["retention"] = (activation / baseline).where(baseline > 0)
    rows["raised"] = (rows["kind"] == "synonym") & above
    synonym = rows["kind"] == "synonym"
    upto, is_mat = (rows[name].eq(True) for name in ("upto_mat", "is_mat"))
    group = KEY[:4]
    found = {
        "avg_activation": rows[rows["kind"] != "control"].groupby(group)["activation"],
        "retention": rows[synonym & upto].groupby(group)["retention"],
        "retention_after": rows[synonym & ~upto].groupby(group)["retention"],
        "retention_mat": rows[synonym & is_mat].groupby(group)["retention"],
        "retention_controls": rows[rows["kind"] == "control"].groupby(group)["retention"],
    }
    averages = pd.DataFrame({name: values.mean() for name, values in found.items()}).reset_index()
    averages["n_raised"] = rows.groupby(group)["raised"].sum().to_numpy()
    strongest = averages.groupby(group[:3])["avg_activation"].transform("max")
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


def layer(
    number: int,
    folder: Path,
    *,
    neurons: int = NEURONS,
    tokens: int = TOKENS,
    run_apart: Callable[..., tuple[Any, float]] = apart,
) -> dict[str, Any]:
    """Seconds of each SQL stage of a layer and of the processor, the most memory one process of it took,
    and its variants; of the first layer also what pandas takes."""
    # of a name alone no shape is known
    asked = dict(model="solu-8l-pile", source="scan", layer=str(number))
    config = Config(**asked, similarity=-1, activation=0, data=str(folder))
    tables = part_of(config)
    tables.store.prepare()
    seconds: dict[str, tuple[float, float]] = {}
    memory = 0.0
    invented = _invented(synthetic.Layer(number, neurons, tokens), tables)
    for is_sql, names in stages(config):
        if is_sql:
            made, most = run_apart(make, config, names)
            seconds |= made
            memory = max(memory, most)
        else:
            for name in names:
                data = invented[name]() if name in invented else empty(name)
                tables.store.write(name, tables.planned[name].key, data, _FACTS)
    found = dict(
        seconds={name: each for name, (each, _) in seconds.items()},
        busy_s=sum(busy for _, busy in seconds.values()),
        memory_gb=memory,
        n_variants=tables.n_rows("retentions"),
    )
    found["select_s"], _ = run_apart(read, config, list(seconds))
    if number == 0:
        found["pandas_s"], found["pandas_gb"] = run_apart(in_pandas, config)
    return found


def rows(layers: int = LAYERS, **how: Any) -> dict[str, Any]:
    """All layers together: seconds by stage, the most memory, variants; and pandas beside it."""
    found = []
    for number in range(layers):
        folder = Path(tempfile.mkdtemp(prefix="bench-sql-"))
        try:
            found.append(layer(number, folder, **how))
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
        busy_s=sum(each["busy_s"] for each in found),
        layer_s=[each["seconds"] for each in found],
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
        f"{found['seconds']:.1f} s ({most}), of the processor {found['busy_s']:.1f} s, the SELECTs alone "
        f"{found['select_s']:.1f} s; "
        f"{found['memory_gb']:.1f} GB. Retentions and averages of one layer in pandas: "
        f"{found['pandas_s']:.1f} s, {found['against_pandas']:.1f} x ours; {found['pandas_gb']:.1f} GB\n"
        + "\n".join(by_layers(found["layer_s"]))
    )


def by_layers(layer_s: list[dict[str, float]]) -> list[str]:
    """The lines of a table: what each stage takes for one to all layers, in seconds."""
    numbers = range(1, len(layer_s) + 1)
    sums = {name: [sum(each[name] for each in layer_s[:n]) for n in numbers] for name in layer_s[0]}
    sums |= {"all": [sum(column) for column in zip(*sums.values(), strict=True)]}
    head = f"{'seconds of layers':<18}" + "".join(f"{n:7}" for n in numbers)
    return [head, *(f"{name:<18}" + "".join(f"{s:7.1f}" for s in row) for name, row in sums.items())]


if __name__ == "__main__":
    print(told(rows()))
