"""Errors that a person can read: what is wrong is told as what it is."""

import errno
import os
import subprocess
import sys

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import torch
from conftest import rows

from pipeline.errors import DamagedError, lacks_memory
from pipeline.tables import TABLES
from pipeline.tables.store import Store

HUGE = 2**50


def exhausted_duckdb():
    with duckdb.connect(config={"memory_limit": "3MB", "temp_directory": ""}) as con:
        con.sql("select list(i) from range(10000000) as t(i)").fetchall()


ASKING = {
    "python": lambda: bytearray(HUGE),
    "numpy": lambda: np.ones(HUGE),
    "arrow": lambda: pa.allocate_buffer(HUGE),
    "torch": lambda: torch.ones(HUGE),
    "duckdb": exhausted_duckdb,
}


@pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING)
def test_too_little_memory_is_known_whoever_lacks_it(ask):
    with pytest.raises((MemoryError, RuntimeError, duckdb.Error, OSError)) as found:
        ask()
    assert lacks_memory(found.value)


@pytest.mark.parametrize(
    "exc",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        ValueError("columns are ['memory'], expected ['a']"),
        pa.ArrowInvalid("Parquet magic bytes not found in footer"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        DamagedError("memory.parquet is damaged (its size has changed)"),
    ],
)
def test_another_error_is_not_taken_for_too_little_memory(exc):
    assert not lacks_memory(exc)


def test_an_error_of_the_system_that_says_so_is_too_little_memory():
    assert lacks_memory(OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)))


LITTLE = """
import resource, sys
from pathlib import Path
import pyarrow as pa, pyarrow.parquet
import pipeline.run, pipeline.samples.neuroscope.page_store
from pipeline import cli
from pipeline.errors import PipelineError
from pipeline.language import texts
from pipeline.tables.store import Store
folder = Path(sys.argv[1])
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, used + 2**26))
store = Store(folder / "store")
for read in (
    lambda: store.kept("descriptions", "answers"),
    lambda: store.read("descriptions", "k"),
    lambda: list(texts.stream("text", folder / "text.parquet")),
):
    try:
        read()
    except PipelineError as exc:
        print(exc)
sys.exit(cli.main(["check", "--data", sys.argv[1]]))
"""


def test_where_memory_is_short_nothing_is_called_damaged_or_fetched_or_paid_again(tmp_path):
    store, text = Store(tmp_path / "store"), "many words " * 2**21
    answers = [dict(neuron=n, describer="m", status="ok", description=text) for n in range(4)]
    data = rows("descriptions", *answers)
    store.write("descriptions", "k", data, {"created": "", "warnings": [], "made_of": {}})
    kept = data.select(["description"])
    schema = TABLES["descriptions"].kept
    columns = [data[n] if n in data.schema.names else pa.array(list("abcd")) for n in schema.names]
    store.keep("descriptions", "answers", pa.table(dict(zip(schema.names, columns, strict=True)), schema))
    pa.parquet.write_table(kept.rename_columns(["text"]), tmp_path / "text.parquet")
    before = sorted(tmp_path.rglob("*"))
    told = subprocess.run(
        [sys.executable, "-c", LITTLE, tmp_path],
        env=os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = told.stdout.splitlines()
    assert len(lines) == 3, told
    assert told.returncode == 1
    assert told.stderr.startswith("error: too little memory to read ") and told.stderr.count("\n") == 1
    for line in lines:
        assert line.startswith("too little memory to read ") and "nothing is damaged" in line
    assert sorted(tmp_path.rglob("*")) == before  # nothing was set aside
    assert len(store.kept("descriptions", "answers")) == 4
