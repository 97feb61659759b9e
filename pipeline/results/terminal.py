"""What people see in a terminal: the results, a neuron's MAPs, the answer to a question in SQL."""

from __future__ import annotations

import json
import math
import os
import sys
import textwrap
from typing import Any

import duckdb

from pipeline.config import Config
from pipeline.errors import PipelineError, UserError
from pipeline.printable import plain
from pipeline.results import findings
from pipeline.results.findings import Row
from pipeline.tables.columns import NEURON_KEY

_SHOWN = 30
_PHRASES = 3
_NEAR = 3
_WIDTH = 116
_IS_OWN = "model = $model and layer = $layer and neuron = $neuron"


def steady(text: str) -> str:
    """A text of several lines, without characters that control a terminal."""
    return "\n".join(plain(line) for line in text.split("\n"))


def colours() -> bool:
    """Whether stdout shows colours: it is a terminal, and NO_COLOR is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def results(con: duckdb.DuckDBPyConnection, config: Config) -> str:
    """What each step left and what decided; the feature neurons, the surest first; the nearest misses."""
    layers = findings.layers(con)
    lines = [] if layers else [f"{plain(config.model_name)}, layer {config.layer}: 0 neurons"]
    for layer in layers:
        lines += _wrapped(plain(findings.headline(layer, config)), "", "  ")
        lines += [f"  {remark}" for remark in findings.remarks(layer, config)]
    several = len(layers) > 1
    found = findings.neurons(con)
    if found:
        lines += ["", *_listed(con, found[:_SHOWN], several=several)]
    if len(found) > _SHOWN:
        rest = 'python -m pipeline sql "from feature_neurons order by q"'
        lines.append(f"... and {len(found) - _SHOWN} more: {rest}")
    near = findings.near_misses(con, _NEAR)
    if not found:
        lines += ["", findings.missing(near, config)]
    return "\n".join([*lines, *_near(near, several=several)])


def _listed(con: duckdb.DuckDBPyConnection, found: list[Row], *, several: bool) -> list[str]:
    """A line for each feature neuron, each with phrases that show what it stands for."""
    scored = any(row["detection_f1"] is not None for row in found)
    layer, f1 = (" layer" if several else ""), ("   F1  " if scored else "")
    lines = [f"neuron{layer}  kind          q  cover  avg act   norm  select  {f1}description"]
    for row in found:
        start = f"{row['neuron']:>6}" + (f" {row['layer']:>5}" if several else "")
        start += f"  {row['kind']:<8} {findings.sure(row['q']):>7}{findings.percent(row['coverage']):>7}"
        start += f" {_number(row['avg_activation'], '8.3g')}  {_number(row['normalised_activation'])}"
        start += f"   {_number(row['selectivity'])}"
        start += f"  {_number(row['detection_f1'])}" if scored else ""
        start += "  "
        lines += _wrapped(plain(findings.described(row)), start, " " * len(start))
        lines += [f"{'':8}{_marked(phrase)}" for phrase in _showing(con, row)]
    return lines


def _near(near: list[Row], *, several: bool) -> list[str]:
    """A line for each neuron that came near, with what would have to differ."""
    lines = ["", "nearest misses:"] if near else []
    for row in near:
        at = f" of {plain(row['model'])}, layer {row['layer']}" if several else ""
        kind = "" if row["likely_kind"] == "none" else f"{row['likely_kind']}, "
        lines.append(f"  neuron {row['neuron']}{at}: {kind}{row['reason']}")
    return lines


def _showing(con: duckdb.DuckDBPyConnection, row: Row) -> list[Row]:
    """The first MAPs that show what a neuron stands for, near duplicates left out."""
    own = {name: row[name] for name in NEURON_KEY}
    query = f"""
        select phrases.*, kind = 'none' or list_contains(ranks, rank) as shows
        from phrases
        join verdicts using (model, layer, neuron)
        where {_IS_OWN} and not duplicate
        order by shows desc, rank
        limit {_PHRASES}
    """
    shown = findings.rows(con, query, **own)
    return [each for each in shown if each["shows"]] or shown


def _wrapped(text: str, start: str, indent: str) -> list[str]:
    """A text after `start` on lines of at most _WIDTH columns, where its words allow it."""
    wrapped = textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=start,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapped or [start]


def _marked(phrase: Row) -> str:
    """A MAP on one line with its MAT in brackets; too long ones lose their ends."""
    tokens, mat = [plain(token) for token in phrase["tokens"]], phrase["mat"]
    before, marked, after = "".join(tokens[:mat]), f"[{tokens[mat]}]", "".join(tokens[mat + 1 :])
    room = max(10, (_WIDTH - 8 - len(marked)) // 2)
    before = before if len(before) <= room else f"…{before[1 - room :]}"
    after = after if len(after) <= room else f"{after[: room - 1]}…"
    return f"{before}{marked}{after}".strip()


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
        rows = findings.rows(
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


def _of_neuron(con: duckdb.DuckDBPyConnection, row: Row, *, colour: bool) -> str:
    """What a neuron stands for and how sure that is, its MAPs and groups."""
    own = {name: row[name] for name in NEURON_KEY}
    lines = _headlines(con, row, own)
    for each in findings.rows(con, f"from phrases where {_IS_OWN} order by rank", **own):
        peak = each["max_activation"]
        pieces = [
            _token(plain(token), value, peak, is_mat=place == each["mat"], colour=colour)
            for place, (token, value) in enumerate(zip(each["tokens"], each["activations"], strict=True))
        ]
        mark = " (near duplicate)" if each["duplicate"] else ""
        lines.append(f"{each['rank']:>3} {peak:>8.3g}  {''.join(pieces)}{mark}")
    groups = findings.rows(con, f"from described_groups where clean and {_IS_OWN} order by number", **own)
    for group in groups if len(groups) > 1 else []:
        shown = group["description"] or " ·".join(sorted(set(group["mats"])))
        lines.append(
            f"a group of {group['n_maps']} MAPs, alike by {group['by']}, score {group['score']:.2f}, "
            f"p {findings.sure(group['p'])}, covers {findings.percent(group['coverage'])}: {plain(shown)}"
        )
    return "\n".join(lines)


def _why_none(con: duckdb.DuckDBPyConnection, number: int, layer: int | None, model: str | None) -> str:
    """Why the last run has no MAPs of a neuron."""
    pages = findings.rows(
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
    places = findings.rows(con, "select distinct model, layer from similarity order by model, layer")
    where = "; ".join(f"{plain(row['model'])}, layer {row['layer']}" for row in places) or "no layer"
    return f"neuron {number}{at} is not in the last run, which had NEURONS={looked_at} of {where}"


def _headlines(con: duckdb.DuckDBPyConnection, row: Row, own: Row) -> list[str]:
    """Three lines: what a neuron stands for or why nothing, its scores, and the p of its tests."""
    miss = findings.rows(con, f"from near_misses where {_IS_OWN}", **own)
    tests = findings.rows(con, f"from verdicts where {_IS_OWN}", **own)
    what = findings.described(row) if row["is_selected"] else findings.why_not(row, next(iter(miss), None))
    f1 = row["detection_f1"]
    kind = row["kind"] if row["kind"] != "none" else f"none (nearest: {row['likely_kind']})"
    scores = [
        f"kind {kind}, q {findings.sure(row['q'])}, covers {findings.percent(row['coverage'])}",
        *(
            f"{name} {_number(row[score]).strip()}"
            for name, score in (
                ("similarity", "similarity"),
                ("normalised activation", "normalised_activation"),
                ("selectivity", "selectivity"),
            )
        ),
        *([] if f1 is None else [f"F1 of the description {f1:.2f}"]),
    ]
    p = [
        f"{name} {findings.sure(test[column])}"
        for test in tests
        for column, (name, _) in findings.TESTS.items()
    ]
    return [
        f"{plain(row['model'])}, layer {row['layer']}, neuron {row['neuron']}: {plain(what)}",
        ", ".join(scores),
        f"p {findings.sure(row['p'])}; of each test: {', '.join(p)}",
    ]


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


def _number(value: float | None, form: str = "5.2f") -> str:
    return "-".rjust(len(format(0.0, form))) if value is None else format(value, form)
