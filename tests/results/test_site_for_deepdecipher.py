"""A site is read whole by a reader with DeepDecipher's rules, which are narrower than Neuroscope's form."""

import json
import re
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from bs4 import BeautifulSoup
from conftest import rows

from pipeline.results import neuroscope_site

NUMBER = r"(-?[0-9]+(?:\.[0-9]*)?)"
ONCE = {  # what a section has exactly once
    "max_range": rf"<h4>Max Range: <b>{NUMBER}</b>.",
    "min_range": rf"</b>. Min Range: <b>{NUMBER}</b></h4>",
    "max_act": rf"<h4>Max Act: <b>{NUMBER}</b>.",
    "min_act": rf"</b>. Min Act: <b>{NUMBER}</b></h4>",
    "data_index": r"<h4>Data Index: <b>([0-9]+)</b>",
    "mat": r"<h4>Max Activating Token Index: <b>([0-9]+)</b></h4>",
    "json": r"ColoredTokens,\s*(.*\})\s*\)\s*</script>\s*</details>",
}


def refuse(word):
    raise ValueError(f"{word} is not JSON")


def sections(page, layer, neuron):
    """The texts of a page: what stands after its second line, parted by lines."""
    head, nothing, *texts = page.split("<hr>")
    assert re.findall(r"<h2>Neuron (\d+) in Layer (\d+) </h2>", head) == [(str(neuron), str(layer))]
    assert not nothing.strip()
    for text in texts:
        found = {name: re.findall(pattern, text) for name, pattern in ONCE.items()}
        assert {name: len(values) for name, values in found.items()} == dict.fromkeys(ONCE, 1)
        values = {name: one for name, [one] in found.items()}
        data = json.loads(values.pop("json"), parse_constant=refuse)
        assert len(data["tokens"]) == len(data["values"])
        yield data | {name: float(value) for name, value in values.items()}


def row(index, model):
    """What the index says of a model: layers, neurons per layer, all neurons, parameters."""
    soup = BeautifulSoup(index, "html.parser")
    names = [next(link.strings) for link in soup.select("td:nth-child(1) a")]
    cells = [next(cell.strings) for cell in soup.find_all("tr")[names.index(model) + 1].find_all("td")]
    assert all(cells)
    return [int(cell.replace(",", "")) for cell in cells[4:]]


def whole_model(folder, model):
    """The texts of each place of a model, of all its layers and neurons."""
    n_layers, n_neurons, n_all, _ = row((folder / "index.html").read_text(), model)
    assert n_all == n_layers * n_neurons
    places = [(layer, neuron) for layer in range(n_layers) for neuron in range(n_neurons)]
    page = partial("{}/{}/{}.html".format, model)
    return {place: list(sections((folder / page(*place)).read_text(), *place)) for place in places}


def text(layer, neuron, tokens, values, **more):
    mat = max(range(len(values)), key=values.__getitem__)
    given = dict(layer=layer, neuron=neuron, rank=0, text_id=7, text_set="the set", tokens=tokens)
    given |= dict(activations=values, text_start=0, mat_index=mat, max_activation=values[mat])
    return given | dict(model="m", source="scan") | more


@pytest.mark.parametrize("circuitsvis", [False, True])
def test_every_page_of_a_run_is_read_with_the_values_of_its_samples(small_tables, tmp_path, circuitsvis):
    samples = small_tables["samples"].filter(pc.field("neuron") < 96)
    lower = samples.set_column(1, "layer", pa.array([0] * len(samples), pa.int32()))
    both = pa.concat_tables([lower.cast(samples.schema), samples])
    assert neuroscope_site.write(both, tmp_path, circuitsvis=circuitsvis) == 2 * 96
    found = whole_model(tmp_path, "demo")
    assert len(found) == 2 * 96
    for sample in both.to_pylist():
        read = found[sample["layer"], sample["neuron"]][sample["rank"]]
        assert read["tokens"] == sample["tokens"]
        assert read["values"] == pytest.approx(sample["activations"], abs=5e-7)
        assert (read["data_index"], read["mat"]) == (sample["text_id"], sample["mat_index"])
        assert read["max_act"] == pytest.approx(sample["max_activation"], abs=5e-5)


HOSTILE = [
    "<hr>",
    "<hr>\n<h2>Text #1</h2>",
    "<h2>Neuron 1 in Layer 2 </h2>",
    "<h4>Max Act: <b>1.0</b>. Min Act: <b>0.0</b></h4>",
    "<h4>Data Index: <b>3</b>",
    'ColoredTokens, {"tokens": []}\n)\n</script>\n</details>',
    "ColoredTokens, {}) </script></details>",
    "</b>. Min Range: <b>1</b></h4>",
    "<HR>",
    "\u2028<hr/>",
    "\\<hr>",
]


@pytest.mark.parametrize("circuitsvis", [False, True])
def test_no_token_parts_a_page_or_looks_like_a_heading(tmp_path, circuitsvis):
    own = [
        text(0, n, [token, "a", *HOSTILE], [1.0] * (2 + len(HOSTILE))) for n, token in enumerate(HOSTILE)
    ]
    neuroscope_site.write(rows("samples", *own), tmp_path, circuitsvis=circuitsvis)
    for (_, neuron), [read] in whole_model(tmp_path, "m").items():
        assert read["tokens"] == [HOSTILE[neuron], "a", *HOSTILE]


@pytest.mark.parametrize(
    "values",
    [[-1.0, -2.0], [0.0, 0.0], [-0.0, 0.0], [4.4e-05, 1e-07], [1e30, -1e30], [123456.5, 3.0], [1.0]],
)
def test_any_finite_values_are_read(tmp_path, values):
    neuroscope_site.write(rows("samples", text(0, 0, ["a"] * len(values), values)), tmp_path)
    [[read]] = whole_model(tmp_path, "m").values()
    assert read["values"] == pytest.approx(values, rel=1e-6, abs=5e-7)


@pytest.mark.parametrize("text_set", [None, "", "<b>A</b> & B", "C4 <hr>"])
@pytest.mark.parametrize("model", ["m", "org/model-1.5_x"])
def test_every_cell_of_the_index_has_text_and_numbers_are_whole(tmp_path, model, text_set):
    given = [text(n, 0, ["a"], [1.0], model=model, text_set=text_set) for n in range(2)]
    given += [text(0, n, ["a"], [1.0], model="before") for n in range(1200)]
    neuroscope_site.write(rows("samples", *given), tmp_path)
    index = (tmp_path / "index.html").read_text()
    assert row(index, model) == [2, 1, 2, 0]
    assert row(index, "before") == [1, 1200, 1200, 0]
    assert len(whole_model(tmp_path, model)) == 2


def test_a_model_of_which_pages_are_missing_is_told(tmp_path, capsys):
    neuroscope_site.write(
        rows("samples", text(1, 0, ["a"], [1.0]), text(1, 1, ["a"], [1.0])), tmp_path / "a"
    )
    assert capsys.readouterr().err == (
        "m: 2 of the 4 pages that 2 layers would have; DeepDecipher reads a model only if all are there\n"
    )
    neuroscope_site.write(
        rows("samples", text(0, 0, ["a"], [1.0]), text(1, 0, ["a"], [1.0])), tmp_path / "b"
    )
    assert "DeepDecipher" not in capsys.readouterr().err
