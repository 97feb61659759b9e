"""Variants a second of the Python stages of verification, without the model's arithmetic, and pages a
second of the stage that reads them, on one core.

Seconds are those of the process, on the embedded model's own variants.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "verification"))
import bench
import one_by_one

from pipeline.config import Config
from pipeline.models import language_model, resumed_passes
from pipeline.models.language_model import LanguageModel
from pipeline.plan import plan
from pipeline.run import run, store_of
from pipeline.samples.neuroscope import pages as neuroscope_pages
from pipeline.samples.neuroscope.page import PARSER
from pipeline.samples.neuroscope.page_store import Page, PageStore, now
from pipeline.tables import empty
from pipeline.verification import encodings, measurement, variants


def seconds_of(work: Callable[[], object], times: int = 3) -> float:
    """Processor seconds of the fastest of some calls."""
    found = []
    for _ in range(times):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


class Idle:
    """A tower whose blocks compute nothing: what is left is preparing and collecting. Neurons are some
    number above 0 at each token."""

    sign = 1

    def __init__(self) -> None:
        self.device, self.blocks, self.cache_bytes = torch.device("cpu"), [_Block()], 4096

    def token_bytes(self, seen: int) -> int:
        return 4096 + 64 * seen

    def embed(self, ids: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return (1 + ids % 97).float()[:, None].expand(-1, 4)


class _Block:
    """A block of heads of one number."""

    window, cap, scale, parallel = None, 0.0, 1.0, True
    ln1 = ln2 = staticmethod(lambda x: x)

    def heads(self, x: torch.Tensor, places: object) -> tuple[torch.Tensor, ...]:
        return (x[:, :1, None],) * 3

    def neurons(self, x: torch.Tensor, neuron: torch.Tensor) -> torch.Tensor:
        return x[:, 0]


class IdleModel:
    """A model whose tower computes nothing."""

    batch_tokens, turns_at = 2048, None

    def tower(self, layer: int) -> Idle:
        return Idle()


def rows(most: int = 30_000) -> list[dict[str, object]]:
    """The stages, on some variants of a default run."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config(data=folder)
        run(config, until="encodings")
        names = ("places", "samples", "encodings")
        tables = {name: store_of(config).read(name, plan(config)[name].key) for name in names}
    found = [*ids(language_model.load(config), tables, most), measuring(tables["encodings"], config)]
    return [*found, *pages()]


def ids(model: LanguageModel, tables: dict[str, pa.Table], most: int) -> list[dict[str, object]]:
    """Ids of the variants of some whole phrases: as the stage finds them, and one text after the other."""
    samples, config = tables["samples"], Config()
    all_rows = variants.of_places(tables["places"].slice(0, most))
    starts = np.flatnonzero(all_rows["variant"].to_numpy() == 0)
    parts = [all_rows.slice(0, int(starts[starts <= n][-1])) for n in (most, most // 8)]
    ways: list[Callable[[pa.Table], pa.Table]] = [
        lambda part: encodings.Encoder(config, model)(part, samples),
        lambda part: one_by_one.encoded(part, samples, model, config),
    ]
    return [
        dict(what=what, n=len(part), seconds=seconds_of(lambda way=way, part=part: way(part)))
        for what, way, part in zip(("ids", "ids, each text tokenised"), ways, parts, strict=True)
    ]


def measuring(table: pa.Table, config: Config) -> dict[str, object]:
    """Preparing and collecting measurements."""
    wanted, model = pa.array([True] * len(table)), IdleModel()

    def work() -> None:
        for shard in measurement.by_text(table, wanted, 4096):
            measurement.measure(shard, model, config)  # type: ignore[arg-type]

    with patch.object(resumed_passes, "_attend", _unattended):
        return dict(what="preparing and collecting measurements", n=len(table), seconds=seconds_of(work))


def _unattended(block: _Block, q: torch.Tensor, *seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention that computes nothing."""
    return q, q


def pages(n_pages: int = 128) -> list[dict[str, object]]:
    """Kept pages of 400 kB to rows of `samples` that are checked and written, as the stage does; beside it
    what reading their headings and JSON alone takes in Python, of pages in memory."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config(data=folder)
        bodies = bench.pages(n_pages, model=config.model_name, layer=config.one_layer)
        with PageStore(neuroscope_pages.store_path(config)) as store:
            for neuron, body in enumerate(bodies):
                path = neuroscope_pages.paths(config)(neuron)
                sha256 = hashlib.sha256(body).hexdigest()
                store.keep(
                    Page(path, "ok", None, now(), now(), sha256, len(body), None, None, PARSER), body
                )
        names = dict(
            model=config.model_name, layer=config.one_layer, address="", status="ok", fetched=now()
        )
        asked = pa.Table.from_pylist(
            [names | dict(neuron=neuron) for neuron in range(n_pages)], schema=empty("pages").schema
        )
        work = neuroscope_pages.SAMPLES.worker(None, config)  # type: ignore[misc, arg-type]
        written = store_of(config)

        def made() -> None:
            parts = (work(asked.slice(start, 64)) for start in range(0, n_pages, 64))
            written.write("samples", str(time.monotonic_ns()), parts, {})

        common = dict(unit="pages", n=n_pages)
        return [
            dict(what="pages to samples", seconds=seconds_of(made), **common),
            dict(
                what="pages, only read: a pattern and json",
                seconds=seconds_of(lambda: read(bodies)),
                **common,
            ),
        ]


def read(bodies: list[bytes]) -> None:
    """Read pages' headings and JSON by a pattern and Python's own decoder, and keep nothing."""
    decoder = json.JSONDecoder()
    for html in map(bytes.decode, bodies):
        re.findall(r"<h4>[^\n]*</h4>", html)
        for render in re.finditer(r"ColoredTokens,\s*", html):
            decoder.raw_decode(html, render.end())


def told(row: dict[str, object]) -> str:
    """A row as it is printed."""
    each = row["seconds"] / row["n"]  # type: ignore[operator]
    unit = row.get("unit", "variants")
    return f"{row['what']}: {1 / each:,.0f} {unit} a second of a core, {1e6 * each:.1f} µs each"


if __name__ == "__main__":
    for found in rows():
        print(told(found))
