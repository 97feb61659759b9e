"""Fetch the pages of the neurons asked for, each once, and keep them as they come.

The only place that asks a site, and only for what is not kept whole: pages never asked for, and those
that failed.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from queue import SimpleQueue

from pipeline import neuroscope, pages, sources
from pipeline.config import Config
from pipeline.errors import PageError, PipelineError
from pipeline.neuroscope import PARSER, Shape
from pipeline.page_store import Page, PageStore, now
from pipeline.pages import INDEX, WHOLE
from pipeline.progress import progress

_IN_A_ROW = 10  # pages that fail one after the other: the site is down, or is no Neuroscope


def collect(config: Config) -> None:
    """Fetch what is missing of the pages asked for; nothing is asked of the site if nothing is.

    Raises UserError for a model, layer or neuron that the site's index does not have, and PipelineError
    where the site cannot be reached or nothing but failures comes; what was fetched is kept.
    """
    if _complete(config):
        return
    with PageStore(pages.store_path(config)) as store, store.lock(), sources.open_site(config) as site:
        _judge_anew(store, config)
        since = store.refresh_started(_scope(config)) if config.refresh else None
        fetch = _Fetch(site, store, since)
        asked_for = pages.neurons(config, _index(config, fetch))
        known = store.pages(pages.folder_of(config))
        paths = (pages.path_of(config, neuron) for neuron in asked_for)
        wanted = [path for path in paths if fetch.wants(known.get(path))]
        if wanted:
            _announce(site, len(wanted))
            _fetch_all(config, fetch, wanted)
        store.refresh_ended(_scope(config))


def _complete(config: Config) -> bool:
    """Whether every page asked for is kept whole already; a folder is always looked at again."""
    if config.refresh or config.site_folder or not pages.store_path(config).exists():
        return False
    with PageStore(pages.store_path(config), only_read=True) as store:
        models, kept = pages.kept_index(store), store.pages(pages.folder_of(config))
    if config.model_name not in models:
        return False
    found = [kept.get(pages.path_of(config, neuron)) for neuron in pages.neurons(config, models)]
    return all(page and page.status in WHOLE and page.parser == PARSER for page in found)


class _Fetch:
    """Gets pages from a site into its store; `since` is when the refresh began, if it is one."""

    def __init__(self, site: sources.Site, store: PageStore, since: datetime | None) -> None:
        self.site, self.store, self.since = site, store, since

    def wants(self, known: Page | None) -> bool:
        """Whether a page is to be asked for: not whole yet, or not asked since the refresh began."""
        if known is None or known.status not in WHOLE:
            return True
        return self.site.changes or (self.since is not None and known.checked < self.since)

    def get(self, path: str, accept: Callable[[bytes], object]) -> Page:
        """Ask for one page and keep what comes; a whole page kept before is not lost to a failure."""
        known = self.store.page(path)
        whole = known is not None and known.status == "ok" and self.store.body(path) is not None
        validators = (known.etag, known.last_modified) if whole else (None, None)
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


def _judge_anew(store: PageStore, config: Config) -> None:
    """Hold pages that an older parser judged against this one; their bodies are kept, so no fetching."""
    for page in store.pages(pages.folder_of(config)).values():
        body = store.body(page.path) if page.parser != PARSER else None
        if body is not None:
            try:
                pages.parser(config, page.path)(body)
                status, reason = "ok", None
            except PageError as exc:
                status, reason = "unreadable", str(exc)
            store.note(Page(**{**vars(page), "status": status, "reason": reason, "parser": PARSER}))


def _index(config: Config, fetch: _Fetch) -> dict[str, Shape]:
    """The models of the site; the index is asked for again if the kept one does not list the model."""
    kept = pages.kept_index(fetch.store)
    if config.model_name in kept and not fetch.wants(fetch.store.page(INDEX)):
        return kept
    page = fetch.get(INDEX, neuroscope.parse_index)
    if page.status != "ok":
        raise PipelineError(
            f"SITE: {fetch.site.address}{INDEX}: {page.status}: {page.reason}; is it the address of a "
            "site in Neuroscope's form?"
        )
    return pages.kept_index(fetch.store)


def _announce(site: sources.Site, n_pages: int) -> None:
    if site.rate < float("inf"):
        print(
            f"fetching {n_pages:,} pages from {site.address} at {site.rate:g} a second: "
            f"{pages.duration(n_pages / site.rate)}; interrupted, the same command continues",
            file=sys.stderr,
            flush=True,
        )


def _fetch_all(config: Config, fetch: _Fetch, paths: list[str]) -> None:
    """Fetch pages, several at once if the site allows; raises PipelineError once many in a row fail."""
    failed: list[str] = []
    in_a_row = 0

    def get(path: str) -> Page:
        return fetch.get(path, pages.parser(config, path))

    done = _in_parallel(get, paths, fetch.site.connections)
    for page in progress(
        done, "pages", unit="page", total=len(paths), note=lambda: f"{len(failed)} failed"
    ):
        is_failed = page.status not in WHOLE or page.not_refreshed
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
