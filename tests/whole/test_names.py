"""The package under its own name, beside modules of the same name, and installed without a Makefile."""

import shutil
import subprocess
import sys

import pytest
from conftest import ROOT


def python(*args, cwd, path=ROOT):
    return subprocess.run(
        [sys.executable, *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(path), "HOME": str(cwd)},
    )


@pytest.fixture(params=["file", "package"])
def folder(request, tmp_path):
    """A folder with a module `pipeline` of its own."""
    if request.param == "file":
        (tmp_path / "pipeline.py").write_text("print('another one')\n")
    else:
        (tmp_path / "pipeline").mkdir()
        (tmp_path / "pipeline" / "__init__.py").write_text("print('another one')\n")
    return tmp_path


def test_feature_neurons_is_ours_beside_another_pipeline(folder):
    found = python(
        "-c",
        "import feature_neurons, pipeline; from pipeline.config import Config; "
        "assert feature_neurons.id_feature_neuron_results is pipeline.id_feature_neuron_results; "
        "print(feature_neurons.__version__, Config().layer)",
        cwd=folder,
    )
    assert (found.returncode, found.stdout) == (0, "0.1.0 1\n"), found.stderr


def test_the_command_is_ours_beside_another_pipeline(folder):
    found = python("-m", "feature_neurons", "sql", "select 1", cwd=folder)
    assert found.returncode == 2
    assert "another one" not in found.stdout
    assert found.stderr.startswith("error: no data/neurons.duckdb yet")
    usage = python("-m", "feature_neurons", "run", "--nothing", cwd=folder).stderr
    assert usage.startswith("usage: python -m feature_neurons")


def test_another_pipeline_that_is_in_use_is_named(folder):
    found = python("-c", "import pipeline, feature_neurons", cwd=folder)
    assert found.returncode == 1
    assert "another module named pipeline is in use" in found.stderr.splitlines()[-1]


def test_ours_may_be_imported_under_both_names(tmp_path):
    code = "import pipeline, feature_neurons; assert feature_neurons.__version__ == pipeline.__version__"
    assert python("-c", code, cwd=tmp_path).returncode == 0


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The packages as a wheel lays them out: what `force-include` names lies inside."""
    site = tmp_path_factory.mktemp("site")
    for name in ("pipeline", "feature_neurons"):
        shutil.copytree(ROOT / name, site / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("sql", "data/demo", "data/wordnet", "cassettes"):
        shutil.copytree(ROOT / name, site / "pipeline" / name)
    return site


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["sql", "select 1"], "make it with `feature-neurons run`"),
        (["check"], "make it with `feature-neurons run`"),
        (["publish", "a b"], "as ada/neurons"),
    ],
)
def test_what_was_installed_by_pip_never_speaks_of_make(installed, tmp_path, args, told):
    code = "import sys; sys.argv[0] = 'feature-neurons'; from feature_neurons import main; sys.exit(main())"
    found = python("-c", code, *args, cwd=tmp_path, path=installed)
    assert found.returncode == 2
    assert told in found.stderr
    assert "make " not in found.stderr.replace("make it", "")
