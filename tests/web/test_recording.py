"""The recorded site of the embedded model: what is in it, and that it gives what a scan gives."""

import dataclasses
import gzip
import json
import re

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import ROOT

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.language import texts
from pipeline.run import run, store_of
from pipeline.samples.neuroscope import fetch, pages
from pipeline.samples.neuroscope.page import PARSER
from pipeline.web import recording

CASSETTE = ROOT / "cassettes/neuroscope.json.gz"
LAST = 11  # of the neurons that are compared
OTHERS = 150  # texts that are scanned beside those of the samples


@pytest.fixture(scope="module")
def interactions():
    """Every request and answer of the recording."""
    return json.loads(gzip.decompress(CASSETTE.read_bytes()))["interactions"]


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    """A config whose pages are all fetched from the recording; do not change its data folder."""
    config = Config(data=str(tmp_path_factory.mktemp("fetched")))
    fetch.collect(config)
    return config


@pytest.fixture(scope="module")
def few(fetched, tmp_path_factory, demo):
    """A config of a few neurons, and the number in the whole text of each window of its text.

    Its text is the texts of the neurons' samples and some others, in the same order.
    """
    numbers = run(dataclasses.replace(fetched, neurons=f"0-{LAST}"), until="samples")["samples"]["text_id"]
    lines = list(texts.stream("demo", fetched.text_path))
    n_windows = [-(-len(ids) // (demo.n_ctx - 1)) for ids in demo.encode_batch(lines)]
    text_of = np.repeat(np.arange(len(lines)), n_windows)  # by the window's number
    others = np.random.default_rng(0).choice(len(lines), OTHERS, replace=False)
    chosen = np.union1d(text_of[numbers.to_numpy()], others)
    folder = tmp_path_factory.mktemp("text") / "demo"
    folder.mkdir()
    pq.write_table(pa.table({"text": [lines[i] for i in chosen]}), folder / "part.parquet")
    config = dataclasses.replace(
        fetched, neurons=f"0-{LAST}", text=str(folder), synonyms=2, similarity=0.0, activation=0.1
    )
    return config, np.flatnonzero(np.isin(text_of, chosen))


def test_the_recording_is_small_and_of_a_host_that_cannot_be(interactions):
    assert CASSETTE.stat().st_size < 5 * 2**20
    addresses = [each["request"]["uri"] for each in interactions]
    assert len(set(addresses)) == len(addresses) == 512 + 2
    assert all(address.startswith("http://neuroscope.example/") for address in addresses)


def test_the_recording_holds_nothing_but_pages(interactions):
    for each in interactions:
        assert set(each["request"]) == {"method", "uri", "body", "headers"}
        assert (each["request"]["method"], each["request"]["body"]) == ("GET", None)
        assert each["request"]["headers"] == {}
        assert {name.lower() for name in each["response"]["headers"]} <= {"content-type"}
    bodies = [each["response"]["body"]["string"] for each in interactions]
    assert not [body for body in bodies if re.search(r"127\.0\.0\.1|localhost|sk-\w{20}", body)]


def test_the_whole_recording_is_played_and_nothing_else(interactions, fetched):
    found = pages.table(fetched)
    assert set(found["status"].to_pylist()) == {"ok"}
    assert set(found["address"].to_pylist()) | {"http://neuroscope.example/robots.txt"} == {
        each["request"]["uri"] for each in interactions
    } - {"http://neuroscope.example/index.html"}


def test_a_page_that_was_not_recorded_is_reported_with_the_way_out(tmp_path):
    with pytest.raises(
        UserError, match=r"none of the 512 pages .* recording holds layer 1; use SOURCE=scan"
    ):
        run(Config(layer=0, data=str(tmp_path)))


def test_replayed_samples_are_those_of_a_scan_and_lead_to_the_same_feature_neurons(few):
    config, numbers = few
    ours, theirs = run(config), run(dataclasses.replace(config, source="scan"))
    rows = theirs["samples"].filter(pc.field("neuron") <= LAST)
    for column in ("neuron", "rank", "text_set", "tokens", "text_start", "mat_index"):
        assert ours["samples"][column].equals(rows[column]), column
    assert ours["samples"]["text_id"].to_pylist() == numbers[rows["text_id"].to_numpy()].tolist()
    apart = pc.subtract(
        *(pc.list_flatten(t["activations"]).cast("double") for t in (ours["samples"], rows))
    )
    assert pc.max(pc.abs(apart)).as_py() < 1e-5  # 6 places, and the rounding of another machine
    results = [t["feature_neurons"].sort_by("neuron") for t in (ours, theirs)]
    assert len(results[0]) > 5
    for column in ("neuron", "description", "mats", "max_phrases", "raised_phrases"):
        assert results[0][column].equals(results[1][column]), column
    assert results[0]["avg_activation"].to_pylist() == pytest.approx(
        results[1]["avg_activation"].to_pylist(), abs=1e-5
    )
    assert set(ours["activations"]["status"].to_pylist()) == {"ok"}  # tokenised again without loss


def test_every_row_says_where_it_comes_from(few):
    config, _ = few
    samples = run(config, until="samples")["samples"]
    kept = {row["address"]: row for row in pages.table(config).to_pylist()}
    for row in samples.select(["address", "fetched", "page_sha256", "parser", "neuron"]).to_pylist():
        page = kept[row["address"]]
        assert row["address"] == f"{pages.RECORDED}demo/1/{row['neuron']}.html"
        assert (row["page_sha256"], row["fetched"]) == (page["page_sha256"], page["fetched"])
        assert row["parser"] == PARSER


def test_samples_are_a_data_set_as_they_lie(few, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    config, _ = few
    tables = run(config, until="samples")
    folder = store_of(config).path("samples", tables.parts[0].key_of["samples"])
    loaded = load_dataset(str(folder), split="train", cache_dir=str(tmp_path)).with_format("arrow")[:]
    assert loaded.cast(tables["samples"].schema).equals(tables["samples"])
    with duckdb.connect() as con:
        glob = str(folder / "*.parquet")
        found = con.sql("from read_parquet($1) order by neuron, rank", params=[glob]).to_arrow_table()
    assert found["tokens"].equals(pa.chunked_array(tables["samples"]["tokens"].chunks))
    assert json.loads(folder.with_suffix(".json").read_text())["version"]


def test_a_recording_answers_only_what_was_recorded(tmp_path):
    import requests

    with recording.replayed(CASSETTE), pytest.raises(recording.NotRecordedError):
        requests.get("http://neuroscope.example/other.html", timeout=1)
