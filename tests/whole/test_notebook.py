"""The notebook runs from top to bottom on the embedded model, and is stored without outputs."""

import nbformat
import pytest
from conftest import ROOT

NOTEBOOK = ROOT / "auto-feature-neuron-identification.ipynb"
KERNEL_NEEDS = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])


@pytest.fixture
def notebook():
    found = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(found)
    return found


def test_it_is_stored_without_outputs(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


def test_phrases_of_the_web_are_only_text_in_the_table(notebook):
    import pandas as pd

    evil = "<img src=x onerror=alert(1)>"
    row = dict(index=1, avg_activation=0.5, desc=evil, max_phrases=[evil, "b"])
    [source] = [cell.source for cell in notebook.cells if "shown.style" in cell.source]
    source = source[source.index("shown = ") :].replace("shown.style", "styled = shown.style")
    names = {"found": pd.DataFrame([row])}
    exec(source, names)
    assert "<img" not in names["styled"].to_html()


@KERNEL_NEEDS
def test_it_runs_from_top_to_bottom(notebook, replayed):
    from nbclient import NotebookClient

    [parameters] = [cell for cell in notebook.cells if cell.source.startswith("# parameters")]
    given = dict(num_neurons=replayed.neurons, num_synonyms=replayed.synonyms, data=replayed.data)
    parameters.source += "".join(f"\n{name} = {value!r}" for name, value in given.items())
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
