"""A scan that dies at any moment continues, with the rows of one that did not."""

import dataclasses
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from conftest import ROOT
from lookup_model import LookupModel

from pipeline.config import Config
from pipeline.engine.engines import InProcess
from pipeline.errors import StoreError
from pipeline.samples import scan
from pipeline.samples.text_windows import Text
from pipeline.samples.unfinished import Unfinished

CONFIG = Config(samples=8, batch_tokens=60)
LAYERS = (0, 2, 5)
KILLS = 10
draw = random.Random(1)
TEXTS = ["".join(draw.choices("1234567", k=draw.randint(1, 14))) for _ in range(400)]
LONGER = TEXTS * 3  # of several groups of windows


class Counting(LookupModel):
    """A model that writes a letter for each of its passes, and dies some time after one of them.

    What it gives depends on the tokens before too, so that many windows win.
    """

    def __init__(self, passes, dies_after=None, wait_s=0.0):
        super().__init__(n_neurons=10, layers=LAYERS)
        self.passes, self.dies_after, self.wait_s, self.n = passes, dies_after, wait_s, [0]

    def look_through(self, ids, see):
        with self.passes.open("a") as file:
            file.write("x")
        self.n[0] += 1
        if self.n[0] == self.dies_after:
            threading.Timer(self.wait_s, os.kill, (os.getpid(), signal.SIGKILL)).start()
        super().look_through(ids, see)

    def values(self, ids, layer):
        return super().values(ids, layer) * (1 + ids.cumsum(1) / 64)[:, :, None]


def n_passes(folder):
    return len((folder / "passes").read_text())


def rows(model, folder, lines, config=CONFIG, layers=LAYERS):
    """The rows of a scan that saves itself after each batch, one layer after the other."""
    parts = [dataclasses.replace(config, layer=layer) for layer in layers]
    unfinished = Unfinished(folder / "unfinished", every_s=0)
    found = scan.Scan(parts, model.of, Text(lambda: iter(lines), grouped=500), unfinished, InProcess())
    return pa.concat_tables([each for part in range(len(layers)) for each in found.rows(part)])


def scanned(folder, dies_after=None, wait_s=0.0, lines=LONGER, layers=LAYERS):
    """The rows of such a scan, with a model that may die."""
    return rows(Counting(folder / "passes", dies_after, wait_s), folder, lines, layers=layers)


# scans in a process of its own for each line it is given, and says how it ended
FORKS = """
import os, sys
from pathlib import Path
from test_scan_killed import scanned
for line in sys.stdin:
    if not (child := os.fork()):
        dies_after, wait_s = line.split()
        scanned(Path(sys.argv[1]), int(dies_after), float(wait_s))
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The folder of a scan that nothing disturbed, and its rows."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, scanned(folder)


@pytest.mark.slow
def test_killed_at_ten_moments_a_scan_continues_with_equal_rows(undisturbed, tmp_path):
    whole = n_passes(undisturbed[0])
    moments = random.Random(2)
    args = [sys.executable, "-c", FORKS, str(tmp_path)]
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests", Path(__file__).parent)))
    environment = os.environ | dict(PYTHONPATH=paths, OMP_NUM_THREADS="1")
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    ends = []
    with subprocess.Popen(args, cwd=ROOT, env=environment, **pipes) as forks:
        for start, end in itertools.pairwise([0, *sorted(moments.sample(range(1, whole // 2), KILLS))]):
            print(end - start, moments.random() * 0.01, file=forks.stdin, flush=True)
            ends.append(int(forks.stdout.readline()))
        forks.stdin.close()
    assert ends == [signal.SIGKILL] * KILLS
    before = n_passes(tmp_path)
    assert scanned(tmp_path).equals(undisturbed[1])
    assert before < n_passes(tmp_path) < 2 * whole  # what was done is not done again


def stopped(folder, after):
    """A scan that is ended by an exception after some passes."""

    class Ending(Counting):
        def look_through(self, ids, see):
            if self.n[0] == after:
                raise KeyboardInterrupt
            super().look_through(ids, see)

    with pytest.raises(KeyboardInterrupt):
        rows(Ending(folder / "passes"), folder, TEXTS)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """The rows of a shorter text, and how many passes they take."""
    folder = tmp_path_factory.mktemp("short")
    return scanned(folder, lines=TEXTS), n_passes(folder)


@pytest.mark.parametrize("share", [0.01, 0.4, 0.8, 0.99])
def test_a_scan_that_continues_makes_no_pass_twice(short, tmp_path, share):
    rows, passes = short
    stopped(tmp_path, int(share * passes))
    assert scanned(tmp_path, lines=TEXTS).equals(rows)
    assert n_passes(tmp_path) == passes


def test_another_size_of_batches_continues_as_well(short, tmp_path):
    stopped(tmp_path, short[1] // 3)
    other = Config(samples=8, batch_tokens=16)
    assert rows(Counting(tmp_path / "passes"), tmp_path, TEXTS, other).equals(short[0])


@pytest.mark.parametrize("share", [0.3, 0.9, 1.0])
def test_other_layers_begin_anew_and_are_right(short, tmp_path, share, capfd):
    if share < 1:
        stopped(tmp_path, int(share * short[1]))
    else:
        scanned(tmp_path, lines=TEXTS)
    capfd.readouterr()
    found = scanned(tmp_path, lines=TEXTS, layers=(5, 0))
    layer = pc.field("layer")
    assert found.filter(layer == 5).equals(short[0].filter(layer == 5))
    assert found.filter(layer == 0).equals(short[0].filter(layer == 0))
    assert capfd.readouterr().err == ""


def test_a_scan_that_was_whole_makes_no_pass(short, tmp_path, capfd):
    for _ in range(2):
        assert scanned(tmp_path, lines=TEXTS).equals(short[0])
    assert n_passes(tmp_path) == short[1]
    assert "scan: continues after " in capfd.readouterr().err


@pytest.mark.parametrize("names", [["winners.npz", "range.npz"], ["values.npz"], ["rows"]], ids="+".join)
@pytest.mark.parametrize("change", ["cut", "turned", "gone", "empty"])
def test_what_was_damaged_meanwhile_is_made_anew(short, tmp_path, capfd, names, change):
    scanned(tmp_path, lines=TEXTS)
    for path in (tmp_path / "unfinished" / name for name in names):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 255
        half = data[: len(data) // 2]
        if change == "gone":
            path.unlink()
        else:
            path.write_bytes({"cut": half, "turned": data, "empty": b""}[change])
    assert scanned(tmp_path, lines=TEXTS).equals(short[0])
    assert n_passes(tmp_path) > short[1]
    if change != "gone":
        assert "is damaged" in capfd.readouterr().err


def test_two_at_once_do_each_other_no_harm(short, tmp_path):
    mine = Unfinished(tmp_path / "unfinished", every_s=0)
    mine.append(b"mine")
    mine.save("values", windows=np.arange(3))
    assert scanned(tmp_path, lines=TEXTS).equals(short[0])
    assert mine.load("values")["windows"].tolist() == [0, 1, 2]
    assert mine.read(0, 4) == b"mine"
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["passes", "unfinished"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write to .*; free some space"):
        Unfinished(tmp_path / "file" / "unfinished")
