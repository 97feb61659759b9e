"""310 and 320: what a describer is shown, on rows written by hand."""

from by_hand import BEFORE, MAT, map_row, places, retentions, variant
from conftest import SURE, rows, run_sql

MARKED = {
    "maps": rows(
        "maps",
        map_row(0, mat=" Red", phrase="a Red"),
        map_row(1, mat=" ;", phrase="a ;"),
        map_row(2, mat=" Red", phrase="again", duplicate=True),
    ),
    "mat_words": rows(
        "mat_words",
        dict(rank=0, duplicate=False, token="red", word="red", whole_word="red", activation=1.0),
        dict(rank=1, duplicate=False, token=";", activation=1.0),
        dict(rank=2, duplicate=True, token="red", word="red", whole_word="red", activation=1.0),
    ),
}


def test_a_describer_is_shown_distinct_maps_with_the_mat_marked():
    found = run_sql("310_marked.sql", MARKED)
    assert [(row["rank"], row["mat"], row["mat_word"], row["phrase"]) for row in found] == [
        (0, " Red", "red", "a Red"),
        (1, " ;", ";", "a ;"),
    ]


def test_the_mats_own_marks_are_not_taken_for_ours():
    tokens = ["a", "⟦b⟧", " c⟧"]
    one = map_row(0, start=0, mat_index=1, tokens=tokens, mat="⟦b⟧")
    word = dict(rank=0, duplicate=False, token="⟦b⟧", activation=1.0)
    [found] = run_sql("310_marked.sql", {"maps": rows("maps", one), "mat_words": rows("mat_words", word)})
    assert found["marked_phrase"] == "a⟦[b]⟧ c]"


def test_evidence_holds_distinct_maps_and_the_variants_above_their_originals():
    given = [
        (variant(0, "baseline"), 2.0),
        (variant(1, "synonym", replacement="green", **MAT), 2.5),
        (variant(2, "synonym", replacement="blue", **MAT), 2.0),
        (variant(3, "control", replacement="odd", **MAT), 9.0),
        (variant(0, "baseline", rank=1), 1.0),
        (variant(1, "synonym", rank=1, replacement="x", **BEFORE), 3.0),
    ]
    [found] = run_sql(
        "320_evidence.sql",
        {
            "selected": rows("selected", SURE | {"avg_activation": 1.0}),
            "verdicts": rows("verdicts", SURE | {"likely_kind": "set", "ranks": [0]}),
            "marked": rows("marked", *run_sql("310_marked.sql", MARKED)),
            "maps": MARKED["maps"],
            "places": places(*[v for v, _ in given]),
            "retentions": retentions(given),
        },
    )
    assert found["mats"] == [" Red", " ;"]
    assert found["mat_words"] == ["red", ";"]
    assert found["max_phrases"] == ["a Red", "a ;"]
    assert (found["raised_phrases"], found["raised_ranks"]) == (["x", "green"], [1, 0])
    assert (found["ranks"], found["own_ranks"], found["activations"]) == ([0, 1], [0], [1.0, 1.0])
