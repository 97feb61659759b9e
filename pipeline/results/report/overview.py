"""What the overview of the report shows: what was found and where, what came near, and the charts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.config import Config
from pipeline.results import findings
from pipeline.results.findings import Layer, Row, numbered
from pipeline.results.report import distributions
from pipeline.results.report.charts import Chart
from pipeline.results.report.chunks import Shown
from pipeline.results.report.neuron import SCORES

if TYPE_CHECKING:
    import duckdb


class Overview:
    """The overview of the neurons that a report shows."""

    def __init__(self, con: duckdb.DuckDBPyConnection, config: Config, shown: Shown) -> None:
        self._config, self._shown, self._names = config, shown, shown.names
        self._layers = findings.layers(con)
        self._steps = findings.rows(con, "from funnel order by model, layer, sign desc, step")
        self._by_threshold = any(not layer.by_chance for layer in self._layers)
        self.title = self._names.title() or findings.asked(config)
        self.columns = [
            "q",
            "coverage",
            *(["similarity"] if self._by_threshold else []),
            "normalised_activation",
            "selectivity",
            *(["detection_f1"] if shown.has("detection_f1") else []),
        ]

    def charts(self) -> list[Chart]:
        """Its charts."""
        paged = set(self._shown.paged)
        rows = [
            row
            | dict(
                place=self._names.told((row["model"], row["layer"], row["sign"])),
                label=self._names.label(key),
                page=self._names.page(key) if key in paged else None,
            )
            for row in self._shown.measures()
            for key in [findings.key(row)]
        ]
        return distributions.drawn(rows, self._config, by_chance=not self._by_threshold)

    def shows(self, first: list[str], phrases: dict[Any, str], charts: list[Chart]) -> Row:
        """What its template shows: the `first` rows of the table, the `phrases` of the nearest misses."""
        names, shown = self._names, self._shown
        each = [(layer, findings.remarks(layer, self._config)) for layer in self._layers]
        words = ["; ".join([findings.headline(layer, self._config), *remarks]) for layer, remarks in each]
        columns = ["neuron", "kind", "description", *(SCORES[name][0] for name in self.columns)]
        return dict(
            several=names.several,
            summary=[self._total()] if names.several else words,
            in_words=words,
            layers=self._by_layer(),
            columns=columns,
            sorted_by=("normalised", "descending") if self._by_threshold else ("q", "ascending"),
            kinds=sorted({kind for layer in self._layers for kind in layer.kinds}),
            limits=[
                (name, columns.index(name))
                for name in ("q", "similarity", "selectivity")
                if name in columns
            ],
            first=first,
            n_found=len(shown.found),
            n_neurons=len(shown.keys),
            missing="" if shown.found else findings.missing(shown.near, self._config),
            near=[
                row | dict(label=names.label(key), page=names.page(key), phrases=phrases[key])
                for row in shown.near
                for key in [findings.key(row)]
            ],
            steps=self._steps,
            charts=charts,
            places=[
                dict(name=names.short(place), folder=names.folder(place), looked=looked, paged=paged)
                for place, looked, paged in zip(
                    names.places, names.ranges(shown.keys), names.ranges(shown.paged), strict=True
                )
            ],
        )

    def _total(self) -> str:
        """How many neurons each step left of all layers."""
        neurons, candidates, found = (
            sum(getattr(layer, name) for layer in self._layers)
            for name in ("n_neurons", "n_candidates", "n_found")
        )
        where = sum(layer.n_found > 0 for layer in self._layers)
        return (
            f"{numbered(neurons, 'neuron')}, {numbered(candidates, 'candidate')}, "
            f"{numbered(found, 'feature neuron')} in {where} of {numbered(len(self._layers), 'layer')}"
        )

    def _by_layer(self) -> list[Row]:
        """How many feature neurons each layer has, and their share; and both relative to the highest."""

        def share(layer: Layer) -> float:
            return layer.n_found / layer.n_neurons if layer.n_neurons else 0.0

        most = max((layer.n_found for layer in self._layers), default=0) or 1
        largest = max(map(share, self._layers), default=0.0) or 1.0
        return [
            dict(
                place=self._names.number((layer.model, layer.layer, layer.sign)),
                name=self._names.short((layer.model, layer.layer, layer.sign)),
                neurons=layer.n_neurons,
                candidates=layer.n_candidates,
                found=layer.n_found,
                share=share(layer),
                part=layer.n_found / most,
                share_part=share(layer) / largest,
                kinds=findings.kinds(layer),
            )
            for layer in self._layers
        ]
