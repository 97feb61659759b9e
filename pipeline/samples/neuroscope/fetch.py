"""Fetch the pages of the neurons asked for, each once, and keep them as they come.

Only this module sends requests to a site, and only for pages that are not kept whole: those never asked
for, and those that failed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import closing
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import Config
from pipeline.engine.engines import Engine, InProcess, Threads, Worker
from pipeline.engine.stage import Fetch, Inputs, Stage
from pipeline.errors import NoLayerError, PageError, PipelineError
from pipeline.output import tell
from pipeline.progress import progress
from pipeline.samples.neuroscope import pages, sites
from pipeline.samples.neuroscope.page import PARSER
from pipeline.samples.neuroscope.page_store import Page, PageStore, now
from pipeline.samples.neuroscope.pages import INDEX, WHOLE
from pipeline.samples.neuroscope.site_index import Shape, parse_index
from pipeline.tables.rows import Columns, counted

_AT_ONCE = 64  # pages of a folder or a recording that are kept together
_IN_A_ROW = 10  # pages that fail one after the other: the site is down, or is not a Neuroscope
_FIRST = 10  # pages of a layer that a site has not: it lacks the layer


def collect(config: Config) -> None:
    """Fetch the pages asked for that are missing; if none is, no request is sent.

    Raises UserError for a model, layer or neuron that the site's index does not have, NoLayerError where
    the first pages of the layer do not exist, and PipelineError where the site cannot be reached or too
    many pages in a row fail; what was fetched is kept.
    """
    if _complete(config):
        return
    with PageStore(pages.store_path(config)) as store, store.lock(), sites.open_site(config) as site:
        store.commit_every = 1 if site.rate < float("inf") else _AT_ONCE
        _parse_again(store, config)
        since = store.refresh_started(_scope(config)) if config.refresh else None
        fetch = _Fetch(site, store, since)
        asked_for = [*map(pages.paths(config), pages.neurons(config, _index(config, fetch)))]
        known = store.pages(pages.folder_of(config))
        wanted = [path for path in asked_for if fetch.wants(known.get(path))]
        if wanted:
            _announce(site, len(wanted))
            first = set(asked_for[:_FIRST])
            _fetch_all(config, fetch, [path for path in wanted if path in first])
            _check_layer(config, fetch, asked_for)
            _fetch_all(config, fetch, [path for path in wanted if path not in first])
        store.refresh_ended(_scope(config))


def n_layers(config: Config) -> int | None:
    """How many layers of the model the site's index counts, None where it does not say; the index is
    fetched where it is not kept.

    Raises UserError for a model that the index does not have, PipelineError where it cannot be fetched.
    """
    with PageStore(pages.store_path(config)) as store, store.lock(), sites.open_site(config) as site:
        return pages.shape(config, _index(config, _Fetch(site, store, None))).n_layers


def _check_layer(config: Config, fetch: _Fetch, paths: list[str]) -> None:
    """Raise NoLayerError where asking for the other pages of a layer would be in vain."""
    known = fetch.store.pages(pages.folder_of(config))
    first = [known.get(path) for path in paths[:_FIRST]]
    has_some = any(page.status != "missing" for page in known.values())
    if fetch.site.rate < float("inf") and not has_some and all(first) and len(first) == _FIRST:
        raise NoLayerError(
            f"SITE: the first {_FIRST} pages of layer {config.one_layer} do not exist on "
            f"{fetch.site.address}; where only some neurons have pages, name them with NEURONS"
        )


def _complete(config: Config) -> bool:
    """Whether every page asked for is kept whole already; a folder is always read again."""
    if config.refresh or config.site_folder or not pages.store_path(config).exists():
        return False
    with PageStore(pages.store_path(config), only_read=True) as store:
        models, kept = pages.kept_index(store), store.pages(pages.folder_of(config))
    if config.model_name not in models:
        return False
    wanted = [kept.get(path) for path in map(pages.paths(config), pages.neurons(config, models))]
    return all(page and page.status in WHOLE and page.parser == PARSER for page in wanted)


class _Fetch:
    """Gets pages from a site into its store; `since` is when the refresh began, or None without one."""

    def __init__(self, site: sites.Site, store: PageStore, since: datetime | None) -> None:
        self.site, self.store, self.since = site, store, since

    def wants(self, known: Page | None) -> bool:
        """Whether a page is to be asked for: not whole yet, or not asked for since the refresh began."""
        if known is None or known.status not in WHOLE:
            return True
        return self.site.changes or (self.since is not None and known.checked < self.since)

    def get(self, path: str, accept: Callable[[bytes], object]) -> Page:
        """Ask for one page and keep what comes; a failure does not replace a whole page kept before."""
        known = self.store.page(path)
        whole = known is not None and known.status == "ok" and self.store.body(path) is not None
        validators = (known.etag, known.last_modified) if known and whole else (None, None)
        answer = self.site.get(path, accept, *validators)
        time = now()
        stays = answer.status not in WHOLE and not self.site.changes
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
    return f"{pages.folder_of(config)}{config.neurons}"


def _parse_again(store: PageStore, config: Config) -> None:
    """Parse kept pages that an older parser has judged; nothing is fetched."""
    parser_of = pages.parsers(config)
    for page in store.pages(pages.folder_of(config)).values():
        body = store.body(page.path) if page.parser != PARSER else None
        if body is not None:
            try:
                parser_of(page.path)(body)
                status, reason = "ok", None
            except PageError as exc:
                status, reason = "unreadable", str(exc)
            store.note(Page(**{**vars(page), "status": status, "reason": reason, "parser": PARSER}))


def _index(config: Config, fetch: _Fetch) -> dict[str, Shape]:
    """The models of the site; the index is fetched again if the kept one does not list the model."""
    kept = pages.kept_index(fetch.store)
    if config.model_name in kept and not fetch.wants(fetch.store.page(INDEX)):
        return kept
    page = fetch.get(INDEX, parse_index)
    if page.status != "ok":
        raise PipelineError(
            f"SITE: {fetch.site.address}{INDEX}: {page.status}: {page.reason}; is it the address of a "
            "site in Neuroscope's form?"
        )
    return pages.kept_index(fetch.store)


def _announce(site: sites.Site, n_pages: int) -> None:
    if site.rate < float("inf"):
        tell(
            f"fetching {n_pages:,} pages from {site.address} at {site.rate:g} a second: "
            f"{pages.duration(n_pages / site.rate)}; interrupted, the same command continues"
        )


def _fetch_all(config: Config, fetch: _Fetch, paths: list[str]) -> None:
    """Fetch pages, several at once if the site allows; raises PipelineError once many in a row fail."""
    if not paths:
        return
    failed: list[str] = []
    in_a_row = 0

    parser_of = pages.parsers(config)

    def get(path: str) -> Page:
        return fetch.get(path, parser_of(path))

    # no threads for a single connection: a recording cannot be used from several
    engine: Engine = Threads(fetch.site.connections, finish=False)
    if fetch.site.connections == 1:
        engine = InProcess()
    with closing(engine.map(lambda: get, paths)) as done:
        for page in progress(
            done, "pages", unit="page", total=len(paths), note=lambda: f"{len(failed)} failed"
        ):
            is_failed = page.status not in WHOLE or page.not_refreshed
            if is_failed:
                failed.append(page.path)
            in_a_row = in_a_row + 1 if is_failed else 0
            if in_a_row == _IN_A_ROW:
                raise PipelineError(
                    f"SITE: {in_a_row} pages in a row failed, the last one ({page.path}) with: "
                    f"{page.reason}; what was fetched is kept, the same command continues"
                )


def _pages(inputs: Inputs, settings: Config) -> Worker:
    """The function that gives `pages`; raises PipelineError where none of them can be read."""

    def kept(shard: pa.Table) -> pa.Table:
        outcomes = pages.table(settings)
        bad = outcomes.filter(pc.field("status") != "ok")
        if len(outcomes) == len(bad):
            none = NoLayerError if pc.all(pc.equal(bad["status"], "missing")).as_py() else PipelineError
            raise none(
                f"SITE: none of the {len(outcomes)} pages asked for can be read; the first: "
                f"{bad['reason'][0]}; the same command tries what failed again, REFRESH=1 (--refresh) "
                "also what is missing"
            )
        return outcomes

    return kept


def _note(data: Columns, inputs: Inputs, settings: Config) -> str:
    return "; ".join(f"{n} {status}" for status, n in counted(data["status"]) if status != "ok")


def _left_out(data: Columns, inputs: Inputs, settings: Config) -> list[str]:
    """Which pages could not be read, and which could not be refreshed."""
    pages = pa.table({name: data[name] for name in ("neuron", "status", "reason")}).to_pylist()
    n_missing = sum(page["status"] == "missing" for page in pages)
    rows = [page for page in pages if page["status"] not in WHOLE]
    stale = [page["reason"] for page in pages if page["status"] == "ok" and page["reason"] is not None]
    told = [f"{len(stale)} pages are as they were before: {stale[0]}"] if stale else []
    if n_missing:
        told.append(
            f"{n_missing} of {len(data)} pages do not exist, though the site's index counts their neurons; "
            "REFRESH=1 (--refresh) asks for them again"
        )
    if rows:
        worst = "; ".join(f"neuron {row['neuron']}: {row['reason']}" for row in rows[:3])
        told.append(
            f"{len(rows)} of {len(data)} pages could not be read ({worst}): their neurons are left out, "
            "and the layer's maximum is that of the others; the same command tries them again"
        )
    return told


PAGES = Stage(
    pages.__name__,
    "010",
    "pages",
    where={"source": "neuroscope"},
    settings=("site",),
    uses=(
        *pages.OF_SITE,
        *("rate", "connections", "refresh", "timeout_s", "tries", "retry_wait_s"),
    ),
    decided_by={"site": pages.all_pages},
    worker=_pages,
    fetch=Fetch(collect, pages.outstanding),
    note=_note,
    warn=_left_out,
)
