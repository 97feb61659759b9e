"""What people see in a terminal: the results, a neuron's MAPs, the answer to a question in SQL."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from typing import Any

import duckdb
import pyarrow as pa

from pipeline import select
from pipeline.config import Config
from pipeline.errors import PipelineError, UserError
from pipeline.printable import plain

_SHOWN = 30
_PHRASES = 3


def steady(text: str) -> str:
    """A text of several lines, without characters that steer a terminal."""
    return "\n".join(plain(line) for line in text.split("\n"))


_RESULTS = """
with strongest as (
    select *
    from feature_neurons
    order by avg_activation desc, neuron
    limit $shown
),
phrases as (
    select model, layer, neuron,
        list({'tokens': tokens, 'mat': mat_index - start} order by rank)[: $phrases] as phrases
    from maps
    where not duplicate
    group by model, layer, neuron
)
select neuron, avg_activation, normalised_activation, similarity, selectivity, detection_f1, description,
    phrases
from strongest
join phrases using (model, layer, neuron)
order by avg_activation desc, neuron
"""


def colours() -> bool:
    """Whether stdout shows colours: a terminal, and the user has not said NO_COLOR."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def results(tables: Mapping[str, pa.Table], config: Config) -> str:
    """How many neurons each step left, and the feature neurons, strongest first."""
    lines = [
        f"{plain(config.model_name)}, layer {config.layer}: {len(tables['similarity']):,} neurons, "
        f"{len(tables['candidates']):,} candidates (similarity >= {config.similarity:g}), "
        f"{len(tables['feature_neurons']):,} feature neurons "
        f"(normalised activation >= {config.activation:g})"
    ]
    with select.connect() as con:
        con.register("feature_neurons", tables["feature_neurons"])
        con.register("maps", tables["maps"])
        rows = con.execute(_RESULTS, {"shown": _SHOWN, "phrases": _PHRASES}).fetchall()
    scored = len(tables["scores"]) > 0
    if not rows:
        lines.append(
            "No feature neuron passes these thresholds; lower SIMILARITY, ACTIVATION or SELECTIVITY."
        )
    else:
        lines += ["", f"neuron  avg act   norm    sim  select  {'   F1  ' if scored else ''}description"]
    for number, average, norm, similarity, selectivity, f1, text, phrases in rows:
        scores = f"{norm:6.2f} {similarity:6.2f}  {_number(selectivity)}"
        scores += f"  {_number(f1)}" if scored else ""
        lines.append(f"{number:>6} {average:>8.3g} {scores}  {plain(text or '-')}")
        lines += [f"{'':39} {_marked(phrase['tokens'], phrase['mat'])}" for phrase in phrases]
    if len(tables["feature_neurons"]) > len(rows):
        lines.append(
            f"... and {len(tables['feature_neurons']) - len(rows)} more: "
            'python -m pipeline sql "select * from feature_neurons"'
        )
    return "\n".join(lines)


def _marked(tokens: list[str], mat: int) -> str:
    """A MAP on one line with its MAT in brackets."""
    return "".join(f"[{plain(t)}]" if i == mat else plain(t) for i, t in enumerate(tokens)).strip()


def neuron(con: duckdb.DuckDBPyConnection, number: int, *, colour: bool) -> str:
    """A neuron's MAPs, strongest first; activation as background, or the MAT in brackets.

    Raises UserError where the last run did not look at the neuron.
    """
    try:
        rows = con.execute(
            "select rank, tokens, activations, mat_index - start, max_activation, duplicate "
            "from maps where neuron = ? order by rank",
            [number],
        ).fetchall()
    except duckdb.CatalogException as exc:
        raise PipelineError("neurons.duckdb lacks tables; run again to have it made anew") from exc
    if not rows:
        raise UserError(_why_none(con, number))
    lines = [_headline(con, number)]
    for rank, tokens, activations, mat, peak, duplicate in rows:
        pieces = [
            _token(plain(token), value, peak, is_mat=place == mat, colour=colour)
            for place, (token, value) in enumerate(zip(tokens, activations, strict=True))
        ]
        mark = " (near duplicate)" if duplicate else ""
        lines.append(f"{rank:>3} {peak:>8.3g}  {''.join(pieces)}{mark}")
    return "\n".join([*lines, *_groups(con, number)])


def _groups(con: duckdb.DuckDBPyConnection, number: int) -> list[str]:
    """The clean groups of MAPs of a neuron that has several, each with its description or MATs."""
    rows = con.execute(
        "select n_maps, similarity, description, list_distinct(mats) from groups "
        "left join group_descriptions using (model, layer, neuron, number) "
        "where clean and neuron = ? order by number",
        [number],
    ).fetchall()
    return [
        f"a group of {n_maps} MAPs, similarity {similarity:.2f}: {plain(text or ' ·'.join(sorted(mats)))}"
        for n_maps, similarity, text, mats in (rows if len(rows) > 1 else [])
    ]


def _why_none(con: duckdb.DuckDBPyConnection, number: int) -> str:
    """Why the last run has no MAPs of a neuron."""
    page = con.execute("select status, reason from pages where neuron = ?", [number]).fetchone()
    if page and page[0] != "ok":
        return f"neuron {number} has no MAPs: its page is {page[0]} ({page[1]})"
    looked_at = con.execute("select value from settings where name = 'neurons'").fetchone()[0]
    if page:
        return f"neuron {number} has no MAPs: none of its samples has a finite peak"
    return f"neuron {number} is not in the last run, which had NEURONS={looked_at}"


def _headline(con: duckdb.DuckDBPyConnection, number: int) -> str:
    model, layer, similarity, norm, selectivity, text, f1 = con.execute(
        "select model, layer, similarity.similarity, normalised.normalised_activation, "
        "normalised.selectivity, descriptions.description, detection_f1 from similarity "
        "left join normalised using (model, layer, neuron) "
        "left join descriptions using (model, layer, neuron) "
        "left join feature_neurons using (model, layer, neuron) where neuron = ?",
        [number],
    ).fetchone()
    score = "" if f1 is None else f", F1 of the description {_number(f1).strip()}"
    return (
        f"{plain(model)}, layer {layer}, neuron {number}: {plain(text or 'no feature neuron')}\n"
        f"similarity {_number(similarity)}, normalised activation {_number(norm)}, "
        f"selectivity {_number(selectivity)}{score}"
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
        found = con.sql(query)
        if found is None:
            return ""
        if form == "table":
            return f"{found}\n"
        rows, names = found.fetchall(), _distinct(found.columns)
    except duckdb.Error as exc:
        raise UserError(f"SQL: {exc}") from exc
    if form == "json":
        records = [dict(zip(names, map(_jsonable, row), strict=True)) for row in rows]
        return json.dumps(records, ensure_ascii=False, indent=2) + "\n"
    return _csv(names, rows)


def _distinct(names: list[str]) -> list[str]:
    """Column names with a number behind each that stood before, as DuckDB itself does."""
    return [
        f"{name}_{names[:i].count(name)}" if name in names[:i] else name for i, name in enumerate(names)
    ]


def _jsonable(value: Any) -> Any:
    """A value of DuckDB as JSON can hold it: what is no finite number is null."""
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
    """Ask for statements, ended by a semicolon, until the input ends."""
    import readline  # noqa: F401  (line editing for input)

    tables = ", ".join(row[0] for row in con.execute("show tables").fetchall())
    print(f"tables: {tables}\nend a statement with ; and leave with Ctrl-D", file=sys.stderr)
    held = ""
    while True:
        try:
            held += input("  > " if held else "sql> ") + "\n"
        except EOFError:
            print()
            return 0
        if held.strip().endswith(";"):
            try:
                print(answer(con, held, "table"), end="")
            except UserError as exc:
                print(f"error: {exc}", file=sys.stderr)
            held = ""


def _number(value: float | None) -> str:
    return "   - " if value is None else f"{value:5.2f}"
