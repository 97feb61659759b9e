"""The pages of the neurons asked for: fetched once, kept as they came, and what became of each.

Out: `pages` and, read from them, `samples`. `collect` alone asks the site, and only for what is not
kept: pages never asked for, and those that failed. All else reads what is kept.
"""

from __future__ import annotations

import difflib
import hashlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from queue import SimpleQueue

import pyarrow as pa

from pipeline import neuroscope, sources, tables
from pipeline.config import Config
from pipeline.errors import PageError, PipelineError, UserError
from pipeline.neuroscope import PARSER, Shape, page_path
from pipeline.page_store import Page, PageStore, now
from pipeline.progress import progress

INDEX = "index.html"
_WHOLE = ("ok", "missing")
_IN_A_ROW = 10  # pages that fail one after the other: the site is down, or is no Neuroscope


def store_path(config: Config) -> Path:
    """The file with the kept pages of the config's site."""
    return Path(config.data) / "pages" / f"{sources.slug(config)}.sqlite"


def collect(config: Config) -> None:
    """Fetch what is missing of the pages asked for; nothing is asked of the site if nothing is.

    Raises UserError for a model, layer or neuron that the site's index does not have, and PipelineError
    where the site cannot be reached or nothing but failures comes; what was fetched is kept.
    """
    with PageStore(store_path(config)) as store, store.lock():
        _judge_anew(store, config)
        with sources.open_site(config) as site:
            since = store.refresh_started(_scope(config)) if config.refresh else None
            fetch = _Fetch(site, store, since)
            neurons = _neurons(config, _shape(config, fetch))
            wanted = [path for neuron in neurons if fetch.wants(path := _path(config, neuron))]
            if wanted:
                _announce(config, site, len(wanted))
                _fetch_all(config, fetch, wanted)
            store.refresh_ended(_scope(config))


class _Fetch:
    """Gets pages from a site into its store."""

    def __init__(self, site: sources.Site, store: PageStore, since) -> None:
        self.site, self.store, self.since = site, store, since

    def wants(self, path: str) -> bool:
        """Whether a page is to be asked for: not whole yet, or not asked since the refresh began."""
        known = self.store.page(path)
        if known is None or known.status not in _WHOLE:
            return True
        return self.site.changes or (self.since is not None and known.checked < self.since)

    def get(self, path: str, accept: Callable[[bytes], object]) -> Page:
        """Ask for one page and keep what comes; a whole page kept before is not lost to a failure."""
        known = self.store.page(path)
        whole = known is not None and known.status == "ok"
        answer = self.site.get(
            path, accept, *((known.etag, known.last_modified) if whole else (None, None))
        )
        time = now()
        stays = answer.status not in ("ok", "missing") and not self.site.changes
        if whole and (stays or answer.status == "same"):
            reason = None if answer.status == "same" else f"not refreshed: {answer.reason}"
            page = Page(**{**vars(known), "reason": reason, "checked": time})
            self.store.note(page)
            return page
        body = answer.body
        page = Page(
            path=path,
            status=answer.status,
            reason=answer.reason,
            time=time,
            checked=time,
            sha256=None if body is None else hashlib.sha256(body).hexdigest(),
            n_bytes=None if body is None else len(body),
            etag=answer.etag,
            last_modified=answer.last_modified,
            parser=PARSER,
        )
        self.store.keep(page, body)
        return page


def _scope(config: Config) -> str:
    return f"{config.model_name}/{config.layer}/{config.neurons}"


def _path(config: Config, neuron: int) -> str:
    return page_path(config.model_name, config.layer, neuron)


def _judge_anew(store: PageStore, config: Config) -> None:
    """Hold pages that an older parser judged against this one; their bodies are kept, so no fetching."""
    for page in store.pages(f"{config.model_name}/{config.layer}/").values():
        body = store.body(page.path) if page.parser != PARSER else None
        if body is not None:
            try:
                _accept(config, page.path)(body)
                status, reason = "ok", None
            except PageError as exc:
                status, reason = "unreadable", str(exc)
            store.note(Page(**{**vars(page), "status": status, "reason": reason, "parser": PARSER}))


def _accept(config: Config, path: str) -> Callable[[bytes], pa.Table]:
    neuron = int(Path(path).stem)
    return lambda body: neuroscope.parse_page(
        body, model=config.model_name, layer=config.layer, neuron=neuron
    )


def _shape(config: Config, fetch: _Fetch) -> Shape:
    """The model's size from the index, which is asked for again if it does not list the model."""
    asked = False
    if fetch.wants(INDEX):
        page, asked = fetch.get(INDEX, neuroscope.parse_index), True
        if page.status != "ok":
            raise PipelineError(f"SITE: {fetch.site.address}{INDEX}: {page.status}: {page.reason}")
    models = neuroscope.parse_index(fetch.store.body(INDEX))
    if config.model_name not in models and not asked:
        fetch.get(INDEX, neuroscope.parse_index)
        models = neuroscope.parse_index(fetch.store.body(INDEX))
    if config.model_name not in models:
        near = difflib.get_close_matches(config.model_name, models, n=3) or list(models)[:5]
        raise UserError(
            f"MODEL: {fetch.site.address} has no model {config.model_name!r}; it has {', '.join(near)}"
            f"{' and others' if len(models) > len(near) else ''}; samples of any other: SOURCE=scan"
        )
    shape = models[config.model_name]
    if shape.n_layers is not None and config.layer >= shape.n_layers:
        raise UserError(
            f"LAYER is {config.layer}; {config.model_name} has the layers 0 to {shape.n_layers - 1}"
        )
    return shape


def _neurons(config: Config, shape: Shape) -> Sequence[int]:
    """The neurons asked for, each once, in order; raises UserError for one outside the layer."""
    if config.neurons == "all":
        if shape.n_neurons is None:
            raise UserError(
                f"NEURONS is all, and the index does not say how many {config.model_name} has; give a range"
            )
        return range(shape.n_neurons)
    last = config.neuron_ranges[-1][1]
    if shape.n_neurons is not None and last >= shape.n_neurons:
        raise UserError(
            f"NEURONS is {config.neurons}; layer {config.layer} of {config.model_name} has "
            f"{shape.n_neurons} neurons, 0 to {shape.n_neurons - 1}"
        )
    return sorted(set(chain.from_iterable(range(a, b + 1) for a, b in config.neuron_ranges)))


def outstanding(config: Config) -> str:
    """How many of the pages asked for are kept, and what the rest will cost; asks the site nothing."""
    if not store_path(config).exists():
        return "no page is kept yet; the index says how many there are"
    with PageStore(store_path(config)) as store:
        kept = store.pages(f"{config.model_name}/{config.layer}/")
        index = store.body(INDEX)
    models = neuroscope.parse_index(index) if index else {}
    if config.model_name not in models:
        return "no page is kept yet; the index says how many there are"
    wanted = [_path(config, neuron) for neuron in _neurons(config, models[config.model_name])]
    to_do = sum(path not in kept or kept[path].status not in _WHOLE for path in wanted)
    told = f"{len(wanted) - to_do:,} of {len(wanted):,} pages are kept"
    return told + (f"; {to_do / config.rate / 60:.0f} min to fetch the others" if to_do else "")


def _announce(config: Config, site: sources.Site, n_pages: int) -> None:
    if site.rate < float("inf"):
        minutes = n_pages / site.rate / 60
        print(
            f"fetching {n_pages:,} pages from {site.address} at {site.rate:g} a second, "
            f"{f'about {minutes:.0f} min' if minutes > 1 else 'a minute at most'}; interrupted, the same "
            "command continues",
            file=sys.stderr,
            flush=True,
        )


def _fetch_all(config: Config, fetch: _Fetch, paths: list[str]) -> None:
    """Fetch pages, several at once if the site allows; raises PipelineError once many in a row fail."""
    failed: list[str] = []
    in_a_row = 0

    def get(path: str) -> Page:
        return fetch.get(path, _accept(config, path))

    done = _in_parallel(get, paths, fetch.site.connections)
    for page in progress(
        done, "pages", unit="page", total=len(paths), note=lambda: f"{len(failed)} failed"
    ):
        is_failed = page.status not in _WHOLE or page.not_refreshed
        if is_failed:
            failed.append(page.path)
        in_a_row = in_a_row + 1 if is_failed else 0
        if in_a_row == _IN_A_ROW:
            raise PipelineError(
                f"SITE: {in_a_row} pages in a row failed, the last one ({page.path}) with: {page.reason}; "
                "what was fetched is kept, the same command continues"
            )


def _in_parallel(get: Callable[[str], Page], paths: list[str], n_threads: int) -> Iterator[Page]:
    """Pages as they come, from that many threads; from this one alone if it is one.

    The threads are daemons: an interrupted run does not wait for pages that hang.
    """
    if n_threads == 1:
        yield from map(get, paths)
        return
    todo, done, mutex = iter(paths), SimpleQueue(), threading.Lock()

    def work() -> None:
        while True:
            with mutex:
                path = next(todo, None)
            if path is None:
                return
            try:
                done.put(get(path))
            except BaseException as exc:  # noqa: BLE001  (raised again where the pages are counted)
                done.put(exc)
                return

    for _ in range(n_threads):
        threading.Thread(target=work, daemon=True).start()
    for _ in paths:
        page = done.get()
        if isinstance(page, BaseException):
            raise page
        yield page


def table(config: Config) -> pa.Table:
    """What became of every page asked for that the store knows, as `pages`; nothing for a scan."""
    rows = []
    if config.source == "neuroscope" and store_path(config).exists():
        with PageStore(store_path(config)) as store:
            known = store.pages(f"{config.model_name}/{config.layer}/")
        address = sources.address(config)
        by_neuron = {int(Path(path).stem): page for path, page in known.items()}
        for neuron in sorted(by_neuron):
            page = by_neuron[neuron]
            if any(first <= neuron <= last for first, last in config.neuron_ranges):
                rows.append(
                    dict(
                        model=config.model_name,
                        layer=config.layer,
                        neuron=neuron,
                        address=address + page.path,
                        status=page.status,
                        reason=page.reason,
                        fetched=page.time,
                        page_sha256=page.sha256,
                        n_bytes=page.n_bytes,
                    )
                )
    return pa.Table.from_pylist(rows, schema=tables.TABLES["pages"].schema)


def samples(config: Config, pages: pa.Table) -> pa.Table:
    """The texts of every page that is ok, as `samples`."""
    schema = tables.TABLES["samples"].schema
    parts = [schema.empty_table()]
    readable = [row for row in pages.to_pylist() if row["status"] == "ok"]
    with PageStore(store_path(config)) as store:
        for row in progress(readable, "samples", unit="page", total=len(readable)):
            path = _path(config, row["neuron"])
            part = _accept(config, path)(store.body(path)).slice(0, config.samples)
            for name in ("address", "fetched", "page_sha256"):
                place, field = schema.get_field_index(name), schema.field(name)
                part = part.set_column(place, field, pa.array([row[name]] * len(part), field.type))
            parts.append(part)
    return pa.concat_tables(parts).combine_chunks()
