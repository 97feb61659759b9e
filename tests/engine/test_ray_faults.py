"""What goes wrong in a cluster: nodes that go, come or differ, a driver that ends, a store that is full."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import ray_work
from conftest import ROOT, assert_same_rows

from pipeline.config import Config
from pipeline.engine.stage import Inputs
from pipeline.errors import PipelineError
from pipeline.plan import STAGES, plan
from pipeline.run import run, store_of
from pipeline.tables import TABLES

ray = pytest.importorskip("ray", reason="Ray is not installed; `make cluster` installs it")
pytestmark = [
    pytest.mark.skipif("RAY_FAULTS" not in os.environ, reason="`make cluster` runs it: minutes"),
    pytest.mark.block_network(allowed_hosts=["127.0.0.1", ray.util.get_node_ip_address()]),
]
ONE_CORE = Config(engine="ray", cpus_per_worker=1)
LONG_S = 300  # in which processes have started and ended on a machine with much else to do


def engine(config=ONE_CORE, **how):
    """The engine over the cluster of the test."""
    from pipeline.engine.ray_engine import Ray

    return Ray(config, **how)


def numbers_of(results):
    """The numbers of results."""
    return [number for each in results for number in each["number"].to_pylist()]


def test_a_node_that_goes_takes_no_shard_with_it(tmp_path):
    with ray_work.cluster(dict(num_cpus=1), tmp_path / "a") as cluster:
        other = ray_work.join(cluster, dict(num_cpus=2), tmp_path / "b")
        found, pids, gone = [], set(), []

        def shards():
            for number, each in enumerate(ray_work.numbers(100_000)):
                if gone and number > gone[0] + 40:
                    return
                yield each

        with engine() as cluster_engine:
            for each in cluster_engine.map(partial(ray_work.slowly, 0.2), shards()):
                found += numbers_of([each])
                pids |= set(each["pid"].to_pylist())
                if len(pids) == 3 and not gone:
                    cluster.remove_node(other, allow_graceful=False)
                    gone.append(len(found))
    assert found == [2 * n for n in range(gone[0] + 41)]


def test_a_node_that_joins_meanwhile_gets_shards(tmp_path):
    with ray_work.cluster(dict(num_cpus=1), tmp_path / "a") as cluster, engine() as cluster_engine:
        results = cluster_engine.map(partial(ray_work.slowly, 0.2), ray_work.numbers(600))
        pids = set(next(results)["pid"].to_pylist())
        ray_work.join(cluster, dict(num_cpus=1), tmp_path / "b")
        until = time.monotonic() + LONG_S
        while len(pids) < 2 and time.monotonic() < until:
            pids |= set(next(results)["pid"].to_pylist())
        results.close()
    assert len(pids) == 2


def test_a_node_with_another_version_of_what_decides_numbers_is_left_out_and_both_are_told(
    tmp_path, capsys
):
    (tmp_path / "other/numpy-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "other/numpy-1.0.dist-info/METADATA").write_text("Name: numpy\nVersion: 1.0\n")
    differs = {"PYTHONPATH": f"{tmp_path / 'other'}:{ROOT}:{Path(ray_work.__file__).parent}"}
    both = r"numpy 1\.0 \(here 2\.[\d.]+\); install the same there"
    with (
        ray_work.cluster(dict(num_cpus=1, env_vars=differs), tmp_path / "a") as cluster,
        engine() as cluster_engine,
    ):
        with pytest.raises(PipelineError, match=f"no node is left: .* {both}"):
            list(cluster_engine.map(ray_work.doubled, ray_work.numbers(3)))
        ray_work.join(cluster, dict(num_cpus=1), tmp_path / "b")
        results = list(cluster_engine.map(ray_work.doubled, ray_work.numbers(9)))
    assert numbers_of(results) == [2 * n for n in range(9)]
    assert len({each["pid"][0].as_py() for each in results}) == 1
    assert capsys.readouterr().err.count("WARNING: a node is left out: ") == 1


def test_a_node_without_the_models_files_gets_them_and_one_that_has_them_copies_nothing(tmp_path):
    model, table = tmp_path / "driver/demo", tmp_path / "driver/words.parquet"
    shutil.copytree(ROOT / "data/demo", model, ignore=shutil.ignore_patterns("text"))
    pq.write_table(pa.table({"word": ["a", "b"]}), table)
    stage = next(stage for stage in STAGES if stage.table == "activations")
    make = partial(
        ray_work.files, stage.handed(Config(model=str(model))), "words", Inputs({"words": table}, "x")
    )
    if subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("no node without the driver's disk can be started: unshare is not allowed")
    with ray_work.cluster(dict(num_cpus=1), tmp_path / "a") as cluster:
        start = f"-m ray.scripts.scripts start --address={cluster.address} --num-cpus=1 --block"
        hide = f"mount -t tmpfs tmpfs {model.parent} && exec {sys.executable} {start}"
        node = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", hide],
            env=os.environ | ray_work.environment(tmp_path / "b"), stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            with engine() as cluster_engine:
                until, rows = time.monotonic() + LONG_S, {}
                results = cluster_engine.map(make, ray_work.numbers(10_000))
                while len(rows) < 2 and time.monotonic() < until:
                    [row] = next(results).to_pylist()
                    rows[row["kept"]] = row
                results.close()
        finally:
            node.terminate()
            node.wait(LONG_S)
    has, lacks = rows[str(tmp_path / "a")], rows[str(tmp_path / "b")]
    assert (has["model"], has["file"]) == (str(model), str(table))
    assert not list((tmp_path / "a").glob("feature-neurons-*"))
    assert Path(lacks["model"]).is_relative_to(tmp_path / "b")
    assert Path(lacks["file"]).is_relative_to(tmp_path / "b")
    assert (lacks["rows"], lacks["name"]) == (2, "demo")


def anonymous_bytes():
    """Memory of this process that is no file's and not shared."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


def test_a_full_object_store_spills_and_the_drivers_memory_stays_bounded(tmp_path):
    n_bytes, count = 8 * 2**20, 60

    def shards():
        for each in ray_work.numbers(count):
            yield each.append_column("given", pa.array([bytes(n_bytes)], pa.large_binary()))

    head = dict(num_cpus=2, object_store_memory=80 * 2**20)
    with ray_work.cluster(head, tmp_path / "a"), engine() as cluster_engine:
        results = cluster_engine.map(partial(ray_work.large, n_bytes), shards())
        found, most = [], []
        for each in results:
            time.sleep(0.1)  # results wait for whoever takes them
            assert len(each["bytes"][0].as_py()) == n_bytes
            found += numbers_of([each])
            most.append(anonymous_bytes())
    assert found == list(range(count))
    assert max(most) - most[5] < 80 * 2**20 < n_bytes * count / 4


def begun(small, data):
    """The config of a run on a cluster that has its samples and its vocabulary."""
    for table in ("samples", "vocabulary"):
        shutil.copytree(Path(small.data) / "store" / table, data / "store" / table)
    return dataclasses.replace(small, data=str(data), engine="ray", cpus_per_worker=1)


def started(config, mark, **more):
    """A run by the command, in a process group of its own, whose processes all bear a mark."""
    given = [f"--{name.replace('_', '-')}={getattr(config, name)}" for name in config.__dataclass_fields__
             if config.__dataclass_fields__[name].metadata["option"]
             and getattr(config, name) != config.__dataclass_fields__[name].default]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", *given],
        env=os.environ | dict(RAY_WORK_MARK=mark, RAY_worker_niceness="0") | more,
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True, cwd=ROOT,
    )  # fmt: skip


def marked(mark):
    """The processes that bear a mark."""
    found = []
    for each in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"RAY_WORK_MARK={mark}".encode() in each.read_bytes():
                found.append(each.parent.name)
        except OSError:
            continue
    return found


def wait_for_rows(running, data):
    """Wait until some measured rows are kept."""
    until = time.monotonic() + 3 * LONG_S
    while not list(data.glob("store/activations/kept/*/*.parquet")):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_whole_run_over_nodes_without_a_disk_in_common_is_the_same_as_in_this_process(
    small, small_tables, tmp_path
):
    shutil.copytree(ROOT / "data/demo", tmp_path / "demo", ignore=shutil.ignore_patterns("text"))
    given = dict(data=str(tmp_path / "data"), model=str(tmp_path / "demo"), cpus_per_worker=1)
    config = dataclasses.replace(small, **given)
    with ray_work.cluster(dict(num_cpus=2), tmp_path / "a") as cluster:
        ray_work.join(cluster, dict(num_cpus=1), tmp_path / "b")
        with engine(config, shared=False) as cluster_engine:
            tables = run(config, cluster_engine)
    for table in tables:
        assert_same_rows(tables[table], small_tables[table])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=lambda how: how.name)
def test_a_run_that_is_ended_leaves_no_process_behind(how, small, tmp_path):
    config = begun(small, tmp_path / "data")
    running = started(config, str(tmp_path), TMPDIR="/tmp")
    wait_for_rows(running, tmp_path / "data")
    assert len(marked(str(tmp_path))) > 3
    asked = time.monotonic()
    if how == signal.SIGINT:
        os.killpg(running.pid, how)  # as a terminal does
        _, errors = running.communicate(timeout=LONG_S)
        assert running.returncode == 130
        assert errors.splitlines()[-1].startswith("interrupted; what was finished is kept")
        assert "Traceback" not in errors
    else:
        running.kill()
    while marked(str(tmp_path)) and time.monotonic() < asked + LONG_S:
        time.sleep(0.1)
    assert marked(str(tmp_path)) == []


def test_a_driver_that_was_killed_goes_on_from_what_was_kept(small, small_tables, tmp_path):
    config = begun(small, tmp_path / "data")
    with ray_work.cluster(dict(num_cpus=2), tmp_path / "a"):
        running = started(config, str(tmp_path))
        wait_for_rows(running, tmp_path / "data")
        running.kill()
        running.communicate()
        kept = {path: path.read_bytes() for path in (tmp_path / "data").glob("store/activations/kept/*/*")}
        tables = run(config)
    for path, content in kept.items():
        assert path.read_bytes() == content
    known = store_of(config).kept("activations", plan(config)["activations"].kept_as)
    assert len(known) == len(pc.unique(known["key"]))
    for table in tables:
        assert_same_rows(tables[table], small_tables[table])
        assert len(tables[table].group_by(list(TABLES[table].key)).aggregate([])) == len(tables[table])
