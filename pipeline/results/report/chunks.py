"""What the report shows of neurons, read a few hundred at a time: memory does not grow with the run.

Reads the views overview, near_misses, phrases, described_groups, judged_windows and substitutions, and the
table verdicts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.results import findings
from pipeline.results.findings import Row
from pipeline.results.report.names import Key, Names, Place
from pipeline.tables.columns import NEURON_KEY

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MOST = 10  # substitutions of each kind that a page shows
_NEAR = 30  # nearest misses that the overview shows
_NEURONS = 256  # of a chunk, at most
_OWN = ", ".join(NEURON_KEY)
_ORDER = "model, layer, sign desc, neuron"  # the positive ends first
_HERE = "model = $model and layer = $layer and sign = $sign and neuron between $first and $last"
_MEASURES = ("p", "q", "coverage", "similarity", "normalised_activation", "selectivity", "description")
# the rows of each part of a page, in the order in which they are shown
_PARTS = {
    "groups": f"from described_groups where {_HERE} order by {_OWN}, number",
    "maps": f"""
        select phrases.*, list_contains(ranks, rank) as shows
        from (from phrases where {_HERE}) as phrases
        join verdicts using ({_OWN})
        order by {_OWN}, rank
    """,
    "tests": f"from verdicts where {_HERE} order by {_OWN}",
    "windows": f"""
        from judged_windows
        where {_HERE}
        order by {_OWN}, activation desc, judged_windows.window
    """,
    "substitutions": f"""
        from substitutions
        where {_HERE} and (from_above <= {MOST} or (kind = 'synonym' and from_below <= {MOST}))
        order by {_OWN}, kind, retention desc, rank, variant
    """,
}
_OF_ALL = ("groups", "maps")  # what is read of neurons without a page, too


@dataclass(frozen=True)
class Chunk:
    """Neurons of one place that follow each other, and what there is to show of them.

    `rows` are those of overview, `misses` those of near_misses, `parts` the tables of their pages; `order`
    is each feature neuron's place in the table, `pages` those before and after each that has a page.
    """

    rows: pa.Table
    misses: pa.Table
    parts: dict[str, pa.Table]
    order: dict[Key, int]
    pages: dict[Key, tuple[Key | None, Key | None]]

    def __str__(self) -> str:
        first, last = ([self.rows[name][at].as_py() for name in ("layer", "neuron")] for at in (0, -1))
        return f"of a report, neurons {first[0]}:{first[1]} to {last[0]}:{last[1]}"


class Shown:
    """The neurons that a report shows.

    Overview and near_misses are read once, into temporary tables of the connection.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, *, everything: bool) -> None:
        self._con = con
        con.execute("create or replace temp table report_neurons as from overview")
        con.execute("create or replace temp table report_misses as from near_misses")
        self.near = findings.near_misses(con, _NEAR)[:_NEAR]
        self.found = [findings.key(row) for row in findings.neurons(con, *NEURON_KEY)]
        self.keys = self._keys("true")
        self.names = Names(list(dict.fromkeys(key[:3] for key in self.keys)))
        wanted = "true" if everything else "is_candidate or is_selected"
        chosen = {*self._keys(wanted), *map(findings.key, self.near)}
        self.paged = [key for key in self.keys if key in chosen]

    def measures(self) -> list[Row]:
        """What charts show of each neuron: its key and its scores."""
        columns = ", ".join((*NEURON_KEY, *_MEASURES))
        return self._rows(f"select {columns} from report_neurons order by {_ORDER}")

    def has(self, column: str) -> bool:
        """Whether a feature neuron has a value in this column of overview."""
        [row] = self._rows(f"select count({column}) > 0 as has from report_neurons where is_selected")
        return bool(row["has"])

    def chunks(self) -> Iterator[Chunk]:
        """All neurons, in the order of their keys."""
        order = {key: number for number, key in enumerate(self.found)}
        beside = self._beside()
        for place in self.names.places:
            keys = [key for key in self.keys if key[:3] == place]
            numbers = list(dict.fromkeys(key[3] for key in keys))
            for start in range(0, len(numbers), _NEURONS):
                some = numbers[start : start + _NEURONS]
                own = [key for key in keys if some[0] <= key[3] <= some[-1]]
                pages = {key: beside[key] for key in own if key in beside}
                ranked = {key: order[key] for key in own if key in order}
                yield self._chunk(place, some, ranked, pages)

    def _chunk(self, place: Place, numbers: list[int], order: dict[Key, int], pages: dict) -> Chunk:
        model, layer, sign = place
        given = dict(model=model, layer=layer, sign=sign, first=numbers[0], last=numbers[-1])

        def read(query: str) -> pa.Table:
            return self._con.sql(query, params=given).to_arrow_table()

        return Chunk(
            rows=read(f"from report_neurons where {_HERE} order by {_OWN}"),
            misses=read(f"from report_misses where {_HERE} order by {_OWN}"),
            parts={name: read(query) for name, query in _PARTS.items() if pages or name in _OF_ALL},
            order=order,
            pages=pages,
        )

    def _beside(self) -> dict[Key, tuple[Key | None, Key | None]]:
        """The neurons with pages before and after each that has one, in its place."""
        found = {}
        paged = self.paged
        for before, key, after in zip([None, *paged], paged, [*paged[1:], None], strict=False):
            same = [other if other and other[:3] == key[:3] else None for other in (before, after)]
            found[key] = (same[0], same[1])
        return found

    def _keys(self, wanted: str) -> list[Key]:
        """The neurons of overview for which a condition holds, in order."""
        rows = self._rows(f"select {_OWN} from report_neurons where {wanted} order by {_ORDER}")
        return [findings.key(row) for row in rows]

    def _rows(self, query: str) -> list[Row]:
        return findings.rows(self._con, query)
