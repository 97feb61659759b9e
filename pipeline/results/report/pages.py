"""The report: static pages that open from disk, without a server or network.

An overview with charts and a table of feature neurons, and a page for each neuron that was looked at. The
templates escape everything that comes from outside.
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
from pipeline.results import folders, render
from pipeline.results.report import charts

if TYPE_CHECKING:
    import duckdb

IS_OURS = folders.is_a("report")
_MOST = 10  # substitutions of each kind that a page shows
_SCORES = {
    "avg_activation": ("avg. activation", "mean over phrases and variants, raw units", "%.3g"),
    "normalised_activation": ("normalised", "the same, relative to the layer's highest", "%.2f"),
    "similarity": ("similarity", "mean cosine over pairs of phrases, -1 to 1", "%.2f"),
    "selectivity": ("selectivity", "retention of synonyms less that of unrelated words", "%.2f"),
    "detection_f1": ("F1", "of the description, 0 to 1", "%.2f"),
}
# the rows of each part of a page, in the order in which they are shown
_PARTS = {
    "maps": "from phrases order by model, layer, neuron, rank",
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
        self.neurons = _rows(con, "from overview order by model, layer, neuron")
        self.polysemantic = _rows(
            con,
            "select model, layer, neuron, similarity, groups from polysemantic_neurons() "
            "order by mats_apart desc, n_grouped desc, model, layer, neuron",
        )
        self.steps = _rows(con, "from funnel order by model, layer, step")
        self.parts = {name: _by_neuron(_rows(con, query)) for name, query in _PARTS.items()}
        self.places = list(dict.fromkeys((row["model"], row["layer"]) for row in self.neurons))
        self._folders = _folders(dict.fromkeys(model for model, _ in self.places))
        for row in (*self.neurons, *self.polysemantic):
            row |= dict(label=self.label(_key(row)), page=self.page(_key(row)))

    def of(self, part: str, key: Key) -> list[dict[str, Any]]:
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
        for model, layer in self.places or [(self.config.model_name, self.config.layer)]:
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


def _rows(con: duckdb.DuckDBPyConnection, query: str, **given: Any) -> list[dict[str, Any]]:
    return con.sql(query, params=given).to_arrow_table().to_pylist()


def _key(row: dict[str, Any]) -> Key:
    return row["model"], row["layer"], row["neuron"]


def _by_neuron(rows: list[dict[str, Any]]) -> dict[Key, list[dict[str, Any]]]:
    grouped: dict[Key, list[dict[str, Any]]] = {}
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


def _beside(row: dict[str, Any], other: dict[str, Any] | None) -> int | None:
    """The number of the neuron before or after one, if it is in the same layer."""
    is_same = other is not None and (other["model"], other["layer"]) == (row["model"], row["layer"])
    return other["neuron"] if other is not None and is_same else None


def phrases(
    con: duckdb.DuckDBPyConnection, neuron: int, *, layer: int | None = None, model: str | None = None
) -> str:
    """A neuron's MAPs as HTML for a notebook, tokens coloured by activation and the MAT underlined.

    Without `layer` or `model` those of the neurons with this number in every layer or model.
    """
    rows = _rows(
        con,
        "from phrases where neuron = $neuron and layer = coalesce($layer, layer) "
        "and model = coalesce($model, model) order by model, layer, rank",
        neuron=neuron,
        layer=layer,
        model=model,
    )
    template: Any = render.html("phrases.html").module
    return "".join(str(template.phrases(_coloured(maps))) for maps in _by_neuron(rows).values())


def _overview(content: _Content) -> dict[str, Any]:
    """What the overview shows."""
    config = content.config
    scored = any(row["detection_f1"] is not None for row in content.neurons)
    names = [name for name in _SCORES if scored or name != "detection_f1"]
    chosen = sorted(
        (row for row in content.neurons if row["is_selected"]),
        key=lambda row: (-row["avg_activation"], _key(row)),
    )
    drawn = _charts(content)
    return dict(
        n_neurons=len(content.neurons),
        several=len(content.places) > 1,
        steps=content.steps,
        charts=drawn,
        figures=[chart.figure for chart in drawn],
        columns=["neuron", "description", *(_SCORES[name][0] for name in names)],
        neurons=[
            row
            | dict(
                scores=[row[name] for name in names],
                words=plain(" ".join([row["description"] or "", *row["max_phrases"]])).lower(),
            )
            for row in chosen
        ],
        polysemantic=[row for row in content.polysemantic if row["similarity"] < config.similarity],
        looked_at={row["label"]: row["page"] for row in content.neurons},
    )


def _charts(content: _Content) -> list[charts.Chart]:
    config = content.config
    verified = [row for row in content.neurons if row["normalised_activation"] is not None]
    return [
        charts.scatter(verified, (config.similarity, config.activation)),
        charts.histogram(
            [row["similarity"] for row in content.neurons if row["similarity"] is not None],
            "similarity",
            "Similarity of all neurons' phrases; dashed: SIMILARITY",
            config.similarity,
        ),
        charts.histogram(
            [row["normalised_activation"] for row in verified],
            "normalised activation",
            "Normalised activation of verified neurons; dashed: ACTIVATION",
            config.activation,
        ),
        charts.histogram(
            [row["selectivity"] for row in verified if row["selectivity"] is not None],
            "selectivity",
            "Selectivity of verified neurons whose MATs are words",
            config.selectivity,
        ),
    ]


def _neuron(row: dict[str, Any], content: _Content) -> dict[str, Any]:
    """What a neuron's page shows."""
    key = _key(row)
    changed = content.of("substitutions", key)
    synonyms = [each for each in changed if each["kind"] == "synonym"]
    address = row["address"]
    peak = _peak(content.of("maps", key))
    return dict(
        neuron=row["neuron"],
        place=f"{row['model']}, layer {row['layer']}",
        description=row["description"],
        why=_why(row, content.config),
        address=address if address and address.startswith(("http://", "https://")) else None,
        scores=[(name, row[score], meaning, form) for score, (name, meaning, form) in _SCORES.items()],
        maps=_coloured(content.of("maps", key)),
        substitutions=[
            ("Raised or kept it most", [r for r in synonyms if r["from_above"] <= _MOST]),
            ("Lowered it most", [r for r in reversed(synonyms) if r["from_below"] <= _MOST]),
            ("Controls: unrelated words", [r for r in changed if r["kind"] == "control"]),
        ]
        if changed
        else [],
        groups=content.of("groups", key),
        windows=[each | dict(tokens=_tokens(each, peak)) for each in content.of("windows", key)],
    )


def _why(row: dict[str, Any], config: Config) -> str:
    """Why a neuron has no description, and whether its MAPs fall into several clean groups."""
    n_clean = row["n_clean_groups"]
    several = f"; but its phrases fall into {n_clean} groups that are each alike" if n_clean > 1 else ""
    if row["is_selected"]:
        return f"no description: {row['status']}"
    if row["is_candidate"]:
        return "not a feature neuron: below ACTIVATION or SELECTIVITY"
    return f"not a candidate: {row['reason'] or f'below SIMILARITY {config.similarity:g}'}{several}"


def _coloured(maps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A neuron's MAPs with their tokens as `_tokens` returns them."""
    peak = _peak(maps)
    return [each | dict(tokens=_tokens(each, peak, each["mat"])) for each in maps]


def _peak(maps: list[dict[str, Any]]) -> float:
    return max((each["max_activation"] for each in maps), default=0.0)


def _tokens(row: dict[str, Any], peak: float, mat: int | None = None) -> list[dict[str, Any]]:
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
