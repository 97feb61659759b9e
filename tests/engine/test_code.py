"""The import closure of a stage is its code, and the floor decides no row."""

import ast

import pytest
from conftest import ROOT

from pipeline.engine import code
from pipeline.plan import STAGES

MODULES = {
    ".".join(("pipeline", *path.relative_to(ROOT / "pipeline").with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in sorted((ROOT / "pipeline").rglob("*.py"))
}
FLOOR = sorted(name for name in MODULES if code.in_floor(name))


def normalised(tmp_path, text):
    """The fingerprint of a module that holds a text."""
    file = tmp_path / "module.py"
    file.write_text(text)
    return code.parsed(file).fingerprint


@pytest.mark.parametrize(
    "other",
    [
        '"""Other words."""\nx = 1\n\n\ndef f(a):\n    """And others."""\n    return a + x\n',
        "x = 1  # a comment\n\ndef f(a):\n    # why\n    return (a +\n            x)\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n"
        "x = 1\ndef f(a): return a + x",
    ],
)
def test_words_and_layout_are_no_code(tmp_path, other):
    own = 'x = 1\n\n\ndef f(a):\n    "What it does."\n    return a + x\n'
    if "TYPE_CHECKING" in other:
        own = "from typing import TYPE_CHECKING\n" + own
    assert normalised(tmp_path, own) == normalised(tmp_path, other)


@pytest.mark.parametrize("other", ["x = 2", "x = 1.0", "y = 1", "x = 1; x", "x: int = 1", "x = '1'"])
def test_anything_else_is_code(tmp_path, other):
    assert normalised(tmp_path, "x = 1") != normalised(tmp_path, other)


def test_a_function_of_words_only_is_still_a_function(tmp_path):
    assert normalised(tmp_path, 'def f():\n    """Words."""\n') == normalised(tmp_path, "def f(): pass")


def test_a_closure_holds_what_is_imported_also_inside_functions_and_by_others():
    closure = set(code.of_module("pipeline.verification.activations"))
    assert closure >= {
        "pipeline.verification.activations",
        "pipeline.verification.measurement",
        "pipeline.models.language_model",
        "pipeline.models.blocks.forms",  # imported in a function of language_model
        "pipeline.models.resumed_passes",  # imported in a function of measurement
        "pipeline.models.phrases",
    }
    assert not closure & {"pipeline.language.texts", "pipeline.identification.words", "pipeline.plan"}


def test_what_reads_texts_is_code_of_the_vocabulary_and_of_the_scan_only():
    readers = {
        stage.table
        for stage in STAGES
        if stage.module and "pipeline.language.texts" in code.of_module(stage.module)
    }
    assert readers == {"vocabulary", "samples"}


def test_no_stage_has_another_stages_module_in_its_code():
    own = {stage.module for stage in STAGES if stage.module}
    for module in own:
        assert set(code.of_module(module)) & own == {module}


@pytest.mark.parametrize("name", FLOOR)
def test_the_floor_imports_nothing_above_it_and_no_package_that_decides_numbers(name):
    # else code that decides rows could hide behind it; the package itself is for people, and imports lazily
    if name != "pipeline":
        assert all(code.in_floor(other) for other in code.imports(MODULES[name]))
        assert not code.parsed(MODULES[name]).others & {"torch", "transformer_lens", "gensim", "scipy"}


def test_everything_in_the_floor_exists_and_has_a_reason():
    for name, reason in code.FLOOR.items():
        assert name in MODULES or any(module.startswith(f"{name}.") for module in MODULES), name
        assert reason


def test_packages_that_decide_numbers_are_those_that_a_closure_imports():
    assert code.packages("pipeline.verification.activations") == [
        "numpy", "tokenizers", "torch", "transformer-lens", "transformers"
    ]  # fmt: skip
    assert "gensim" in code.packages("pipeline.identification.vocabulary")
    assert "torch" not in code.packages("pipeline.identification.words")


def test_nothing_is_imported_by_a_name_that_the_closure_cannot_see():
    for path in MODULES.values():
        tree = ast.parse(path.read_text())
        called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert not {getattr(each, "id", "") for each in called} & {"__import__", "exec", "eval"}, path
        assert "import_module" not in path.read_text(), path
        relative = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
        assert not relative, path
