"""A small site on this machine, for the tests of fetching; its fixtures are loaded by conftest.py."""

from collections import Counter

import pyarrow.compute as pc
import pytest
from conftest import rows
from servers.web import WebServer

from pipeline.config import Config
from pipeline.results import neuroscope_site
from pipeline.samples.neuroscope import fetch, pages

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
    neuroscope_site.write(rows("samples", *given), folder)
    return folder


def _server(written):
    return WebServer({str(p.relative_to(written)): p.read_bytes() for p in written.rglob("*.html")})


def _config(server, data):
    """A config that fetches all of it, quickly."""
    asked = dict(rate=1000, timeout_s=0.5, tries=2, retry_wait_s=0.01)
    return Config(model="tiny", layer=0, site=server.address, data=str(data), **asked)


@pytest.fixture
def served(written):
    """The site's server."""
    with _server(written) as running:
        yield running


@pytest.fixture
def config(served, tmp_path):
    """A config that fetches all of the site into an empty folder."""
    return _config(served, tmp_path / "data")


def read_kept(config):
    """The `samples` of the kept pages."""
    read = pages.SAMPLES.worker({}, config)
    return read(pages.table(config))


def samples(config):
    """The `samples` of the kept pages, without the time of fetching."""
    return read_kept(config).drop("fetched")


def counts(config):
    """How many of the pages asked for have which status."""
    return dict(Counter(pages.table(config)["status"].to_pylist()))


@pytest.fixture(scope="module")
def _once(written, tmp_path_factory):
    """The address of a server, and the rows of a run over it in which nothing fails."""
    with _server(written) as quiet:
        config = _config(quiet, tmp_path_factory.mktemp("undisturbed"))
        fetch.collect(config)
        return quiet.address, samples(config)


@pytest.fixture
def undisturbed(_once, served):
    """The rows that a run gives if nothing fails."""
    address, rows_ = _once
    place = rows_.schema.get_field_index("address")
    own = pc.replace_substring(rows_["address"], address, served.address)
    return rows_.set_column(place, rows_.schema.field(place), own)
