"""Ray on this machine: a cluster of two nodes and three processes gives what this process gives."""

import dataclasses
import filecmp
import itertools
import os
import shutil
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray_work
from conftest import ROOT, assert_same_rows, command

from pipeline.config import Config
from pipeline.engine.engines import InProcess
from pipeline.engine.stage import Inputs
from pipeline.errors import PipelineError, UserError
from pipeline.plan import STAGES, plan
from pipeline.results import database
from pipeline.results.report import pages
from pipeline.run import run, store_of

ray = pytest.importorskip("ray", reason="Ray is not installed; `make cluster` installs it")
pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1", ray.util.get_node_ip_address()])
STAGE = next(stage for stage in STAGES if stage.table == "activations")
SETTINGS = dict(engine="ray", workers=3, cpus_per_worker=1)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """A cluster of two nodes, of two processes and of one; the folders where each keeps what is brought."""
    kept = [tmp_path_factory.mktemp(f"node{i}") for i in range(2)]
    with ray_work.cluster(dict(num_cpus=2), kept[0]) as cluster:
        ray_work.join(cluster, dict(num_cpus=1), kept[1])
        yield kept


@pytest.fixture(scope="module")
def engine(nodes):
    """The engine on it, as if nodes had no disk in common."""
    from pipeline.engine.ray_engine import Ray

    with Ray(Config(**SETTINGS), shared=False) as engine:
        yield engine


def given(results):
    """The numbers of results."""
    return [number for each in results for number in each["number"].to_pylist()]


def test_results_come_in_the_order_of_the_shards_from_three_processes(engine):
    engine.ready()
    slow = partial(ray_work.slowly, 0.3)
    results = list(engine.map(slow, ray_work.numbers(60, 2)))
    assert given(results) == given(InProcess().map(ray_work.doubled, ray_work.numbers(60, 2)))
    assert len({each["pid"][0].as_py() for each in results}) == 3


def test_processes_stay_for_the_next_stage(engine):
    pids = set()
    for _ in range(3):
        pids |= {each["pid"][0].as_py() for each in engine.map(ray_work.doubled, ray_work.numbers(30))}
    assert len(pids) <= 3


def test_nothing_is_asked_of_a_process_where_there_is_no_shard(engine):
    def never():
        raise AssertionError

    assert list(engine.map(never, [])) == []


def test_few_shards_are_begun_before_results_are_taken(engine):
    begun = []
    shards = (begun.append(1) or each for each in ray_work.numbers(1_000))
    results = engine.map(ray_work.doubled, shards)
    next(results)
    assert len(begun) <= 13
    results.close()


@pytest.mark.parametrize(
    ("given", "nodes", "share"),
    [
        ({}, [{"CPU": 16}], (4, 0)),
        ({}, [{"CPU": 2}], (2, 0)),
        ({}, [], (4, 0)),
        ({}, [{"CPU": 64, "GPU": 8}], (4, 1)),
        ({}, [{"CPU": 8, "GPU": 4}], (2, 1)),
        ({}, [{"CPU": 2}, {"CPU": 16, "GPU": 2}], (4, 1)),
        ({}, [{"CPU": 2, "GPU": 4}], (1, 1)),
        ({"device": "cpu"}, [{"CPU": 64, "GPU": 8}], (4, 0)),
        ({"gpus_per_worker": 0.5}, [{"CPU": 8, "GPU": 1}], (4, 0.5)),
        ({"gpus_per_worker": 0}, [{"CPU": 8, "GPU": 1}], (4, 0)),
        ({"cpus_per_worker": 7}, [{"CPU": 2}], (7, 0)),
    ],
)
def test_a_process_has_the_cores_and_gpus_that_there_are_for_it(given, nodes, share):
    from pipeline.engine import ray_processes

    assert ray_processes.share(Config(**given), nodes) == share


def test_a_driver_outside_the_cluster_is_refused_with_the_way_in():
    from pipeline.engine.ray_processes import connect

    with pytest.raises(UserError, match=r"RAY_ADDRESS is ray://head:10001: run the .* RAY_ADDRESS=auto"):
        connect("ray://head:10001")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:6379"])
def test_an_address_where_no_cluster_answers_is_told_at_once(address, tmp_path):
    given = "run", "--engine", "ray", "--data", tmp_path
    found = command(*given, env=os.environ | {"RAY_ADDRESS": address})
    assert found.returncode == 1
    assert found.stderr.startswith(f"error: RAY_ADDRESS is {address}: no cluster answers there (")
    assert len(found.stderr.splitlines()) == 1


def test_a_shard_is_sent_without_the_rows_that_it_was_cut_from():
    from pipeline.engine.ray_processes import received, sent

    whole = pa.table({"number": range(1_000_000)})
    packed = sent(whole.slice(500_000, 10))
    assert packed.size < 10_000
    assert received(packed).equals(whole.slice(500_000, 10))


@pytest.mark.parametrize(
    "error", [UserError("MODEL is wrong"), MemoryError("out of memory"), ValueError("x")]
)
def test_what_a_worker_raises_is_raised_in_its_turn_as_it_was(engine, error):
    results = engine.map(partial(ray_work.failing, 7, error), ray_work.numbers(20))
    assert given(itertools.islice(results, 7)) == [2 * n for n in range(7)]
    with pytest.raises(type(error), match=str(error)):
        next(results)
    assert given(engine.map(ray_work.doubled, ray_work.numbers(9))) == [2 * n for n in range(9)]


def test_shards_of_processes_that_are_killed_are_computed_by_others(engine, tmp_path):
    killing = partial(ray_work.killing, {3, 4, 17}, 1, str(tmp_path))
    assert given(engine.map(killing, ray_work.numbers(30))) == [2 * n for n in range(30)]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_shard_that_kills_whoever_takes_it_is_named_after_three_tries_and_all_others_are_done(
    engine, tmp_path
):
    killing = partial(ray_work.killing, {5}, 99, str(tmp_path))
    shards = (each.append_column("neuron", each["number"]) for each in ray_work.numbers(20))
    found = []
    with pytest.raises(PipelineError, match=r"1 shards ended each of 3 .*1 rows \(neurons 5 to 5\)"):
        for each in engine.map(killing, shards):
            found += given([each])
    assert found == [2 * n for n in range(20) if n != 5]
    assert len(list(tmp_path.iterdir())) == 3


def test_files_reach_each_node_once_and_are_kept_there(engine, nodes, tmp_path, small):
    shutil.copytree(ROOT / "data/demo", tmp_path / "demo", ignore=shutil.ignore_patterns("text"))
    table = store_of(small).verified("maps", plan(small)["maps"].key)
    inputs = Inputs({"maps": table}, "activations")

    def told(model):
        handed = STAGE.handed(Config(model=str(model)))
        make = partial(ray_work.files, handed, "maps", inputs)
        return pa.concat_tables(engine.map(make, ray_work.numbers(30))).to_pylist()

    rows = told(tmp_path / "demo")
    assert {row["kept"] for row in rows} == set(map(str, nodes))
    for row in rows:
        assert row["name"] == "demo"
        assert Path(row["model"]).is_relative_to(row["kept"])
        assert Path(row["file"]).is_relative_to(row["kept"])
    assert {row["rows"] for row in rows} == {pq.read_metadata(table).num_rows}
    weights = [list(node.rglob("model.safetensors")) for node in nodes]
    assert [len(each) for each in weights] == [1, 1]
    assert weights[0][0].read_bytes() == (tmp_path / "demo/model.safetensors").read_bytes()
    inodes = [each[0].stat().st_ino for each in weights]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "demo").rename(tmp_path / "elsewhere/demo")
    assert {row["model"] for row in told(tmp_path / "elsewhere/demo")} == {row["model"] for row in rows}
    assert [each[0].stat().st_ino for each in weights] == inodes  # nothing was brought again


def test_a_report_is_the_same_from_the_cluster_and_from_here(engine, small, small_tables, tmp_path):
    with database.connect(small) as con:
        pages.write(con, small, tmp_path / "here")
        pages.write(con, small, tmp_path / "there", engine=engine)
    names, others = (
        sorted(str(path.relative_to(tmp_path / name)) for path in (tmp_path / name).rglob("*.*"))
        for name in ("here", "there")
    )
    assert names == others and any(name.startswith("neurons/") for name in names)
    _, other, wrong = filecmp.cmpfiles(tmp_path / "here", tmp_path / "there", names, shallow=False)
    assert (other, wrong) == ([], [])


def test_every_table_after_the_scan_is_the_same_as_in_this_process(engine, small, tmp_path):
    here = dataclasses.replace(small, data=str(tmp_path / "here"), score=True)
    shutil.copytree(Path(small.data) / "store", tmp_path / "here/store")
    expected = run(here)
    for table in ("samples", "vocabulary"):
        shutil.copytree(Path(small.data) / "store" / table, tmp_path / "there/store" / table)
    shutil.copytree(ROOT / "data/demo", tmp_path / "demo", ignore=shutil.ignore_patterns("text"))
    there = dataclasses.replace(here, data=str(tmp_path / "there"), model=str(tmp_path / "demo"))
    found = run(there, engine)
    assert len(found["windows"]) > 0
    for table in found:
        assert_same_rows(found[table], expected[table])
