"""What people see in a terminal, on lines that fit it: the results, a neuron's MAPs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import duckdb

from pipeline.config import Config
from pipeline.errors import PipelineError, UserError
from pipeline.output import spoken, width
from pipeline.printable import cells, fitted, plain
from pipeline.results import findings
from pipeline.results.findings import Row
from pipeline.results.past import Past
from pipeline.tables.columns import NEURON_KEY

_SHOWN = 30
_PHRASES = 3
_LINE = 10**6  # columns of what is said of one neuron where there is no terminal
_DESCRIBED = 24  # columns that a description needs beside the others
_NEAR = 3
_IS_OWN = "model = $model and layer = $layer and sign = $sign and neuron = $neuron"


def results(con: duckdb.DuckDBPyConnection, config: Config) -> str:
    """What each step left and what decided; the feature neurons, the surest first; the nearest misses."""
    layers = findings.layers(con)
    lines = [] if layers else [f"{plain(findings.asked(config))}: 0 neurons"]
    for layer in layers:
        lines += _wrapped(plain(findings.headline(layer, config)), "", "  ")
        for remark in findings.remarks(layer, config):
            lines += _wrapped(spoken(remark), "  ", "    ")
    several = len(layers) > 1
    found = findings.neurons(con)
    if found:
        lines += ["", *_listed(con, found[:_SHOWN], several=several)]
    if len(found) > _SHOWN:
        rest = spoken('python -m pipeline sql "from feature_neurons order by q"')
        lines += _wrapped(f"... and {len(found) - _SHOWN} more: {rest}", "", "  ")
    near = findings.near_misses(con, _NEAR)
    if not found:
        lines += ["", *_wrapped(spoken(findings.missing(near, config)), "", "  ")]
    return "\n".join([*lines, *_near(near, several=several)])


def runs(found: Sequence[Past]) -> str:
    """A line for each run of a store, the newest first, and under it its settings that are not the
    default."""
    if not found:
        return "no run yet; make one with `make data`"
    lines = ["id        made              found  model and layers"]
    for run in found:
        made, layers = run.made[:16].replace("T", " "), ", ".join(map(str, dict.fromkeys(run.layers)))
        start = f"{run.id}  {made} {run.n_found:>6,}  "
        lines += _wrapped(
            f"{plain(run.model)}, layer{'s' * (len(set(run.layers)) > 1)} {layers}", start, "    "
        )
        given = " ".join(f"{name.upper()}={value}" for name, value in run.changed.items())
        lines += _wrapped(plain(given), "    ", "    ") if given else []
    return "\n".join(lines)


def _listed(con: duckdb.DuckDBPyConnection, found: list[Row], *, several: bool) -> list[str]:
    """A line for each feature neuron, each with phrases that show what it stands for."""
    scored = any(row["detection_f1"] is not None for row in found)
    signs = any(row["sign"] == "negative" for row in found)
    columns = _columns(several=several, signs=signs, scored=scored)
    start = "".join(title for title, _ in columns)
    under = cells(start) + _DESCRIBED > width()  # a narrow terminal: descriptions have lines of their own
    lines = [start.rstrip() if under else f"{start}  description"]
    for row in found:
        start, says = "".join(shown(row) for _, shown in columns), plain(findings.described(row))
        if under:
            lines += [start.rstrip(), *_wrapped(says, " " * 6, " " * 6)]
        else:
            lines += _wrapped(says, start + "  ", " " * (len(start) + 2))
        lines += [f"{'':8}{_marked(phrase, width() - 8)}" for phrase in _showing(con, row)]
    return lines


def _columns(*, several: bool, signs: bool, scored: bool) -> list[tuple[str, Callable[[Row], str]]]:
    """Title and content of each column before the description; the last ones go where they do not fit."""
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("neuron", lambda row: f"{row['neuron']:>6}"),
        *([(" layer", lambda row: f" {row['layer']:>5}")] if several else []),
        *([(" end", lambda row: f"   {'-' if row['sign'] == 'negative' else '+'}")] if signs else []),
        ("  kind    ", lambda row: f"  {row['kind']:<8}"),
        ("       q", lambda row: f" {findings.sure(row['q']):>7}"),
        ("  cover", lambda row: f"{findings.percent(row['coverage']):>7}"),
        ("  avg act", lambda row: f" {_number(row['avg_activation'], '8.3g')}"),
        ("   norm", lambda row: f"  {_number(row['normalised_activation'])}"),
        ("  select", lambda row: f"   {_number(row['selectivity'])}"),
        *([("   F1  ", lambda row: f"  {_number(row['detection_f1'])}")] if scored else []),
    ]
    while cells("".join(title for title, _ in columns)) > width():
        columns.pop()
    return columns


def _near(near: list[Row], *, several: bool) -> list[str]:
    """A line for each neuron that came near, with what would have to differ."""
    lines = ["", "nearest misses:"] if near else []
    for row in near:
        at = f" of {plain(findings.place(row))}" if several else ""
        kind = "" if row["likely_kind"] == "none" else f"{row['likely_kind']}, "
        lines += _wrapped(f"neuron {row['neuron']}{at}: {kind}{spoken(plain(row['reason']))}", "  ", "    ")
    return lines


def _showing(con: duckdb.DuckDBPyConnection, row: Row) -> list[Row]:
    """The first MAPs that show what a neuron stands for, near duplicates left out."""
    own = {name: row[name] for name in NEURON_KEY}
    query = f"""
        select phrases.*, kind = 'none' or list_contains(ranks, rank) as shows
        from phrases
        join verdicts using (model, layer, sign, neuron)
        where {_IS_OWN} and not duplicate
        order by shows desc, rank
        limit {_PHRASES}
    """
    shown = findings.rows(con, query, **own)
    return [each for each in shown if each["shows"]] or shown


def _wrapped(text: str, start: str, indent: str, most: int = 0) -> list[str]:
    """A text after `start` on lines that fit the terminal; a word longer than a line is cut in pieces."""
    most = most or width()
    lines, line, is_new = [], start, True
    for word in text.split():
        if not is_new and cells(line) + 1 + cells(word) > most:
            lines.append(line)
            line, is_new = indent, True
        line += word if is_new else f" {word}"
        is_new = False
        while cells(line) > most and (piece := fitted(line, most)) > indent:
            lines.append(piece)
            line = indent + line[len(piece) :]
    return [*lines, line]


def _marked(phrase: Row, room: int) -> str:
    """A MAP on one line of `room` columns with its MAT in brackets; a long one loses its ends."""
    tokens, mat = [plain(token) for token in phrase["tokens"]], phrase["mat"]
    return "".join(_cut([f"[{t}]" if i == mat else t for i, t in enumerate(tokens)], mat, room)).strip()


def _cut(tokens: Sequence[str], mat: int, room: int) -> list[str]:
    """Tokens that fit into `room` columns together, around the one at `mat`; others are cut or empty."""
    before, after = "".join(tokens[:mat]), "".join(tokens[mat + 1 :])
    left = max(0, room - cells(tokens[mat]))
    first = max(left // 2, left - cells(after))
    start = _kept([token[::-1] for token in reversed(tokens[:mat])], first)
    end = _kept(tokens[mat + 1 :], left - min(first, cells(before)))
    return [*(token[::-1] for token in reversed(start)), *_kept([tokens[mat]], room), *end]


def _kept(tokens: Sequence[str], room: int) -> list[str]:
    """As much of the tokens as `room` columns take, a mark where they are cut."""
    if sum(map(cells, tokens)) <= room:
        return [*tokens]
    kept, left = [], room - 1
    for token in tokens:
        part = fitted(token, max(left, 0))
        is_cut = part != token and left >= 0
        left = left - cells(part) if part == token else -1
        kept.append(f"{part}…" if is_cut else part)
    return kept


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
            "and model = coalesce($model, model) order by model, layer, sign",
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
        mark = " (near duplicate)" if each["duplicate"] else ""
        start = f"{each['rank']:>3} {peak:>8.3g}  "
        tokens = [plain(token) for token in each["tokens"]]
        if not colour:
            tokens[each["mat"]] = f"[{tokens[each['mat']]}]"
        shown = _cut(tokens, each["mat"], width(_LINE) - cells(start + mark))
        if colour:
            shown = [_coloured(*piece, peak) for piece in zip(shown, each["activations"], strict=True)]
        lines.append(f"{start}{''.join(shown)}{mark}")
    groups = findings.rows(con, f"from described_groups where clean and {_IS_OWN} order by number", **own)
    for group in groups if len(groups) > 1 else []:
        says = group["description"] or " ·".join(sorted(set(group["mats"])))
        lines += _wrapped(
            f"a group of {group['n_maps']} MAPs, alike by {group['by']}, score {group['score']:.2f}, "
            f"p {findings.sure(group['p'])}, covers {findings.percent(group['coverage'])}: {plain(says)}",
            "",
            "  ",
            width(_LINE),
        )
    return "\n".join(lines)


def _why_none(con: duckdb.DuckDBPyConnection, number: int, layer: int | None, model: str | None) -> str:
    """Why the last run has no MAPs of a neuron."""
    pages = findings.rows(
        con,
        "from pages where neuron = $neuron and layer = coalesce($layer, layer) "
        "and model = coalesce($model, model) order by model, layer, sign",
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
    places = findings.rows(
        con, "select distinct model, layer, sign from similarity order by model, layer, sign"
    )
    where = "; ".join(plain(findings.place(row)) for row in places) or "no layer"
    return f"neuron {number}{at} is not in the last run, which had NEURONS={looked_at} of {where}"


def _headlines(con: duckdb.DuckDBPyConnection, row: Row, own: Row) -> list[str]:
    """What a neuron stands for or why nothing, its scores, and the p of its tests, each from a new line."""
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
    lines = [
        f"{plain(findings.place(row))}, neuron {row['neuron']}: {spoken(plain(what))}",
        ", ".join(scores),
        f"p {findings.sure(row['p'])}; of each test: {', '.join(p)}",
    ]
    return [part for line in lines for part in _wrapped(line, "", "  ", width(_LINE))]


def _coloured(text: str, value: float | None, peak: float) -> str:
    share = max(0.0, min(1.0, value / peak)) if peak > 0 and value is not None else 0.0
    if share < 0.05 or not text:
        return text
    shade = 255 - round(share * 180)  # white towards green, black letters
    return f"\x1b[48;2;{shade};255;{shade};38;2;0;0;0m{text}\x1b[0m"


def _number(value: float | None, form: str = "5.2f") -> str:
    return "-".rjust(len(format(0.0, form))) if value is None else format(value, form)
