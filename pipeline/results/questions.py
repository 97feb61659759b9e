"""Questions in SQL: held to reading the results, and answered as a table for people, CSV or JSON.

A question is one statement that changes nothing and reaches nothing but the database. DuckDB itself turns
values of other types than text, numbers, lists and structs into text, so that no type needs a package.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import re
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from pipeline.errors import UserError
from pipeline.output import show, tell, width
from pipeline.printable import STEERS, escaped

FORMS = ("table", "csv", "json")
_ASKS = ("SELECT", "EXPLAIN", "MULTI")  # MULTI is what PIVOT becomes
_WHOLE = {"tinyint", "smallint", "integer", "bigint", "hugeint"}
_NUMBERS = {*_WHOLE, *(f"u{name}" for name in _WHOLE), "float", "double", "decimal"}
_AS_THEY_ARE = {*_NUMBERS, "boolean", "varchar"} - {"decimal"}
# what a spreadsheet takes for the start of a formula, also as wide characters
_FORMULA = re.compile(r"[\s\u200b\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
_LIKE_A_COMMA = re.compile(r"[;\t|]")  # what separates the columns of a CSV file in other countries
_OUTSIDE = ("file system operations are disabled", "disabled through configuration", "has been locked")


def restrict(con: duckdb.DuckDBPyConnection, files: Sequence[Path] = ()) -> None:
    """Keep a connection from files, the network and extensions, for good; what is attached can be read, and
    these files."""
    # for what does not fit into memory; it may be read, so it is a folder that nobody else has
    own = Path(tempfile.gettempdir()) / f"feature-neurons-{uuid.uuid4().hex}"
    con.execute("set temp_directory = $1", [str(own)])
    con.execute("set allowed_paths = $1", [[str(file) for file in files]])
    con.execute("set enable_external_access = false")
    con.execute("set lock_configuration = true")


def answer(
    con: duckdb.DuckDBPyConnection, query: str, form: str, *, unsafe: bool = False, columns: int = 0
) -> str:
    """The rows that one statement asks for, as a table for people (at most `columns` wide), CSV or JSON.

    Raises UserError for none or several statements, for one that DuckDB refuses and, unless `unsafe`, for
    one that does not merely read.
    """
    found = statements(query)
    if len(found) != 1:
        n = f"{len(found)} statements" if found else "no statement"
        raise UserError(f"SQL: this holds {n}; ask for one at a time")
    if not unsafe and found[0].type.name not in _ASKS:
        raise UserError(
            f"SQL: {found[0].type.name} is no question: sql is read-only and takes SELECT, FROM, DESCRIBE, "
            "SUMMARIZE, SHOW, PIVOT and EXPLAIN; --unsafe allows others"
        )
    try:
        relation = con.sql(_without_semicolons(query))
        if relation is None:  # a statement without rows, as of --unsafe
            return ""
        if form == "table":
            return _table(relation, columns or width())
        return (_json if form == "json" else _csv)(relation)
    except duckdb.Error as exc:
        raise UserError(_reason(exc)) from exc


def statements(query: str) -> list[duckdb.Statement]:
    """The statements of a text; raises UserError for what is none."""
    try:
        query.encode()  # what a shell gives may be no text
        return duckdb.extract_statements(query)
    except (duckdb.Error, UnicodeError) as exc:
        raise UserError(_reason(exc)) from exc


def _without_semicolons(query: str) -> str:
    """A single statement without the semicolons that end it: DuckDB makes a part of another one of it."""
    text = bytearray(query, "utf-8")  # a token's place is one in bytes
    for place, kind in duckdb.tokenize(query):
        if kind == duckdb.token_type.operator and text[place : place + 1] == b";":
            text[place] = ord(" ")
    return text.decode()


def _reason(exc: Exception) -> str:
    """What DuckDB refuses, on one line, without the caret under the place."""
    said = " ".join(re.split(r"\n\s*LINE \d+:", str(exc), maxsplit=1)[0].split())
    outside = any(text in said for text in _OUTSIDE)
    return f"SQL: {said}{'; --unsafe allows what is outside the database' if outside else ''}"


def _table(relation: duckdb.DuckDBPyRelation, columns: int) -> str:
    """A table as DuckDB draws it."""
    drawn = io.StringIO()
    with contextlib.redirect_stdout(drawn):
        relation.show(max_width=columns)
    return drawn.getvalue().rstrip("\n") + "\n"


def _rows(relation: duckdb.DuckDBPyRelation) -> list[tuple[Any, ...]]:
    """All rows; what Python has no exact value for, or needs a package for, as DuckDB's text."""
    parts = [f"cast(#{i} as {_target(kind)})" for i, kind in enumerate(relation.types, 1)]
    named = ", ".join(f"{part} as c{i}" for i, part in enumerate(parts))
    return relation.project(named).fetchall()


def _target(kind: Any) -> str:
    """The type that a value is turned into: text, but for numbers; of lists, structs and maps each part."""
    if kind.id in _AS_THEY_ARE:
        return str(kind) if kind.id != "varchar" else "varchar"  # JSON too is text
    if kind.id in ("list", "array"):
        return f"{_target(kind.children[0][1])}[]"
    if kind.id == "map":
        return f"map(varchar, {_target(kind.children[1][1])})"
    if kind.id == "struct" and all(name for name, _ in kind.children):
        quoted = [(name.replace('"', '""'), _target(part)) for name, part in kind.children]
        return "struct(" + ", ".join(f'"{name}" {part}' for name, part in quoted) + ")"
    return "varchar"


def _distinct(names: Sequence[str]) -> list[str]:
    """Column names with a number after each that occurs again, as DuckDB itself does."""
    return [
        f"{name}_{names[:i].count(name)}" if name in names[:i] else name for i, name in enumerate(names)
    ]


def _json(relation: duckdb.DuckDBPyRelation) -> str:
    """Rows as a JSON list of objects; characters that steer a terminal in JSON's own escapes."""
    names = _distinct(relation.columns)
    records = [dict(zip(names, map(_jsonable, row), strict=True)) for row in _rows(relation)]
    return _harmless(json.dumps(records, ensure_ascii=False, indent=2)) + "\n"


def _harmless(text: str) -> str:
    """JSON whose texts hold nothing that steers a terminal: the same values in JSON's own escapes."""
    return STEERS.sub(lambda each: each[0] if each[0] == "\n" else f"\\u{ord(each[0]):04x}", text)


def _jsonable(value: Any) -> Any:
    """A value of DuckDB as JSON can hold it: a float that is not finite becomes null."""
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _csv(relation: duckdb.DuckDBPyRelation) -> str:
    """Rows as CSV that a spreadsheet reads as values: text that it would run begins with an apostrophe."""
    is_number = [kind.id in _NUMBERS for kind in relation.types]
    out = io.StringIO()
    sparing = csv.writer(out, lineterminator="\n")
    quoting = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    lines = [[_cell(name) for name in relation.columns]]
    for row in _rows(relation):
        whole = zip(row, is_number, strict=True)
        lines.append([each if number or each is None else _cell(each) for each, number in whole])
    for line in lines:
        mistaken = any(isinstance(each, str) and _LIKE_A_COMMA.search(each) for each in line)
        (quoting if mistaken else sparing).writerow(line)
    return out.getvalue()


def _cell(value: Any) -> str:
    """A value that is no number as the text of a cell."""
    if isinstance(value, list | dict):
        value = json.dumps(_jsonable(value), ensure_ascii=False)
    run = _FORMULA.match(str(value))
    return ("'" if run else "") + escaped(str(value), keep="\n\t")


def prompt(con: duckdb.DuckDBPyConnection, *, unsafe: bool = False) -> int:
    """Read statements that end with a semicolon and answer each, until the input ends."""
    import readline  # noqa: F401  (line editing for input)

    tell("tables: " + ", ".join(row[0] for row in con.execute("show tables").fetchall()))
    tell("end a statement with ; and leave with Ctrl-D")
    typed = ""
    while True:
        try:
            typed += input("  > " if typed else "sql> ") + "\n"
        except EOFError:
            show("")
            return 0
        if not typed.strip().endswith(";"):
            continue
        try:
            for each in statements(typed):
                show(answer(con, each.query, "table", unsafe=unsafe), end="")
        except UserError as exc:
            tell(f"error: {exc}")
        typed = ""
