"""What other people's programs read of ours, by the programs themselves, each in an environment of its own.

With FETCH_CLIENTS set, as `make clients` does, they are fetched into .venv-clients/. A package that is not
there or cannot be fetched is told, and its tests are skipped.
"""

import json
import os
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT

from pipeline.results import export


def python_with(name, *packages):
    """The Python of an environment with these packages; skips the test where there is none."""
    folder = ROOT / ".venv-clients" / name
    if not (folder / "installed").exists():
        if "FETCH_CLIENTS" not in os.environ:
            pytest.skip(f"{name} is not in .venv-clients/: make clients fetches it")
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [folder / "bin/pip", "install", "--quiet", "--retries", "1", "--timeout", "30"]
        done = subprocess.run([*pip, *packages], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"{name} cannot be fetched: {done.stderr.strip().splitlines()[-1]}")
        (folder / "installed").touch()
    return folder / "bin/python"


READ = """
import json, sys
from neuron_explainer.activations import activations as theirs
place = sys.argv[1]
neurons = theirs.get_sorted_neuron_indices(place, 1)
five = theirs.ActivationRecordSliceParams(n_examples_per_split=5)
splits = set()
for n in neurons:
    record = theirs.load_neuron(1, n, "file://" + place)
    kinds = ("train", "calibration", "valid", "test")
    parts = (getattr(record, f"{kind}_activation_records")(five) for kind in kinds)
    splits.add((record.neuron_id.neuron_index == n, *map(len, parts)))
strongest = [each.activations for each in record.most_positive_activation_records]
there = [theirs.neuron_exists(place, 1, n) for n in (0, 95, 96)]
print(json.dumps([theirs.get_sorted_layers(place), neurons, there, list(splits), strongest]))
"""


def test_neuron_explainer_finds_and_splits_every_record(small, small_tables, tmp_path):
    python = python_with("neuron-explainer", "neuron-explainer==0.0.1")
    export.write("neuron-record", small, small_tables, tmp_path / "out")
    given = [python, "-c", READ, tmp_path / "out"]
    asked = subprocess.run(given, capture_output=True, text=True, check=True)
    layers, neurons, there, splits, strongest = json.loads(asked.stdout)
    assert (layers, neurons, there) == (["1"], list(range(96)), [True, True, False])
    assert splits == [[True, 5, 10, 10, 10]]
    ours = [row for row in small_tables["samples"].to_pylist() if row["neuron"] == 95]
    assert strongest == [row["activations"] for row in sorted(ours, key=lambda row: row["rank"])]


def test_papermill_puts_its_parameters_after_ours(tmp_path):
    python = python_with("papermill", "papermill>=2.7", "ipykernel")
    given = ("-p", "layer", "0", "-p", "num_neurons", "0-63", "--prepare-only")
    notebook = ROOT / "auto-feature-neuron-identification.ipynb"
    command = [python, "-m", "papermill", notebook, tmp_path / "out.ipynb", *given]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "no cell with tag" not in done.stderr
    cells = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    tags = [tag for cell in cells for tag in cell.metadata.get("tags", ())]
    assert tags == ["parameters", "injected-parameters"]
    [set_by_it] = [cell.source for cell in cells if "injected-parameters" in cell.metadata.get("tags", ())]
    assert {"layer = 0", 'num_neurons = "0-63"'} <= set(set_by_it.splitlines())
