"""The bench measures what it says, at a size that takes no time."""

import sys

import bench
import bench_evidence
import bench_llama
import bench_loading
import bench_memory
import bench_ray
import bench_report
import bench_scan
import bench_scan_memory
import bench_stages
import bench_verification
import pytest
from conftest import ROOT

from pipeline.models import language_model


def test_both_parsers_read_the_same_rows():
    found = bench.parsing(2, n_tokens=30)  # which compares them
    assert found["what"].startswith("parsing 2 pages of ")
    assert found["ours_s"] > 0 and found["other_s"] > 0


def test_neighbours_are_found_in_both_ways():
    assert bench.neighbours(50, 4)["what"] == "neighbours of 4 words among 50"


def test_verification_is_told_as_ratios():
    text = bench_verification.phrase(20)
    assert len(text.phrases[0].variants) == bench_verification.PHRASE * bench_verification.EACH
    row = dict(what="x", ours_s=1.0, batches_s=4.0, one_by_one_s=20.0, peak_mb=1.0)
    told = bench_verification.told(bench_verification.with_ratios(row))
    assert "4.0 x batches of 64" in told and "20.0 x one hooked pass" in told


def test_evidence_is_told_with_its_draws():
    found = bench_evidence.rows(40)
    assert set(found["seconds"]) == {"likeness", "dominance", "groups"}
    assert "40 neurons" in bench_evidence.told(found)


def test_a_stage_is_told_as_variants_a_second_of_a_core():
    row = dict(what="ids", n=1000, seconds=0.01)
    assert bench_stages.told(row) == "ids: 100,000 variants a second of a core, 10.0 µs each"


def test_a_model_that_computes_nothing_leaves_preparing_and_collecting(small_tables):
    found = bench_stages.measuring(small_tables["encodings"].slice(0, 300), bench.Config())
    assert found["n"] == 300 and found["seconds"] > 0


def test_a_shape_of_llamas_form_is_measured_both_ways_and_told_beside_its_goals():
    shape = bench_llama.Shape("tiny", 1, 2, 32, 4, 2, 24, 0.6)
    found = bench_llama.measured(bench_llama.model_of(shape), shape, 20)
    assert found["gflop"] == shape.operations(20) / 1e9
    times = dict(ours_s=1.0, cache_s=2.0, one_by_one_s=20.0, ended_s=8.0)
    rates = dict(gflop_per_s=3.0, matmul_gflop_per_s=4.0)
    told = bench_llama.told(found | times | rates | dict(goal=10, cache_goal=5, goal_share=0.6))
    assert "own blocks: 1.00 s, 20.0 x one pass per variant (goal 10 x), 8.0 x one that ends" in told
    assert "own cache: 2.00 s, 10.0 x one pass per variant (goal 5 x), 4.0 x one that ends" in told
    assert "3 GFLOP/s, 75% of a large product's 4 (goal 60%)" in told


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_loading_is_measured_both_ways_and_told(tmp_path):
    shape = bench_loading.SHAPE | dict(num_hidden_layers=4, vocab_size=200, hidden_size=64, head_dim=2)
    found = bench_loading.save(tmp_path, shape | dict(intermediate_size=96))
    whole, part = (bench_loading.measured(way, "float32", tmp_path, 0) for way in ("whole", "part"))
    assert found > 80_000 and min(*whole.values(), *part.values()) > 0
    times = dict(what="x", whole_mb=5, part_mb=3, whole_s=2.0, part_s=1.0)
    told = bench_loading.told(times | dict(whole_seen_mb=7, part_seen_mb=4))
    assert told == "x: 5 MB -> 3 MB (with what is mapped of files 7 -> 4), 2.0 s -> 1.0 s of a processor"


def test_a_scan_is_told_beside_bare_passes_and_a_loop_of_run_with_cache():
    subject = bench_scan.subject(bench_llama.Shape("tiny", 1, 2, 32, 4, 2, 24, 0.6))
    found = bench_scan.row(subject, n_tokens=3000)
    assert found["tokens"] == 3000 + found["windows"]  # each with its BOS
    assert found["won"] == found["won_alone"] == found["windows"]  # so few that all win
    times = dict(what="x", tokens=100, scan_s=1.0, alone_s=0.8, bare_s=0.5, own_s=0.8, loop_s=3.0)
    times |= dict(again_s=1.0, again_alone_s=0.5, won=2, won_alone=1, windows=9)
    told = bench_scan.told(times)
    assert told.startswith(
        "x: 100 tokens/s, 50% of bare passes (200) and 80% of those in its own blocks (125), "
    )
    assert "3.0 x run_with_cache (33), 1.25 x the time of the highest layer alone" in told
    assert "goals: 85%, 2.2 x and 1.3 x; 2 of 9 windows measured again in 1.0 s" in told


def test_the_memory_of_a_scan_is_measured_over_all_rows():
    model = bench_scan_memory.Invented(n_layers=2, n_neurons=30, n_ctx=50, n_tokens=100)
    found = bench_scan_memory.row(model, n_texts=9, samples=4)
    assert (found["rows"], found["tokens"]) == (2 * 30 * 4, 2 * 30 * 4 * 50)
    assert 0 <= found["scan_gb"] <= found["rows_gb"]
    assert "at most 0.25 GB beside the model, 0.50 GB" in bench_scan_memory.told(
        found | dict(scan_gb=0.25, rows_gb=0.5)
    )


def test_ids_are_found_for_as_many_variants_in_both_ways(small_tables):
    model = language_model.load(bench.Config())
    fast, slow = bench_stages.ids(model, small_tables, 400)
    assert 300 < fast["n"] <= 400 and 0 < slow["n"] <= 50
    assert fast["seconds"] > 0 and slow["seconds"] > 0


def test_pages_are_read_and_written():
    found, read = bench_stages.pages(2)
    assert bench_stages.told(found).startswith("pages to samples: ") and found["n"] == read["n"] == 2


@pytest.mark.slow
def test_the_memory_of_each_stage_is_measured_down_to_descriptions():
    here = lambda work, *args: (work(*args), 1.0)  # noqa: E731
    found = {row["table"]: row for row in bench_memory.rows(3, 60, run_apart=here)}
    assert found.keys() >= {"words", "encodings", "activations", "windows", "descriptions", "judgements"}
    assert found["encodings"]["n"] == found["activations"]["n"] > 0 and found["descriptions"]["n"] == 3
    told = bench_memory.told(found["words"] | dict(memory_gb=2.5))
    assert "2.50 GB at most, more than 2 GB" in told


def test_a_report_is_told_with_its_size_beside_its_goals(tmp_path):
    (tmp_path / "data").mkdir()
    bench_report.make(tmp_path / "data", bench_report.Size(layers=2, neurons=30, variants=3))
    found = bench_report.written(tmp_path)
    assert found["neurons"] == 60
    assert found["pages"] == len(list((tmp_path / "report/neurons").rglob("*.html")))
    shown = bench_report.in_chromium(tmp_path / "report")
    assert shown is None or set(shown) == {"open_ms", "key_ms", "load_all_ms", "key_all_ms", "sort_all_ms"}
    told = bench_report.told(found | dict(files=9, mb=5.0, gb=0.5, cores=2, chromium=shown))
    assert told.startswith(f"report of 60 neurons, {found['pages']} pages: ")
    assert "goals: 600 s, 200 MB" in told and "in Chromium: " in told


def test_operations_of_a_shape_are_those_of_its_products():
    """Llama's shape by hand: one layer below, a prefix of 60, 55 variants and the phrase."""
    shape = bench_llama.Shape("tiny", 1, 2, 32, 4, 2, 24, 0.6)
    seen, tokens = 70, 330
    attention, keys, mlp = 32 * 32 * 2 + 32 * 16 * 2, 32 * 16 * 2, 3 * 32 * 24
    below = 2 * (seen + tokens) * (attention + mlp) + 2 * seen**2 * 32 + 4 * tokens * seen * 32
    last = 2 * seen * keys + 2 * tokens * attention + 4 * tokens * seen * 32
    assert shape.operations(60) == below + last


def test_what_whole_models_take_is_computed_from_a_speed():
    found = {shape.name: bench_ray.computed(n, shape, 1_000.0) for n, shape in bench_ray.WHOLE}
    assert found["Llama-3.1-8B"]["variants"] == pytest.approx(0.5e9, rel=0.02)
    assert [found[name]["hours"] for name in found] == sorted(found[name]["hours"] for name in found)
    faster = bench_ray.computed(*bench_ray.WHOLE[-1], 2_000.0)
    assert faster["hours"] == pytest.approx(found["Llama-3.1-8B"]["hours"] / 2)
    assert faster["hours"] / faster["gpus"] <= 24


def test_the_readme_holds_what_whole_models_take_as_it_is_computed():
    assert bench_ray.table() in (ROOT / "pipeline/engine/README.md").read_text()


def test_a_cluster_is_told_as_computed_or_as_not_measured():
    row = dict(overhead=0.02, second=1.9, shard_s=1.0, n_waiting=64, shards_per_s=500.0, mb_per_s=9.0)
    row |= dict(
        shard_mb=1.0,
        driver_ms=2.0,
        gpu_gflop_per_s=1e4,
        whole=[bench_ray.computed(*bench_ray.WHOLE[0], 1e4)],
    )
    assert "+2.0% in another process" in bench_ray.told(row)
    assert "computed, not measured" in bench_ray.told(row)
    assert "not measured, Ray is not installed" in bench_ray.told(None)
