"""Samples as a site that people open and Neuroscope's tools read."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bs4 import BeautifulSoup
from conftest import no_file_grows, rows

from pipeline.errors import StoreError, UserError
from pipeline.results import neuroscope_site
from pipeline.samples.neuroscope.page import parse_page
from pipeline.samples.neuroscope.site_index import parse_index

HOSTILE = ["</script><script>alert(1)</script>", "<!--", "<img src=x onerror=alert(1)>", "-->", "\u2028"]


def samples(*neurons, model="m", tokens=HOSTILE):
    given = [
        dict(model=model, layer=layer, neuron=neuron, rank=rank, text_id=rank, text_set="<i>A</i> & B")
        | dict(tokens=tokens, activations=[0.5] * len(tokens), text_start=0, mat_index=0)
        | dict(max_activation=0.5, source="scan")
        for layer, neuron in neurons
        for rank in range(2)
    ]
    return rows("samples", *given)


def test_a_site_has_index_model_and_neuron_pages_that_link_to_each_other(tmp_path):
    assert neuroscope_site.write(samples((0, 0), (1, 3)), tmp_path / "site") == 2
    folder = tmp_path / "site"
    found = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.html"))
    assert found == ["index.html", "m/0/0.html", "m/1/3.html", "m/model.html"]
    [(name, shape)] = parse_index((folder / "index.html").read_bytes()).items()
    assert (name, shape.n_layers, shape.n_neurons) == ("m", 2, 4)
    for page in folder.rglob("*.html"):
        soup = BeautifulSoup(page.read_text(), "html.parser")
        links = [a["href"] for a in soup.find_all("a") if not a["href"].startswith("javascript")]
        own = [href for href in links if soup.find("a", href=href).text not in ("Prev", "Next")]
        assert all((page.parent / href).is_file() for href in own), page


def test_each_page_of_several_layers_is_that_of_its_own_neuron(tmp_path):
    places = [(layer, neuron) for layer in (0, 1, 3) for neuron in range(0, 300, 2)]
    assert neuroscope_site.write(samples(*places, tokens=["a"]), tmp_path) == len(places)
    for layer, neuron in places:
        page = (tmp_path / f"m/{layer}/{neuron}.html").read_bytes()
        assert len(parse_page(page, model="m", layer=layer, neuron=neuron)) == 2


def test_a_model_with_a_slash_in_its_name_keeps_it(tmp_path):
    neuroscope_site.write(samples((0, 0), model="org/model"), tmp_path)
    assert list(parse_index((tmp_path / "index.html").read_bytes())) == ["org/model"]
    page = tmp_path / "org/model/0/0.html"
    assert (
        page.parent / BeautifulSoup(page.read_text(), "html.parser").find(string="Home").parent["href"]
    ).exists()
    assert len(parse_page(page.read_bytes(), model="org/model", layer=0, neuron=0)) == 2


@pytest.mark.parametrize("builder", ["html.parser", "lxml"])
def test_no_token_leaves_its_script_or_becomes_an_element(tmp_path, builder):
    neuroscope_site.write(samples((0, 0)), tmp_path)
    page = (tmp_path / "m/0/0.html").read_text()
    assert page.isascii()
    soup = BeautifulSoup(page, builder)
    assert not soup.find_all(["img", "i"])
    scripts = [s.string for s in soup.find_all("script")]
    assert len(scripts) == 1 + 2 * 2
    for script in scripts[1:]:
        data = json.loads(script[script.index("{") : script.rindex("}") + 1])
        assert data["tokens"] == HOSTILE
    assert "&lt;i&gt;A&lt;/i&gt; &amp; B" in page


def test_pages_need_no_network_unless_circuitsvis_is_asked_for(tmp_path):
    neuroscope_site.write(samples((0, 0), tokens=["a"]), tmp_path / "own")
    own = (tmp_path / "own/m/0/0.html").read_text()
    assert not re.search(r"https?://|\bimport\b", own)
    neuroscope_site.write(samples((0, 0), tokens=["a"]), tmp_path / "theirs", circuitsvis=True)
    theirs = (tmp_path / "theirs/m/0/0.html").read_text()
    assert theirs.count('from "https://unpkg.com/circuitsvis@') == 4
    assert parse_page(own, model="m", layer=0, neuron=0).equals(
        parse_page(theirs, model="m", layer=0, neuron=0)
    )


def test_tools_that_split_the_page_at_its_json_find_two_renderings_per_text(tmp_path):
    neuroscope_site.write(samples((0, 0), tokens=['{"tokens": [', "<|endoftext|>"]), tmp_path)
    parts = (tmp_path / "m/0/0.html").read_text().split('{"tokens": ')
    assert len(parts) == 1 + 2 * 2
    assert all(part.startswith('["{\\"tokens\\": [", "<|endoftext|>"]') for part in parts[1:])


def test_a_site_replaces_one_written_before_and_nothing_else(tmp_path):
    neuroscope_site.write(samples((0, 0), (0, 1)), tmp_path / "site")
    neuroscope_site.write(samples((0, 0)), tmp_path / "site")
    assert not (tmp_path / "site/m/0/1.html").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/index.html").write_text("my own")
    with pytest.raises(UserError, match="holds something else"):
        neuroscope_site.write(samples((0, 0)), tmp_path / "mine")
    assert (tmp_path / "mine/index.html").read_text() == "my own"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "site"]


@pytest.mark.parametrize("name", ["../x", "/etc", "a/../b", ".hidden", "a b", "<x>", "", "a//b"])
def test_a_model_name_that_leaves_the_folder_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="cannot be part of an address"):
        neuroscope_site.write(samples((0, 0), model=name), tmp_path / "site")
    assert list(tmp_path.iterdir()) == []


def test_samples_come_from_any_parquet_of_that_schema(small, small_tables, tmp_path):
    from pipeline.plan import plan
    from pipeline.run import store_of

    path = store_of(small).path("samples", plan(small)["samples"].key)
    assert neuroscope_site.read(path).equals(small_tables["samples"])
    with pytest.raises(UserError, match="holds no samples table"):
        neuroscope_site.read(store_of(small).path("maps", plan(small)["maps"].key))
    with pytest.raises(UserError, match="holds no samples table"):
        neuroscope_site.read(tmp_path / "nowhere.parquet")


def test_the_command_writes_the_site_of_a_run_or_of_any_samples(small, small_tables, tmp_path, capsys):
    from pipeline import cli

    args = ["--source", "scan", "--text", small.text, "--data", small.data, "--neurons", "0-7"]
    assert cli.main(["site", str(tmp_path / "site"), *args]) == 0
    assert f"8 pages; open {tmp_path / 'site' / 'index.html'}" in capsys.readouterr().out
    found = parse_page((tmp_path / "site/demo/1/3.html").read_bytes(), model="demo", layer=1, neuron=3)
    scanned = small_tables["samples"].slice(3 * 20, 20)
    assert found["tokens"].equals(scanned["tokens"])
    pq.write_table(scanned, tmp_path / "some.parquet")
    assert cli.main(["site", str(tmp_path / "few"), "--samples", str(tmp_path / "some.parquet")]) == 0
    assert sorted(p.name for p in (tmp_path / "few/demo").rglob("*.html")) == ["3.html", "model.html"]
    assert cli.main(["site", str(tmp_path), "--samples", str(tmp_path / "some.parquet")]) == 2
    assert "holds something else" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [dict(mat_index=9), dict(mat_index=-1), dict(activations=[0.1]), dict(tokens=[], activations=[])],
)
def test_samples_that_contradict_themselves_are_refused(tmp_path, change):
    odd = pa.Table.from_pylist([samples((0, 0)).to_pylist()[0] | change], samples((0, 0)).schema)
    pq.write_table(odd, tmp_path / "odd.parquet")
    with pytest.raises(UserError, match="activations or MAT do not fit"):
        neuroscope_site.read(tmp_path / "odd.parquet")


def test_a_site_may_be_written_into_the_folder_one_is_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    neuroscope_site.write(samples((0, 0)), Path("."))
    assert (tmp_path / "here/index.html").is_file()
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="holds something else"):
        neuroscope_site.write(samples((0, 0)), tmp_path / "file")


def test_a_site_that_cannot_be_written_leaves_the_old_one(tmp_path):
    neuroscope_site.write(samples((0, 0)), tmp_path / "site")
    with pytest.raises(StoreError, match="File too large; free some space"), no_file_grows():
        neuroscope_site.write(samples((0, 1)), tmp_path / "site")
    assert (tmp_path / "site/m/0/0.html").is_file()
    assert [p.name for p in tmp_path.iterdir()] == ["site"]
