"""Every engine gives the same results in the order of the shards, and ends as it says."""

import itertools
import threading

import pyarrow as pa
import pytest

from pipeline.engine.engines import InProcess, Threads, shown


def doubled():
    return lambda shard: 2 * shard


@pytest.mark.parametrize("engine", [InProcess(), Threads(1), Threads(3), Threads(3, finish=False)])
def test_results_come_in_the_order_of_the_shards(engine):
    assert list(engine.map(doubled, range(50))) == [2 * shard for shard in range(50)]


@pytest.mark.parametrize("engine", [InProcess(), Threads(3)])
def test_a_worker_is_made_once_and_only_for_a_shard(engine):
    made = []

    def make():
        made.append(1)
        return doubled()

    assert list(engine.map(make, [])) == []
    assert made == []
    list(engine.map(make, range(9)))
    assert made == [1]


@pytest.mark.parametrize("engine", [InProcess(), Threads(2), Threads(2, finish=False)])
def test_what_a_worker_raises_is_raised_where_its_result_is_asked_for(engine):
    def fails(shard):
        if shard == 3:
            raise ValueError("the fourth")
        return shard

    given = engine.map(lambda: fails, range(9))
    assert [next(given) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the fourth"):
        next(given)


def test_what_is_shown_as_done_is_done_however_much_was_given_out_ahead(capsys):
    class Ahead(InProcess):
        def map(self, make, shards):
            return super().map(make, list(shards))

    times = itertools.count(0, 11)
    shards = [pa.table({"a": range(size)}) for size in (5, 10, 25)]
    make = lambda: lambda shard: shard.slice(0, 1)  # noqa: E731
    results = shown(Ahead(), make, shards, "vectors", 40, clock=lambda: next(times))
    assert [len(each) for each in results] == [1, 1, 1]
    told = [line.split(",")[0] for line in capsys.readouterr().err.splitlines()]
    assert told == ["vectors: 5 of 40", "vectors: 15 of 40", "vectors: 40 of 40"]


def test_what_is_shown_ends_its_engine_when_it_is_left():
    slow = Slow()
    shards = [pa.table({"a": []})] * 100
    results = shown(Threads(2), lambda: slow, shards, "x", 1)
    assert len(next(results)) == 0
    results.close()
    assert slow.stopped.is_set()


class Slow:
    """A worker whose shards, but for the first, end when it is told so."""

    def __init__(self):
        self.begun, self.ended, self.stopped = [], [], threading.Event()

    def __call__(self, shard):
        self.begun.append(shard)
        if shard:
            assert self.stopped.wait(60)
        self.ended.append(shard)
        return shard

    def stop(self):
        self.stopped.set()


def test_ended_early_the_worker_is_told_and_what_was_begun_is_finished():
    slow = Slow()
    given = Threads(2).map(lambda: slow, range(100))
    assert next(given) == 0
    given.close()
    assert slow.stopped.is_set()
    assert sorted(slow.ended) == sorted(slow.begun)
    assert len(slow.begun) < 10


def test_ended_early_nothing_waits_for_what_hangs_where_nothing_is_to_be_finished():
    hangs = threading.Event()

    def work(shard):
        if shard:
            hangs.wait(60)
        return shard

    given = Threads(2, finish=False).map(lambda: work, range(100))
    assert next(given) == 0
    given.close()  # returns although a shard hangs
    assert not hangs.is_set()
    hangs.set()
