"""Whole runs over a mirror of pages, with the gaps that real sites have."""

import dataclasses
import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline import cli, collect, database, pages, site, terminal
from pipeline.errors import PipelineError, UserError
from pipeline.run import run


@pytest.fixture(scope="module")
def mirror(small_tables, tmp_path_factory):
    """A folder with the pages of 12 neurons of the small run; in two, values that are no numbers."""
    samples = small_tables["samples"].filter(pc.field("neuron") < 12)
    rows = samples.to_pylist()
    rows[0]["activations"][rows[0]["mat_index"]] = None  # neuron 0, rank 0: the MAT itself
    rows[0]["max_activation"] = None
    rows[21]["activations"][rows[21]["mat_index"] - 1] = None  # neuron 1, rank 1: beside the MAT
    del rows[60:75]  # neuron 3 has five texts
    folder = tmp_path_factory.mktemp("mirror") / "site"
    site.write(pa.Table.from_pylist(rows, samples.schema), folder)
    return folder


@pytest.fixture
def config(small, mirror, tmp_path):
    """A config over a copy of the mirror."""
    shutil.copytree(mirror, tmp_path / "mirror")
    return dataclasses.replace(
        small,
        source="neuroscope",
        site=str(tmp_path / "mirror"),
        data=str(tmp_path / "data"),
        neurons="0-11",
        similarity=-1.0,
        activation=0.0,
    )


def test_values_that_are_no_numbers_and_short_pages_go_through_the_whole_run(config, capsys):
    tables = run(config)
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


def test_pages_that_cannot_be_read_are_told_every_time_and_read_once_they_can(config, capsys):
    page = pages.Path(config.site) / "demo/1/5.html"
    whole = page.read_bytes()
    page.write_bytes(whole[:5000])
    for _ in range(2):
        assert 5 not in run(config)["maps"]["neuron"].to_pylist()
        told = capsys.readouterr().err
        assert "WARNING: 1 of 12 pages could not be read (neuron 5: " in told
        assert "the same command tries them again" in told
    assert cli.main(["show", "--data", config.data, "5"]) == 2
    assert "neuron 5 has no MAPs: its page is unreadable (Text #1: expected" in capsys.readouterr().err
    page.unlink()
    run(config)
    assert "1 of 12 pages do not exist" in capsys.readouterr().err
    page.write_bytes(whole)
    assert 5 in run(config)["maps"]["neuron"].to_pylist()
    assert "WARNING" not in capsys.readouterr().err
    assert run(config).made is False


def test_a_run_without_any_readable_page_stops_with_the_reason(config):
    for page in (pages.Path(config.site) / "demo/1").iterdir():
        page.write_text("<h1>Error</h1>")
    with pytest.raises(PipelineError, match="10 pages in a row failed"):
        run(config)
    with pytest.raises(
        PipelineError, match=r"none of the 2 pages asked for can be read; the first: expected"
    ):
        run(dataclasses.replace(config, neurons="2"))


def test_another_reason_for_a_failure_makes_no_sample_anew(config, capsys):
    page = pages.Path(config.site) / "demo/1/5.html"
    for text in ("<h1>one</h1>", "<h1>other</h1>"):
        page.write_text(text)
        run(config)
    made = [line for line in capsys.readouterr().err.splitlines() if line[:3].isdigit()]
    assert [line.split()[1] for line in made[-2:]] == ["feature_neurons", "pages"]
    assert "found 'other'" in run(config)["pages"]["reason"][5].as_py()


def test_a_change_of_thresholds_asks_for_no_page(config, monkeypatch):
    run(config)
    monkeypatch.setattr(collect, "_fetch_all", None)
    recorded = dataclasses.replace(config, activation=0.5)
    monkeypatch.setattr("pipeline.sources._Folder.changes", False)
    assert run(recorded).made


def test_a_scan_and_pages_share_a_data_folder(config, capsys):
    run(config)
    scanned = dataclasses.replace(config, source="scan", site=None)
    assert run(scanned).made
    capsys.readouterr()
    run(config)
    assert [line[:3] for line in capsys.readouterr().err.splitlines()] == []  # only the database is another


def test_a_folder_of_ones_own_needs_a_site_that_has_it(small, tmp_path):
    shutil.copytree(small.model_folder, tmp_path / "mine", ignore=shutil.ignore_patterns("text"))
    config = dataclasses.replace(
        small, source="neuroscope", model=str(tmp_path / "mine"), data=str(tmp_path / "data")
    )
    with pytest.raises(UserError, match="is a folder of yours, .* SOURCE=scan, or name a site"):
        run(config)
    assert not (tmp_path / "data").exists()
