"""The processes of a cluster of Ray: where they start, what they hold, how they get files.

A process is refused on a node where what decides numbers has another version, and no other is started
there.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pickle
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
from ray import cloudpickle
from ray._private import worker as ray_worker
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.config import Config
from pipeline.engine import carried, versions
from pipeline.engine.versions import Versions
from pipeline.errors import PipelineError, UserError
from pipeline.output import tell

_CORES = 4  # of a process, at most, unless CPUS_PER_WORKER says so
_CHUNKS = 8  # of files that the driver's store keeps for the next node
_TEND_S = 1.0
_ANSWER_S = 10.0
_PATIENCE_S = 60.0
_FAILURES = 3  # of processes that do not start, in turn


class Cluster(Enum):
    """A cluster of Ray, as this run came to it: it started it, joined it, or was in it already."""

    STARTED, JOINED, GIVEN = "started", "joined", "given"


def connect(address: str | None) -> Cluster:
    """Be in the cluster at an address, or in one that is started on this machine.

    Raises PipelineError where there is none.
    """
    if address and address.startswith("ray://"):
        raise UserError(
            f"RAY_ADDRESS is {address}: run the command on a node of the cluster, with RAY_ADDRESS=auto"
        )
    if ray.is_initialized():
        return Cluster.GIVEN
    if address:
        _answers(address)
    asked = os.environ.get("RAY_LOG_TO_DRIVER", "0").lower() in ("1", "true")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    how: dict[str, Any] = dict(log_to_driver=asked, logging_level=logging.INFO if asked else logging.ERROR)
    if not asked:  # it would print on stdout, between the results, what happens to nodes
        ray_worker.print_to_stdstream = lambda *args, **more: None
    if not address:
        how |= dict(include_dashboard=False)
    try:
        ray.init(address or "local", **how)
    except Exception as exc:  # whatever Ray raises where a cluster is of another version, gone or slow
        where = f"RAY_ADDRESS={address}" if address else "a cluster on this machine"
        raise PipelineError(f"ENGINE=ray: {where}: {' '.join(str(exc).split())[:300]}") from exc
    return Cluster.JOINED if address else Cluster.STARTED


def _answers(address: str) -> None:
    """Raise PipelineError where nothing answers at host:port; Ray itself would try for many minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():  # auto, local, or of a plug-in
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
    except OSError as exc:
        raise PipelineError(
            f"RAY_ADDRESS is {address}: no cluster answers there ({exc.strerror or exc}); `ray start "
            "--head` tells the address, and without RAY_ADDRESS one of this machine is started"
        ) from exc


def packed(make: Callable[[], Any]) -> bytes:
    """A maker of a stage's function, the files that it needs in words."""
    file = io.BytesIO()
    _Pickler(file).dump(make)
    return file.getvalue()


class _Pickler(cloudpickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return carried.reference(obj)


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, kept: carried.Kept) -> None:
        super().__init__(io.BytesIO(data))
        self._kept = kept

    def persistent_load(self, pid: Any) -> Any:
        return carried.restored(pid, self._kept)


def sent(value: Any) -> Any:
    """A table as Arrow's bytes, without the rows that it was cut from; anything else as it is."""
    if not isinstance(value, pa.Table):
        return value
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, value.schema) as writer:
        writer.write_table(value)
    return sink.getvalue()


def received(value: Any) -> Any:
    """What was sent."""
    return pa.ipc.open_stream(value).read_all() if isinstance(value, pa.Buffer) else value


def taken(value: Any) -> Any:
    """What was sent, out of the object store: that has room again however long a table is held."""
    return received(pa.py_buffer(value.to_pybytes()) if isinstance(value, pa.Buffer) else value)


class _Shelf:
    """The driver's disk; what one node has asked for is kept for the next for a while."""

    def __init__(self) -> None:
        self._chunks: OrderedDict[tuple[Path, int], Any] = OrderedDict()

    def digest(self, path: Path) -> str:
        """The SHA-256 of a file."""
        return carried.digest(path)

    def chunk(self, path: Path, begin: int) -> list[Any]:
        """Where a part of a file is in the object store, from which other nodes may have it as well."""
        place = path, begin
        if place not in self._chunks:
            self._chunks[place] = ray.put(carried.chunk(path, begin))
        while len(self._chunks) > _CHUNKS:
            self._chunks.popitem(last=False)
        return [self._chunks[place]]


class _Source:
    """The driver's disk, from another node."""

    def __init__(self, shelf: Any) -> None:
        self._shelf = shelf

    def digest(self, path: Path) -> str:
        """The SHA-256 of a file."""
        return ray.get(self._shelf.digest.remote(path))

    def chunks(self, path: Path, size: int) -> Iterator[bytes]:
        """A file, the next part asked for while one is written."""
        asked = None
        for begin in range(0, size, carried.CHUNK):
            coming = self._shelf.chunk.remote(path, begin)
            if asked is not None:
                yield ray.get(ray.get(asked)[0])
            asked = coming
        if asked is not None:
            yield ray.get(ray.get(asked)[0])


class _Process:
    """A process that holds the function of one stage at a time."""

    def __init__(self, driver: Versions, shelf: Any, cores: int, shared: bool) -> None:
        os.environ["OMP_NUM_THREADS"] = str(cores)  # before PyTorch is loaded, whatever the node's own says
        self._driver = driver
        self._kept = carried.Kept(_Source(shelf), shared=shared)
        self._made_by: bytes | None = None
        self._function: Callable[[Any], Any] | None = None

    def hello(self) -> tuple[str, str, str]:
        """The id and the name of its node, and why it is refused; empty where it is not."""
        name = socket.gethostname()
        return ray.get_runtime_context().get_node_id(), name, self._driver.refusal(name)

    def work(self, make: bytes, shard: Any) -> tuple[list[str], Any]:
        """What was told while the function was made, and the shard's result."""
        told = io.StringIO()
        if self._function is None or make != self._made_by:
            self._function = None  # a model goes before the next one comes
            with contextlib.redirect_stderr(told):
                self._function = _Unpickler(make, self._kept).load()()
            self._made_by = make
        return told.getvalue().splitlines(), sent(self._function(received(shard)))


@dataclass(eq=False)
class Hand:
    """A process that can be given shards, its node, and the shards that it has, in order."""

    process: Any
    node: str
    name: str
    tasks: list[Any] = field(default_factory=list)


class Pool:
    """The processes of a run: as many as WORKERS, or as fit, also when nodes come and go."""

    def __init__(self, config: Config, cluster: Cluster, *, shared: bool) -> None:
        self._workers, self._cluster, self._shared = config.workers, cluster, shared
        self.ready: list[Hand] = []
        self.starting: dict[ray.ObjectRef, tuple[Any, Hand | None]] = {}
        self._refused: dict[str, str] = {}
        self._told: set[str] = set()
        self._failures: list[str] = []
        self._tended = 0.0
        self._alone_since = time.monotonic()
        self._versions = versions.here()
        self._cpus, self._gpus = share(config, [node["Resources"] for node in self._nodes()])
        here = ray.get_runtime_context().get_node_id()
        on_driver = NodeAffinitySchedulingStrategy(here, soft=False)
        lone = cluster is Cluster.STARTED and shared  # no other node will come
        make_shelf = ray.remote(_Shelf).options(num_cpus=0, scheduling_strategy=on_driver)
        self._shelf = None if lone else make_shelf.remote()

    @property
    def logs(self) -> str:
        """Where Ray writes its logs on this machine."""
        return ray_worker._global_node.get_logs_dir_path()

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in ray.nodes() if node["Alive"]]

    def tell(self, lines: list[str]) -> None:
        """Tell once what each process tells."""
        for line in lines:
            if line not in self._told:
                self._told.add(line)
                tell(line)

    def greet(self) -> None:
        """Ask every process whether it is still there; only those that answer are given shards."""
        for hand in self.ready:
            self.starting[hand.process.hello.remote()] = hand.process, hand
        self.ready = []
        self._tended = 0.0

    def tend(self) -> None:
        """Start processes where there is room for them."""
        now = time.monotonic()
        if now - self._tended < _TEND_S:
            return
        self._tended = now
        nodes = [node for node in self._nodes() if node["NodeID"] not in self._refused]
        alive = {node["NodeID"] for node in nodes}
        self.ready = [hand for hand in self.ready if hand.node in alive or hand.tasks]
        n_fit = sum(self._room(node["Resources"]) for node in nodes)
        for _ in range((self._workers or n_fit) - len(self.ready) - len(self.starting)):
            self._start()
        if self.ready:
            self._alone_since = now
        elif not nodes:
            raise PipelineError(f"no node is left: {'; '.join(self._refused.values())}")
        elif not n_fit and self._cluster is Cluster.STARTED:
            raise UserError(f"no process with {self._asked} fits on this machine")
        elif now - self._alone_since > _PATIENCE_S:
            self._alone_since = now
            why = "others may use the cluster" if n_fit else "no node has as many"
            tell(f"waiting for {self._asked}; {why}; Ctrl-C ends it")

    def _room(self, resources: dict[str, float]) -> int:
        """How many processes a node has room for."""
        rooms = [resources.get("CPU", 0.0) / self._cpus]
        if self._gpus:
            rooms.append(resources.get("GPU", 0.0) / self._gpus)
        return int(min(rooms))

    @property
    def _asked(self) -> str:
        gpus = f" and {self._gpus:g} GPUs" if self._gpus else ""
        return f"{self._cpus} cores{gpus} (CPUS_PER_WORKER, GPUS_PER_WORKER)"

    def _start(self) -> None:
        how: dict[str, Any] = dict(num_cpus=self._cpus, num_gpus=self._gpus, scheduling_strategy="SPREAD")
        if self._refused:
            how["label_selector"] = {"ray.io/node-id": f"!in({','.join(self._refused)})"}
        make = ray.remote(_Process).options(**how)
        process = make.remote(self._versions, self._shelf, self._cpus, self._shared)
        self.starting[process.hello.remote()] = process, None

    def welcome(self, ref: ray.ObjectRef) -> None:
        """A process that was started has answered, or could not be started."""
        process, hand = self.starting.pop(ref)
        try:
            node, name, refusal = ray.get(ref)
        except RayError as exc:
            if hand is None:
                self._failures.append(" ".join(str(exc).split())[-300:])
            if len(self._failures) >= _FAILURES and not self.ready:
                raise PipelineError(f"no process could be started: {self._failures[-1]}") from exc
            return
        if not refusal:
            self._failures = []
            self.ready.append(hand or Hand(process, node, name))
            return
        ray.kill(process)
        if node not in self._refused:
            self._refused[node] = refusal
            tell(f"WARNING: a node is left out: {refusal}")

    def drop(self, hand: Hand) -> None:
        """End a process, or know that it has ended."""
        if hand in self.ready:
            self.ready.remove(hand)
        ray.kill(hand.process)
        self._tended = 0.0

    def end(self) -> None:
        """End all processes, leave the cluster, and end it if it was started here."""
        for hand in self.ready:
            ray.kill(hand.process)
        for process, _ in self.starting.values():
            ray.kill(process)
        if self._shelf is not None:
            ray.kill(self._shelf)
        self.ready, self.starting = [], {}
        if self._cluster is not Cluster.GIVEN:
            ray.shutdown()


def share(config: Config, nodes: list[dict[str, float]]) -> tuple[int, float]:
    """Cores and GPUs of a process: as the settings say, else a GPU where a node has one and the DEVICE is
    not another, and as many cores as there are for it, 4 at most."""
    gpus = config.gpus_per_worker
    if gpus is None:
        gpus = 1.0 if config.device in ("auto", "cuda") and any(node.get("GPU") for node in nodes) else 0.0
    if config.cpus_per_worker:
        return config.cpus_per_worker, gpus
    rooms = [
        node.get("CPU", 0.0) / max(1.0, node.get("GPU", 0.0) / gpus if gpus else 1.0)
        for node in nodes
        if not gpus or node.get("GPU", 0.0) >= gpus
    ]
    return max(1, min(_CORES, int(max(rooms, default=_CORES)))), gpus
