"""Kept pages: refreshed on request, parsed again, read from a mirror, and damaged ones reported."""

import dataclasses
import shutil
import sqlite3

import pytest
from servers import web as server
from servers.tiny_site import N_NEURONS, counts, read_kept, samples

from pipeline.errors import PipelineError, StoreError
from pipeline.samples.neuroscope import fetch, page, page_store, pages
from pipeline.samples.neuroscope.page_store import Page, PageStore

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])


def test_refresh_asks_conditionally_and_takes_what_has_changed(config, served):
    for path, body in served.pages.items():
        served.faults[path] = [server.instead(body, ETag=f'"{path}"')]
    fetch.collect(config)
    served.log.clear()
    old = pages.table(config)

    def unless_changed(handler, body):
        same = handler.headers["If-None-Match"] == f'"{handler.path[1:]}"' and "/7" not in handler.path
        server.status(304)(handler, body) if same else server.send(handler, body)

    served.pages["tiny/0/7.html"] = served.pages["tiny/0/7.html"].replace(b"word7", b"WORD")
    served.always = unless_changed
    fetch.collect(dataclasses.replace(config, refresh=True))
    assert set(served.asked()) == {*served.pages} - {"tiny/model.html"} | {"robots.txt"}
    changed = [
        a["neuron"]
        for a, b in zip(old.to_pylist(), pages.table(config).to_pylist(), strict=True)
        if a["page_sha256"] != b["page_sha256"]
    ]
    assert changed == [7]
    served.log.clear()
    fetch.collect(config)
    assert not served.log


def test_a_refresh_that_fails_keeps_what_was_there_and_says_so(config, served, undisturbed):
    fetch.collect(config)
    served.faults["tiny/0/3.html"] = [server.status(500)] * 2
    fetch.collect(dataclasses.replace(config, refresh=True))
    [row] = [r for r in pages.table(config).to_pylist() if r["reason"]]
    assert (row["neuron"], row["status"]) == (3, "ok")
    assert row["reason"] == "not refreshed: HTTP 500 (2 tries)"
    assert samples(config).equals(undisturbed)


def test_an_interrupted_refresh_continues(config, served):
    fetch.collect(config)
    refreshed = dataclasses.replace(config, refresh=True)
    served.faults["tiny/0/30.html"] = [server.status(429, Retry_After="9999")]
    with pytest.raises(PipelineError, match="left alone"):
        fetch.collect(dataclasses.replace(refreshed, connections=1))
    served.log.clear()
    fetch.collect(refreshed)
    assert set(served.asked()) == {"robots.txt", *(f"tiny/0/{n}.html" for n in range(30, N_NEURONS))}


def judged(config, path, **facts):
    """Write into the store what an older parser made of a page."""
    with PageStore(pages.store_path(config)) as store:
        store.note(dataclasses.replace(store.page(path), parser=page.PARSER - 1, **facts))


def test_a_newer_parser_reads_kept_pages_again_without_asking_for_them(config, served):
    fetch.collect(config)
    judged(config, "tiny/0/3.html", status="unreadable", reason="an older parser did not know this form")
    judged(config, "tiny/0/4.html")
    assert counts(config) == {"ok": N_NEURONS - 1, "unreadable": 1}
    served.log.clear()
    fetch.collect(config)
    assert counts(config) == {"ok": N_NEURONS}
    with PageStore(pages.store_path(config)) as store:
        assert {each.parser for each in store.pages("tiny/0/").values()} == {page.PARSER}
    assert not served.log


def test_a_page_that_only_an_older_parser_could_read_is_asked_for_again(config, served):
    whole = served.pages["tiny/0/3.html"]
    served.pages["tiny/0/3.html"] = b"<h1>Error</h1>"
    fetch.collect(config)
    judged(config, "tiny/0/3.html", status="ok", reason=None)
    served.pages["tiny/0/3.html"] = whole
    served.log.clear()
    fetch.collect(config)
    assert counts(config) == {"ok": N_NEURONS}
    assert set(served.asked()) == {"robots.txt", "tiny/0/3.html"}


def test_a_folder_that_mirrors_the_site_gives_the_same_rows(config, written, undisturbed, tmp_path):
    mirror = tmp_path / "mirror"
    shutil.copytree(written, mirror)
    local = dataclasses.replace(config, site=str(mirror))
    fetch.collect(local)
    assert samples(local).drop("address").equals(undisturbed.drop("address"))
    assert samples(local)["address"][0].as_py() == "file:mirror/tiny/0/0.html"
    changed = (mirror / "tiny/0/3.html").read_bytes().replace(b"word3", b"other")
    (mirror / "tiny/0/3.html").write_bytes(changed)
    (mirror / "tiny/0/4.html").unlink()
    (mirror / "tiny/0/5.html").write_text("<h1>Error</h1>")
    fetch.collect(local)
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
    fetch.collect(local)
    assert counts(local) == {"ok": N_NEURONS - 1, "refused": 1}


def test_a_damaged_file_of_pages_is_told_and_one_that_is_no_store_is_set_aside(config, capsys):
    fetch.collect(config)
    path = pages.store_path(config)
    with sqlite3.connect(path) as con:
        con.execute("update pages set body = x'00' where path = 'tiny/0/3.html'")
    with PageStore(path) as store:
        [fault] = store.faults()
    assert "page tiny/0/3.html is damaged; the next run fetches it again" in fault
    path.write_bytes(b"no database" * 1000)
    fetch.collect(config)
    assert f"WARNING: {path} is damaged (file is not a database); set aside" in capsys.readouterr().err
    assert path.with_suffix(".damaged").read_bytes().startswith(b"no database")
    assert counts(config) == {"ok": N_NEURONS}


def test_only_pages_that_were_damaged_in_the_store_are_fetched_again(config, served, undisturbed):
    fetch.collect(config)
    with sqlite3.connect(pages.store_path(config)) as con:
        con.execute("update pages set body = x'00' where path in ('tiny/0/3.html', 'tiny/0/5.html')")
    with pytest.raises(
        StoreError, match=r"page tiny/0/3\.html is damaged .* \(and 1 more\); run again: only"
    ):
        read_kept(config)
    served.log.clear()
    fetch.collect(config)
    assert set(served.asked()) == {"robots.txt", "tiny/0/3.html", "tiny/0/5.html"}
    assert samples(config).equals(undisturbed)


def test_an_index_that_was_missing_or_unreadable_is_asked_for_again(config, served):
    index = served.pages.pop("index.html")
    with pytest.raises(PipelineError, match=r"index\.html: missing: HTTP 404; is it the address"):
        fetch.collect(config)
    served.pages["index.html"] = b"<h1>parked</h1>"
    with pytest.raises(PipelineError, match=r"index\.html: unreadable: expected an index"):
        fetch.collect(config)
    assert pages.outstanding(config).startswith("no page is kept yet")
    served.pages["index.html"] = index
    fetch.collect(config)
    assert counts(config) == {"ok": N_NEURONS}


def test_neurons_that_the_index_no_longer_lists_are_left_out(config, served):
    fetch.collect(config)
    served.pages["index.html"] = served.pages["index.html"].replace(b"<td>40</td>", b"<td>2</td>")
    fetch.collect(dataclasses.replace(config, refresh=True))
    assert pages.table(config)["neuron"].to_pylist() == [0, 1]


def test_each_site_has_its_own_pages(config, served):
    sites = [served.address, served.address + "sub/dir", served.address + "sub_dir", "https://127.0.0.1/"]
    paths = {pages.store_path(dataclasses.replace(config, site=site)) for site in sites}
    assert len(paths) == len(sites)
    assert pages.store_path(config) == pages.store_path(
        dataclasses.replace(config, site=served.address.rstrip("/"))
    )


def test_a_site_below_a_path_is_read_there(config, served, undisturbed):
    served.pages = {f"sub/dir/{path}": body for path, body in served.pages.items()}
    below = dataclasses.replace(config, site=f"{served.address}sub/dir")
    fetch.collect(below)
    assert samples(below).drop("address").equals(undisturbed.drop("address"))


def test_what_a_run_that_was_killed_left_unfinished_is_undone(config, served, tmp_path):
    fetch.collect(config)
    path = pages.store_path(config)
    con = sqlite3.connect(path, isolation_level=None)
    con.execute("pragma cache_size = 1")  # so that changes reach the file before they are committed
    con.execute("begin immediate")
    con.execute("update pages set status = 'failed', body = zeroblob(100000)")
    killed = dataclasses.replace(config, data=str(tmp_path / "killed"))
    shutil.copytree(path.parent, pages.store_path(killed).parent)
    con.close()
    assert pages.store_path(killed).with_name(f"{path.name}-journal").exists()
    served.log.clear()
    fetch.collect(killed)
    assert counts(killed) == {"ok": N_NEURONS}
    assert not served.log


def test_pages_kept_together_are_there_once_enough_have_come_or_the_store_is_closed(tmp_path):
    time = page_store.now()
    path = tmp_path / "together.sqlite"
    with PageStore(path) as store:
        store.commit_every = 3
        for number in range(5):
            store.keep(Page(str(number), "ok", None, time, time, None, None, None, None, 1), b"a")
        with PageStore(path, only_read=True) as other:
            assert [other.page(str(number)) is not None for number in range(5)] == [True] * 3 + [False] * 2
    with PageStore(path, only_read=True) as other:
        assert other.page("4").time == time


def test_a_store_that_was_killed_before_its_first_page_is_filled(config):
    path = pages.store_path(config)
    path.parent.mkdir(parents=True)
    path.touch()
    assert pages.outstanding(config).startswith("no page is kept yet")
    fetch.collect(config)
    assert counts(config) == {"ok": N_NEURONS}


def test_whole_pages_are_read_where_nothing_can_be_written(config, undisturbed):
    fetch.collect(config)
    folder = pages.store_path(config).parent
    with PageStore(pages.store_path(config), only_read=True) as store:
        assert len(store.pages("tiny/0/")) == N_NEURONS
        with pytest.raises(StoreError, match="readonly"):
            store.forget("tiny/0/3.html")
    assert sorted(p.suffix for p in folder.iterdir()) == [".lock", ".sqlite"]
