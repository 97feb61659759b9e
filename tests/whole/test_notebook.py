"""The notebook runs from top to bottom on the embedded model, and is stored without outputs."""

import nbformat
import pandas as pd
import pytest
from conftest import ROOT
from nbclient import NotebookClient

from pipeline.config import Config
from pipeline.results import database

NOTEBOOK = ROOT / "auto-feature-neuron-identification.ipynb"
KERNEL_NEEDS = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])


@pytest.fixture
def notebook():
    content = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(content)
    return content


def test_it_is_stored_without_outputs(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


def test_phrases_of_the_web_are_only_text_in_the_table(notebook):
    evil = "<img src=x onerror=alert(1)>"
    row = dict(index=1, avg_activation=0.5, desc=evil, max_phrases=[evil, "b"])
    [source] = [cell.source for cell in notebook.cells if "shown.style" in cell.source]
    source = source[source.index("shown = ") :].replace("shown.style", "styled = shown.style")
    names = {"found": pd.DataFrame([row])}
    exec(source, names)
    assert "<img" not in names["styled"].to_html()


@pytest.fixture
def finished(small_text, tmp_path):
    """The config of a finished run over a few recorded pages, with word vectors of a small text."""
    config = Config(neurons="288-303", text=str(small_text), data=str(tmp_path), synonyms=2, similarity=0.3)
    assert database.run(config)["feature_neurons"]
    return config


@KERNEL_NEEDS
def test_it_runs_from_top_to_bottom(notebook, finished):
    [parameters] = [cell for cell in notebook.cells if cell.source.startswith("# parameters")]
    names = dict(
        num_neurons="neurons", num_synonyms="synonyms", similarity_threshold="similarity", data="data"
    )
    given = {name: getattr(finished, setting) for name, setting in names.items()}
    parameters.source += "".join(f"\n{name} = {value!r}" for name, value in given.items())
    [call] = [cell for cell in notebook.cells if "id_feature_neuron_results(" in cell.source]
    call.source = call.source.replace("data=data,", f"data=data, text={finished.text!r},")
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(ROOT)}}).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = [output.data for cell in code for output in cell.outputs if "data" in output]
    forms = {form for data in shown for form in data}
    assert forms >= {"text/html", "application/vnd.plotly.v1+json"}
    html = " ".join(str(data.get("text/html", "")) for data in shown)
    assert "avg_activation" in html
    assert 'style="background: rgba(' in html
    assert sum("application/vnd.plotly.v1+json" in data for data in shown) == 2
    assert "strongest" in html
    assert not [o for cell in code for o in cell.outputs if o.output_type == "error"]
