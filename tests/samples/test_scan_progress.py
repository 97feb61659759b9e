"""A scan says how fast it is and how long it takes yet, from its first batch on."""

import itertools
import pickle
from contextlib import closing
from functools import partial

import pytest
from lookup_model import LookupModel

from pipeline.engine.engines import InProcess
from pipeline.samples import peaks
from pipeline.samples.search import Here, Search, Searcher
from pipeline.samples.speed import Done, Speed
from pipeline.samples.text_windows import Text
from pipeline.samples.unfinished import Unfinished
from pipeline.samples.winners import Side

STEP_S = 20


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self):
        return self.now


def told(given, n_texts, capsys, tokens=60):
    """The lines that are shown where it takes so many seconds until so many texts are done, from the first
    number on, in steps of two windows."""
    clock = Clock()
    with closing(Speed(n_texts, clock)) as speed:
        for before, after in itertools.pairwise(given):
            clock.now += STEP_S
            speed.add(Done(2, tokens, before, after))
    return capsys.readouterr().err.splitlines()


def test_windows_tokens_a_second_and_time_left_are_told_after_the_first_batch(capsys):
    lines = told([0, 5, 10, 20], 20, capsys)
    assert lines == [
        "scan: 2, 0.1 windows/s, 3 tokens/s, 60 s left",
        "scan: 4, 0.1 windows/s, 3 tokens/s, 40 s left",
        "scan: 6, 0.1 windows/s, 3 tokens/s, 0 s left",
    ]


def test_a_scan_that_continues_judges_by_what_it_has_done_itself(capsys):
    assert told([50, 60], 100, capsys) == ["scan: 2, 0.1 windows/s, 3 tokens/s, 80 s left"]


@pytest.mark.parametrize(("n_texts", "left"), [(901, "5.0 h"), (31, "10.0 min"), (4, "60 s"), (0.5, "0 s")])
def test_time_left_has_a_unit_that_fits(capsys, n_texts, left):
    lines = told([0, 1], n_texts, capsys)
    assert lines[0].endswith(f", {left} left")


def test_where_the_number_of_texts_is_not_known_no_time_is_told(capsys):
    assert told([0, 5], None, capsys) == ["scan: 2, 0.1 windows/s, 3 tokens/s"]


@pytest.mark.parametrize("grouped", [100, 2048])
def test_a_scan_tells_after_each_batch_how_many_texts_are_done(grouped):
    lines = ["1234567", "12", "123456712", "1"] * 700
    model, told = LookupModel(), []
    search = Search((Side(1, 3),), samples=2, longest=6, batch_tokens=64)
    work = Searcher(search, model, Here(tell=told.append))
    for texts in Text(lambda: lines, grouped=grouped).ranges():
        work(texts)
    assert len(told) == len(model.asked)
    assert told[0].texts_before == 0
    assert told[-1].texts_after == len(lines)
    for one, other in itertools.pairwise(told):
        assert one.texts_before <= one.texts_after == pytest.approx(other.texts_before)
    assert sum(done.n_windows for done in told) == 6 * 700
    assert sum(done.n_tokens for done in told) == 6 * 700 + 700 * (7 + 2 + 9 + 1)


def test_a_scan_that_is_computed_elsewhere_is_shown_by_ranges(capsys, monkeypatch):
    told = []

    class Elsewhere(InProcess):
        def map(self, make, shards):
            return super().map(pickle.loads(pickle.dumps(make)), shards)

    monkeypatch.setattr("time.monotonic", lambda: 20.0 * len(told.append(0) or told))
    model, lines = LookupModel(), ["1234567", "12"] * 10
    search = Search((Side(1, 3),), samples=2, longest=6, batch_tokens=12)
    text = Text(lambda: lines, len(lines), grouped=10)
    peaks.find(search, partial(Searcher, search, model), text, Unfinished(), Elsewhere())
    shown = [line for line in capsys.readouterr().err.splitlines() if line.startswith("scan: ")]
    assert [line.split(",")[0] for line in shown] == ["scan: 15", "scan: 30"]
    assert shown[-1].endswith(" 0 s left")
