"""The invented tables of the bench go through the stages, and pandas finds the same averages."""

import bench_sql
import pyarrow.compute as pc
import pytest
import synthetic

from pipeline import tables


@pytest.mark.slow
def test_stages_and_pandas_agree_on_a_small_layer():
    here = lambda work, *args: (work(*args), 1.0)  # noqa: E731
    found = bench_sql.rows(3, neurons=6, tokens=48, run_apart=here)  # which compares the averages
    assert found["n_variants"] > 3 * 6 * synthetic.MAPS * 40
    assert found["stage_s"].keys() >= {"maps", "places", "retentions", "averages", "feature_neurons"}
    assert "SQL stages of 3 layers" in bench_sql.told(found)


def test_the_table_adds_up_layers():
    lines = bench_sql.by_layers([dict(maps=1.0, places=2.0), dict(maps=1.5, places=2.0)])
    assert [line.split() for line in lines[1:]] == [
        ["maps", "1.0", "2.5"],
        ["places", "2.0", "4.0"],
        ["all", "3.0", "6.5"],
    ]


def test_what_is_invented_fits_together():
    layer = synthetic.Layer(1, neurons=3, tokens=40)
    samples, words = (
        tables.check(name, make(layer))
        for name, make in (("samples", synthetic.samples), ("words", synthetic.words))
    )
    first = words.slice(0, 1).to_pylist()[0]
    assert samples["tokens"][0].as_py()[first["first_token"]] == first["blank"] + first["text"]
    assert pc.sum(words["is_mat"]).as_py() == len(samples)
    tables.check("synonyms", synthetic.synonyms(layer))
    tables.check("vocabulary", synthetic.vocabulary(layer))
    for name in ("likeness", "dominance", "groups", "substitution", "descriptions"):
        tables.check(name, getattr(synthetic, name)(layer))
