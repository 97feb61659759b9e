"""A scan says how fast it is and how long it takes yet, from its first batch on."""

import itertools

import pytest
from lookup_model import LookupModel

from pipeline.config import Config
from pipeline.progress import progress
from pipeline.samples import peaks
from pipeline.samples.peaks import At, Batch
from pipeline.samples.text_windows import Window

STEP_S = 20


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self):
        return self.now


def batches(*texts_after, begins=0.0, tokens=30):
    """Batches of two windows each, after which so many texts are done."""
    before = [begins, *texts_after[:-1]]
    for number, (first, last) in enumerate(zip(before, texts_after, strict=True)):
        windows = [Window(2 * number + i, 0, [0] * tokens) for i in range(2)]
        yield Batch(windows, At(0, 0, 2 * number + 2), first, last)


def told(given, n_texts, capsys):
    """The lines that are shown where each batch takes so many seconds."""
    clock = Clock()
    speed = peaks.Speed(n_texts, clock)
    for batch in progress(given, "scan", unit="window", note=speed.told, clock=clock):
        clock.now += STEP_S
        speed.add(batch)
    return capsys.readouterr().err.splitlines()


def test_windows_tokens_a_second_and_time_left_are_told_after_the_first_batch(capsys):
    lines = told(batches(5, 10, 20), 20, capsys)
    assert lines == [
        "scan: 2, 0.1 windows/s, 3 tokens/s, 60 s left",
        "scan: 4, 0.1 windows/s, 3 tokens/s, 40 s left",
        "scan: 6, 0.1 windows/s, 3 tokens/s, 0 s left",
    ]


def test_a_scan_that_continues_judges_by_what_it_has_done_itself(capsys):
    assert told(batches(60, begins=50), 100, capsys) == ["scan: 2, 0.1 windows/s, 3 tokens/s, 80 s left"]


@pytest.mark.parametrize(("n_texts", "left"), [(901, "5.0 h"), (31, "10.0 min"), (4, "60 s"), (0.5, "0 s")])
def test_time_left_has_a_unit_that_fits(capsys, n_texts, left):
    lines = told(batches(1), n_texts, capsys)
    assert lines[0].endswith(f", {left} left")


def test_where_the_number_of_texts_is_not_known_no_time_is_told(capsys):
    assert told(batches(5), None, capsys) == ["scan: 2, 0.1 windows/s, 3 tokens/s"]


def test_batches_tell_how_many_texts_are_done():
    lines = ["1234567", "12", "123456789", "1"] * 700
    model, config = LookupModel(), Config(samples=2, batch_tokens=64)
    found = list(peaks.of_text(config, model, lines, At()))
    assert found[0].texts_before == 0
    assert found[-1].texts_after == len(lines)
    for one, other in itertools.pairwise(found):
        assert one.texts_before <= one.texts_after == pytest.approx(other.texts_before, abs=1)
    assert sum(batch.num_rows for batch in found) == 6 * 700
