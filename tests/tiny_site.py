"""A small site on this machine, for the tests of fetching; its fixtures come through conftest.py."""

import dataclasses
from collections import Counter

import pytest
from conftest import rows
from web_server import WebServer

from pipeline import collect, pages, site
from pipeline.config import Config

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
    """How many of the pages known have which status."""
    return dict(Counter(pages.table(config)["status"].to_pylist()))


@pytest.fixture
def undisturbed(config, tmp_path):
    """The rows of a run that nothing disturbs, without their addresses' port."""
    quiet = dataclasses.replace(config, data=str(tmp_path / "undisturbed"))
    collect.collect(quiet)
    return samples(quiet)
