"""The report: static pages that open from disk, without a server or network.

An overview that opens with a table of the feature neurons, each with a phrase, so that they can be judged
at a glance, and a page for each neuron that was looked at. The templates escape everything that comes from
outside.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import __version__
from pipeline.config import Config
from pipeline.printable import plain
from pipeline.progress import progress
from pipeline.results import findings, folders, render
from pipeline.results.findings import Row
from pipeline.results.report import charts, distributions

if TYPE_CHECKING:
    import duckdb

IS_OURS = folders.is_a("report")
_MOST = 10  # substitutions of each kind that a page shows
_NEAR = 30  # nearest misses that the overview shows
_THINGS = 3  # phrases of a neuron that stands for several things, one of each
_SCORES = {
    "q": ("q", "false discovery rate at which it is found: small is sure", "%.2g"),
    "coverage": ("coverage", "share of its activation that what it stands for accounts for", "%"),
    "avg_activation": ("avg. activation", "mean over phrases and variants, raw units", "%.3g"),
    "normalised_activation": ("normalised", "the same, relative to the layer's highest", "%.2f"),
    "similarity": ("similarity", "mean cosine over pairs of phrases, -1 to 1", "%.2f"),
    "selectivity": ("selectivity", "retention of synonyms less that of unrelated words", "%.2f"),
    "detection_f1": ("F1", "of the description, 0 to 1", "%.2f"),
}
# the rows of each part of a page, in the order in which they are shown
_PARTS = {
    "maps": """
        select phrases.*, list_contains(ranks, rank) as shows
        from phrases
        join verdicts using (model, layer, neuron)
        order by model, layer, neuron, rank
    """,
    "tests": "from verdicts order by model, layer, neuron",
    "groups": "from described_groups order by model, layer, neuron, number",
    "windows": "from judged_windows order by model, layer, neuron, activation desc, judged_windows.window",
    "substitutions": f"""
        from substitutions
        where from_above <= {_MOST} or (kind = 'synonym' and from_below <= {_MOST})
        order by model, layer, neuron, kind, retention desc, rank, variant
    """,
}
Key = tuple[str, int, int]  # model, layer, neuron


def write(con: duckdb.DuckDBPyConnection, config: Config, folder: Path) -> int:
    """Write the report of a run's database into `folder` and return the number of neurons' pages.

    A neuron's page is `neurons/MODEL/LAYER/NEURON.html`. An earlier report is replaced as a whole; another
    folder with something in it is refused.
    """
    content = _Content(con, config)
    with folders.replaced(folder, IS_OURS) as new:
        for name in ("style.css", "report.js"):
            shutil.copyfile(render.FOLDER / name, new / name)
        (new / "plotly.min.js").write_text(charts.script(), encoding="utf-8")
        for name, text in progress(_pages(content), "report", unit="page", total=len(content.neurons) + 1):
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_text(text, encoding="utf-8", errors="replace")
        folders.mark(new, "report", places=[f"{model}, layer {layer}" for model, layer in content.places])
    return len(content.neurons)


class _Content:
    """What the report shows."""

    def __init__(self, con: duckdb.DuckDBPyConnection, config: Config) -> None:
        self.config = config
        self.neurons = findings.rows(con, "from overview order by model, layer, neuron")
        self.layers = findings.layers(con)
        self.found = findings.neurons(con)
        self.near = findings.near_misses(con, _NEAR)[:_NEAR]
        self.misses = {_key(row): row for row in findings.rows(con, "from near_misses")}
        self.steps = findings.rows(con, "from funnel order by model, layer, step")
        self.parts = {name: _by_neuron(findings.rows(con, query)) for name, query in _PARTS.items()}
        self.places = list(dict.fromkeys((row["model"], row["layer"]) for row in self.neurons))
        self._folders = _folders(dict.fromkeys(model for model, _ in self.places))
        for row in (*self.neurons, *self.found, *self.near):
            row |= dict(label=self.label(_key(row)), page=self.page(_key(row)))

    def of(self, part: str, key: Key) -> list[Row]:
        """A neuron's rows of one part."""
        return self.parts[part].get(key, [])

    def label(self, key: Key) -> str:
        """A neuron's name in the report: as much of its key as distinguishes it from the others."""
        several = [len({model for model, _ in self.places}) > 1, len(self.places) > 1, True]
        return "/".join(str(part) for part, shown in zip(key, several, strict=True) if shown)

    def page(self, key: Key) -> str:
        """Where a neuron's page is in the report."""
        model, layer, neuron = key
        return f"neurons/{self._folders[model]}/{layer}/{neuron}.html"

    @property
    def title(self) -> str:
        """The models and layers that were looked at."""
        layers_of: dict[str, list[str]] = {}
        if not self.places:
            return findings.asked(self.config)
        for model, layer in self.places:
            layers_of.setdefault(model, []).append(str(layer))
        return "; ".join(
            f"{model}, layer{'s' if len(layers) > 1 else ''} {', '.join(layers)}"
            for model, layers in layers_of.items()
        )


def _folders(models: Iterable[str]) -> dict[str, str]:
    """A distinct folder name for each model, of letters that are safe everywhere."""
    folder_of: dict[str, str] = {}
    for model in models:
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", model)
        taken = {other.lower() for other in folder_of.values()}  # some file systems ignore case
        folder_of[model] = name if name.lower() not in taken else f"{name}-{len(folder_of)}"
    return folder_of


def _key(row: Row) -> Key:
    return row["model"], row["layer"], row["neuron"]


def _by_neuron(rows: list[Row]) -> dict[Key, list[Row]]:
    grouped: dict[Key, list[Row]] = {}
    for row in rows:
        grouped.setdefault(_key(row), []).append(row)
    return grouped


def _pages(content: _Content) -> Iterator[tuple[str, str]]:
    """Each page's name and text."""
    same = dict(title=content.title, version=__version__)
    yield "index.html", render.html("index.html").render(**same, root="", **_overview(content))
    template = render.html("neuron.html")
    neurons = content.neurons
    for before, row, after in zip([None, *neurons], neurons, [*neurons[1:], None], strict=False):
        beside = dict(before=_beside(row, before), after=_beside(row, after))
        text = template.render(**same, **beside, root="../../../", **_neuron(row, content))
        yield row["page"], text


def _beside(row: Row, other: Row | None) -> int | None:
    """The number of the neuron before or after one, if it is in the same layer."""
    is_same = other is not None and (other["model"], other["layer"]) == (row["model"], row["layer"])
    return other["neuron"] if other is not None and is_same else None


def phrases(
    con: duckdb.DuckDBPyConnection, neuron: int, *, layer: int | None = None, model: str | None = None
) -> str:
    """A neuron's MAPs as HTML for a notebook, tokens coloured by activation and the MAT underlined.

    Without `layer` or `model` those of the neurons with this number in every layer or model.
    """
    rows = findings.rows(
        con,
        "from phrases where neuron = $neuron and layer = coalesce($layer, layer) "
        "and model = coalesce($model, model) order by model, layer, rank",
        neuron=neuron,
        layer=layer,
        model=model,
    )
    template: Any = render.html("phrases.html").module
    return "".join(str(template.phrases(_coloured(maps))) for maps in _by_neuron(rows).values())


def _overview(content: _Content) -> Row:
    """What the overview shows."""
    by_threshold = any(not layer.by_chance for layer in content.layers)
    drawn = distributions.drawn(content.neurons, content.config, by_chance=not by_threshold)
    names = [
        "q",
        "coverage",
        *(["similarity"] if by_threshold else []),
        "normalised_activation",
        "selectivity",
        *(["detection_f1"] if any(row["detection_f1"] is not None for row in content.found) else []),
    ]
    return dict(
        n_neurons=len(content.neurons),
        several=len(content.places) > 1,
        summary=[
            "; ".join([findings.headline(layer, content.config), *findings.remarks(layer, content.config)])
            for layer in content.layers
        ],
        columns=["neuron", "kind", "description", *(_SCORES[name][0] for name in names)],
        sorted_by=("normalised", "descending") if by_threshold else ("q", "ascending"),
        kinds=sorted({row["kind"] for row in content.found}),
        limits=[name for name in names if name in ("q", "similarity", "selectivity")],
        neurons=[_in_table(row, names, content) for row in content.found],
        missing="" if content.found else findings.missing(content.near, content.config),
        near=[row | dict(phrases=_showing(row, row["likely_kind"], content)) for row in content.near],
        steps=content.steps,
        charts=drawn,
        figures=[chart.figure for chart in drawn],
        looked_at={row["label"]: row["page"] for row in content.neurons},
    )


def _in_table(row: Row, names: list[str], content: _Content) -> Row:
    """A feature neuron's row of the table."""
    words = plain(" ".join([row["description"] or "", *(row["max_phrases"] or [])])).lower()
    return row | dict(
        scores=[(row[name], _number(row[name], _SCORES[name][2])) for name in names],
        words=words,
        fits=findings.percent(row["description_coverage"]),
        phrases=_showing(row, row["kind"], content),
    )


def _number(value: float | None, form: str) -> str:
    """A number as its form says, % for a share; a dash where there is none."""
    if value is None:
        return "–"
    return findings.percent(value) if form == "%" else form % value


def _showing(row: Row, kind: str, content: _Content) -> list[Row]:
    """The strongest MAP that shows what a neuron stands for, of several things one of each; coloured."""
    key = _key(row)
    maps = _coloured([each for each in content.of("maps", key) if not each["duplicate"]])
    shown = [each for each in maps if each["shows"] or kind == "none"] or maps
    if kind == "several":
        clean = [group for group in content.of("groups", key) if group["clean"]]
        firsts = [next((e for e in shown if e["rank"] in group["ranks"]), None) for group in clean]
        each_once = {each["rank"]: each for each in firsts if each}
        return list(each_once.values())[:_THINGS] or shown[:1]
    return shown[:1]


def _neuron(row: Row, content: _Content) -> Row:
    """What a neuron's page shows."""
    key = _key(row)
    changed = content.of("substitutions", key)
    synonyms = [each for each in changed if each["kind"] == "synonym"]
    address = row["address"]
    peak = _peak(content.of("maps", key))
    return dict(
        neuron=row["neuron"],
        place=f"{row['model']}, layer {row['layer']}",
        kind=row["kind"],
        likely_kind=row["likely_kind"],
        is_selected=row["is_selected"],
        description=findings.described(row) if row["description"] else None,
        why=_why(row, content.misses.get(key)),
        tests=[
            (name, test[column], meaning)
            for test in content.of("tests", key)
            for column, (name, meaning) in findings.TESTS.items()
        ],
        address=address if address and address.startswith(("http://", "https://")) else None,
        scores=[
            (name, _number(row[score], form), meaning) for score, (name, meaning, form) in _SCORES.items()
        ],
        maps=_coloured(content.of("maps", key)),
        substitutions=[
            ("Raised or kept it most", [r for r in synonyms if r["from_above"] <= _MOST]),
            ("Lowered it most", [r for r in reversed(synonyms) if r["from_below"] <= _MOST]),
            ("Relatives: words of its kind", [r for r in changed if r["kind"] == "relative"]),
            ("Controls: unrelated words", [r for r in changed if r["kind"] == "control"]),
        ]
        if changed
        else [],
        groups=content.of("groups", key),
        windows=[each | dict(tokens=_tokens(each, peak)) for each in content.of("windows", key)],
    )


def _why(row: Row, miss: Row | None) -> str:
    """Why a neuron has no description."""
    return f"no description: {row['status']}" if row["is_selected"] else findings.why_not(row, miss)


def _coloured(maps: list[Row]) -> list[Row]:
    """A neuron's MAPs with their tokens as `_tokens` returns them."""
    peak = _peak(maps)
    return [each | dict(tokens=_tokens(each, peak, each["mat"])) for each in maps]


def _peak(maps: list[Row]) -> float:
    return max((each["max_activation"] for each in maps), default=0.0)


def _tokens(row: Row, peak: float, mat: int | None = None) -> list[Row]:
    """Tokens with their activation, and its share of the neuron's highest, 0 to 1."""
    return [
        dict(
            text=token,
            value=value,
            share=round(min(1.0, max(0.0, value / peak)), 2) if peak > 0 and value is not None else 0,
            is_mat=place == mat,
        )
        for place, (token, value) in enumerate(zip(row["tokens"], row["activations"], strict=True))
    ]
