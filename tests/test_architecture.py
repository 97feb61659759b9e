"""The rules of the code's structure."""

import ast
import sys

import pytest
from conftest import ROOT

from pipeline.plan import STAGES

MODULES = sorted((ROOT / "pipeline").glob("*.py"))
VENDORS = {
    "transformer_lens": {"language_model"},
    "transformers": {"language_model"},
    "safetensors": {"language_model"},
    "gensim": {"fasttext"},
    "datasets": {"texts"},
    "tqdm": {"progress"},
    "duckdb": {"database", "select", "terminal"},
    "requests": {"web"},
    "urllib3": {"web"},
    "protego": {"web"},
    "bs4": {"neuroscope"},
    "orjson": {"neuroscope"},
    "vcr": {"recording"},
    "sqlite3": {"page_store"},
    "openai": {"describer"},
    "plotly": {"charts"},
    "jinja2": {"render"},
    "scipy": {"groups"},
    "httpx2": {"describer", "hub"},
    "huggingface_hub": {"hub"},
}
LAZY = {"resume", "blocks"}  # themselves imported only when they are used
HEAVY = {
    "openai",
    "torch",
    "transformer_lens",
    "transformers",
    "gensim",
    "datasets",
    "pandas",
    "safetensors",
}
# pages and samples come from a source: a site, or the scan
STAGE_MODULES = {stage.table for stage in STAGES if not stage.sql} - {"pages", "samples"} | {"scan"}


def imports(path, *, top_level_only=False):
    """The names of the modules a file imports; those for type checking are left out."""
    tree = ast.parse(path.read_text())
    checking = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    nodes = tree.body if top_level_only else ast.walk(tree)
    found = set()
    for node in nodes:
        if node in checking:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def roots(names):
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_a_vendors_package_is_imported_by_its_adapter_only(path):
    for vendor, allowed in VENDORS.items():
        if vendor in roots(imports(path)):
            assert path.stem in allowed, f"{path.stem} imports {vendor}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_heavy_packages_are_imported_when_they_are_used(path):
    found = imports(path, top_level_only=True)
    assert not HEAVY & roots(found) or path.stem in LAZY
    assert not {f"pipeline.{name}" for name in LAZY} & found or path.stem in LAZY


@pytest.mark.parametrize("name", sorted(STAGE_MODULES))
def test_a_stage_imports_no_other_stage_and_touches_no_disk_or_environment(name):
    path = ROOT / "pipeline" / f"{name}.py"
    used = {n.removeprefix("pipeline.") for n in imports(path) if n.startswith("pipeline.")}
    assert not used & (STAGE_MODULES - {name})
    assert not roots(imports(path)) & {"os", "shutil", "tempfile", "duckdb", "requests"}
    assert not used & {"store", "run", "plan", "cli", "database"}
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    names = {getattr(call, "attr", getattr(call, "id", "")) for call in calls}
    assert not names & {"open", "read_text", "write_text", "read_bytes", "write_bytes", "getenv"}


def test_only_the_plan_knows_the_order():
    for path in MODULES:
        if path.stem not in {"plan", "run", "cli", "database", "dear"}:
            assert "pipeline.plan" not in imports(path), path.stem


@pytest.mark.parametrize(
    "path", [*MODULES, *(ROOT / "tests").glob("*.py"), *(ROOT / "sql").glob("*.sql")], ids=lambda p: p.name
)
def test_a_file_stays_readable_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= 320


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_public_things_say_what_they_promise(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            length = node.end_lineno - node.lineno
            assert length <= 50, f"{path.stem}.{node.name} has {length} lines"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path.stem}.{node.name}"


def test_every_file_of_sql_ships_in_the_wheel_and_python_is_new_enough():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shipped = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert shipped == {
        "sql": "pipeline/sql",
        "data/demo": "pipeline/data/demo",
        "cassettes/neuroscope.json.gz": "pipeline/cassettes/neuroscope.json.gz",
    }
    assert sys.version_info >= (3, 11)


def test_every_dependency_is_locked_and_torch_is_pinned():
    import re
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    lines = (ROOT / "requirements.lock").read_text().lower().splitlines()
    locked = dict(line.split("==") for line in lines if "==" in line)
    for requirement in wanted:
        name = re.match(r"[\w-]+", requirement)[0]
        assert name.lower() in locked, name
    assert "torch==2.13.0" in wanted
    assert locked["torch"] == "2.13.0"
