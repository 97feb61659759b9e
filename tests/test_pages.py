"""Pages are fetched once, whatever happens meanwhile, and what became of each is known."""

import dataclasses
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import threading
import time
from collections import Counter

import pytest
import web_server as server
from conftest import rows
from web_server import WebServer

from pipeline import neuroscope, pages, site
from pipeline.config import Config
from pipeline.errors import PipelineError, StoreError, UserError
from pipeline.page_store import PageStore

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
N_NEURONS = 40


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A site of 40 neurons, as a folder."""
    folder = tmp_path_factory.mktemp("written") / "site"
    given = [
        dict(model="tiny", neuron=neuron, rank=rank, text_id=rank, text_set="ours", source="scan")
        | dict(tokens=["<|BOS|>", f" word{neuron}", " end"], activations=[0.0, 1.0 / (1 + rank), 0.1])
        | dict(text_start=1, mat_index=1, max_activation=1.0 / (1 + rank))
        for neuron in range(N_NEURONS)
        for rank in range(3)
    ]
    site.write(rows("samples", *given), folder)
    return folder


@pytest.fixture
def served(written):
    """The site's server."""
    contents = {str(p.relative_to(written)): p.read_bytes() for p in written.rglob("*.html")}
    with WebServer(contents) as running:
        yield running


@pytest.fixture
def config(served, tmp_path):
    """A config that fetches all of it, quickly."""
    return Config(
        model="tiny",
        layer=0,
        site=served.address,
        data=str(tmp_path / "data"),
        rate=1000,
        timeout_s=0.5,
        tries=2,
        retry_wait_s=0.01,
    )


def samples(config):
    """The rows that a run would go on with, without the time of fetching."""
    return pages.samples(config, pages.table(config)).drop("fetched")


def counts(config):
    return dict(Counter(pages.table(config)["status"].to_pylist()))


@pytest.fixture
def undisturbed(config, tmp_path):
    """The rows of a run that nothing disturbs, without their addresses' port."""
    quiet = dataclasses.replace(config, data=str(tmp_path / "undisturbed"))
    pages.collect(quiet)
    return samples(quiet)


def test_every_page_is_asked_for_once_and_never_again(config, served):
    pages.collect(config)
    pages.collect(config)
    asked = served.asked()
    assert len(asked) == N_NEURONS + 2
    assert set(asked.values()) == {1}
    found = samples(config)
    assert len(found) == 3 * N_NEURONS
    row = found.slice(3 * 7, 1).to_pylist()[0]
    assert row["address"] == f"{served.address}tiny/0/7.html"
    assert len(row["page_sha256"]) == 64
    assert row["parser"] == neuroscope.PARSER
    assert row["tokens"][1] == " word7"


def test_more_neurons_ask_only_for_the_new_ones(config, served):
    pages.collect(dataclasses.replace(config, neurons="3"))
    served.log.clear()
    pages.collect(dataclasses.replace(config, neurons="2-4"))
    assert set(served.asked()) == {"robots.txt", "tiny/0/3.html", "tiny/0/4.html"}


def test_no_more_connections_than_allowed(config, served):
    served.always = lambda handler, body: (time.sleep(0.02), server.send(handler, body))
    pages.collect(dataclasses.replace(config, connections=3))
    assert 1 < served.most_at_once <= 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(model="tin"), r"has no model 'tin'; it has tiny; samples of any other: SOURCE=scan"),
        (dict(layer=1), "LAYER is 1; tiny has the layers 0 to 0"),
        (dict(neurons="41"), "NEURONS is 41; layer 0 of tiny has 40 neurons, 0 to 39"),
    ],
)
def test_what_the_index_does_not_have_is_refused_before_any_page(config, served, settings, message):
    with pytest.raises(UserError, match=message):
        pages.collect(dataclasses.replace(config, **settings))
    assert not [path for path in served.asked() if path.startswith("tiny/")]


def test_a_model_that_is_new_on_the_site_is_found(config, served):
    index = served.pages["index.html"]
    served.pages["index.html"] = index.replace(b"tiny", b"other")
    with pytest.raises(UserError, match="has no model"):
        pages.collect(config)
    served.pages["index.html"] = index
    pages.collect(config)
    assert counts(config) == {"ok": N_NEURONS}


def test_a_neuron_without_a_page_is_missing_and_no_failure(config, served):
    del served.pages["tiny/0/39.html"]
    pages.collect(config)
    pages.collect(config)
    assert counts(config) == {"ok": N_NEURONS - 1, "missing": 1}
    assert served.asked()["tiny/0/39.html"] == 1


FAULTS = {
    "tiny/0/1.html": server.status(500),
    "tiny/0/3.html": server.cut,
    "tiny/0/5.html": server.hang,
    "tiny/0/7.html": server.instead(b"<h1>Error</h1>"),
    "tiny/0/9.html": server.status(302, Location="http://elsewhere.example/"),
    "tiny/0/11.html": server.reset,
    "tiny/0/13.html": server.status(403),
    "tiny/0/15.html": server.too_short_a_length,
}


def test_what_failed_is_told_and_only_that_is_tried_again(config, served, undisturbed):
    for path, fault in FAULTS.items():
        served.faults[path] = [fault] * 2
    served.log.clear()
    pages.collect(config)
    bad = {row["neuron"]: row for row in pages.table(config).to_pylist() if row["status"] != "ok"}
    assert sorted(bad) == [1, 3, 5, 7, 9, 11, 13, 15]
    assert {n: row["status"] for n, row in bad.items() if row["status"] != "failed"} == {
        7: "unreadable",
        9: "refused",
        13: "refused",
        15: "unreadable",
    }
    assert bad[1]["reason"] == "HTTP 500 (2 tries)"
    assert "expected a page of neuron 7 in layer 0 of tiny, found 'Error'" in bad[7]["reason"]
    assert "another site" in bad[9]["reason"]
    assert len(samples(config)) == 3 * (N_NEURONS - 8)
    served.log.clear()
    for faults in served.faults.values():
        faults.clear()
    pages.collect(config)
    assert set(served.asked()) == {"robots.txt", *FAULTS}
    assert samples(config).equals(undisturbed)


def test_swapped_pages_are_noticed(config, served, undisturbed):
    one, other = (served.pages[f"tiny/0/{n}.html"] for n in (3, 4))
    served.pages |= {"tiny/0/3.html": other, "tiny/0/4.html": one}
    pages.collect(config)
    assert counts(config) == {"ok": N_NEURONS - 2, "unreadable": 2}
    [reason] = [r["reason"] for r in pages.table(config).to_pylist() if r["neuron"] == 3]
    assert reason == "expected a page of neuron 3 in layer 0 of tiny, found neuron 4 in layer 0 of tiny"
    served.pages |= {"tiny/0/3.html": one, "tiny/0/4.html": other}
    pages.collect(config)
    assert samples(config).equals(undisturbed)


def test_a_site_that_only_fails_is_soon_left_alone(config, served):
    served.faults["index.html"] = [server.send]
    served.always = server.status(500)
    with pytest.raises(PipelineError, match="10 pages in a row failed, .* HTTP 500") as caught:
        pages.collect(config)
    assert "the same command continues" in str(caught.value)
    assert len(served.asked()) < 20
    served.always = None
    pages.collect(config)
    assert counts(config) == {"ok": N_NEURONS}


def killed_collect(config):
    pages.collect(config)


def test_killed_at_ten_moments_it_continues_and_asks_for_nothing_kept(config, served, undisturbed):
    served.log.clear()
    served.always = lambda handler, body: (time.sleep(0.01), server.send(handler, body))
    slow = dataclasses.replace(config, rate=200)
    draw = random.Random(0)
    context = multiprocessing.get_context("spawn")
    kills = 0
    for _ in range(10):
        before = len(served.log)
        process = context.Process(target=killed_collect, args=(slow,))
        process.start()
        until = before + draw.randint(1, 7)
        while process.is_alive() and len(served.log) < until:
            time.sleep(0.001)
        time.sleep(draw.random() * 0.02)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
    pages.collect(config)
    assert kills == 10
    assert samples(config).equals(undisturbed)
    again = [n - 1 for path, n in served.asked().items() if path.startswith("tiny/")]
    assert sum(again) <= kills * config.connections  # nothing beyond what was in flight
    assert sum(again) < N_NEURONS


def test_two_at_once_fetch_every_page_once(config, served, capfd):
    served.always = lambda handler, body: (time.sleep(0.005), server.send(handler, body))
    both = [threading.Thread(target=pages.collect, args=(config,)) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert set(served.asked().values()) == {1}
    assert "waiting for another run" in capfd.readouterr().err


def test_refresh_asks_conditionally_and_takes_what_has_changed(config, served):
    for path, body in served.pages.items():
        served.faults[path] = [server.instead(body, ETag=f'"{path}"')]
    pages.collect(config)
    served.log.clear()
    old = pages.table(config)

    def unless_changed(handler, body):
        same = handler.headers["If-None-Match"] == f'"{handler.path[1:]}"' and "/7" not in handler.path
        server.status(304)(handler, body) if same else server.send(handler, body)

    served.pages["tiny/0/7.html"] = served.pages["tiny/0/7.html"].replace(b"word7", b"WORD")
    served.always = unless_changed
    pages.collect(dataclasses.replace(config, refresh=True))
    assert set(served.asked()) == {*served.pages} - {"tiny/model.html"} | {"robots.txt"}
    changed = [
        a["neuron"]
        for a, b in zip(old.to_pylist(), pages.table(config).to_pylist(), strict=True)
        if a["page_sha256"] != b["page_sha256"]
    ]
    assert changed == [7]
    served.log.clear()
    pages.collect(config)
    assert not served.log


def test_a_refresh_that_fails_keeps_what_was_there_and_says_so(config, served, undisturbed):
    pages.collect(config)
    served.faults["tiny/0/3.html"] = [server.status(500)] * 2
    pages.collect(dataclasses.replace(config, refresh=True))
    [row] = [r for r in pages.table(config).to_pylist() if r["reason"]]
    assert (row["neuron"], row["status"]) == (3, "ok")
    assert row["reason"] == "not refreshed: HTTP 500 (2 tries)"
    assert samples(config).equals(undisturbed)


def test_an_interrupted_refresh_goes_on(config, served, monkeypatch):
    from datetime import timedelta

    pages.collect(config)
    later = pages.now() + timedelta(seconds=5)
    monkeypatch.setattr("pipeline.pages.now", lambda: later)
    monkeypatch.setattr("pipeline.page_store.now", lambda: later - timedelta(seconds=1))
    anew = dataclasses.replace(config, refresh=True)
    served.faults["tiny/0/30.html"] = [server.status(429, Retry_After="9999")]
    with pytest.raises(PipelineError, match="left alone"):
        pages.collect(dataclasses.replace(anew, connections=1))
    served.log.clear()
    pages.collect(anew)
    assert set(served.asked()) == {"robots.txt", *(f"tiny/0/{n}.html" for n in range(30, N_NEURONS))}


def test_a_newer_parser_judges_kept_pages_without_asking_for_them(config, served, monkeypatch):
    served.pages["tiny/0/3.html"] = b"<h1>Error</h1>"
    pages.collect(config)
    assert counts(config) == {"ok": N_NEURONS - 1, "unreadable": 1}
    served.log.clear()
    parse = neuroscope.parse_page
    monkeypatch.setattr(pages, "PARSER", neuroscope.PARSER + 1)
    monkeypatch.setattr(
        neuroscope,
        "parse_page",
        lambda html, **place: parse(html, **place) if b"Error" not in html else None,
    )
    pages.collect(config)
    assert counts(config) == {"ok": N_NEURONS}
    assert not served.log


def test_a_folder_that_mirrors_the_site_gives_the_same_rows(config, written, undisturbed, tmp_path):
    mirror = tmp_path / "mirror"
    shutil.copytree(written, mirror)
    local = dataclasses.replace(config, site=str(mirror))
    pages.collect(local)
    assert samples(local).drop("address").equals(undisturbed.drop("address"))
    assert samples(local)["address"][0].as_py() == "file:mirror/tiny/0/0.html"
    changed = (mirror / "tiny/0/3.html").read_bytes().replace(b"word3", b"other")
    (mirror / "tiny/0/3.html").write_bytes(changed)
    (mirror / "tiny/0/4.html").unlink()
    (mirror / "tiny/0/5.html").write_text("<h1>Error</h1>")
    pages.collect(local)
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
    pages.collect(local)
    assert counts(local) == {"ok": N_NEURONS - 1, "refused": 1}


def test_a_damaged_file_of_pages_is_told_with_the_way_out(config):
    pages.collect(config)
    path = pages.store_path(config)
    with sqlite3.connect(path) as con:
        con.execute("update pages set body = x'00' where path = 'tiny/0/3.html'")
    with PageStore(path) as store:
        [fault] = store.faults()
    assert "page tiny/0/3.html is damaged; fetch it again" in fault
    path.write_bytes(b"no database" * 1000)
    for extra in ("-wal", "-shm"):
        path.with_name(path.name + extra).unlink(missing_ok=True)
    with pytest.raises(StoreError, match="is damaged .*; delete it and run again"):
        pages.collect(config)


def test_the_plan_says_what_is_left_to_fetch(config, served):
    assert pages.outstanding(config).startswith("no page is kept yet")
    pages.collect(dataclasses.replace(config, neurons="10"))
    slow = dataclasses.replace(config, rate=0.5)
    assert pages.outstanding(slow) == "10 of 40 pages are kept; 1 min to fetch the others"
    pages.collect(config)
    assert pages.outstanding(slow) == "40 of 40 pages are kept"
