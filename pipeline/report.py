"""The report: static pages that open from disk, without a server or network.

An overview with charts and a table of feature neurons, and a page per neuron that was looked at. Everything
from outside is escaped by the templates.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import __version__, charts, folders, render
from pipeline.config import Config
from pipeline.printable import plain
from pipeline.progress import progress

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
_NEURONS = """
select
    neuron, similarity.similarity, similarity.reason,
    averages.avg_activation, normalised.normalised_activation, normalised.selectivity,
    descriptions.description, descriptions.status, detection_f1, fuzzing_f1, max_phrases,
    candidates.neuron is not null as is_candidate, selected.neuron is not null as is_selected
from similarity
left join candidates using (model, layer, neuron)
left join averages using (model, layer, neuron)
left join normalised using (model, layer, neuron)
left join selected using (model, layer, neuron)
left join descriptions using (model, layer, neuron)
left join feature_neurons using (model, layer, neuron)
order by neuron
"""
_PARTS = {
    "maps": """
        select neuron, rank, tokens, activations, max_activation, mat_index - start as mat, duplicate
        from maps
        order by neuron, rank
    """,
    "groups": """
        select neuron, n_maps, similarity, clean, mats, description
        from groups
        left join group_descriptions using (model, layer, neuron, number)
        order by neuron, number
    """,
    "windows": """
        select
            windows.neuron, kind, activation, tokens, activations,
            answers[windows.window % $per_call + 1] as said
        from windows
        left join judgements
            on judgements.neuron = windows.neuron
            and judgements.part = windows.window // $per_call
            and method = 'detection' and control = 'none'
        order by windows.neuron, activation desc, windows.window
    """,
    "substitutions": """
        with ranked as (
            select
                neuron, kind, word, trim(replacement) as replacement, retention, phrase, rank, variant,
                row_number() over (
                    partition by neuron, kind order by retention desc, rank, variant
                ) as from_above,
                row_number() over (
                    partition by neuron, kind order by retention, rank, variant
                ) as from_below
            from retentions
            join variants using (model, layer, neuron, rank, variant, kind)
            where kind != 'baseline' and retention is not null
                and coalesce(retentions.upto_mat, true)
        )
        select *
        from ranked
        where from_above <= $most or (kind = 'synonym' and from_below <= $most)
        order by neuron, kind, retention desc, rank, variant
    """,
}
_POLYSEMANTIC = """
select neuron, similarity, groups
from polysemantic_neurons()
order by mats_apart desc, n_grouped desc, neuron
"""


def write(con: duckdb.DuckDBPyConnection, config: Config, folder: Path) -> int:
    """Write the report of a run's database into `folder` and return the number of neurons' pages.

    A report written here before is replaced as a whole; another folder with something in it is refused.
    """
    found = _Found(con, config)
    pages = _pages(found)
    with folders.replaced(folder, IS_OURS) as new:
        (new / "neurons").mkdir()
        for name in ("style.css", "report.js"):
            shutil.copyfile(render.FOLDER / name, new / name)
        (new / "plotly.min.js").write_text(charts.script(), encoding="utf-8")
        for name, text in progress(pages, "report", unit="page", total=len(found.neurons) + 1):
            (new / name).write_text(text, encoding="utf-8", errors="replace")
        folders.mark(new, "report", model=config.model_name, layer=config.layer)
    return len(found.neurons)


class _Found:
    """What the report shows, by neuron."""

    def __init__(self, con: duckdb.DuckDBPyConnection, config: Config) -> None:
        self.config = config
        self.neurons = con.sql(_NEURONS).to_arrow_table().to_pylist()
        self.polysemantic = con.sql(_POLYSEMANTIC).to_arrow_table().to_pylist()
        self.addresses = dict(
            con.sql("select neuron, any_value(address) from samples group by neuron").fetchall()
        )
        given = {"most": _MOST, "per_call": config.windows_per_call}
        self.parts = {
            name: _by_neuron(con.sql(query, params={k: v for k, v in given.items() if f"${k}" in query}))
            for name, query in _PARTS.items()
        }

    def of(self, part: str, neuron: int) -> list[dict[str, Any]]:
        """A neuron's rows of one part."""
        return self.parts[part].get(neuron, [])

    @property
    def steps(self) -> list[dict[str, Any]]:
        """How many neurons each step left, and what took the others away."""
        config, rows = self.config, self.neurons
        least = f"SIMILARITY {config.similarity:g}"
        then = f"ACTIVATION {config.activation:g}"
        if config.selectivity is not None:
            then += f" or SELECTIVITY {config.selectivity:g}"
        left = [
            ("looked at", len(rows), ""),
            ("with a similarity", sum(row["similarity"] is not None for row in rows), "too few phrases"),
            ("candidates", sum(row["is_candidate"] for row in rows), f"below {least}"),
            ("feature neurons", sum(row["is_selected"] for row in rows), f"below {then}"),
        ]
        gone = [0, *(before[1] - after[1] for before, after in pairwise(left))]
        return [
            dict(what=what, neurons=count, why=f"{lost:,} {why}" if lost else "")
            for (what, count, why), lost in zip(left, gone, strict=True)
        ]


def _by_neuron(relation: Any) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in relation.to_arrow_table().to_pylist():
        found.setdefault(row["neuron"], []).append(row)
    return found


def _pages(found: _Found) -> Iterator[tuple[str, str]]:
    """Each page's name and text."""
    same = dict(model=found.config.model_name, layer=found.config.layer, version=__version__)
    yield "index.html", render.html("index.html").render(**same, root="", **_overview(found))
    template = render.html("neuron.html")
    numbers = [row["neuron"] for row in found.neurons]
    for at, row in enumerate(found.neurons):
        beside = dict(before=numbers[at - 1] if at else None, after=(numbers[at + 1 :] or [None])[0])
        text = template.render(**same, **beside, root="../", **_neuron(row, found))
        yield f"neurons/{row['neuron']}.html", text


def phrases(con: duckdb.DuckDBPyConnection, neuron: int) -> str:
    """A neuron's MAPs as HTML, tokens coloured by activation and the MAT underlined, as in a notebook."""
    rows = _by_neuron(con.sql(_PARTS["maps"])).get(neuron, [])
    template = render.html("phrases.html").module
    return str(template.phrases(_coloured(rows)))


def _overview(found: _Found) -> dict[str, Any]:
    """What the overview shows."""
    config = found.config
    verified = [row for row in found.neurons if row["normalised_activation"] is not None]
    drawn = [
        charts.scatter(verified, (config.similarity, config.activation)),
        charts.histogram(
            [row["similarity"] for row in found.neurons if row["similarity"] is not None],
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
    scored = any(row["detection_f1"] is not None for row in found.neurons)
    names = [name for name in _SCORES if scored or name != "detection_f1"]
    chosen = sorted(
        (row for row in found.neurons if row["is_selected"]),
        key=lambda row: (-row["avg_activation"], row["neuron"]),
    )
    return dict(
        steps=found.steps,
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
        polysemantic=[row for row in found.polysemantic if row["similarity"] < config.similarity],
        looked_at=[row["neuron"] for row in found.neurons],
    )


def _neuron(row: dict[str, Any], found: _Found) -> dict[str, Any]:
    """What a neuron's page shows."""
    neuron = row["neuron"]
    changed = found.of("substitutions", neuron)
    synonyms = [each for each in changed if each["kind"] == "synonym"]
    address = found.addresses.get(neuron)
    peak = _peak(found.of("maps", neuron))
    return dict(
        neuron=neuron,
        description=row["description"],
        why=_why(row, found.config, n_clean=sum(group["clean"] for group in found.of("groups", neuron))),
        address=address if address and address.startswith(("http://", "https://")) else None,
        scores=[(name, row[key], meaning, form) for key, (name, meaning, form) in _SCORES.items()],
        maps=_coloured(found.of("maps", neuron)),
        substitutions=[
            ("Raised or kept it most", [r for r in synonyms if r["from_above"] <= _MOST]),
            ("Lowered it most", [r for r in reversed(synonyms) if r["from_below"] <= _MOST]),
            ("Controls: unrelated words", [r for r in changed if r["kind"] == "control"]),
        ]
        if changed
        else [],
        groups=found.of("groups", neuron),
        windows=[each | dict(tokens=_tokens(each, peak)) for each in found.of("windows", neuron)],
    )


def _why(row: dict[str, Any], config: Config, *, n_clean: int) -> str:
    """Why a neuron has no description; and that its MAPs fall into several clean groups, if they do."""
    several = f"; but its phrases fall into {n_clean} groups that are each alike" if n_clean > 1 else ""
    if row["is_selected"]:
        return f"no description: {row['status']}"
    if row["is_candidate"]:
        return "no feature neuron: below ACTIVATION or SELECTIVITY"
    return f"no candidate: {row['reason'] or f'below SIMILARITY {config.similarity:g}'}{several}"


def _coloured(maps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A neuron's MAPs with their tokens as `_tokens` has them."""
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
