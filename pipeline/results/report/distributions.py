"""Which charts the overview has: how sure the neurons are, and how they keep their activation.

Of several layers each chart has a panel for each. A chart with fewer than two values shows nothing and is
left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.config import Config
from pipeline.results.findings import Row, numbered
from pipeline.results.report import charts
from pipeline.results.report.charts import Axis, Chart

_LEAST_Q = 1e-12  # a q may be 0, and has no logarithm then
_POINTS = 6000  # of a chart, so that it is drawn at once


def drawn(neurons: Sequence[Row], config: Config, *, by_chance: bool) -> list[Chart]:
    """The charts of neurons, rows of overview with place, label and page; with the limits that decided."""
    verified = [row for row in neurons if row["normalised_activation"] is not None]
    made = (
        _surety(neurons, config, by_chance=by_chance),
        _evidence(neurons),
        _kept(verified, config, by_chance=by_chance),
        _selectivity(verified, config),
    )
    return [chart for chart in made if chart]


def _surety(neurons: Sequence[Row], config: Config, *, by_chance: bool) -> Chart | None:
    """How much of its activation each neuron's thing covers, against how sure it is."""
    things = [
        row | dict(surety=-math.log10(max(row["q"], _LEAST_Q)))
        for row in neurons
        if row["coverage"] is not None and row["q"] < 1
    ]
    if len(things) < 2:
        return None
    says = f"{numbered(len(things), 'neuron')} with something that may be a thing, the surest at the top"
    panels, left = _highest(things, "surety")
    return charts.scatter(
        panels,
        Axis("coverage", "coverage", config.coverage if by_chance else None),
        Axis("surety", "-log10 q", -math.log10(config.fdr) if by_chance else None),
        f"{says}{left}; dashed: COVERAGE and FDR" if by_chance else f"{says}{left}",
    )


def _evidence(neurons: Sequence[Row]) -> Chart | None:
    some = [row for row in neurons if row["p"] < 1]
    says = f"p of the {numbered(len(some), 'neuron')} with any evidence: chance alone would be flat"
    return charts.histogram(_values(some, "p"), "p", says) if len(some) > 1 else None


def _kept(verified: Sequence[Row], config: Config, *, by_chance: bool) -> Chart | None:
    """How alike the MAPs of verified neurons are, against what substitution left of the activation."""
    alike = [row for row in verified if row["similarity"] is not None]
    if len(alike) < 2:
        return None
    least = {} if by_chance else config.values(("similarity", "activation"))
    says = f"{numbered(len(alike), 'verified neuron')}: similarity against normalised activation"
    panels, left = _highest(alike, "normalised_activation")
    return charts.scatter(
        panels,
        Axis("similarity", "similarity", least.get("similarity")),
        Axis("normalised_activation", "normalised activation", least.get("activation")),
        f"{says}{left}" if by_chance else f"{says}{left}; dashed: thresholds",
    )


def _selectivity(verified: Sequence[Row], config: Config) -> Chart | None:
    some = [row for row in verified if row["selectivity"] is not None]
    says = f"Selectivity of {numbered(len(some), 'verified neuron')} whose MATs are words"
    if len(some) < 2:
        return None
    return charts.histogram(_values(some, "selectivity"), "selectivity", says, config.selectivity)


def _by_place(neurons: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in neurons:
        found.setdefault(row["place"], []).append(row)
    return found


def _values(neurons: Sequence[Row], column: str) -> dict[str, list[float]]:
    return {place: [row[column] for row in rows] for place, rows in _by_place(neurons).items()}


def _highest(neurons: Sequence[Row], column: str) -> tuple[dict[str, list[Row]], str]:
    """The neurons of each place, of too many those highest in a column; and words that say so."""
    panels = _by_place(neurons)
    most = _POINTS // len(panels)
    if all(len(rows) <= most for rows in panels.values()):
        return panels, ""
    some = {place: sorted(rows, key=lambda row: -row[column])[:most] for place, rows in panels.items()}
    return some, f" ({most:,} of {'each layer' if len(panels) > 1 else 'them'} are shown)"
