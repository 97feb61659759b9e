"""Shards in several processes: equal results in order, and no process is left, however it ends."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import doubling
import pytest

from pipeline.engine.processes import Processes
from pipeline.errors import PipelineError

TWO = Processes(2, few=0)


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """The workers can be imported by other processes."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def is_there(process: int) -> bool:
    """Whether a process runs still."""
    with suppress(ProcessLookupError, FileNotFoundError):
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    return False


def gone(processes: list[int], within_s: float = 60) -> bool:
    """Whether all of some processes end."""
    end = time.monotonic() + within_s
    while time.monotonic() < end and any(map(is_there, processes)):
        time.sleep(0.05)
    return not any(map(is_there, processes))


def test_results_come_in_the_order_of_the_shards():
    assert list(TWO.map(doubling.doubled, range(30))) == [2 * shard for shard in range(30)]


def test_few_shards_are_computed_in_this_process_whatever_they_are_made_by():
    here = os.getpid()
    assert list(Processes(2, few=3).map(lambda: lambda shard: os.getpid(), range(3))) == [here] * 3
    assert list(Processes(1, few=0).map(lambda: lambda shard: os.getpid(), range(3))) == [here] * 3


def test_what_a_worker_raises_is_raised_where_its_result_is_asked_for():
    given = TWO.map(doubling.failing, range(9))
    assert [next(given) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the fourth"):
        next(given)


def test_a_process_that_was_killed_is_told_in_a_line():
    with pytest.raises(PipelineError, match=r"ended \(exit code -9\); it may have been out of memory"):
        list(TWO.map(doubling.killed, range(9)))


def test_what_a_worker_prints_is_no_result():
    assert list(TWO.map(doubling.printing, range(4))) == [0, 1, 2, 3]


def test_ended_early_no_process_is_left(tmp_path):
    given = TWO.map(doubling.endless, ["", "", *[str(tmp_path)] * 20])
    next(given)
    while not (begun := list(tmp_path.iterdir())):
        time.sleep(0.05)
    given.close()
    assert gone([int(path.name) for path in begun])


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_no_process_is_left_where_the_one_that_asked_is_killed_or_interrupted(sent, tmp_path):
    """It has no `if __name__ == "__main__"`, as scripts of people have none."""
    script = tmp_path / "script.py"
    script.write_text(
        "import doubling\nfrom pipeline.engine.processes import Processes\n"
        f"list(Processes(2, few=0).map(doubling.endless, [{str(tmp_path / 'begun')!r}] * 9))\n"
    )
    (tmp_path / "begun").mkdir()
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(Path(__file__).parent), str(root)])
    asking = subprocess.Popen(
        [sys.executable, str(script)], env=os.environ | {"PYTHONPATH": path}, stderr=subprocess.PIPE
    )
    while len(begun := list((tmp_path / "begun").iterdir())) < 2:
        assert asking.poll() is None
        time.sleep(0.05)
    asking.send_signal(sent)
    _, told = asking.communicate(timeout=60)
    assert asking.returncode != 0
    assert told.count(b"Traceback") == (sent == signal.SIGINT)
    assert gone([int(path.name) for path in begun])
