"""The report: static pages that open from disk, without a server or network.

An overview that opens with a table of the feature neurons, each with a phrase, so that they can be judged
at a glance, and pages of neurons: of candidates, feature neurons and the nearest misses, or of all. The
templates escape everything that comes from outside.
"""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline import __version__
from pipeline.config import Config
from pipeline.engine.choice import chosen
from pipeline.engine.engines import Engine
from pipeline.engine.processes import Processes, cores
from pipeline.progress import progress
from pipeline.results import findings, folders, render
from pipeline.results.report import charts
from pipeline.results.report import neuron as neuron_page
from pipeline.results.report.chunks import Shown
from pipeline.results.report.overview import Overview
from pipeline.results.report.table import TableFiles
from pipeline.tables.columns import LAYER_KEY

if TYPE_CHECKING:
    import duckdb

IS_OURS = folders.is_a("report")
_PAGES = 500  # that are worth another process


class Written(NamedTuple):
    """How many neurons a report shows, and how many of them have a page."""

    neurons: int
    pages: int


def write(
    con: duckdb.DuckDBPyConnection,
    config: Config,
    folder: Path,
    *,
    everything: bool = False,
    engine: Engine | None = None,
) -> Written:
    """Write the report of a run's database into `folder`.

    A neuron's page is `neurons/MODEL/LAYER/NEURON.html`; with `everything` all neurons have one. An earlier
    report is replaced as a whole; another folder with something in it is refused. Pages are drawn a few
    hundred neurons at a time by `engine`, or by the one that the settings name, in as many processes as
    pay.
    """
    shown = Shown(con, everything=everything)
    overview = Overview(con, config, shown)
    with folders.replaced(folder, IS_OURS) as new:
        for name in ("style.css", "report.js"):
            shutil.copyfile(render.FOLDER / name, new / name)
        (new / "plotly.min.js").write_text(charts.script(), encoding="utf-8")
        drawer = neuron_page.Drawer(overview.title, shown.names, overview.columns)
        table = TableFiles(new / "table", shown.names, {findings.key(row) for row in shown.near})
        here = Processes(min(cores(), 1 + len(shown.paged) // _PAGES), few=1)
        with (
            chosen(_drawing(config), engine, here=here) as given,
            closing(given.map(partial(getattr, drawer, "draw"), shown.chunks())) as chunks,
        ):
            lines = (line for drawn in chunks for line in _kept(drawn, new))
            for line in progress(lines, "report", unit="neuron", total=len(shown.keys)):
                table.add(line)
        drawn = overview.charts()
        _write_index(new, overview.title, overview.shows(table.close(), table.phrases, drawn))
        figures = json.dumps([chart.figure for chart in drawn])
        (new / "charts.js").write_text(f"window.figures = {figures};\n", encoding="utf-8")
        places = [findings.place(dict(zip(LAYER_KEY, each, strict=True))) for each in shown.names.places]
        folders.mark(new, "report", places=places)
    return Written(len(shown.keys), len(shown.paged))


def _drawing(config: Config) -> Config:
    """The settings, of processes on a cluster that need no model: a core and no GPU each."""
    gpus = config.gpus_per_worker
    return config.replaced(
        cpus_per_worker=config.cpus_per_worker or 1, gpus_per_worker=0.0 if gpus is None else gpus
    )


def _kept(drawn: neuron_page.Drawn, folder: Path) -> list[neuron_page.Line]:
    """The lines of a chunk, its pages written."""
    for path, page in drawn.pages.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(page)
    return drawn.lines


def _write_index(folder: Path, title: str, shows: dict[str, Any]) -> None:
    text = render.html("index.html").render(title=title, version=__version__, root="", **shows)
    (folder / "index.html").write_text(text, encoding="utf-8", errors="replace")


def phrases(
    con: duckdb.DuckDBPyConnection, neuron: int, *, layer: int | None = None, model: str | None = None
) -> str:
    """A neuron's MAPs as HTML for a notebook, tokens coloured by activation and the MAT underlined.

    Without `layer` or `model` those of the neurons with this number in every layer or model.
    """
    rows = findings.rows(
        con,
        "from phrases where neuron = $neuron and layer = coalesce($layer, layer) "
        "and model = coalesce($model, model) order by model, layer, sign, rank",
        neuron=neuron,
        layer=layer,
        model=model,
    )
    template: Any = render.html("phrases.html").module
    return "".join(
        str(template.in_notebook(neuron_page.coloured(maps)))
        for maps in neuron_page.by_neuron(rows).values()
    )
