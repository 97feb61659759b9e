"""The bench measures what it says, at a size that takes no time."""

import bench
import bench_evidence
import bench_verification


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
