"""Which neurons come near to being found and what would find them, and what decided, with rows by hand."""

import pyarrow as pa
import pytest
from conftest import rows

from pipeline.tables import query

GIVEN = dict(fdr="0.05", coverage="0.5", kinds=None, similarity=None, activation=None, selectivity=None)


def answers(view, inputs, **given):
    """The rows of a view over tables by hand and these settings."""
    values = GIVEN | given
    settings = pa.table(
        {"name": pa.array(values.keys(), pa.string()), "value": pa.array(values.values(), pa.string())}
    )
    statement = query.query(f"views/{view}.sql")
    own = {name: inputs[name] for name in statement.reads if name != "settings"}
    return query.run(statement, own | {"settings": settings}, {}).to_pylist()


def of_layer(*neurons, has_chance=True):
    """The tables of a layer; a neuron is what is not as usual of it."""
    usual = dict(
        kind="none",
        likely_kind="set",
        p=0.5,
        q=0.9,
        coverage=0.9,
        similarity=0.1,
        normalised=None,
        selectivity=None,
    )
    own = [usual | dict(neuron=n) | row for n, row in enumerate(neurons)]
    verified = [row for row in own if row["normalised"] is not None]
    chosen = [row for row in own if row.get("is_selected")]
    sure = lambda row: {name: row[name] for name in ("neuron", "kind", "p", "q", "coverage")}  # noqa: E731
    scores = lambda row: dict(  # noqa: E731
        neuron=row["neuron"],
        avg_activation=1.0,
        normalised_activation=row["normalised"],
        selectivity=row["selectivity"],
    )
    return {
        "verdicts": rows(
            "verdicts", *(sure(r) | dict(likely_kind=r["likely_kind"], ranks=[0]) for r in own)
        ),
        "chances": rows(
            "chances",
            *(
                dict(
                    neuron=r["neuron"],
                    test="words" if has_chance else "token",
                    kind="set",
                    p=0.5,
                    weighed_p=1.0,
                    ranks=[0],
                    n_groups=0,
                    is_evidence=True,
                )
                for r in own
            ),
        ),
        "normalised": rows("normalised", *map(scores, verified)),
        "selected": rows("selected", *(scores(r) | sure(r) for r in chosen)),
        "similarity": rows(
            "similarity",
            *(dict(neuron=r["neuron"], n_maps=20, n_distinct=20, similarity=r["similarity"]) for r in own),
        ),
        "candidates": rows(
            "candidates",
            *(
                dict(neuron=r["neuron"], similarity=r["similarity"], p=r["p"], q=r["q"], way="chance")
                for r in verified
            ),
        ),
    }


def near(*neurons, has_chance=True, **given):
    """Neuron, setting and value of the near misses, the nearest first."""
    found = answers("near_misses", of_layer(*neurons, has_chance=has_chance), **given)
    ordered = sorted(found, key=lambda row: row["nearness"])
    assert [row["nearness"] for row in ordered] == list(range(1, len(ordered) + 1))
    for row in ordered:
        assert row["value"] is None or f"{row['setting']}={row['value']:g}" in row["reason"]
    return [(row["neuron"], row["setting"], row["value"]) for row in ordered]


def test_what_is_not_sure_enough_is_found_at_its_own_q():
    assert near(dict(q=0.3), dict(q=0.0612), dict(q=0.6), dict(q=0.06, coverage=0.4)) == [
        (1, "FDR", 0.082),
        (0, "FDR", 0.4),
    ]


def test_what_covers_too_little_is_found_at_its_own_coverage():
    assert near(dict(q=0.01, coverage=0.488), dict(q=0.01, coverage=0.1), dict(q=0.01, coverage=None)) == [
        (0, "COVERAGE", 0.48)
    ]


def test_a_feature_neuron_is_no_miss():
    assert near(dict(kind="set", q=0.01, normalised=1.0, is_selected=True)) == []


def test_where_thresholds_decide_the_one_it_fails_first_is_named():
    own = dict(similarity=0.7, normalised=0.255), dict(similarity=0.55), dict(similarity=0.1)
    expected = [(0, "ACTIVATION", 0.25), (1, "SIMILARITY", 0.55), (2, "SIMILARITY", 0.1)]
    assert near(*own, similarity="0.6") == expected
    assert near(*own, activation="0.3") == expected


def test_a_layer_too_small_for_chance_goes_by_the_usual_thresholds():
    assert near(dict(q=0.06, similarity=0.5), has_chance=False) == [(0, "SIMILARITY", 0.5)]


def test_what_is_found_but_not_asked_for_comes_last():
    own = dict(kind="word", likely_kind="word", q=0.001, normalised=0.5), dict(q=0.2)
    assert near(*own, kinds="set, phrase") == [(1, "FDR", 0.267), (0, "KINDS", None)]


def test_what_nobody_asks_for_is_not_near_though_it_is_nearly_sure():
    assert near(dict(q=0.06), kinds="word") == []


@pytest.mark.parametrize(("selectivity", "expected"), [(0.125, 0.12), (None, None)])
def test_what_is_not_selective_enough_is_found_at_its_own_selectivity(selectivity, expected):
    own = dict(kind="set", q=0.01, normalised=0.5, selectivity=selectivity)
    assert near(own, selectivity="0.2") == [(0, "SELECTIVITY", expected)]


def ways(*neurons, has_chance=True, **given):
    found = answers("funnel", of_layer(*neurons, has_chance=has_chance), **given)
    return {row["way"] for row in found}, [row["neurons"] for row in found]


def test_what_decided_is_known_of_a_layer_without_candidates_too():
    assert ways(dict()) == ({"chance"}, [1, 1, 0, 0])
    assert ways(dict(), similarity="1.0") == ({"thresholds"}, [1, 1, 0, 0])
    assert ways(dict(), activation="0.3") == ({"thresholds"}, [1, 1, 0, 0])
    assert ways(dict(), has_chance=False) == ({"thresholds"}, [1, 1, 0, 0])
