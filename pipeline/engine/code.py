"""Which code decides the rows of a stage: the import closure of its module.

Of each module what counts is what Python runs: docstrings, comments and layout are left out, and what is
imported for type checking only. Modules of the floor are left out too: none of them decides a row.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pipeline.tables import fingerprint

_PACKAGE = Path(__file__).parent.parent
# Modules and packages that decide no row, with the reason.
FLOOR = {
    "pipeline": "holds the version and the function for Python",
    "pipeline.config": "the values of settings stand in the key",
    "pipeline.setting_fields": "the values of settings stand in the key",
    "pipeline.setting_checks": "refuses values",
    "pipeline.text_forms": "names the forms of files; how each is read is its reader's code",
    "pipeline.errors": "says what went wrong",
    "pipeline.output": "prints",
    "pipeline.printable": "makes text harmless for a terminal",
    "pipeline.progress": "shows a bar",
    "pipeline.resources": "finds files that ship with the package",
    "pipeline.engine": "runs stages, whatever they make",
    "pipeline.tables": "checks, stores and reads tables; a stage's own schema stands in its key",
    "pipeline.generation.budget": "decides whether to ask, not what is answered",
    "pipeline.generation.chat": "decides how to ask; answers are kept by what was asked",
    "pipeline.generation.deadline": "waits",
    "pipeline.generation.forms": "reads answers, which are kept as they were read, by ANSWERED_AS",
    "pipeline.generation.request": "decides how to ask, as chat does",
    "pipeline.generation.secret": "replaces the key",
    "pipeline.web": "decides how to ask; pages are kept by what came",
}
# Distributions whose version decides numbers, by the package that a module imports.
_NUMBERS = {
    "torch": ("torch",),
    "transformer_lens": ("transformer-lens", "transformers", "tokenizers"),
    "gensim": ("gensim",),
    "numpy": ("numpy",),
    "scipy": ("scipy",),
    "duckdb": ("duckdb",),
}


def of_module(name: str) -> dict[str, str]:
    """The fingerprint of each module in the import closure of a module of the package, by name."""
    return {each: parsed(_file(each)).fingerprint for each in _closure(name)}


def packages(name: str) -> list[str]:
    """The distributions that decide the numbers of a module's import closure."""
    imported = {root for each in _closure(name) for root in parsed(_file(each)).others}
    return sorted({dist for root in imported for dist in _NUMBERS.get(root, ())})


def deciding() -> list[str]:
    """All distributions that decide numbers of some module."""
    return sorted({dist for dists in _NUMBERS.values() for dist in dists})


def of_package() -> dict[str, str]:
    """The fingerprint of each module of the package that decides rows, by name."""
    parts = ((*path.relative_to(_PACKAGE).with_suffix("").parts,) for path in _PACKAGE.rglob("*.py"))
    names = {".".join(("pipeline", *each)).removesuffix(".__init__") for each in parts}
    return {name: parsed(_file(name)).fingerprint for name in sorted(names) if not in_floor(name)}


def in_floor(name: str) -> bool:
    """Whether a module is one of the floor, or lies in a package of it."""
    parts = name.split(".")
    return name in FLOOR or any(".".join(parts[:n]) in FLOOR for n in range(2, len(parts)))


def imports(file: Path) -> set[str]:
    """The modules of this package that a file imports when it runs, wherever in it."""
    return set(parsed(file).own)


@dataclass(frozen=True)
class Parsed:
    """What a file is as code: its fingerprint, and the modules it imports, of this package and others'."""

    fingerprint: str
    own: frozenset[str]
    others: frozenset[str]


def _closure(name: str) -> list[str]:
    found, todo = set(), [name]
    while todo:
        module = todo.pop()
        if module not in found and not in_floor(module):
            found.add(module)
            todo += parsed(_file(module)).own
    return sorted(found)


def _file(module: str) -> Path:
    path = _PACKAGE.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def parsed(file: Path) -> Parsed:
    """What a file is as code."""
    stat = file.stat()
    return _read(file, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=1024)
def _read(file: Path, mtime_ns: int, size: int) -> Parsed:
    tree = _Bare().visit(ast.parse(file.read_text(encoding="utf-8")))
    names = set(_imported(tree))
    own = {_module(name) for name in names if name.split(".")[0] == "pipeline"}
    others = {name.split(".")[0] for name in names} - {"pipeline"}
    return Parsed(fingerprint.of_value(ast.unparse(tree)), frozenset(own), frozenset(others))


class _Bare(ast.NodeTransformer):
    """Takes out docstrings, and what is imported for type checking only."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Visit what a node holds, its docstring left out."""
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:]
            super().generic_visit(node)
            node.body = node.body or [ast.Pass()]
            return node
        return super().generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt] | None:
        """Leave out `if TYPE_CHECKING`."""
        if getattr(node.test, "id", getattr(node.test, "attr", "")) == "TYPE_CHECKING":
            return [self.visit(each) for each in node.orelse] or None
        return self.generic_visit(node)


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module(name: str) -> str:
    """The module that an imported name is, or lies in."""
    while not _file(name).is_file():
        name = name.rpartition(".")[0]
    return name
