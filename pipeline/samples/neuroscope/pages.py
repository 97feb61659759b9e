"""The kept pages of the neurons asked for: what became of each, and the texts they hold.

Out: `pages` and, read from them, `samples`. Nothing here sends a request; fetch.py does, beforehand.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.config import EMBEDDED, Config
from pipeline.engine.engines import Worker
from pipeline.engine.stage import Inputs, Stage, runs_of
from pipeline.errors import DamagedError, PageError, UserError
from pipeline.printable import line
from pipeline.samples.neuroscope.page import page_path, parse_page
from pipeline.samples.neuroscope.page_store import PageStore
from pipeline.samples.neuroscope.site_index import MOST, Shape, parse_index
from pipeline.samples.neuroscope.usual_pages import parse_pages
from pipeline.tables import fingerprint

NEUROSCOPE = "https://neuroscope.io/"
RECORDED = "http://neuroscope.example/"  # a name that can never be a real host
INDEX = "index.html"
WHOLE = ("ok", "missing")  # what is not asked for again


def address(config: Config) -> str:
    """What the address of every page of the config's site begins with; for a folder only its name.

    Raises UserError where no site is named and Neuroscope cannot know the model.
    """
    if config.site_folder:
        return f"file:{_readable(config.site_folder.resolve().name)}/"
    if config.site:
        return config.site.rstrip("/") + "/"
    if config.model_folder and config.model != EMBEDDED:
        raise UserError(
            f"MODEL: {config.model} is a folder of yours, and {NEUROSCOPE} cannot know it; take its "
            "samples with SOURCE=scan, or name a site that has it with SITE"
        )
    return RECORDED if config.model == EMBEDDED else NEUROSCOPE


def slug(config: Config) -> str:
    """A file name for what is kept of the site, different for every site."""
    folder = config.site_folder and config.site_folder.resolve()
    name = _readable(folder.name) if folder else urlsplit(address(config)).netloc
    where = os.fsencode(folder) if folder else address(config).encode()
    return f"{re.sub(r'[^A-Za-z0-9.-]+', '_', name)[:60]}-{hashlib.sha256(where).hexdigest()[:8]}"


def _readable(name: str) -> str:
    """A file's name, with ? for bytes that are not text."""
    return name.encode(errors="replace").decode()


def store_path(config: Config) -> Path:
    """The file with the kept pages of the config's site."""
    return Path(config.data) / "pages" / f"{slug(config)}.sqlite"


def folder_of(config: Config) -> str:
    """Where the pages of the config's layer are, from the site's root."""
    return f"{config.model_name}/{config.one_layer}/"


def paths(config: Config) -> Callable[[int], str]:
    """A function from a neuron of the config's layer to where its page is, from the site's root."""
    return partial(page_path, config.model_name, config.one_layer)  # the name costs a look at the disk


def parsers(config: Config) -> Callable[[str], Callable[[bytes], pa.Table]]:
    """A function from a path of the config's layer to what reads the page there; see parse_page."""
    parse = partial(parse_page, model=config.model_name, layer=config.one_layer)
    return lambda path: partial(parse, neuron=int(Path(path).stem))


def kept_index(store: PageStore) -> dict[str, Shape]:
    """The models of the kept index; empty where it is not kept, is damaged or is not an index."""
    body = store.body(INDEX)
    try:
        return parse_index(body) if body is not None else {}
    except PageError:
        return {}


def shape(config: Config, models: dict[str, Shape]) -> Shape:
    """What the index says of the config's model; raises UserError where it does not have it."""
    if config.model_name not in models:
        near = difflib.get_close_matches(config.model_name, models, n=3) or list(models)[:5]
        raise UserError(
            f"MODEL: {address(config)} has no model {config.model_name!r}; it has "
            f"{', '.join(map(line, near))}{' and others' if len(models) > len(near) else ''}; "
            "for any other model use SOURCE=scan"
        )
    return models[config.model_name]


def neurons(config: Config, models: dict[str, Shape]) -> Sequence[int]:
    """The neurons asked for, each once, in order.

    Raises UserError for a model, layer or neuron that the index does not have.
    """
    own = shape(config, models)
    if own.n_layers is not None and config.one_layer >= own.n_layers:
        raise UserError(
            f"LAYER is {config.one_layer}; {config.model_name} has the layers 0 to {own.n_layers - 1}"
        )
    if config.neurons == "all":
        if own.n_neurons is None:
            raise UserError(
                f"NEURONS is all, and the index does not say how many {config.model_name} has; give a range"
            )
        return range(own.n_neurons)
    last = max(last for _, last in config.neuron_ranges)
    if last >= (own.n_neurons or MOST):
        raise UserError(
            f"NEURONS is {config.neurons}; layer {config.one_layer} of {config.model_name} has "
            + (f"{own.n_neurons} neurons, 0 to {own.n_neurons - 1}" if own.n_neurons else "fewer")
        )
    return sorted(set(chain.from_iterable(range(a, b + 1) for a, b in config.neuron_ranges)))


def outstanding(config: Config) -> str:
    """How many of the pages asked for are kept, and how long fetching the rest will take."""
    unknown = "no page is kept yet; the site's index will tell how many there are"
    if not store_path(config).exists():
        return unknown
    with PageStore(store_path(config), only_read=True) as store:
        kept = store.pages(folder_of(config))
        models = kept_index(store)
    if not models:
        return unknown
    wanted = [*map(paths(config), neurons(config, models))]
    to_do = sum(path not in kept or kept[path].status not in WHOLE for path in wanted)
    told = f"{len(wanted) - to_do:,} of {len(wanted):,} pages are kept"
    return f"{told}; {duration(to_do / config.rate)} to fetch the others" if to_do else told


def duration(seconds: float) -> str:
    """A duration in words."""
    return f"about {seconds / 60:.0f} min" if seconds >= 60 else "less than a minute"


def table(config: Config) -> pa.Table:
    """What became of every page asked for, as `pages`; no rows before any page is kept."""
    schema = tables.TABLES["pages"].schema
    if not store_path(config).exists():
        return schema.empty_table()
    with PageStore(store_path(config), only_read=True) as store:
        models, kept = kept_index(store), store.pages(folder_of(config))
    rows = []
    model, site, path_of = config.model_name, address(config), paths(config)
    for neuron in neurons(config, models) if models else ():
        if page := kept.get(path_of(neuron)):
            rows.append(
                dict(
                    model=model,
                    layer=config.one_layer,
                    sign="positive",
                    neuron=neuron,
                    address=site + page.path,
                    status=page.status,
                    reason=page.reason,
                    fetched=page.time,
                    page_sha256=page.sha256,
                    n_bytes=page.n_bytes,
                )
            )
    return pa.Table.from_pylist(rows, schema=schema)


def all_pages(config: Config) -> str:
    """The fingerprint of what became of every page asked for; the time of fetching is left out."""
    return fingerprint.of_table(table(config).select(["neuron", "status", "reason", "page_sha256"]))


def readable_pages(config: Config) -> str:
    """The fingerprint of the pages that hold samples: another reason for a failure does not change it."""
    readable = table(config).filter(pc.field("status") == "ok")
    return fingerprint.of_table(readable.select(["neuron", "page_sha256"]))


def _damaged(store: PageStore, first: str, all_paths: Iterable[str]) -> DamagedError:
    """What to raise where a page is damaged, once all that are damaged are forgotten."""
    damaged = [first, *(path for path in all_paths if path != first and store.body(path) is None)]
    for path in damaged:
        store.forget(path)
    more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
    return DamagedError(
        f"page {damaged[0]} is damaged in {store.path}{more}; run again: only what is damaged is fetched"
    )


def _reader(inputs: Inputs, settings: Config) -> Worker:
    """The function from `pages` to the texts of those that are ok.

    Raises DamagedError where a kept page is damaged; the next run fetches it again.
    """
    path_of = paths(settings)

    def whole(store: PageStore, path: str) -> bytes:
        if (body := store.body(path)) is None:
            readable = table(settings).filter(pc.field("status") == "ok")
            raise _damaged(store, path, map(path_of, readable["neuron"].to_pylist()))
        return body

    def read(shard: pa.Table) -> pa.Table:
        readable = shard.filter(pc.field("status") == "ok")
        neurons = readable["neuron"].to_pylist()
        parts = [tables.empty("samples")]
        with PageStore(store_path(settings)) as store:
            bodies = (whole(store, path) for path in map(path_of, neurons))
            for part in parse_pages(bodies, neurons, model=settings.model_name, layer=settings.one_layer):
                parts.append(part.slice(0, settings.samples))
        samples = pa.concat_tables(parts)
        page_of_row = np.repeat(np.arange(len(readable)), [len(part) for part in parts[1:]])
        for name in ("address", "fetched", "page_sha256"):
            place, field = samples.schema.get_field_index(name), samples.schema.field(name)
            samples = samples.set_column(place, field, readable[name].cast(field.type).take(page_of_row))
        return samples

    return read


OF_SITE = ("model", "weights", "layer", "neurons", "data")  # which pages, and where they are kept
SAMPLES = Stage(
    __name__,
    "020",
    "samples",
    reads=("pages",),
    where={"source": "neuroscope"},
    settings=("site", "samples"),
    uses=OF_SITE,
    decided_by={"pages": readable_pages},
    shards=runs_of("pages", 64),
    spread=True,
    worker=_reader,
)
