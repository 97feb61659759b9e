"""Whole runs over a mirror of pages, with the gaps that real sites have."""

import dataclasses
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from servers.web import WebServer

from pipeline import cli
from pipeline.errors import PipelineError, UserError
from pipeline.results import database, neuroscope_site, terminal
from pipeline.run import run


@pytest.fixture(scope="module")
def mirror(small_tables, tmp_path_factory):
    """A folder with the pages of 12 neurons of the small run; in two, values that are not numbers."""
    samples = small_tables["samples"].filter(pc.field("neuron") < 12)
    rows = samples.to_pylist()
    rows[0]["activations"][rows[0]["mat_index"]] = None  # neuron 0, rank 0: the MAT itself
    rows[0]["max_activation"] = None
    rows[21]["activations"][rows[21]["mat_index"] - 1] = None  # neuron 1, rank 1: beside the MAT
    del rows[60:75]  # neuron 3 has five texts
    folder = tmp_path_factory.mktemp("mirror") / "site"
    neuroscope_site.write(pa.Table.from_pylist(rows, samples.schema), folder)
    return folder


@pytest.fixture
def config(small, mirror, tmp_path):
    """A config over four neurons of a copy of the mirror; word vectors and the scan are there already."""
    shutil.copytree(mirror, tmp_path / "mirror")
    for table in ("vocabulary", "samples"):
        shutil.copytree(Path(small.data) / "store" / table, tmp_path / "data/store" / table)
    return dataclasses.replace(
        small,
        source="neuroscope",
        site=str(tmp_path / "mirror"),
        data=str(tmp_path / "data"),
        neurons="0,1,3,5",
        similarity=-1.0,
        activation=0.0,
    )


def test_values_that_are_not_numbers_and_short_pages_go_through_the_whole_run(config, capsys):
    tables = database.run(config)
    maps = {(row["neuron"], row["rank"]): row for row in tables["maps"].to_pylist()}
    assert (0, 0) not in maps
    assert None in maps[1, 1]["activations"]
    assert len([key for key in maps if key[0] == 3]) == 5
    assert "1 samples have no finite peak" in capsys.readouterr().err
    assert {0, 1} <= set(tables["feature_neurons"]["neuron"].to_pylist())
    for neuron in (0, 1, 3):
        assert cli.main(["show", "--data", config.data, str(neuron)]) == 0
        with database.connect(config) as con:
            assert terminal.neuron(con, neuron, colour=True)
    question = "select reason from samples where reason is not null order by neuron"
    with database.connect(config) as con:
        assert con.sql(question).fetchall() == [("1 NaN among the activations",)] * 2


def only_maps(config):
    return run(config, until="maps")


def test_pages_that_cannot_be_read_are_told_every_time_and_read_once_they_can(config, capsys):
    page = Path(config.site) / "demo/1/5.html"
    whole = page.read_bytes()
    page.write_bytes(whole[:5000])
    for make in (database.run, only_maps):
        assert 5 not in make(config)["maps"]["neuron"].to_pylist()
        told = capsys.readouterr().err
        assert "WARNING: 1 of 4 pages could not be read (neuron 5: " in told
        assert "the same command tries them again" in told
    assert cli.main(["show", "--data", config.data, "5"]) == 2
    assert "neuron 5 has no MAPs: its page is unreadable (Text #1: expected" in capsys.readouterr().err
    page.unlink()
    only_maps(config)
    assert "1 of 4 pages do not exist" in capsys.readouterr().err
    page.write_bytes(whole)
    assert 5 in only_maps(config)["maps"]["neuron"].to_pylist()
    assert "WARNING" not in capsys.readouterr().err
    assert only_maps(config).made is False


def test_a_run_without_any_readable_page_stops_with_the_reason(config):
    for page in (Path(config.site) / "demo/1").iterdir():
        page.write_text("<h1>Error</h1>")
    with pytest.raises(PipelineError, match="10 pages in a row failed"):
        run(dataclasses.replace(config, neurons="0-11"))
    with pytest.raises(
        PipelineError, match=r"none of the 2 pages asked for can be read; the first: expected"
    ):
        run(dataclasses.replace(config, neurons="2"))


def test_another_reason_for_a_failure_makes_no_sample_anew(config, capsys):
    page = Path(config.site) / "demo/1/5.html"
    for text in ("<h1>one</h1>", "<h1>other</h1>"):
        page.write_text(text)
        tables = run(config, until="candidates")
    made = [line for line in capsys.readouterr().err.splitlines() if line[:3].isdigit()]
    assert [line.split()[1] for line in made[-2:]] == ["candidates", "pages"]
    assert "found 'other'" in tables["pages"]["reason"][3].as_py()


@pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
def test_a_change_of_thresholds_asks_for_no_page(config):
    folder = Path(config.site)
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.html")}
    with WebServer(files) as site:
        served = dataclasses.replace(config, site=site.address, rate=1000.0)
        run(served, until="candidates")
        asked = len(site.log)
        assert asked > 4
        assert run(dataclasses.replace(served, similarity=0.5), until="candidates").made
    assert len(site.log) == asked


def test_a_scan_and_pages_share_a_data_folder(config, capsys):
    run(config, until="averages")
    scanned = dataclasses.replace(config, source="scan", site=None)
    assert run(scanned, until="averages").made
    capsys.readouterr()
    assert run(config, until="averages").made is False
    told = capsys.readouterr().err.splitlines()
    assert [line for line in told if not line.startswith("WARNING: TEXT has few words")] == []


def test_a_folder_of_ones_own_needs_a_site_that_has_it(small, tmp_path):
    shutil.copytree(small.model_folder, tmp_path / "mine", ignore=shutil.ignore_patterns("text"))
    config = dataclasses.replace(
        small, source="neuroscope", model=str(tmp_path / "mine"), data=str(tmp_path / "data")
    )
    with pytest.raises(UserError, match="is a folder of yours, .* SOURCE=scan, or name a site"):
        run(config)
    assert not (tmp_path / "data").exists()
