"""The rules of the code's structure."""

import ast
import re
import sys
import tomllib

import pytest
from conftest import ROOT

from pipeline.plan import STAGES

PACKAGE = ROOT / "pipeline"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# What each part may import, beside itself. Read downwards: nothing points up, and no step knows another.
FLOOR = {
    "config",
    "setting_checks",
    "setting_fields",
    "errors",
    "output",
    "printable",
    "progress",
    "resources",
    "text_forms",
}
TABLES = {"tables", *FLOOR}
GROUND = {"models", "language", "web"}
STEPS = {"samples", "identification", "verification", "generation"}
DIRECTIONS = {
    "errors": set(),
    "printable": set(),
    "output": {"config", "printable", "resources"},
    "progress": {"output"},
    "resources": set(),
    "setting_checks": {"errors"},
    "setting_fields": set(),
    "text_forms": set(),
    "config": {"setting_checks", "setting_fields", "text_forms", "errors", "resources"},
    "tables": FLOOR,
    "web": {*TABLES, "__init__"},
    "language": {*TABLES, "web"},
    "models": {*TABLES, "language", "web"},
    "engine": TABLES,
    **{step: {*TABLES, *GROUND, "engine"} for step in STEPS},
    "plan": {*TABLES, *GROUND, *STEPS, "engine"},
    "parts": {*TABLES, "models", "samples"},
    "run": {*TABLES, "engine", "plan", "parts"},
    "results": {*TABLES, *GROUND, *STEPS, "engine", "plan", "run", "__init__"},
    "cli": {*FLOOR, "tables", "samples", "results", "engine", "plan", "parts", "run", "__init__"},
    "__main__": {"cli"},
    "__init__": {"config", "results"},  # the function for Python, which imports when it is called
}
VENDORS = {
    "transformer_lens": {"models.language_model", "models.weights"},
    "transformers": {"models.language_model", "models.tokens", "models.weights", "models.cached_passes"},
    "safetensors": {"models.weights"},
    "gensim": {"language.fasttext"},
    "regex": {"language.word"},
    "datasets": {"language.texts", "language.tokenised"},
    "tqdm": {"progress"},
    "duckdb": {
        "results.database",
        "results.terminal",
        "results.questions",
        "results.report.pages",
        "tables.json_lists",
        "tables.query",
    },
    "requests": {"web.site", "web.deadline"},
    "urllib3": {"web.site"},
    "protego": {"web.robots"},
    "bs4": {"samples.neuroscope.site_index"},
    "orjson": {"samples.neuroscope.page"},
    "vcr": {"web.recording"},
    "sqlite3": {"samples.neuroscope.page_store"},
    "openai": {"generation.chat"},
    "plotly": {"results.report.charts"},
    "jinja2": {"results.render"},
    "scipy": {"identification.chance", "identification.dominance", "identification.groups"},
    "httpx2": {"generation.chat", "results.publish.hub", "web.environment", "web.hugging_face"},
    "ray": {"engine.ray_engine", "engine.ray_processes"},
    "huggingface_hub": {"results.publish.hub", "web.hugging_face"},
}
LAZY = {"models.resumed_passes", "models.cached_passes", "models.whole_passes"}
LAZY |= {name for name in MODULES if name.startswith(("models.blocks.", "engine.ray_"))}
# themselves imported only when they are used
HEAVY = {"openai", "torch", "transformer_lens", "transformers", "gensim", "datasets", "pandas"}
HEAVY |= {"safetensors", "ray"}
STAGE_MODULES = sorted({stage.module.removeprefix("pipeline.") for stage in STAGES if stage.module})
MOST_LINES = 400


def imports(path, *, top_level_only=False, checking=True):
    """The names that a file imports; those for type checking only where they are asked for."""
    tree = ast.parse(path.read_text())
    for_types = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    found = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if node in for_types and not checking:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own(path, **how):
    """The modules of the package that a file imports."""
    found = set()
    for name in imports(path, **how):
        if name.split(".")[0] == "pipeline":
            parts = name.split(".")[1:]
            while ".".join(parts) not in MODULES and parts:
                parts = parts[:-1]
            found.add(".".join(parts) or "__init__")
    return found


def roots(names):
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_downwards_only(name):
    part = name.split(".")[0]
    used = roots(own(MODULES[name])) - {part}
    assert used <= DIRECTIONS[part], f"{name} imports {used - DIRECTIONS[part]}"


def test_no_circle_of_imports_not_even_for_types():
    edges = {name: own(path) - {name} for name, path in MODULES.items()}
    edges["__init__"] = set()  # the function for Python imports when it is called
    while edges:
        leaves = [name for name, used in edges.items() if not used & edges.keys()]
        assert leaves, f"a circle among {sorted(edges)}"
        edges = {name: used for name, used in edges.items() if name not in leaves}


@pytest.mark.parametrize("name", MODULES)
def test_a_vendors_package_is_imported_by_its_adapter_only(name):
    used = roots(imports(MODULES[name], checking=False))
    for vendor, allowed in VENDORS.items():
        assert vendor not in used or name in allowed, f"{name} imports {vendor}"


@pytest.mark.parametrize("name", MODULES)
def test_heavy_packages_are_imported_when_they_are_used(name):
    path = MODULES[name]
    if name not in LAZY:
        assert not HEAVY & roots(imports(path, top_level_only=True, checking=False))
        assert not LAZY & own(path, top_level_only=True, checking=False)


@pytest.mark.parametrize("name", STAGE_MODULES)
def test_a_stage_touches_no_disk_and_no_environment_and_imports_no_other_stage(name):
    used = own(MODULES[name])
    assert not used & (set(STAGE_MODULES) - {name})
    assert not roots(imports(MODULES[name])) & {"shutil", "tempfile", "duckdb", "requests"}
    assert not used & {"tables.store", "run", "plan", "cli"}
    tree = ast.parse(MODULES[name].read_text())
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {getattr(call, "attr", getattr(call, "id", "")) for call in calls}
    assert not names & {"open", "read_text", "write_text", "read_bytes", "write_bytes", "getenv"}
    assert "environ" not in MODULES[name].read_text()


@pytest.mark.parametrize("name", sorted(MODULES.keys() - {"output"}))
def test_only_one_module_prints(name):
    tree = ast.parse(MODULES[name].read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            assert getattr(node.func, "id", "") != "print" or any(k.arg == "file" for k in node.keywords)
        if isinstance(node, ast.Attribute) and node.attr == "write":
            assert getattr(node.value, "attr", "") not in ("stdout", "stderr")
    for node in (each for each in ast.walk(tree) if isinstance(each, ast.keyword) and each.arg == "file"):
        assert getattr(node.value, "attr", "") not in ("stdout", "stderr")


def test_run_and_plan_know_no_table_by_name():
    tables = {stage.table for stage in STAGES}
    for name in ("run", "plan", *(module for module in MODULES if module.startswith("engine."))):
        text = MODULES[name].read_text()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value not in tables, f"{name}: {node.value!r}"


def test_a_folder_is_named_and_says_what_it_is_for():
    for folder in {path.parent for path in MODULES.values()} - {PACKAGE}:
        assert (folder / "__init__.py").is_file(), folder
        if folder.parent == PACKAGE:
            assert (folder / "README.md").is_file(), folder


def test_an_empty_package_runs_nothing_that_a_closure_would_not_see():
    for name, path in MODULES.items():
        if path.name == "__init__.py" and name not in ("__init__", "tables", "results.export"):
            body = ast.parse(path.read_text()).body
            assert len(body) == 1 and ast.get_docstring(ast.parse(path.read_text())), name


@pytest.mark.parametrize(
    "path",
    [*MODULES.values(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "sql").rglob("*.sql")],
    ids=lambda p: p.relative_to(ROOT).as_posix(),
)
def test_a_file_stays_readable_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("name", MODULES)
def test_public_things_say_what_they_promise_and_functions_are_short(name):
    tree = ast.parse(MODULES[name].read_text())
    assert ast.get_docstring(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            length = node.end_lineno - node.lineno
            assert length <= 50, f"{name}.{node.name} has {length} lines"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{name}.{node.name}"


def test_no_test_patches_what_is_private():
    for path in (ROOT / "tests").rglob("*.py"):
        patched = re.findall(r"monkeypatch\.setattr\(([^)]*)", path.read_text())
        # waits and shortages inside a vendor's code cannot be set from outside
        vendors = re.compile(r'"(time|huggingface_hub|gensim)\b')
        assert all(map(vendors.match, patched)), (path.name, patched)


def test_every_file_of_sql_ships_in_the_wheel_and_python_is_new_enough():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shipped = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert shipped == {
        "sql": "pipeline/sql",
        "data/demo": "pipeline/data/demo",
        "data/wordnet": "pipeline/data/wordnet",
        "cassettes/neuroscope.json.gz": "pipeline/cassettes/neuroscope.json.gz",
    }
    assert sys.version_info >= (3, 11)


def test_every_dependency_is_locked_and_torch_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    lines = (ROOT / "requirements.lock").read_text().lower().splitlines()
    locked = dict(line.split("==") for line in lines if "==" in line)
    for requirement in wanted:
        name = re.match(r"[\w-]+", requirement)[0]
        assert name.lower() in locked, name
    assert "torch==2.13.0" in wanted
    assert locked["torch"] == "2.13.0"
