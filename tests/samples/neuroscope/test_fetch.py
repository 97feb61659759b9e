"""Pages are fetched once, whatever happens meanwhile, and what became of each is known."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import ROOT
from servers import web as server
from servers.tiny_site import N_NEURONS, counts, samples

from pipeline.errors import PipelineError, UserError
from pipeline.samples.neuroscope import fetch, page, pages

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])


def test_every_page_is_asked_for_once_and_never_again(config, served):
    fetch.collect(config)
    fetch.collect(config)
    asked = served.asked()
    assert len(asked) == N_NEURONS + 2
    assert set(asked.values()) == {1}
    found = samples(config)
    assert len(found) == 3 * N_NEURONS
    row = found.slice(3 * 7, 1).to_pylist()[0]
    assert row["address"] == f"{served.address}tiny/0/7.html"
    assert len(row["page_sha256"]) == 64
    assert row["parser"] == page.PARSER
    assert row["tokens"][1] == " word7"


def test_more_neurons_ask_only_for_the_new_ones(config, served):
    fetch.collect(dataclasses.replace(config, neurons="3"))
    served.log.clear()
    fetch.collect(dataclasses.replace(config, neurons="2-4"))
    assert set(served.asked()) == {"robots.txt", "tiny/0/3.html", "tiny/0/4.html"}


def test_no_more_connections_than_allowed(config, served):
    served.always = lambda handler, body: (time.sleep(0.02), server.send(handler, body))
    fetch.collect(dataclasses.replace(config, connections=3))
    assert 1 < served.most_at_once <= 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(model="tin"), r"has no model 'tin'; it has tiny; for any other model use SOURCE=scan"),
        (dict(layer=1), "LAYER is 1; tiny has the layers 0 to 0"),
        (dict(neurons="41"), "NEURONS is 41; layer 0 of tiny has 40 neurons, 0 to 39"),
    ],
)
def test_what_the_index_does_not_have_is_refused_before_any_page(config, served, settings, message):
    with pytest.raises(UserError, match=message):
        fetch.collect(dataclasses.replace(config, **settings))
    assert not [path for path in served.asked() if path.startswith("tiny/")]


def test_a_model_that_is_new_on_the_site_is_found(config, served):
    index = served.pages["index.html"]
    served.pages["index.html"] = index.replace(b"tiny", b"other")
    with pytest.raises(UserError, match="has no model"):
        fetch.collect(config)
    served.pages["index.html"] = index
    fetch.collect(config)
    assert counts(config) == {"ok": N_NEURONS}


def test_a_neuron_without_a_page_is_missing_and_not_a_failure(config, served):
    del served.pages["tiny/0/39.html"]
    fetch.collect(config)
    fetch.collect(config)
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


def test_failures_are_reported_and_only_they_are_tried_again(config, served, undisturbed):
    for path, fault in FAULTS.items():
        served.faults[path] = [fault] * 2
    served.log.clear()
    fetch.collect(config)
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
    fetch.collect(config)
    assert set(served.asked()) == {"robots.txt", *FAULTS}
    assert samples(config).equals(undisturbed)


def test_swapped_pages_are_noticed(config, served, undisturbed):
    one, other = (served.pages[f"tiny/0/{n}.html"] for n in (3, 4))
    served.pages |= {"tiny/0/3.html": other, "tiny/0/4.html": one}
    fetch.collect(config)
    assert counts(config) == {"ok": N_NEURONS - 2, "unreadable": 2}
    [reason] = [r["reason"] for r in pages.table(config).to_pylist() if r["neuron"] == 3]
    assert reason == "expected a page of neuron 3 in layer 0 of tiny, found neuron 4 in layer 0 of tiny"
    served.pages |= {"tiny/0/3.html": one, "tiny/0/4.html": other}
    fetch.collect(config)
    assert samples(config).equals(undisturbed)


def test_a_site_that_only_fails_is_soon_left_alone(config, served):
    served.faults["index.html"] = [server.send]
    served.always = server.status(500)
    with pytest.raises(PipelineError, match="10 pages in a row failed, .* HTTP 500") as caught:
        fetch.collect(config)
    assert "the same command continues" in str(caught.value)
    assert len(served.asked()) < 20
    served.always = None
    fetch.collect(config)
    assert counts(config) == {"ok": N_NEURONS}


# fetches in a process of its own for each line it is given; says its number, and then how it ended
FORKS = """
import json, os, sys
import lxml.etree
from pipeline.config import Config
from pipeline.samples.neuroscope import fetch
config = Config(**json.loads(sys.argv[1]))
for _ in sys.stdin:
    if not (child := os.fork()):
        fetch.collect(config)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


def test_killed_at_ten_moments_it_continues_and_asks_for_nothing_kept(config, served, undisturbed):
    served.log.clear()
    served.always = lambda handler, body: (time.sleep(0.01), server.send(handler, body))
    slow = dataclasses.replace(config, rate=60)  # so that there is something left to kill ten times
    draw = random.Random(0)
    kills = 0
    args = [sys.executable, "-c", FORKS, json.dumps(dataclasses.asdict(slow))]
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with subprocess.Popen(args, cwd=ROOT, **pipes) as forks:
        for _ in range(10):
            before = len(served.log)
            print(file=forks.stdin, flush=True)
            child = int(forks.stdout.readline())
            until, deadline = before + draw.randint(1, 4), time.monotonic() + 10
            while len(served.log) < until and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(draw.random() * 0.02)
            os.kill(child, signal.SIGKILL)
            kills += int(forks.stdout.readline()) == signal.SIGKILL
        forks.stdin.close()
    fetch.collect(config)
    assert kills == 10
    assert samples(config).equals(undisturbed)
    again = [n - 1 for path, n in served.asked().items() if path.startswith("tiny/")]
    assert sum(again) <= kills * config.connections  # only pages that were in flight
    assert sum(again) < N_NEURONS


def test_two_at_once_fetch_every_page_once(config, served, capfd):
    served.always = lambda handler, body: (time.sleep(0.005), server.send(handler, body))
    both = [threading.Thread(target=fetch.collect, args=(config,)) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert set(served.asked().values()) == {1}
    assert "waiting for another run" in capfd.readouterr().err


def test_the_plan_says_what_is_left_to_fetch(config, served):
    assert pages.outstanding(config).startswith("no page is kept yet")
    fetch.collect(dataclasses.replace(config, neurons="10"))
    slow = dataclasses.replace(config, rate=0.5)
    assert pages.outstanding(slow) == "10 of 40 pages are kept; about 1 min to fetch the others"
    fetch.collect(config)
    assert pages.outstanding(slow) == "40 of 40 pages are kept"


def test_ctrl_c_stops_at_once_though_pages_hang(config, served):
    served.faults["index.html"] = [server.send]
    served.always = lambda handler, body: time.sleep(20)
    args = ["--model", "tiny", "--layer", "0", "--site", served.address, "--data", config.data]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "site", *args], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    while not served.asked()["tiny/0/1.html"]:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=5)
    assert process.returncode == 130
    assert "interrupted; what was finished is kept, the same command continues" in told
    assert "Traceback" not in told
