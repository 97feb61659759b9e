"""The recorded site of the embedded model: what is in it, and that it tells what a scan tells."""

import dataclasses
import gzip
import json
import re

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from conftest import ROOT

from pipeline import collect, pages, recording, sources
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.run import run, store_of

CASSETTE = ROOT / "cassettes/neuroscope.json.gz"


@pytest.fixture(scope="module")
def interactions():
    """Every request and answer of the recording."""
    return json.loads(gzip.decompress(CASSETTE.read_bytes()))["interactions"]


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


def test_the_whole_recording_is_played_and_nothing_else(interactions, tmp_path):
    config = Config(data=str(tmp_path))
    collect.collect(config)
    found = pages.table(config)
    assert set(found["status"].to_pylist()) == {"ok"}
    assert set(found["address"].to_pylist()) | {"http://neuroscope.example/robots.txt"} == {
        each["request"]["uri"] for each in interactions
    } - {"http://neuroscope.example/index.html"}


def test_a_page_that_was_not_recorded_is_told_with_the_way_out(tmp_path):
    with pytest.raises(UserError, match=r"demo/0/0\.html is not in .* recording, .* SOURCE=scan"):
        collect.collect(Config(layer=0, data=str(tmp_path)))


def test_replayed_samples_are_those_of_a_scan_and_lead_to_the_same_feature_neurons(replayed):
    scanned = dataclasses.replace(replayed, source="scan")
    ours, theirs = run(replayed), run(scanned)
    rows = theirs["samples"].filter(pc.field("neuron") <= 127)
    for column in ("neuron", "rank", "text_id", "text_set", "tokens", "text_start", "mat_index"):
        assert ours["samples"][column].equals(rows[column]), column
    apart = pc.subtract(
        *(pc.list_flatten(t["activations"]).cast("double") for t in (ours["samples"], rows))
    )
    assert pc.max(pc.abs(apart)).as_py() < 2e-6  # 6 places, and the rounding of another machine
    results = [t["feature_neurons"].sort_by("neuron") for t in (ours, theirs)]
    assert len(results[0]) > 5
    for column in ("neuron", "description", "mats", "max_phrases", "raised_phrases"):
        assert results[0][column].equals(results[1][column]), column
    assert results[0]["avg_activation"].to_pylist() == pytest.approx(
        results[1]["avg_activation"].to_pylist()
    )
    assert set(ours["activations"]["status"].to_pylist()) == {"ok"}  # tokenised again without loss


def test_every_row_says_where_it_comes_from(replayed):
    samples = run(replayed)["samples"]
    kept = {row["address"]: row for row in pages.table(replayed).to_pylist()}
    for row in samples.select(["address", "fetched", "page_sha256", "parser", "neuron"]).to_pylist():
        page = kept[row["address"]]
        assert row["address"] == f"{sources.RECORDED}demo/1/{row['neuron']}.html"
        assert (row["page_sha256"], row["fetched"]) == (page["page_sha256"], page["fetched"])
        assert row["parser"] == 1


def test_samples_are_a_data_set_as_they_lie(replayed, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    tables = run(replayed)
    folder = store_of(replayed).path("samples", tables.planned["samples"].key)
    loaded = load_dataset(str(folder), split="train", cache_dir=str(tmp_path)).with_format("arrow")[:]
    assert loaded.cast(tables["samples"].schema).equals(tables["samples"])
    with duckdb.connect() as con:
        glob = str(folder / "*.parquet")
        found = con.sql("from read_parquet($1) order by neuron, rank", params=[glob]).to_arrow_table()
    assert found["tokens"].equals(pa.chunked_array(tables["samples"]["tokens"].chunks))
    assert json.loads((folder / "manifest.json").read_text())["version"]


def test_a_recording_answers_only_what_was_recorded(tmp_path):
    import requests

    with recording.replayed(CASSETTE), pytest.raises(recording.NotRecordedError):
        requests.get("http://neuroscope.example/other.html", timeout=1)
