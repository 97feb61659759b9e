"""What the report shows of one neuron: its page, and its row of the table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import __version__
from pipeline.printable import plain
from pipeline.results import findings, render
from pipeline.results.findings import Row
from pipeline.results.report.chunks import MOST, Chunk
from pipeline.results.report.names import Key, Names

_THINGS = 3  # phrases of a neuron that stands for several things, one of each
SCORES = {
    "q": ("q", "false discovery rate at which it is found: small is sure", "%.2g"),
    "coverage": ("coverage", "share of its activation that what it stands for accounts for", "%"),
    "avg_activation": ("avg. activation", "mean over phrases and variants, raw units", "%.3g"),
    "normalised_activation": ("normalised", "the same, relative to the layer's highest", "%.2f"),
    "similarity": ("similarity", "mean cosine over pairs of phrases, -1 to 1", "%.2f"),
    "selectivity": ("selectivity", "retention of synonyms less that of unrelated words", "%.2f"),
    "detection_f1": ("F1", "of the description, 0 to 1", "%.2f"),
}
FOUND, CANDIDATE, OTHER = range(3)  # how far a neuron came


@dataclass(frozen=True)
class Line:
    """A neuron's row of the table, and what it is searched, filtered and sorted by; `phrase` shows it.

    `scores` are those of its columns, null where there is none; `order` is a feature neuron's place.
    """

    key: Key
    html: str
    words: str
    state: int
    kind: str
    scores: list[float | None]
    order: int | None
    phrase: str


@dataclass(frozen=True)
class Drawn:
    """What a report shows of a chunk: the line of each neuron, and pages by their path in the folder."""

    lines: list[Line]
    pages: dict[str, bytes]


@dataclass(frozen=True)
class Drawer:
    """Draws pages of a report, chunk by chunk; can be sent to other processes and machines.

    `columns` are the scores of the table, by their names in overview.
    """

    title: str
    names: Names
    columns: Sequence[str]

    def draw(self, chunk: Chunk) -> Drawn:
        """The lines of all neurons of a chunk, and the pages of those that have one."""
        misses = {findings.key(row): row for row in chunk.misses.to_pylist()}
        parts = {name: by_neuron(table.to_pylist()) for name, table in chunk.parts.items()}
        drawn = Drawn([], {})
        for row in chunk.rows.to_pylist():
            key = findings.key(row)
            own = {name: found.get(key, []) for name, found in parts.items()}
            row["why"] = _why(row, misses.get(key))
            if key in chunk.pages:
                text = self._page(row, own, chunk.pages[key])
                drawn.pages[self.names.page(key)] = text.encode(errors="replace")
            drawn.lines.append(self._line(row, own, chunk))
        return drawn

    def _page(self, row: Row, parts: dict[str, list[Row]], beside: tuple[Key | None, Key | None]) -> str:
        before, after = (key and self.names.own(key) for key in beside)
        frame = dict(title=self.title, version=__version__, root="../../../", before=before, after=after)
        own = self.names.own(findings.key(row))
        return render.html("neuron.html").render(**frame, neuron=own, **_shown(row, parts))

    def _line(self, row: Row, parts: dict[str, list[Row]], chunk: Chunk) -> Line:
        key = findings.key(row)
        is_found = row["is_selected"]
        kind = row["kind"] if is_found else row["likely_kind"]
        why = row["why"].removeprefix(findings.NOT_FOUND)
        description = (row["description"] or "no description") if is_found else why
        scores = [(row[name], _number(row[name], SCORES[name][2])) for name in self.columns]
        covers = row["description_coverage"]
        maps = showing(parts["maps"], parts["groups"], kind)
        template: Any = render.html("rows.html").module
        phrase = template.showing(maps)
        told = dict(
            label=self.names.label(key),
            page=self.names.page(key) if key in chunk.pages else None,
            is_found=is_found,
            kind=kind,
            description=description,
            covers=None if covers is None else findings.percent(covers),
            scores=[shown for _, shown in scores],
            phrase=phrase,
        )
        searched = row["max_phrases"] or [
            "".join(token["text"] for token in each["tokens"]) for each in maps
        ]
        return Line(
            key,
            html=template.row(told),
            words=plain(" ".join([description, *searched])).lower(),
            state=FOUND if is_found else CANDIDATE if row["is_candidate"] else OTHER,
            kind=kind,
            scores=[value for value, _ in scores],
            order=chunk.order.get(key),
            phrase=phrase,
        )


def by_neuron(rows: Iterable[Row]) -> dict[Key, list[Row]]:
    """Rows by the neuron that they are of."""
    grouped: dict[Key, list[Row]] = {}
    for row in rows:
        grouped.setdefault(findings.key(row), []).append(row)
    return grouped


def showing(maps: list[Row], groups: list[Row], kind: str) -> list[Row]:
    """The strongest MAP that shows what a neuron stands for, of several things one of each; coloured."""
    distinct = [each for each in maps if not each["duplicate"]]
    shown = [each for each in distinct if each["shows"] or kind == "none"] or distinct
    chosen = shown[:1]
    if kind == "several":
        clean = [group for group in groups if group["clean"]]
        firsts = [next((e for e in shown if e["rank"] in group["ranks"]), None) for group in clean]
        each_once = {each["rank"]: each for each in firsts if each}
        chosen = list(each_once.values())[:_THINGS] or chosen
    return coloured(chosen, _peak(distinct))


def coloured(maps: list[Row], peak: float | None = None) -> list[Row]:
    """A neuron's MAPs with their tokens as `_tokens` returns them; `peak` is the neuron's highest."""
    peak = _peak(maps) if peak is None else peak
    return [each | dict(tokens=_tokens(each, peak, each["mat"])) for each in maps]


def _shown(row: Row, parts: dict[str, list[Row]]) -> Row:
    """What a neuron's page shows."""
    changed, maps = parts["substitutions"], parts["maps"]
    synonyms = [each for each in changed if each["kind"] == "synonym"]
    address = row["address"]
    peak = _peak(maps)
    return dict(
        place=findings.place(row),
        kind=row["kind"],
        likely_kind=row["likely_kind"],
        description=findings.described(row) if row["description"] else None,
        why=row["why"],
        tests=[
            (name, test[column], meaning)
            for test in parts["tests"]
            for column, (name, meaning) in findings.TESTS.items()
        ],
        address=address if address and address.startswith(("http://", "https://")) else None,
        scores=[
            (name, _number(row[score], form), meaning) for score, (name, meaning, form) in SCORES.items()
        ],
        maps=coloured(maps, peak),
        substitutions=[
            ("Raised or kept it most", [r for r in synonyms if r["from_above"] <= MOST]),
            ("Lowered it most", [r for r in reversed(synonyms) if r["from_below"] <= MOST]),
            ("Relatives: words of its kind", [r for r in changed if r["kind"] == "relative"]),
            ("Controls: unrelated words", [r for r in changed if r["kind"] == "control"]),
        ]
        if changed
        else [],
        groups=parts["groups"],
        windows=[each | dict(tokens=_tokens(each, peak)) for each in parts["windows"]],
    )


def _number(value: float | None, form: str) -> str:
    """A number as its form says, % for a share; a dash where there is none."""
    if value is None:
        return "–"
    return findings.percent(value) if form == "%" else form % value


def _why(row: Row, miss: Row | None) -> str:
    """Why a neuron has no description."""
    return f"no description: {row['status']}" if row["is_selected"] else findings.why_not(row, miss)


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
