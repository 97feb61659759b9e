"""The charts of the report, as Plotly figures; the only module that imports it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Chart:
    """A figure as Plotly's JSON, and what it shows in words."""

    says: str
    figure: dict[str, Any]


def script() -> str:
    """Plotly's own JavaScript, which draws the figures without a network."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def scatter(verified: Sequence[dict[str, Any]], least: tuple[float, float]) -> Chart:
    """Similarity against normalised activation of verified neurons, with both thresholds.

    `verified` rows have label, page, similarity, normalised_activation and description; a click leads to
    the page.
    """
    import plotly.graph_objects as go

    texts = [f"neuron {row['label']}: {row['description'] or 'not a feature neuron'}" for row in verified]
    figure = go.Figure(
        go.Scatter(
            x=[row["similarity"] for row in verified],
            y=[row["normalised_activation"] for row in verified],
            customdata=[row["page"] for row in verified],
            text=[_plain(text) for text in texts],
            hovertemplate="%{text}<extra></extra>",
            mode="markers",
            marker=dict(size=8, opacity=0.75),
        )
    )
    figure.add_vline(x=least[0], line_dash="dash", line_color="gray")
    figure.add_hline(y=least[1], line_dash="dash", line_color="gray")
    figure.update_layout(
        template="none", xaxis_title="similarity", yaxis_title="normalised activation", hovermode="closest"
    )
    says = (
        f"{len(verified):,} verified neurons: similarity against normalised activation; dashed: thresholds"
    )
    return Chart(says, _json(figure))


def histogram(values: Sequence[float], title: str, says: str, least: float | None = None) -> Chart:
    """The distribution of values, with a threshold if there is one."""
    import plotly.graph_objects as go

    figure = go.Figure(go.Histogram(x=list(values), nbinsx=40))
    if least is not None:
        figure.add_vline(x=least, line_dash="dash", line_color="gray")
    figure.update_layout(template="none", xaxis_title=title, yaxis_title="neurons", bargap=0.05)
    return Chart(says, _json(figure))


def _json(figure: Any) -> dict[str, Any]:
    return json.loads(figure.to_json())


def _plain(text: str) -> str:
    """A text in which Plotly finds no markup of its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;")
