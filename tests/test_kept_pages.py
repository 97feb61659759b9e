"""Kept pages: refreshed on request, judged again, read from a mirror, and damaged ones told."""

import dataclasses
import shutil
import sqlite3
from datetime import timedelta

import pytest
import web_server as server
from tiny_site import N_NEURONS, counts, samples

from pipeline import collect, neuroscope, pages
from pipeline.errors import PipelineError, StoreError
from pipeline.page_store import PageStore

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])


def test_refresh_asks_conditionally_and_takes_what_has_changed(config, served):
    for path, body in served.pages.items():
        served.faults[path] = [server.instead(body, ETag=f'"{path}"')]
    collect.collect(config)
    served.log.clear()
    old = pages.table(config)

    def unless_changed(handler, body):
        same = handler.headers["If-None-Match"] == f'"{handler.path[1:]}"' and "/7" not in handler.path
        server.status(304)(handler, body) if same else server.send(handler, body)

    served.pages["tiny/0/7.html"] = served.pages["tiny/0/7.html"].replace(b"word7", b"WORD")
    served.always = unless_changed
    collect.collect(dataclasses.replace(config, refresh=True))
    assert set(served.asked()) == {*served.pages} - {"tiny/model.html"} | {"robots.txt"}
    changed = [
        a["neuron"]
        for a, b in zip(old.to_pylist(), pages.table(config).to_pylist(), strict=True)
        if a["page_sha256"] != b["page_sha256"]
    ]
    assert changed == [7]
    served.log.clear()
    collect.collect(config)
    assert not served.log


def test_a_refresh_that_fails_keeps_what_was_there_and_says_so(config, served, undisturbed):
    collect.collect(config)
    served.faults["tiny/0/3.html"] = [server.status(500)] * 2
    collect.collect(dataclasses.replace(config, refresh=True))
    [row] = [r for r in pages.table(config).to_pylist() if r["reason"]]
    assert (row["neuron"], row["status"]) == (3, "ok")
    assert row["reason"] == "not refreshed: HTTP 500 (2 tries)"
    assert samples(config).equals(undisturbed)


def test_an_interrupted_refresh_goes_on(config, served, monkeypatch):
    collect.collect(config)
    later = collect.now() + timedelta(seconds=5)
    monkeypatch.setattr("pipeline.collect.now", lambda: later)
    monkeypatch.setattr("pipeline.page_store.now", lambda: later - timedelta(seconds=1))
    anew = dataclasses.replace(config, refresh=True)
    served.faults["tiny/0/30.html"] = [server.status(429, Retry_After="9999")]
    with pytest.raises(PipelineError, match="left alone"):
        collect.collect(dataclasses.replace(anew, connections=1))
    served.log.clear()
    collect.collect(anew)
    assert set(served.asked()) == {"robots.txt", *(f"tiny/0/{n}.html" for n in range(30, N_NEURONS))}


def test_a_newer_parser_judges_kept_pages_without_asking_for_them(config, served, monkeypatch):
    served.pages["tiny/0/3.html"] = b"<h1>Error</h1>"
    collect.collect(config)
    assert counts(config) == {"ok": N_NEURONS - 1, "unreadable": 1}
    served.log.clear()
    parse = neuroscope.parse_page
    monkeypatch.setattr(collect, "PARSER", neuroscope.PARSER + 1)
    monkeypatch.setattr(
        neuroscope,
        "parse_page",
        lambda html, **place: parse(html, **place) if b"Error" not in html else None,
    )
    collect.collect(config)
    assert counts(config) == {"ok": N_NEURONS}
    assert not served.log


def test_a_folder_that_mirrors_the_site_gives_the_same_rows(config, written, undisturbed, tmp_path):
    mirror = tmp_path / "mirror"
    shutil.copytree(written, mirror)
    local = dataclasses.replace(config, site=str(mirror))
    collect.collect(local)
    assert samples(local).drop("address").equals(undisturbed.drop("address"))
    assert samples(local)["address"][0].as_py() == "file:mirror/tiny/0/0.html"
    changed = (mirror / "tiny/0/3.html").read_bytes().replace(b"word3", b"other")
    (mirror / "tiny/0/3.html").write_bytes(changed)
    (mirror / "tiny/0/4.html").unlink()
    (mirror / "tiny/0/5.html").write_text("<h1>Error</h1>")
    collect.collect(local)
    found = {row["neuron"]: row["status"] for row in pages.table(local).to_pylist()}
    assert (found[4], found[5]) == ("missing", "unreadable")
    assert samples(local)["tokens"].to_pylist()[9][1] == " other"


def test_a_link_out_of_the_folder_is_not_followed(config, written, tmp_path):
    mirror = tmp_path / "mirror"
    shutil.copytree(written, mirror)
    shutil.copy(mirror / "tiny/0/3.html", tmp_path / "outside.html")
    (mirror / "tiny/0/3.html").unlink()
    (mirror / "tiny/0/3.html").symlink_to(tmp_path / "outside.html")
    local = dataclasses.replace(config, site=str(mirror))
    collect.collect(local)
    assert counts(local) == {"ok": N_NEURONS - 1, "refused": 1}


def test_a_damaged_file_of_pages_is_told_with_the_way_out(config):
    collect.collect(config)
    path = pages.store_path(config)
    with sqlite3.connect(path) as con:
        con.execute("update pages set body = x'00' where path = 'tiny/0/3.html'")
    with PageStore(path) as store:
        [fault] = store.faults()
    assert "page tiny/0/3.html is damaged; the next run fetches it anew" in fault
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="is damaged .*; delete it and run again"):
        collect.collect(config)


def test_a_page_damaged_where_it_was_kept_is_fetched_anew_alone(config, served, undisturbed):
    collect.collect(config)
    found = pages.table(config)
    with sqlite3.connect(pages.store_path(config)) as con:
        con.execute("update pages set body = x'00' where path = 'tiny/0/3.html'")
    with pytest.raises(StoreError, match=r"page tiny/0/3\.html is damaged .*; run again: only that"):
        pages.samples(config, found)
    served.log.clear()
    collect.collect(config)
    assert set(served.asked()) == {"robots.txt", "tiny/0/3.html"}
    assert samples(config).equals(undisturbed)


def test_an_index_that_was_missing_or_another_thing_is_asked_for_again(config, served):
    index = served.pages.pop("index.html")
    with pytest.raises(PipelineError, match=r"index\.html: missing: HTTP 404; is it the address"):
        collect.collect(config)
    served.pages["index.html"] = b"<h1>parked</h1>"
    with pytest.raises(PipelineError, match=r"index\.html: unreadable: expected an index"):
        collect.collect(config)
    assert pages.outstanding(config).startswith("no page is kept yet")
    served.pages["index.html"] = index
    collect.collect(config)
    assert counts(config) == {"ok": N_NEURONS}


def test_an_index_that_shrinks_takes_its_neurons_along(config, served):
    collect.collect(config)
    served.pages["index.html"] = served.pages["index.html"].replace(b"<td>40</td>", b"<td>2</td>")
    collect.collect(dataclasses.replace(config, refresh=True))
    assert pages.table(config)["neuron"].to_pylist() == [0, 1]


def test_each_site_has_pages_of_its_own(config, served):
    sites = [served.address, served.address + "sub/dir", served.address + "sub_dir", "https://127.0.0.1/"]
    paths = {pages.store_path(dataclasses.replace(config, site=site)) for site in sites}
    assert len(paths) == len(sites)
    assert pages.store_path(config) == pages.store_path(
        dataclasses.replace(config, site=served.address.rstrip("/"))
    )


def test_a_site_below_a_path_is_read_there(config, served, undisturbed):
    served.pages = {f"sub/dir/{path}": body for path, body in served.pages.items()}
    below = dataclasses.replace(config, site=f"{served.address}sub/dir")
    collect.collect(below)
    assert samples(below).drop("address").equals(undisturbed.drop("address"))


def test_whole_pages_are_read_where_nothing_can_be_written(config, undisturbed):
    collect.collect(config)
    folder = pages.store_path(config).parent
    with PageStore(pages.store_path(config), only_read=True) as store:
        assert len(store.pages("tiny/0/")) == N_NEURONS
        with pytest.raises(StoreError, match="readonly"):
            store.forget("tiny/0/3.html")
    assert sorted(p.suffix for p in folder.iterdir()) == [".lock", ".sqlite"]
