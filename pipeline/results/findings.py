"""What a run found, in words for terminal, report and card: what decided, how many, how sure, what is near.

Reads the views funnel, overview and near_misses of a connection.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.config import Config
from pipeline.tables.columns import NEURON_KEY

if TYPE_CHECKING:
    import duckdb

Row = dict[str, Any]
# the tests of a neuron as verdicts name them, and what a low p of each says
TESTS = {
    "p_words": ("words", "the MATs' words mean alike"),
    "p_group": ("group", "those of one group of its phrases are alike"),
    "p_phrases": ("phrases", "what stands around the MATs is alike, or one token before them"),
    "p_token": ("token", "one token or word stands out"),
    "p_spelling": ("spelling", "one spelling stands out"),
    "p_substitution": ("substitution", "related words keep the activation, unrelated ones do not"),
}

NOT_FOUND = "not a feature neuron: "  # how the reason why a neuron is none begins
_ORDER = ("q", "p", "avg_activation", "description_coverage", "coverage")  # what decides who comes first


@dataclass(frozen=True)
class Layer:
    """What was found of an end of a layer's neurons. `worst_q` is the largest q of its feature neurons,
    null without any; `kinds` counts these by kind.
    """

    model: str
    layer: int
    sign: str
    way: str
    n_neurons: int
    n_candidates: int
    n_found: int
    worst_q: float | None
    kinds: Counter[str]

    @property
    def by_chance(self) -> bool:
        """Whether chance decided, and not thresholds."""
        return self.way == "chance"

    @property
    def place(self) -> str:
        """Its name."""
        return place(vars(self))


def key(row: Row) -> tuple[Any, ...]:
    """The neuron that a row is of."""
    return tuple(row[name] for name in NEURON_KEY)


def rows(con: duckdb.DuckDBPyConnection, query: str, **given: Any) -> list[Row]:
    """The rows of a query as dictionaries."""
    return con.sql(query, params=given).to_arrow_table().to_pylist()


def layers(con: duckdb.DuckDBPyConnection) -> list[Layer]:
    """What was found of each model and layer, in their order; none where no neuron was looked at."""
    kinds: dict[tuple[str, int, str], Counter[str]] = {}
    for row in rows(con, "select model, layer, sign, kind from overview where is_selected"):
        kinds.setdefault((row["model"], row["layer"], row["sign"]), Counter())[row["kind"]] += 1
    counted = rows(
        con,
        """
        select
            model, layer, sign, any_value(way) as way,
            max(neurons) filter (step = 1) as n_neurons,
            max(neurons) filter (what = 'candidates') as n_candidates,
            max(neurons) filter (what = 'feature neurons') as n_found,
            (
                select max(q) from overview
                where is_selected and overview.model = funnel.model and overview.layer = funnel.layer
                    and overview.sign = funnel.sign
            ) as worst_q
        from funnel
        group by model, layer, sign
        order by model, layer, sign desc
        """,
    )
    return [
        Layer(**row, kinds=kinds.get((row["model"], row["layer"], row["sign"]), Counter()))
        for row in counted
    ]


def neurons(con: duckdb.DuckDBPyConnection, *columns: str) -> list[Row]:
    """The rows of feature neurons in overview, the surest first; where thresholds decided, the strongest.

    Of those that are equally sure, with the same q and p, first comes what its description fits best. With
    `columns` only these, and those that decide the order.
    """
    by_chance = {(each.model, each.layer, each.sign): each.by_chance for each in layers(con)}

    def order(row: Row) -> tuple[Any, ...]:
        if not by_chance[key(row)[:3]]:
            return 1, -(row["avg_activation"] or 0.0), *key(row)
        sure = (float(f"{row[name]:.6g}") for name in ("q", "p"))  # beyond that they differ by rounding
        return 0, *sure, -(row["description_coverage"] or 0.0), -(row["coverage"] or 0.0), *key(row)

    wanted = ", ".join(dict.fromkeys((*NEURON_KEY, *_ORDER, *columns))) if columns else "*"
    return sorted(rows(con, f"select {wanted} from overview where is_selected"), key=order)


def near_misses(con: duckdb.DuckDBPyConnection, most: int) -> list[Row]:
    """The neurons that came nearest to being found, the nearest first, at most `most` of each layer.

    Those that are found but of a kind that is not asked for are not among them.
    """
    query = """
        from near_misses
        where nearness <= $most and setting != 'KINDS'
        order by nearness, model, layer, sign, neuron
    """
    return rows(con, query, most=most)


def headline(layer: Layer, config: Config) -> str:
    """How many neurons of a layer each step left, what decided, and how many are expected to be false."""
    start = f"{layer.place}: {numbered(layer.n_neurons, 'neuron')}, "
    found = numbered(layer.n_found, "feature neuron")
    if layer.by_chance:
        false = f" ({_false(layer)} of them expected to be false)" if layer.n_found else ""
        candidates = numbered(layer.n_candidates, "candidate")
        return f"{start}{candidates}, {found} at a false discovery rate of {config.fdr:g}{false}"
    least = config.values(("similarity", "activation"))
    return (
        f"{start}{numbered(layer.n_candidates, 'candidate')} (similarity >= {least['similarity']:g}), "
        f"{found} (normalised activation >= {least['activation']:g})"
    )


def remarks(layer: Layer, config: Config) -> list[str]:
    """What else there is to say of a layer: why chance did not decide, what was asked for, the kinds."""
    said = []
    if config.by_chance and not layer.by_chance:
        said.append("too few neurons or words to tell what is by chance: thresholds decide")
    if config.kinds is not None:
        said.append(f"only of KINDS {','.join(config.kinds_asked)}")
    if config.selectivity is not None:
        said.append(f"only with SELECTIVITY from {config.selectivity:g}")
    return [*said, kinds(layer)] if layer.n_found else said


def kinds(layer: Layer) -> str:
    """How many feature neurons are of each kind, the most frequent first."""
    ordered = sorted(layer.kinds.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{n:,} {'of no kind' if kind == 'none' else kind}" for kind, n in ordered)


def _false(layer: Layer) -> str:
    """How many of a layer's feature neurons are expected to be false: their number times the largest q."""
    expected = (layer.worst_q or 0.0) * layer.n_found
    return "fewer than 1" if expected < 1 else f"about {math.ceil(expected)}"


def place(row: Row) -> str:
    """A layer in words, from a row with model, layer and sign; the positive end is not named."""
    return f"{row['model']}, layer {row['layer']}" + (
        "" if row["sign"] == "positive" else f", {row['sign']}"
    )


def asked(config: Config) -> str:
    """The model and the layers that were asked for."""
    if config.layers is None:
        return f"{config.model_name}, all layers"
    return f"{config.model_name}, layer{'' if len(config.layers) == 1 else 's'} {config.layer.strip()}"


def numbered(number: int, thing: str) -> str:
    """A number of things in words: 1 neuron, 1,200 neurons."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def missing(near: list[Row], config: Config) -> str:
    """That nothing was found, and what would find the nearest."""
    if near and near[0]["value"] is not None:
        return f"No feature neuron; try {near[0]['setting']}={near[0]['value']:g}."
    if config.kinds is not None:
        return "No feature neuron; try without KINDS."
    return "No feature neuron, and none comes near; try more NEURONS, another TEXT or other FASTTEXT."


def why_not(row: Row, miss: Row | None) -> str:
    """Why a neuron of overview is not a feature neuron; `miss` is its row of near_misses, if it has one."""
    if miss is not None:
        why = f"nearest to the kind {miss['likely_kind']}: {miss['reason']}"
        why = miss["reason"] if miss["likely_kind"] == "none" else why
    elif row["reason"] is not None:
        why = f"not compared, {row['reason']}"
    else:
        why = f"what its phrases share may be chance, q is {sure(row['q'])}"
    n_clean = row["n_clean_groups"]
    several = f"; but its phrases fall into {n_clean} groups that are each alike" if n_clean > 1 else ""
    return f"{NOT_FOUND}{why}{several}"


def sure(value: float | None) -> str:
    """A p or q with the digits that matter; a dash where there is none."""
    return "-" if value is None else f"{value:.2g}"


def percent(value: float | None) -> str:
    """A share as whole percent; a dash where there is none."""
    return "-" if value is None else f"{100 * value:.0f} %"


def described(row: Row) -> str:
    """A neuron's description, with the share of its activation that it fits where that is known."""
    fits = row["description_coverage"]
    return (row["description"] or "-") + ("" if fits is None else f" (covers {percent(fits)})")
