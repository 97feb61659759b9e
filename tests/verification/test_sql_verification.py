"""220 to 290 and 410: from candidates to feature neurons, on rows written by hand."""

import pytest
from by_hand import AFTER, BEFORE, MAT, encoded, map_row, measured, places, retentions, variant, word
from conftest import EVIDENCE, SURE, rows, run_sql

from pipeline.errors import PipelineError
from pipeline.tables import VIEWS, query

CANDIDATE = dict(similarity=0.7, p=0.001, q=0.01, way="chance")


def near(name, *neighbours, kind="synonym"):
    return [
        {"word": name, "kind": kind, "rank": r, "neighbour": n, "cosine": 0.5}
        for r, n in enumerate(neighbours)
    ]


def variants(words, synonyms, *, maps=None, relatives=5, controls=15):
    tokens = [w["blank"] + w["text"] for w in words]
    maps = maps or [map_row(0, start=3, mat_index=3, tokens=tokens)]
    given = {
        "candidates": rows("candidates", CANDIDATE),
        "maps": rows("maps", *maps),
        "words": rows("words", *words),
        "synonyms": rows("synonyms", *synonyms),
    }
    places = run_sql("220_places.sql", given, relatives=relatives, controls=controls)
    given["places"] = rows("places", *places)
    found = query.run(query.query("views/variants.sql"), given, {})
    VIEWS["variants"].check(found)
    return found.to_pylist()


def test_each_word_is_replaced_by_each_neighbour_and_the_baseline_comes_first():
    words = [word("red", 0, is_mat=True), word("fox", 1, upto_mat=False)]
    found = variants(words, near("red", "green", "blue") + near("fox", "dog"))
    assert [(v["variant"], v["kind"], v["phrase"]) for v in found] == [
        (0, "baseline", "red fox"),
        (1, "synonym", "green fox"),
        (2, "synonym", "blue fox"),
        (3, "synonym", "red dog"),
    ]
    assert (found[3]["first_token"], found[3]["end_token"]) == (4, 5)
    assert (found[3]["phrase_start"], found[3]["phrase_end"]) == (3, 5)
    assert (found[1]["is_mat"], found[3]["is_mat"], found[3]["upto_mat"]) == (True, False, False)


def test_controls_stand_only_in_the_place_of_the_mats_word():
    words = [word("red", 0, is_mat=True), word("fox", 1)]
    controls = near("red", "whereby", kind="control") + near("fox", "perhaps", kind="control")
    found = variants(words, controls)
    assert [(v["kind"], v["phrase"]) for v in found] == [
        ("baseline", "red fox"),
        ("control", "whereby fox"),
    ]


def test_the_maps_of_a_word_take_turns_with_its_relatives_and_controls():
    maps = [map_row(rank, start=3, mat_index=3, tokens=["red"]) for rank in range(3)]
    words = [word("red", 0, is_mat=True, rank=rank) for rank in range(3)]
    replacements = near("red", "green") + near("red", "pink", "blue", kind="relative")
    replacements += near("red", "so", "of", "by", kind="control")
    found = variants(words, replacements, maps=maps, relatives=1, controls=2)
    by_map = {
        rank: [v["replacement"] for v in found if v["rank"] == rank and v["variant"]] for rank in range(3)
    }
    assert by_map == {
        0: ["green", "pink", "so", "of"],
        1: ["green", "blue", "by"],
        2: ["green", "pink", "so", "of"],
    }
    numbers = {v["replacement"]: (v["kind"], v["variant"]) for v in found if v["variant"]}
    assert numbers["blue"] == ("relative", 3) and numbers["by"] == ("control", 6)


@pytest.mark.parametrize(
    ("text", "neighbour", "expected"),
    [
        ("Red", "green", "Green"),
        ("RED", "green", "GREEN"),
        ("red", "green", "green"),
        ("I", "we", "We"),
        ("Été", "hiver", "Hiver"),
    ],
)
def test_a_replacement_keeps_the_blank_and_the_casing(text, neighbour, expected):
    found = variants([word("a", 0), word(text, 1)], near(text.lower(), neighbour))
    assert found[1]["replacement"] == " " + expected


def test_a_word_of_several_tokens_is_replaced_as_a_whole():
    words = [word("greenish", 0, first_token=3, end_token=5)]
    maps = [map_row(0, start=3, mat_index=3, tokens=["green", "ish", " fox"])]
    found = variants(words, near("greenish", "reddish"), maps=maps)
    assert found[1]["phrase"] == "reddish fox"


def test_words_that_cannot_be_replaced_and_near_duplicates_have_no_variants():
    found = variants([word("utf8", 0, replaceable=False)], near("utf8", "ascii"))
    assert [v["kind"] for v in found] == ["baseline"]
    assert variants([word("red", 0)], near("red", "green"), maps=[map_row(0, duplicate=True)]) == []


def unreplaced(words, *kinds):
    made = [variant(number, kind) for number, kind in enumerate(("baseline", *kinds))]
    return run_sql(
        "275_unreplaced.sql",
        {
            "candidates": rows("candidates", CANDIDATE),
            "maps": rows("maps", map_row(0), map_row(1, duplicate=True)),
            "words": rows("words", *words),
            "places": places(*made),
        },
    )


@pytest.mark.parametrize(
    ("words", "counts", "reason"),
    [
        ([word("red", 0, rank=1)], (0, 0), "its MAPs hold no word"),  # a near duplicate does not count
        ([word("x1", 0, replaceable=False)], (1, 0), "no word has letters only and tokens of its own"),
        (
            [word("x1", 0, replaceable=False), word("qua", 1)],
            (2, 1),
            "no word that has letters only and tokens of its own has a vector",
        ),
    ],
)
def test_a_neuron_in_whose_maps_nothing_could_be_replaced_has_the_reason(words, counts, reason):
    [found] = unreplaced(words)
    assert (found["n_words"], found["n_replaceable"], found["reason"]) == (*counts, reason)
    assert unreplaced(words, "synonym") == []


def averages(given):
    [found] = run_sql("270_averages.sql", {"retentions": retentions(given)})
    return found


def test_the_average_is_over_originals_and_all_variants_but_no_control():
    found = averages(
        [
            (variant(0, "baseline"), 2.0),
            (variant(1, "synonym", **MAT), 1.0),
            (variant(2, "synonym", **AFTER), 3.0),
            (variant(3, "control", **MAT), 0.5),
            (variant(0, "baseline", rank=1), 4.0),
        ]
    )
    assert found["avg_activation"] == pytest.approx((2 + 1 + 3 + 4) / 4)
    assert (found["n_originals"], found["n_variants"], found["n_raised"]) == (2, 2, 1)


def test_retention_stands_apart_for_words_before_and_after_the_mat():
    found = averages(
        [
            (variant(0, "baseline"), 2.0),
            (variant(1, "synonym", **BEFORE), 1.0),
            (variant(2, "synonym", **MAT), 0.5),
            (variant(3, "synonym", **AFTER), 2.0),
        ]
    )
    assert found["retention"] == pytest.approx((0.5 + 0.25) / 2)
    assert found["retention_after"] == pytest.approx(1)
    assert found["retention_mat"] == pytest.approx(0.25)


def test_selectivity_is_the_retention_of_synonyms_less_that_of_controls_at_the_mats_word():
    found = averages(
        [
            (variant(0, "baseline"), 2.0),
            (variant(1, "synonym", **MAT), 1.8),
            (variant(2, "synonym", **BEFORE), 0.2),
            (variant(3, "control", **MAT), 0.4),
        ]
    )
    assert found["selectivity"] == pytest.approx(0.9 - 0.2)


def test_a_neuron_whose_mat_is_not_a_word_has_no_selectivity():
    found = averages([(variant(0, "baseline"), 2.0), (variant(1, "synonym", **BEFORE), 1.0)])
    assert found["selectivity"] is None


def test_what_could_not_be_measured_is_counted_and_left_out():
    found = averages([(variant(0, "baseline"), 2.0), (variant(1, "synonym", **MAT), None)])
    assert (found["avg_activation"], found["n_variants"], found["n_lost"]) == (2.0, 0, 1)


def test_a_synonym_raises_a_neuron_only_beyond_rounding():
    given = [
        (variant(0, "baseline"), 2.0),
        (variant(1, "synonym", **MAT), 2.0 + 1e-5),
        (variant(2, "synonym", **MAT), 2.001),
        (variant(3, "control", **MAT), 9.0),
    ]
    assert averages(given)["n_raised"] == 1


def test_a_baseline_that_is_not_positive_has_no_retention():
    found = averages([(variant(0, "baseline"), -1.0), (variant(1, "synonym", **MAT), 1.0)])
    assert found["retention"] is None


def in_three_tables():
    """Two variants of a MAP of two neurons, as `260_retentions.sql` reads them."""
    given = [variant(n, "synonym" if n else "baseline", neuron=k) for k in (0, 1) for n in (0, 1)]
    return {
        "places": places(*given),
        "encodings": rows("encodings", *map(encoded, given)),
        "activations": rows("activations", *(measured(row, 1.0) for row in given)),
    }


def refused(inputs):
    with pytest.raises(PipelineError, match=r"260_retentions.sql: .*do not hold the same variants"):
        run_sql("260_retentions.sql", inputs)


@pytest.mark.parametrize("table", ["places", "encodings", "activations"])
@pytest.mark.parametrize(
    "change",
    [None, {"model": "n"}, {"layer": 1}, {"neuron": 2}, {"rank": 1}, {"variant": 2, "variants": [2]}],
)
def test_tables_with_other_variants_are_refused(table, change):
    inputs = in_three_tables()
    assert len(run_sql("260_retentions.sql", inputs)) == 4
    *most, last = inputs[table].to_pylist()
    other = [] if change is None else [{name: change.get(name, value) for name, value in last.items()}]
    refused(inputs | {table: rows(table, *most, *other)})


@pytest.mark.parametrize("table", ["encodings", "activations"])
@pytest.mark.parametrize("order", [[1, 0, 2, 3], [2, 3, 0, 1], [1, 2, 3]])
def test_tables_with_the_same_variants_in_another_order_are_refused(table, order):
    inputs = in_three_tables()
    refused(inputs | {table: inputs[table].take(order)})


def normalised(*values, layers=None):
    layers = layers or [0] * len(values)
    given = [
        {"neuron": n, "layer": layer, "avg_activation": v}
        | dict.fromkeys(("n_originals", "n_variants", "n_raised", "n_lost", "n_lossy"), 1)
        for n, (v, layer) in enumerate(zip(values, layers, strict=True))
    ]
    found = run_sql("280_normalised.sql", {"averages": rows("averages", *given)})
    return [row["normalised_activation"] for row in sorted(found, key=lambda r: r["neuron"])]


def test_activations_are_divided_by_the_layers_own_maximum():
    assert normalised(1.0, 4.0, 3.0, layers=[0, 0, 1]) == [0.25, 1.0, 1.0]


@pytest.mark.parametrize("values", [(-1.0, -2.0), (0.0, -1.0), (None, -3.0)])
def test_a_layer_whose_maximum_is_not_positive_normalises_to_null(values):
    assert normalised(*values) == [None, None]


def test_a_feature_neuron_carries_its_scores_description_and_phrases():
    counts = dict.fromkeys(("n_originals", "n_variants", "n_raised", "n_lost", "n_lossy"), 1)
    scores = {"avg_activation": 2.0, "normalised_activation": 0.5, "selectivity": 0.3}
    [found] = run_sql(
        "410_feature_neurons.sql",
        {
            "selected": rows("selected", scores | SURE),
            "candidates": rows("candidates", CANDIDATE, CANDIDATE | {"neuron": 1}),
            "averages": rows("averages", scores_of(counts, retention=0.8)),
            "evidence": rows("evidence", EVIDENCE),
            "covered": rows("covered", {"coverage": 0.8}),
            "group_descriptions": rows("group_descriptions"),
            "descriptions": rows(
                "descriptions", {"describer": "lexical", "description": "d", "status": "ok"}
            ),
            "scores": rows("scores", score("none", 0.9), score("other", 0.1)),
        },
    )
    assert (found["similarity"], found["kind"], found["description_coverage"]) == (0.7, "set", 0.8)
    assert (found["retention"], found["description"], found["max_phrases"]) == (0.8, "d", ["a b"])
    assert (found["detection_f1"], found["fuzzing_f1"]) == (0.9, None)


def score(control, f1):
    counts = ("true_positives", "false_positives", "true_negatives", "false_negatives", "n_failed")
    own = dict(control=control, described=0, method="detection", f1=f1, balanced_accuracy=0.5)
    return own | dict.fromkeys(counts, 1)


def scores_of(counts, **more):
    return counts | more
