"""Tasks on a Ray cluster: each task has one CPU, and a GPU where the audit computes on one.

Ray is an extra, ``recaudit[ray]``, and imported only when a pool is made. What a task reads and writes is its
own affair: recaudit's tasks use the store, which every machine must see under the same path
(docs/cluster.md).
"""

import importlib
import logging
import math
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from types import ModuleType
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from recaudit.errors import UsageError

__all__ = ["RayPool", "TaskLost"]

TaskT = TypeVar("TaskT")
DoneT = TypeVar("DoneT")

RETRIES = 3  # how often Ray starts a task anew whose worker or node died
CLIENT_TRIES = 3
"""How often a connection by ray:// is tried."""

REACH_SECONDS = 10.0  # for a cluster to accept a connection: Ray alone tries for minutes before it says no


class TaskLost(UsageError):
    """A task that Ray gave up: its worker or node died once too often, or no worker could take it."""


class RayPool(Generic[TaskT, DoneT]):
    """Runs tasks on a Ray cluster, one CPU each, and on ``cuda`` one GPU or a share of one.

    A task whose worker or node dies is started anew, wherever there is room, up to three times. An exception
    of the task itself is not retried: it comes once, as itself, out of the task's future. Ray connects a
    process to one cluster at a time, so there is at most one open pool.
    """

    def __init__(
        self,
        address: str,
        *,
        perform: Callable[[TaskT], DoneT],
        device: str = "cpu",
        gpu_share: float = 1.0,
        workers: int | None = None,
    ) -> None:
        """Connect to the cluster.

        Args:
            address: ``"ray://host:port"`` for a cluster elsewhere; ``"host:port"`` for one that this machine
                is a node of; ``"auto"`` for the one that RAY_ADDRESS names or else runs on this machine.
            perform: What is done with a task: a top-level function of a module that the nodes can import,
                which lets torch use one thread. Tasks and results must be picklable.
            device: ``"cuda"`` asks for a GPU for each task, any other device for none.
            gpu_share: The GPUs that a task on ``cuda`` asks for; 0.25 lets four tasks share one. Ray only
                counts the shares: the caller sees to it that the tasks fit the GPU's memory together.
            workers: How many tasks the cluster is handed at once; by default as many as its nodes hold. Name
                it for a cluster that grows on demand, since that grows for tasks that wait.

        Raises:
            UsageError: Ray is not installed, there is no such cluster, it runs another version of Ray or
                Python, no node of it is large enough for a task, or an argument is out of range.
        """
        if workers is not None and workers < 1:
            raise UsageError(f"workers is {workers}, expected at least 1")
        self._workers = workers
        self._gpus = _gpus(device, gpu_share)
        self._pending: dict[Future[DoneT], Any] = {}
        self._ray = _import_ray()
        _connect(self._ray, address)
        self._open = True
        nodes = self._nodes()
        if workers is None and not any(_fitting(node, self._gpus) for node in nodes):
            self.close()
            raise UsageError(_too_small(address, nodes, self._gpus))
        # A worker's or node's death is retried; what the task raises is its own failure: it would come again.
        self._remote = self._ray.remote(
            num_cpus=1, num_gpus=self._gpus, max_retries=RETRIES, retry_exceptions=False
        )(perform)

    @property
    def workers(self) -> int:
        """How many tasks to have on the cluster at once: what its nodes hold now, and never under one.

        Nodes come and go, so ask again before each round of submissions. Where all are gone, the one task
        that is submitted waits for the next node. A closed pool has no workers.
        """
        if not self._open:
            return 0
        return self._workers or max(1, sum(_fitting(node, self._gpus) for node in self._nodes()))

    def submit(self, task: TaskT) -> Future[DoneT]:
        """Hand a task to the cluster.

        Args:
            task: What ``perform`` is called with.

        Returns:
            The future of what ``perform`` returns. Its exception is the task's own, caused by Ray's error
            with the traceback of the worker, or a ``TaskLost`` where Ray gave the task up. Cancelling it
            drops the result and stops nothing.
        """
        done: Future[DoneT] = Future()
        reference = self._remote.remote(task)
        self._pending[done] = reference  # Ray keeps a result as long as somebody holds its reference
        reference.future().add_done_callback(lambda answer: self._pass_on(answer, done))
        return done

    def close(self) -> None:
        """Disconnect: tasks that still run are killed, and their futures cancelled."""
        for done in list(self._pending):
            done.cancel()
        self._open = False
        self._ray.shutdown()

    def _pass_on(self, answer: "Future[DoneT]", done: "Future[DoneT]") -> None:
        self._pending.pop(done, None)
        if not done.set_running_or_notify_cancel():
            return
        error = answer.exception()
        if error is None:
            done.set_result(answer.result())
        else:
            done.set_exception(_own(self._ray, error))

    def _nodes(self) -> list[Mapping[str, float]]:
        """Return the resources of each living node, by Ray's names."""
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]


def _own(ray: ModuleType, error: BaseException) -> BaseException:
    """Return the task's own exception out of Ray's wrapping, or ``TaskLost`` where Ray itself failed."""
    if isinstance(error, ray.exceptions.RayTaskError):
        own = error.cause
        if isinstance(own, Exception) and not isinstance(own, ray.exceptions.RayError):
            own.__cause__ = error  # Ray's error holds the traceback of the worker
            return own
    if isinstance(error, ray.exceptions.RayError):
        lost = TaskLost(
            f"Ray gave a task up ({type(error).__name__}, after up to {RETRIES} retries); "
            f"finished results are kept, a rerun takes up from there: {str(error).strip()}"
        )
        lost.__cause__ = error
        return lost
    return error


def _gpus(device: str, share: float) -> float:
    """Return the GPUs that a task asks for."""
    kind, _, index = device.partition(":")
    if kind != "cuda":
        return 0.0
    if index:
        raise UsageError(f"device is {device!r}; on a cluster Ray picks the GPU, write 'cuda'")
    if not (0 < share <= 1 or (share > 1 and float(share).is_integer())):
        raise UsageError(f"gpu_share is {share}, expected a share up to 1 or a whole number of GPUs")
    return share


def _fitting(resources: Mapping[str, float], gpus: float) -> int:
    """Return how many tasks fit a node at once; shares of several GPUs cannot be put together for a task."""
    cpus = math.floor(resources.get("CPU", 0.0))
    if gpus == 0:
        return cpus
    owned = resources.get("GPU", 0.0)
    # Ray counts in ten-thousandths; without the small addition 1 / 0.1 and the like could round down.
    held = math.floor(owned) * math.floor(1 / gpus + 1e-9) if gpus <= 1 else math.floor(owned / gpus)
    return min(cpus, held)


def _too_small(address: str, nodes: Sequence[Mapping[str, float]], gpus: float) -> str:
    has = ", ".join(f"{node.get('CPU', 0):g} CPU and {node.get('GPU', 0):g} GPU" for node in nodes)
    need = "1 CPU" + (f" and {gpus:g} GPU" if gpus else "")
    return (
        f"no node of the Ray cluster at {address} can hold a task, which needs {need}; the nodes have: "
        f"{has or 'nothing'}. Start one that can (`ray start --address=... --num-cpus=... --num-gpus=...`)"
    )


def _import_ray() -> ModuleType:
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise UsageError("a cluster needs Ray, which is not installed: pip install 'recaudit[ray]'") from None


def _connect(ray: ModuleType, address: str) -> None:
    """Connect this process; in the workers torch has one thread, and Ray's chatter stays in its files."""
    found = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
    place = address if found == address else f"{address}, by RAY_ADDRESS {found},"
    if ray.is_initialized():
        raise UsageError(f"this process is connected to a Ray cluster already; ray.shutdown() before {place}")
    if found != "auto":
        _reach(found, place)
    for left in reversed(range(CLIENT_TRIES if found.startswith("ray://") else 1)):
        try:
            ray.init(
                address=found,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}},
            )
            return
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            ray.shutdown()
            # On a busy head Ray's proxy may give up a client's server that it has just started.
            if left == 0 or not isinstance(error, ConnectionError):
                raise UsageError(_no_cluster(place, str(error).strip())) from error


def _reach(address: str, place: str) -> None:
    """Raise a ``UsageError`` where nobody listens at ``host:port`` or ``ray://host:port``."""
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or port is None or parts.scheme not in ("", "ray"):
        raise UsageError(f"a cluster's address is 'auto', 'ray://host:port' or 'host:port'; found {place!r}")
    try:
        socket.create_connection((host, port), timeout=REACH_SECONDS).close()
    except OSError as error:
        raise UsageError(_no_cluster(place, str(error))) from None


def _no_cluster(place: str, reason: str) -> str:
    return (
        f"no Ray cluster that can be used at {place}: {reason}. Start one with `ray start --head`, join it "
        "from other machines with `ray start --address=HEAD:6379`, and give `auto` on one of its machines or "
        "`ray://HEAD:10001` elsewhere (docs/cluster.md)"
    )
