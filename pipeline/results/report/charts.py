"""The charts of the report, as Plotly figures; the only module that imports it.

Each has one panel, or one for each of several layers, named, all on the same scales. Where the panels stand
is decided in the browser, by the room that there is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_BARS = 40  # of a histogram, about


@dataclass(frozen=True)
class Chart:
    """A figure as Plotly's JSON, and what it shows in words; of one panel or several."""

    says: str
    figure: dict[str, Any]
    n_panels: int


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


def scatter(panels: Mapping[str, Sequence[dict[str, Any]]], x: Axis, y: Axis, says: str) -> Chart:
    """Two columns of neurons against each other, limits dashed; a click leads to a neuron's page.

    Rows also have label, page (null without one) and description.
    """
    import plotly.graph_objects as go

    traces = [
        go.Scatter(
            x=[row[x.column] for row in rows],
            y=[row[y.column] for row in rows],
            customdata=[row["page"] for row in rows],
            text=[
                _plain(f"neuron {row['label']}: {row['description'] or 'not a feature neuron'}")
                for row in rows
            ],
            hovertemplate="%{text}<extra></extra>",
            mode="markers",
            marker=dict(size=8 if len(panels) == 1 else 4, opacity=0.75),
        )
        for rows in panels.values()
    ]
    figure = go.Figure(traces)
    figure.update_layout(template="none", xaxis_title=x.title, yaxis_title=y.title, hovermode="closest")
    return _chart(figure, panels, says, limits=(x.limit, y.limit))


def histogram(
    panels: Mapping[str, Sequence[float]], title: str, says: str, least: float | None = None
) -> Chart:
    """The distribution of values, with a threshold if there is one."""
    import numpy as np
    import plotly.graph_objects as go

    values = [value for each in panels.values() for value in each]
    edges = _edges(min(values), max(values))
    step = edges[1] - edges[0]
    middles = [round(edge + step / 2, 12) for edge in edges[:-1]]
    traces = [
        go.Bar(
            x=middles,
            y=np.histogram(each, bins=edges)[0].tolist(),
            width=step,
            hovertemplate="%{x:.3g}: %{y}<extra></extra>",
        )
        for each in panels.values()
    ]
    figure = go.Figure(traces)
    figure.update_layout(template="none", xaxis_title=title, yaxis_title="neurons", bargap=0.05)
    return _chart(figure, panels, says, limits=(least, None))


def _edges(least: float, most: float) -> list[float]:
    """The edges of a histogram's bars, at round numbers."""
    rough = (most - least) / _BARS or 1.0
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * size for size in (1, 2, 2.5, 5, 10) if unit * size >= rough * (1 - 1e-9))
    first = math.floor(least / step + 1e-9)
    last = max(math.ceil(most / step - 1e-9), first + 1)
    return [step * place for place in range(first, last + 1)]


def _chart(
    figure: Any, panels: Mapping[str, object], says: str, limits: tuple[float | None, float | None]
) -> Chart:
    """A figure with limits in each panel; where there are several, on axes of their own."""
    names = list(panels) if len(panels) > 1 else []
    for place in range(len(panels)):
        number = "" if place == 0 else str(place + 1)
        own = dict(xref=f"x{number}", yref=f"y{number}")
        line = dict(type="line", line=dict(dash="dash", color="gray", width=1.5))
        x, y = limits
        if x is not None:
            figure.add_shape(line | own | dict(x0=x, x1=x, y0=0, y1=1, yref=f"y{number} domain"))
        if y is not None:
            figure.add_shape(line | own | dict(x0=0, x1=1, y0=y, y1=y, xref=f"x{number} domain"))
        if names:
            figure.data[place].update(xaxis=f"x{number}", yaxis=f"y{number}")
            figure.add_annotation(
                dict(text=_plain(names[place]), showarrow=False, x=0.5, y=1, yanchor="bottom")
                | {axis: f"{ref} domain" for axis, ref in own.items()}
            )
    figure.update_layout(meta=dict(panels=len(names)))
    return Chart(says, json.loads(figure.to_json()), len(panels))


def _plain(text: str) -> str:
    """A text in which Plotly finds no markup of its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;")
