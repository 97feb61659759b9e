"""Long work says how far it is."""

from pipeline.progress import progress


def ticking(step_s):
    """A clock that goes on by so many seconds whenever it is read."""
    now = iter(range(0, 10**6, step_s))
    return lambda: next(now)


def test_items_pass_unchanged_and_quick_work_says_nothing(capsys):
    assert list(progress(range(5), "work", unit="thing", total=5)) == [0, 1, 2, 3, 4]
    assert capsys.readouterr().err == ""


def test_slow_work_tells_how_far_it_is_from_the_first_item_on(capsys):
    assert list(progress(range(3), "work", unit="thing", total=3, clock=ticking(20))) == [0, 1, 2]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "work: 1 of 3, 40 s left, 0.1 things/s"
    assert len(lines) == 3


def test_work_of_unknown_length_tells_its_rate(capsys):
    list(progress(iter("ab"), "work", unit="thing", clock=ticking(20)))
    assert capsys.readouterr().err.splitlines()[0] == "work: 1, 0.1 things/s"
