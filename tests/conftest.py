"""What several tests share: small tables by hand, the embedded model, and one small real run."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import tables
from pipeline.config import Config
from pipeline.engine.made import Tables
from pipeline.run import part_of
from pipeline.tables import query

pytest_plugins = ["servers.tiny_site", "servers.chat", "servers.hub", "servers.postgres", "two_layers"]
# read when huggingface_hub is imported: no token of whoever runs the tests, no native code that uploads
_HOME = tempfile.TemporaryDirectory(prefix="hf-home-")
os.environ.update(HF_HOME=_HOME.name, HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_TELEMETRY="1")
os.environ.pop("HF_TOKEN", None)
os.environ.pop("COLUMNS", None)  # pytest-xdist sets it: results are as wide as without a terminal

ROOT = Path(__file__).parent.parent
SMALL_TEXTS = 900


# what a shell starts in the background ignores Ctrl-C, and so would the programs that tests start
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Whole runs come first: no process ends with the longest file while the other has nothing left."""
    items.sort(key=lambda item: "whole" not in item.path.parts)


# how sure it is what a neuron stands for
SURE = dict(kind="set", p=0.001, q=0.01, coverage=0.9)
CANDIDATE = dict(similarity=0.5, p=0.001, q=0.01, way="chance")
# one neuron with one MAP
EVIDENCE = dict(
    kind="set",
    activations=[1.0],
    own_ranks=[0],
    mats=["a"],
    mat_words=["a"],
    max_phrases=["a b"],
    marked_phrases=["⟦a⟧ b"],
    ranks=[0],
    raised_phrases=[],
    raised_ranks=[],
)


def rows(table: str, *given: dict) -> pa.Table:
    """Rows of a table or view in its schema; model, layer and neuron are m, 0 and 0 where not given."""
    schema = tables.empty(table).schema
    usual = {"model": "m", "layer": 0, "sign": "positive", "neuron": 0}
    filled = [{k: v for k, v in usual.items() if k in schema.names} | row for row in given]
    for row in filled:
        assert not row.keys() - set(schema.names), row.keys() - set(schema.names)
    return pa.Table.from_pylist(filled, schema=schema)


def tables_of(config: Config) -> Tables:
    """The tables of a run of one layer, made or not."""
    return Tables([part_of(config)])


def run_sql(file: str, inputs: dict[str, pa.Table], **params) -> list[dict]:
    """The rows a SQL stage makes, checked against the schema of its table."""
    statement = query.query(file)
    return tables.check(statement.writes, query.run(statement, inputs, params)).to_pylist()


def command(*args: object, **kwargs) -> subprocess.CompletedProcess[str]:
    """Run `python -m pipeline` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        **kwargs,
    )


@contextmanager
def no_file_grows(n_bytes: int = 512) -> Iterator[None]:
    """Let no file of this process grow beyond some bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def disk_of(n_bytes: int, folder: Path) -> Iterator[Callable[[int], None]]:
    """A disk of this size at a new folder, in memory; yields what gives it another size.

    Skips the test where this process may not mount one.
    """
    folder.mkdir()

    def mount(*more: str) -> subprocess.CompletedProcess[str]:
        given = ["mount", "-t", "tmpfs", *more, "tmpfs", str(folder)]
        return subprocess.run(given, capture_output=True, text=True, check=False)

    try:
        mounted = mount("-o", f"size={n_bytes}")
    except FileNotFoundError:
        pytest.skip("there is no program mount")
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.strip()}")
    try:
        yield lambda size: mount("-o", f"remount,size={size}").check_returncode()
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="session")
def demo():
    """The embedded model, loaded."""
    from pipeline.models import language_model

    return language_model.load(Config())


def shared(tmp_path_factory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first of several test processes makes, and the others wait for."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "whole").exists():
            folder.mkdir(exist_ok=True)
            make(folder)
            (folder / "whole").touch()
    return folder


@pytest.fixture(scope="session")
def small_text(tmp_path_factory) -> Path:
    """A folder with the first texts of the embedded sample."""

    def make(folder: Path) -> None:
        [part] = sorted((ROOT / "data/demo/text").glob("*.parquet"))
        pq.write_table(pq.read_table(part).slice(0, SMALL_TEXTS), folder / "part.parquet")

    return shared(tmp_path_factory, "text", make)


@pytest.fixture(scope="session")
def small(tmp_path_factory, small_text, demo) -> Config:
    """The config of a finished run on the small text, with its database; do not change its data folder."""
    from pipeline.results import database

    config = Config(
        source="scan",
        text=str(small_text),
        neurons="0-95",
        signs="positive",
        similarity=0.25,
        activation=0.1,
        synonyms=2,
    )

    def make(folder: Path) -> None:
        assert database.run(dataclasses.replace(config, data=str(folder))).made

    return dataclasses.replace(config, data=str(shared(tmp_path_factory, "data", make)))


@pytest.fixture(scope="session")
def small_tables(small):
    """The tables of the small run by name."""
    return dict(tables_of(small))


def after(config: Config, *first: str) -> set[str]:
    """These tables and all that are made from them."""
    from pipeline.plan import stages

    found = set(first)
    for stage in stages(config):
        if found & set(stage.reads):
            found.add(stage.table)
    return found


def assert_same_rows(found: pa.Table, expected: pa.Table) -> None:
    """Equal but for the rounding that other batches bring."""
    assert found.schema.equals(expected.schema)
    for name in found.column_names:
        values = found[name].to_pylist()
        if pa.types.is_floating(found[name].type):
            for value, other in zip(values, expected[name].to_pylist(), strict=True):
                assert value == (None if other is None else pytest.approx(other, rel=1e-5, abs=1e-6)), name
        else:
            assert values == expected[name].to_pylist(), name
