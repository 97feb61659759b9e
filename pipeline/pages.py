"""The kept pages of the neurons asked for: what became of each, and the texts they hold.

Out: `pages` and, read from them, `samples`. Nothing here asks a site; collect.py does, beforehand.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import pyarrow as pa

from pipeline import neuroscope, sources, tables
from pipeline.config import Config
from pipeline.errors import PageError, StoreError, UserError
from pipeline.neuroscope import Shape, page_path
from pipeline.page_store import PageStore
from pipeline.progress import progress

INDEX = "index.html"
WHOLE = ("ok", "missing")  # what is not asked for again


def store_path(config: Config) -> Path:
    """The file with the kept pages of the config's site."""
    return Path(config.data) / "pages" / f"{sources.slug(config)}.sqlite"


def folder_of(config: Config) -> str:
    """Where the pages of the config's layer are, from the site's root."""
    return f"{config.model_name}/{config.layer}/"


def path_of(config: Config, neuron: int) -> str:
    """Where a neuron's page is, from the site's root."""
    return page_path(config.model_name, config.layer, neuron)


def parser(config: Config, path: str) -> Callable[[bytes], pa.Table]:
    """What reads the page at a path of the config's layer; raises PageError for another page."""
    neuron = int(Path(path).stem)
    return lambda body: neuroscope.parse_page(
        body, model=config.model_name, layer=config.layer, neuron=neuron
    )


def kept_index(store: PageStore) -> dict[str, Shape]:
    """The models of the kept index; none where it is not kept, damaged or no index."""
    body = store.body(INDEX)
    try:
        return neuroscope.parse_index(body) if body is not None else {}
    except PageError:
        return {}


def neurons(config: Config, models: dict[str, Shape]) -> Sequence[int]:
    """The neurons asked for, each once, in order.

    Raises UserError for a model, layer or neuron that the index does not have.
    """
    if config.model_name not in models:
        near = difflib.get_close_matches(config.model_name, models, n=3) or list(models)[:5]
        raise UserError(
            f"MODEL: {sources.address(config)} has no model {config.model_name!r}; it has {', '.join(near)}"
            f"{' and others' if len(models) > len(near) else ''}; samples of any other: SOURCE=scan"
        )
    shape = models[config.model_name]
    if shape.n_layers is not None and config.layer >= shape.n_layers:
        raise UserError(
            f"LAYER is {config.layer}; {config.model_name} has the layers 0 to {shape.n_layers - 1}"
        )
    if config.neurons == "all":
        if shape.n_neurons is None:
            raise UserError(
                f"NEURONS is all, and the index does not say how many {config.model_name} has; give a range"
            )
        return range(shape.n_neurons)
    last = max(last for _, last in config.neuron_ranges)
    if last >= (shape.n_neurons or neuroscope.MOST):
        raise UserError(
            f"NEURONS is {config.neurons}; layer {config.layer} of {config.model_name} has "
            + (f"{shape.n_neurons} neurons, 0 to {shape.n_neurons - 1}" if shape.n_neurons else "fewer")
        )
    return sorted(set(chain.from_iterable(range(a, b + 1) for a, b in config.neuron_ranges)))


def outstanding(config: Config) -> str:
    """How many of the pages asked for are kept, and what the rest will cost."""
    unknown = "no page is kept yet; the site's index will tell how many there are"
    if not store_path(config).exists():
        return unknown
    with PageStore(store_path(config), only_read=True) as store:
        kept = store.pages(folder_of(config))
        models = kept_index(store)
    if not models:
        return unknown
    wanted = [path_of(config, neuron) for neuron in neurons(config, models)]
    to_do = sum(path not in kept or kept[path].status not in WHOLE for path in wanted)
    told = f"{len(wanted) - to_do:,} of {len(wanted):,} pages are kept"
    return f"{told}; {duration(to_do / config.rate)} to fetch the others" if to_do else told


def duration(seconds: float) -> str:
    """So long, as people say it."""
    return f"about {seconds / 60:.0f} min" if seconds >= 60 else "less than a minute"


def table(config: Config) -> pa.Table:
    """What became of every page asked for, as `pages`; nothing for a scan, or before pages are kept."""
    schema = tables.TABLES["pages"].schema
    if config.source == "scan" or not store_path(config).exists():
        return schema.empty_table()
    with PageStore(store_path(config), only_read=True) as store:
        models, kept = kept_index(store), store.pages(folder_of(config))
    rows = []
    for neuron in neurons(config, models) if models else ():
        if page := kept.get(path_of(config, neuron)):
            rows.append(
                dict(
                    model=config.model_name,
                    layer=config.layer,
                    neuron=neuron,
                    address=sources.address(config) + page.path,
                    status=page.status,
                    reason=page.reason,
                    fetched=page.time,
                    page_sha256=page.sha256,
                    n_bytes=page.n_bytes,
                )
            )
    return pa.Table.from_pylist(rows, schema=schema)


def samples(config: Config, pages: pa.Table) -> pa.Table:
    """The texts of every page that is ok, as `samples`.

    Raises StoreError where a kept page is damaged; the next run fetches it anew.
    """
    schema = tables.TABLES["samples"].schema
    parts = [schema.empty_table()]
    readable = [row for row in pages.to_pylist() if row["status"] == "ok"]
    with PageStore(store_path(config)) as store:
        for row in progress(readable, "samples", unit="page", total=len(readable)):
            path = path_of(config, row["neuron"])
            body = store.body(path)
            if body is None:
                store.forget(path)
                raise StoreError(f"page {path} is damaged in {store.path}; run again: only that is fetched")
            part = parser(config, path)(body).slice(0, config.samples)
            for name in ("address", "fetched", "page_sha256"):
                place, field = schema.get_field_index(name), schema.field(name)
                part = part.set_column(place, field, pa.array([row[name]] * len(part), field.type))
            parts.append(part)
    return pa.concat_tables(parts).combine_chunks()
