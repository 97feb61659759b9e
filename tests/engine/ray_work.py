"""Clusters of Ray on this machine, and what tests run in their processes."""

import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_ROOT = Path(__file__).parents[2]


@contextmanager
def cluster(head, kept):
    """A cluster with one node so far, at RAY_ADDRESS; `kept` is where the node keeps what is brought."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    given = dict(include_dashboard=False, env_vars=environment(kept)) | head
    started = patiently(lambda: Cluster(initialize_head=True, head_node_args=given))
    os.environ["RAY_ADDRESS"] = started.address
    try:
        yield started
    finally:
        del os.environ["RAY_ADDRESS"]
        started.shutdown()


def join(started, node, kept, **more):
    """Add a node to a cluster; `more` stands in its environment."""
    return patiently(lambda: started.add_node(env_vars=environment(kept) | more, **node))


def patiently(start):
    """What starts a node, tried again on a machine that has too much else to do for Ray's 30 seconds."""
    for _ in range(4):
        try:
            return start()
        except Exception as exc:
            if "timed out during startup" not in str(exc):
                raise
            last = exc
    raise last


def environment(kept):
    """The environment of a node."""
    Path(kept).mkdir(exist_ok=True)
    paths = f"{_ROOT}:{Path(__file__).parent}"
    return dict(TMPDIR=str(kept), PYTHONPATH=paths, RAY_worker_niceness="0")  # as quick as the test itself


def numbers(count, size=1):
    """Tables of `size` rows, each of one number."""
    for number in range(count):
        yield pa.table({"number": pa.array([number] * size, pa.int64())})


def doubled():
    """A function that doubles numbers, and says in which process."""

    def double(shard):
        return pa.table(
            {"number": [2 * n for n in shard["number"].to_pylist()], "pid": [os.getpid()] * len(shard)}
        )

    return double


def slowly(seconds):
    """The same, which takes its time."""
    work = doubled()

    def slow(shard):
        time.sleep(seconds)
        return work(shard)

    return slow


def killing(numbers, times, folder):
    """The same, which ends its process with some numbers, so many times each."""
    work = doubled()

    def kill(shard):
        number = shard["number"][0].as_py()
        died = len(list(Path(folder).glob(f"{number}-*")))
        if number in numbers and died < times:
            (Path(folder) / f"{number}-{died}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return work(shard)

    return kill


def failing(number, error):
    """The same, which raises an error with a number."""
    work = doubled()

    def fail(shard):
        if shard["number"][0].as_py() == number:
            raise error
        return work(shard)

    return fail


def files(settings, table, inputs):
    """Where the model's folder and a table lie for a process, what they hold, and where its node keeps."""
    model, n_rows = settings.model_folder, pq.read_metadata(inputs.file(table)).num_rows

    def told(shard):
        time.sleep(0.2)
        own = dict(model=str(model), file=str(inputs.file(table)), rows=n_rows, name=settings.model_name)
        return pa.Table.from_pylist([own | dict(kept=os.environ["TMPDIR"])])

    return told


def large(n_bytes):
    """A function that gives rows of so many bytes."""
    return lambda shard: shard.append_column("bytes", pa.array([os.urandom(n_bytes)], pa.large_binary()))
