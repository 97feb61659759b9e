"""The parts of the READMEs that say what the code says: `make docs` writes them, the tests compare them.

A part stands between `<!-- generated: NAME -->` and `<!-- end of generated -->`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.config import OPTIONS
from pipeline.plan import STAGES
from pipeline.resources import resource
from pipeline.results import database
from pipeline.tables import TABLES, VIEWS, query
from pipeline.tables.schema import Table

ROOT = Path(__file__).parent.parent
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end of generated -->)", re.S)


def commands() -> str:
    """The targets of the Makefile with what they do."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lines = ["| command | what it does |", "|---|---|"]
    lines += [
        f"| `make {name}` | {what} |" for name, what in re.findall(r"^([a-z]+):.*## (.+)$", makefile, re.M)
    ]
    return "\n".join(lines) + "\n"


def stages() -> str:
    """Every stage in order: number, table, file, when, what it reads."""
    lines = ["| number | table | file | where | reads |", "|---|---|---|---|---|"]
    for stage in STAGES:
        file = f"sql/{stage.sql.path.name}" if stage.sql else stage.module.replace(".", "/") + ".py"
        where = ", ".join(f"{name.upper()}={_value(value)}" for name, value in stage.where.items())
        reads = ", ".join(f"`{table}`" for table in stage.reads)
        lines.append(f"| {stage.number} | `{stage.table}` | `{file}` | {where} | {reads} |")
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def settings() -> str:
    """Every setting that people give, with its help and its default."""
    lines = ["| setting | what it is | default |", "|---|---|---|"]
    for option in OPTIONS:
        silent = option.default is None or option.default is False
        default = "" if silent else f"`{option.default}`"
        lines.append(f"| `{option.name.upper()}` | {option.metadata['help']} | {default} |")
    return "\n".join(lines) + "\n"


def tables() -> str:
    """Every table with its grain, its key and its columns."""
    return "\n".join(_described(table) for table in TABLES.values())


def views() -> str:
    """Every view with its grain and its columns."""
    heads = {each.writes: _head(each.text) for each in query.views()}
    return "\n".join(_described(view, heads[name]) for name, view in VIEWS.items())


def _described(table: Table, says: str = "") -> str:
    lines = [f"### `{table.name}`", "", *([says, ""] if says else [])]
    lines += [f"{table.grain[0].upper()}{table.grain[1:]}; key ({', '.join(table.key)}).", ""]
    lines += ["| column | type | what |", "|---|---|---|"]
    for column in table.columns:
        null = ", may be null" if column.null else ""
        lines.append(f"| `{column.name}` | `{column.type}`{null} | {column.doc} |")
    return "\n".join(lines) + "\n"


def _head(text: str) -> str:
    """What the head of a SQL file says before it declares anything."""
    lines = [line[3:] for line in text.splitlines() if line.startswith("-- ")]
    return " ".join(
        line for line in lines[: next(i for i, x in enumerate(lines) if x.startswith("reads:"))]
    )


def macros() -> str:
    """Every macro with its parameters and what it answers."""
    rows = re.findall(
        r"((?:^-- .+\n)+)^create or replace macro (\w+)\(\s*([^)]*?)\s*\) as table", database.macros(), re.M
    )
    lines = []
    for comment, name, parameters in rows:
        says = " ".join(line.removeprefix("-- ") for line in comment.splitlines())
        lines.append(f"- `{name}({' '.join(parameters.split())})`: {says}")
    return "\n".join(lines) + "\n"


def queries() -> str:
    """The worked examples, as they stand in sql/queries/."""
    parts = []
    for path in sorted((resource("sql") / "queries").glob("*.sql")):
        parts.append(f"`sql/queries/{path.name}`\n\n```sql\n{path.read_text(encoding='utf-8')}```\n")
    return "\n".join(parts)


PARTS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "stages": stages,
    "settings": settings,
    "tables": tables,
    "views": views,
    "macros": macros,
    "queries": queries,
}


def documents() -> list[Path]:
    """The documents that hold generated parts."""
    return [path for path in written() if _PART.search(path.read_text(encoding="utf-8"))]


def written() -> list[Path]:
    """Every document of the project."""
    folders = ("pipeline", "sql", "data", "tests", "cassettes")
    found = [*ROOT.glob("*.md"), *(path for name in folders for path in (ROOT / name).rglob("*.md"))]
    return sorted(path for path in found if "store" not in path.parts and path.name != "card.md")


def generated(text: str) -> str:
    """A document's text with its parts as the code has them now."""
    return _PART.sub(lambda part: part[1] + PARTS[part[2]]() + part[3], text)


if __name__ == "__main__":
    for document in documents():
        before = document.read_text(encoding="utf-8")
        after = generated(before)
        if after != before:
            document.write_text(after, encoding="utf-8")
            print(f"{document.relative_to(ROOT)} rewritten", file=sys.stderr)
