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


@dataclass(frozen=True)
class Axis:
    """What an axis of a scatter shows: the column of its rows, its title, and a limit to draw, if any."""

    column: str
    title: str
    limit: float | None = None


def scatter(rows: Sequence[dict[str, Any]], x: Axis, y: Axis, says: str) -> Chart:
    """Two columns of neurons against each other, limits dashed; a click leads to a neuron's page.

    Rows also have label, page and description.
    """
    import plotly.graph_objects as go

    texts = [f"neuron {row['label']}: {row['description'] or 'not a feature neuron'}" for row in rows]
    figure = go.Figure(
        go.Scatter(
            x=[row[x.column] for row in rows],
            y=[row[y.column] for row in rows],
            customdata=[row["page"] for row in rows],
            text=[_plain(text) for text in texts],
            hovertemplate="%{text}<extra></extra>",
            mode="markers",
            marker=dict(size=8, opacity=0.75),
        )
    )
    if x.limit is not None:
        figure.add_vline(x=x.limit, line_dash="dash", line_color="gray")
    if y.limit is not None:
        figure.add_hline(y=y.limit, line_dash="dash", line_color="gray")
    figure.update_layout(template="none", xaxis_title=x.title, yaxis_title=y.title, hovermode="closest")
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
