"""The notebook runs from top to bottom on the embedded model, and is stored without outputs."""

import ast
import subprocess
import sys

import nbformat
import pandas as pd
import pytest
from conftest import ROOT
from nbclient import NotebookClient
from servers.web import loopback

from pipeline.config import Config
from pipeline.results import database

NOTEBOOK = ROOT / "auto-feature-neuron-identification.ipynb"
pytestmark = KERNEL_NEEDS = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])


@pytest.fixture(autouse=True)
def reachable():
    """A kernel is spoken to over the machine's own network, which `unshare --net` leaves switched off."""
    loopback()


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


def tagged(notebook):
    """The cell with parameters, as papermill finds it."""
    [cell] = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    return cell


def inject(notebook, **given):
    """Set parameters as papermill does: in a new cell after the one that is tagged."""
    source = "".join(f"{name} = {value!r}\n" for name, value in given.items())
    notebook.cells.insert(notebook.cells.index(tagged(notebook)) + 1, nbformat.v4.new_code_cell(source))


def assigned(cell):
    """The names that a cell gives a value to."""
    names = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Name)]
    return {node.id for node in names if isinstance(node.ctx, ast.Store)}


def test_what_papermill_sets_is_not_set_again(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    parameters = assigned(tagged(notebook))
    assert parameters >= {"model_name", "layer", "num_neurons", "num_synonyms", "data"}
    after = code[code.index(tagged(notebook)) + 1 :]
    assert not [cell.source for cell in after if parameters & assigned(cell)]


def first_of_all(notebook):
    """What runs before the package is imported."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    place = next(i for i, cell in enumerate(code) if "from pipeline" in cell.source)
    return "\n".join(cell.source for cell in code[:place])


def installed(folder, **packages):
    """A folder in which these packages are installed, each with what it requires."""
    for name, requires in packages.items():
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {name.replace('_', '-')}", "Version: 1.0"]
        (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {r}" for r in requires), ""]))
    return folder


NEEDS = ["duckdb>=2.0", "torch==2.13.0", "huggingface_hub>=2.4", "plotly", "ruff>=0.15; extra == 'dev'"]
THERE = {"duckdb": [], "torch": [], "huggingface_hub": [], "plotly": []}


@pytest.mark.parametrize(
    ("packages", "lacking"),
    [
        ({}, "feature-neurons"),
        (THERE, "feature-neurons"),
        ({"feature_neurons": NEEDS}, "duckdb, torch, huggingface_hub, plotly"),
        ({"feature_neurons": NEEDS, **THERE, "torch": None}, "torch"),
        ({"feature_neurons": NEEDS, **THERE}, None),
    ],
)
def test_a_kernel_that_lacks_packages_says_what_to_install(notebook, tmp_path, packages, lacking):
    there = {name: requires for name, requires in packages.items() if requires is not None}
    source = f"import sys\nsys.path.append({str(installed(tmp_path, **there))!r})\n{first_of_all(notebook)}"
    bare = [sys.executable, "-I", "-S", "-c", source]  # a Python without any packages
    done = subprocess.run(bare, capture_output=True, text=True, check=False)
    if lacking is None:
        assert (done.returncode, done.stderr) == (0, "")
        return
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ModuleNotFoundError: this kernel lacks {lacking}; choose the kernel of .venv")
    assert "%pip install --editable" in last


@KERNEL_NEEDS
def test_stages_run_in_a_kernel_without_the_widgets_of_a_progress_bar():
    source = "from pipeline.tables import query\nquery.connect().sql('select 6 * 7').fetchall()"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(ROOT)}}).execute()
    [output] = notebook.cells[0].outputs
    assert output.data["text/plain"] == "[(42,)]"


@KERNEL_NEEDS
def test_it_runs_from_top_to_bottom(notebook, finished):
    names = dict(
        num_neurons="neurons", num_synonyms="synonyms", similarity_threshold="similarity", data="data"
    )
    inject(notebook, **{name: getattr(finished, setting) for name, setting in names.items()})
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
