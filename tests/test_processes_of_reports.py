"""Work in several processes: as in one, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT

from pipeline.errors import PipelineError, UserError
from pipeline.processes import cores, mapped


def squared(number):
    return number * number


def later_ones_first(number):
    time.sleep(0.02 * (5 - number))
    return number, os.getpid()


def refused_at_three(number):
    if number == 3:
        raise UserError("three")
    return number


def killed_at_three(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_there_is_at_least_one_core():
    assert 1 <= cores() <= os.cpu_count()


@pytest.mark.parametrize("processes", [1, 2])
def test_answers_come_in_the_order_of_the_items(processes):
    assert list(mapped(squared, range(40), processes)) == [n * n for n in range(40)]
    assert list(mapped(squared, [], processes)) == []


def test_other_processes_do_the_work_unless_one_is_enough():
    for processes, others in ((1, False), (2, True)):
        answers = list(mapped(later_ones_first, range(5), processes))
        assert [number for number, _ in answers] == list(range(5))
        assert all((pid != os.getpid()) == others for _, pid in answers)


@pytest.mark.parametrize("processes", [1, 2])
def test_items_are_made_when_they_are_needed_not_all_at_once(processes):
    made = []

    def items():
        for number in range(100):
            made.append(number)
            yield number

    for taken, _ in enumerate(mapped(squared, items(), processes), 1):
        assert len(made) <= taken + 2 * processes + 1


def test_what_the_work_or_the_items_raise_is_raised_here():
    with pytest.raises(UserError, match="three"):
        list(mapped(refused_at_three, range(10), 2))
    with pytest.raises(ZeroDivisionError):
        list(mapped(squared, (1 // (2 - n) for n in range(10)), 2))


def test_a_process_that_is_killed_is_told_in_one_line():
    with pytest.raises(PipelineError, match="a process was killed, perhaps for want of memory"):
        list(mapped(killed_at_three, range(10), 2))


@pytest.mark.parametrize("package", ["pipeline", "feature_neurons"])
def test_a_file_pipeline_py_of_somebody_else_is_not_taken(tmp_path, package):
    if package == "feature_neurons":
        (tmp_path / "pipeline.py").write_text("raise SystemExit('not ours')\n")
    program = (
        f"import {package}\n"
        "from pipeline.processes import mapped\n"
        "from pipeline.printable import plain\n"
        "print(list(mapped(plain, ['a\\n', 'b'], 2)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": f"{tmp_path}:{ROOT}" if package == "feature_neurons" else str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "['a⏎', 'b']\n", done.stderr
