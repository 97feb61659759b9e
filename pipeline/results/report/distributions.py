"""Which charts the overview has: how sure the neurons are, and how they keep their activation.

A chart with fewer than two values shows nothing and is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.config import Config
from pipeline.results.findings import Row, numbered
from pipeline.results.report import charts
from pipeline.results.report.charts import Axis, Chart

_LEAST_Q = 1e-12  # a q may be 0, and has no logarithm then


def drawn(neurons: Sequence[Row], config: Config, *, by_chance: bool) -> list[Chart]:
    """The charts of neurons, rows of overview with label and page; with the limits that decided."""
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
    return charts.scatter(
        things,
        Axis("coverage", "coverage", config.coverage if by_chance else None),
        Axis("surety", "-log10 q", -math.log10(config.fdr) if by_chance else None),
        f"{says}; dashed: COVERAGE and FDR" if by_chance else says,
    )


def _evidence(neurons: Sequence[Row]) -> Chart | None:
    p = [row["p"] for row in neurons if row["p"] < 1]
    says = f"p of the {numbered(len(p), 'neuron')} with any evidence: chance alone would be flat"
    return charts.histogram(p, "p", says) if len(p) > 1 else None


def _kept(verified: Sequence[Row], config: Config, *, by_chance: bool) -> Chart | None:
    """How alike the MAPs of verified neurons are, against what substitution left of the activation."""
    alike = [row for row in verified if row["similarity"] is not None]
    if len(alike) < 2:
        return None
    least = {} if by_chance else config.values(("similarity", "activation"))
    says = f"{numbered(len(alike), 'verified neuron')}: similarity against normalised activation"
    return charts.scatter(
        alike,
        Axis("similarity", "similarity", least.get("similarity")),
        Axis("normalised_activation", "normalised activation", least.get("activation")),
        says if by_chance else f"{says}; dashed: thresholds",
    )


def _selectivity(verified: Sequence[Row], config: Config) -> Chart | None:
    found = [row["selectivity"] for row in verified if row["selectivity"] is not None]
    says = f"Selectivity of {numbered(len(found), 'verified neuron')} whose MATs are words"
    return charts.histogram(found, "selectivity", says, config.selectivity) if len(found) > 1 else None
