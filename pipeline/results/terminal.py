"""What people see in a terminal: the results, a neuron's MAPs, the answer to a question in SQL."""

from __future__ import annotations

import json
import math
import os
import sys
from typing import Any

import duckdb

from pipeline.config import Config
from pipeline.errors import PipelineError, UserError
from pipeline.printable import plain
from pipeline.tables.columns import NEURON_KEY

_SHOWN = 30
_PHRASES = 3
_IS_OWN = "model = $model and layer = $layer and neuron = $neuron"


def steady(text: str) -> str:
    """A text of several lines, without characters that control a terminal."""
    return "\n".join(plain(line) for line in text.split("\n"))


def colours() -> bool:
    """Whether stdout shows colours: it is a terminal, and NO_COLOR is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def results(con: duckdb.DuckDBPyConnection, config: Config) -> str:
    """How many neurons each step left, and the feature neurons, strongest first, as text."""
    lines = _headlines(con, config)
    rows = _rows(
        con,
        "from overview where is_selected order by avg_activation desc, model, layer, neuron limit $most",
        most=_SHOWN,
    )
    several = len(lines) > 1
    if not rows:
        lines.append(
            "No feature neuron passes these thresholds; lower SIMILARITY, ACTIVATION or SELECTIVITY."
        )
        return "\n".join(lines)
    scored = any(row["detection_f1"] is not None for row in rows)
    layer = " layer" if several else ""
    lines += ["", f"neuron{layer}  avg act   norm    sim  select  {'   F1  ' if scored else ''}description"]
    for row in rows:
        number = f"{row['neuron']:>6}" + (f" {row['layer']:>5}" if several else "")
        scores = (
            f"{row['avg_activation']:>8.3g} {row['normalised_activation']:6.2f} {row['similarity']:6.2f}"
        )
        scores += f"  {_number(row['selectivity'])}" + (
            f"  {_number(row['detection_f1'])}" if scored else ""
        )
        lines.append(f"{number} {scores}  {plain(row['description'] or '-')}")
        indent = " " * (39 + (6 if several else 0))
        lines += [f"{indent} {_marked(phrase)}" for phrase in _strongest(con, row)]
    n_selected = con.sql("select count(*) from selected").fetchall()[0][0]
    if n_selected > len(rows):
        lines.append(
            f'... and {n_selected - len(rows)} more: python -m pipeline sql "select * from feature_neurons"'
        )
    return "\n".join(lines)


def _headlines(con: duckdb.DuckDBPyConnection, config: Config) -> list[str]:
    """A line for each model and layer: how many neurons each step left."""
    left: dict[tuple[str, int], dict[str, int]] = {}
    for row in _rows(con, "from funnel order by model, layer, step"):
        left.setdefault((row["model"], row["layer"]), {})[row["what"]] = row["neurons"]
    left = left or {(config.model_name, config.layer): {}}
    return [
        f"{plain(model)}, layer {layer}: {steps.get('looked at', 0):,} neurons, "
        f"{steps.get('candidates', 0):,} candidates (similarity >= {config.similarity:g}), "
        f"{steps.get('feature neurons', 0):,} feature neurons "
        f"(normalised activation >= {config.activation:g})"
        for (model, layer), steps in left.items()
    ]


def _strongest(con: duckdb.DuckDBPyConnection, row: dict[str, Any]) -> list[dict[str, Any]]:
    """The first MAPs of a neuron, near duplicates left out."""
    own = {name: row[name] for name in NEURON_KEY}
    return _rows(
        con, f"from phrases where {_IS_OWN} and not duplicate order by rank limit {_PHRASES}", **own
    )


def _rows(con: duckdb.DuckDBPyConnection, query: str, **given: Any) -> list[dict[str, Any]]:
    """The rows of a query as dictionaries."""
    return con.sql(query, params=given).to_arrow_table().to_pylist()


def _marked(phrase: dict[str, Any]) -> str:
    """A MAP on one line with its MAT in brackets."""
    tokens, mat = phrase["tokens"], phrase["mat"]
    return "".join(f"[{plain(t)}]" if i == mat else plain(t) for i, t in enumerate(tokens)).strip()


def neuron(
    con: duckdb.DuckDBPyConnection,
    number: int,
    *,
    colour: bool,
    layer: int | None = None,
    model: str | None = None,
) -> str:
    """A neuron's MAPs, strongest first, as text; activation as background, or the MAT in brackets.

    Without `layer` and `model` those of each neuron with this number that the last run looked at. Raises
    UserError where there are none.
    """
    try:
        rows = _rows(
            con,
            "from overview where neuron = $neuron and layer = coalesce($layer, layer) "
            "and model = coalesce($model, model) order by model, layer",
            neuron=number,
            layer=layer,
            model=model,
        )
        parts = [_of_neuron(con, row, colour=colour) for row in rows]
    except duckdb.CatalogException as exc:
        raise PipelineError("neurons.duckdb lacks tables; run again to make it anew") from exc
    if not parts:
        raise UserError(_why_none(con, number, layer, model))
    return "\n\n".join(parts)


def _of_neuron(con: duckdb.DuckDBPyConnection, row: dict[str, Any], *, colour: bool) -> str:
    """A neuron's scores, MAPs and groups."""
    own = {name: row[name] for name in NEURON_KEY}
    lines = [_headline(row)]
    for each in _rows(con, f"from phrases where {_IS_OWN} order by rank", **own):
        peak = each["max_activation"]
        pieces = [
            _token(plain(token), value, peak, is_mat=place == each["mat"], colour=colour)
            for place, (token, value) in enumerate(zip(each["tokens"], each["activations"], strict=True))
        ]
        mark = " (near duplicate)" if each["duplicate"] else ""
        lines.append(f"{each['rank']:>3} {peak:>8.3g}  {''.join(pieces)}{mark}")
    groups = _rows(con, f"from described_groups where clean and {_IS_OWN} order by number", **own)
    for group in groups if len(groups) > 1 else []:
        shown = group["description"] or " ·".join(sorted(set(group["mats"])))
        lines.append(
            f"a group of {group['n_maps']} MAPs, similarity {group['similarity']:.2f}: {plain(shown)}"
        )
    return "\n".join(lines)


def _why_none(con: duckdb.DuckDBPyConnection, number: int, layer: int | None, model: str | None) -> str:
    """Why the last run has no MAPs of a neuron."""
    pages = _rows(
        con,
        "from pages where neuron = $neuron and layer = coalesce($layer, layer) "
        "and model = coalesce($model, model) order by model, layer",
        neuron=number,
        layer=layer,
        model=model,
    )
    if pages and pages[0]["status"] != "ok":
        page = pages[0]
        return f"neuron {number} has no MAPs: its page is {page['status']} ({page['reason']})"
    if pages:
        return f"neuron {number} has no MAPs: none of its samples has a finite peak"
    looked_at = con.execute("select value from settings where name = 'neurons'").fetchall()[0][0]
    at = "".join(
        f", {name} {value}" for name, value in (("layer", layer), ("model", model)) if value is not None
    )
    places = _rows(con, "select distinct model, layer from similarity order by model, layer")
    where = "; ".join(f"{plain(row['model'])}, layer {row['layer']}" for row in places) or "no layer"
    return f"neuron {number}{at} is not in the last run, which had NEURONS={looked_at} of {where}"


def _headline(row: dict[str, Any]) -> str:
    f1 = row["detection_f1"]
    score = "" if f1 is None else f", F1 of the description {_number(f1).strip()}"
    return (
        f"{plain(row['model'])}, layer {row['layer']}, neuron {row['neuron']}: "
        f"{plain(row['description'] or 'not a feature neuron')}\n"
        f"similarity {_number(row['similarity'])}, normalised activation "
        f"{_number(row['normalised_activation'])}, selectivity {_number(row['selectivity'])}{score}"
    )


def _token(text: str, value: float | None, peak: float, *, is_mat: bool, colour: bool) -> str:
    if not colour:
        return f"[{text}]" if is_mat else text
    share = max(0.0, min(1.0, value / peak)) if peak > 0 and value is not None else 0.0
    if share < 0.05:
        return text
    shade = 255 - round(share * 180)  # white towards green, black letters
    return f"\x1b[48;2;{shade};255;{shade};38;2;0;0;0m{text}\x1b[0m"


def answer(con: duckdb.DuckDBPyConnection, query: str, form: str) -> str:
    """The rows of a question as a table for people, CSV or JSON; raises UserError if it fails."""
    try:
        relation = con.sql(query)
        if relation is None:
            return ""
        if form == "table":
            return f"{relation}\n"
        rows, names = relation.fetchall(), _distinct(relation.columns)
    except duckdb.Error as exc:
        raise UserError(f"SQL: {exc}") from exc
    if form == "json":
        records = [dict(zip(names, map(_jsonable, row), strict=True)) for row in rows]
        return json.dumps(records, ensure_ascii=False, indent=2) + "\n"
    return _csv(names, rows)


def _distinct(names: list[str]) -> list[str]:
    """Column names with a number after each that occurs again, as DuckDB itself does."""
    return [
        f"{name}_{names[:i].count(name)}" if name in names[:i] else name for i, name in enumerate(names)
    ]


def _jsonable(value: Any) -> Any:
    """A value of DuckDB as JSON can hold it: a float that is not finite becomes null."""
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def _csv(names: list[str], rows: list[tuple[Any, ...]]) -> str:
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow(
            json.dumps(_jsonable(v), ensure_ascii=False) if isinstance(v, list | dict) else v for v in row
        )
    return out.getvalue()


def prompt(con: duckdb.DuckDBPyConnection) -> int:
    """Read statements that end with a semicolon and answer each, until the input ends."""
    import readline  # noqa: F401  (line editing for input)

    tables = ", ".join(row[0] for row in con.execute("show tables").fetchall())
    print(f"tables: {tables}\nend a statement with ; and leave with Ctrl-D", file=sys.stderr)
    statement = ""
    while True:
        try:
            statement += input("  > " if statement else "sql> ") + "\n"
        except EOFError:
            print()
            return 0
        if statement.strip().endswith(";"):
            try:
                print(answer(con, statement, "table"), end="")
            except UserError as exc:
                print(f"error: {exc}", file=sys.stderr)
            statement = ""


def _number(value: float | None) -> str:
    return "   - " if value is None else f"{value:5.2f}"
