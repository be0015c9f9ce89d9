"""Tasks on a real Ray cluster of two nodes on this machine, one of which is killed while it works."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recaudit.audit.tasks import missing, perform
from recaudit.errors import UsageError
from recaudit.experiments.grid import Grid
from recaudit.experiments.plan import plan
from recaudit.experiments.results import results
from recaudit.pipeline import Store
from recaudit.pipeline.pools import ray as module
from recaudit.pipeline.pools.local import Here
from recaudit.pipeline.pools.ray import RETRIES, RayPool, TaskLost
from recaudit.pipeline.schedule import Pool, State, execute

PATIENCE = 300  # seconds until a test gives up waiting; what it waits for takes a few on a free machine
HOST = "127.0.0.1"

Perform = Callable[[Any], Any]


def wait_until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"waited {PATIENCE} seconds for: {what}"
        time.sleep(0.1)


def free_ports(n: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


def session_of(leader: int) -> set[int]:
    """Return the processes that ``leader`` started, and they in turn, all in the session that it leads."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(entry.name)) == leader:
                found.add(int(entry.name))
        except ProcessLookupError:
            continue
    return found


class Node:
    """A node of a cluster: `ray start --block`, in a session and a folder of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        small = ["--num-cpus=1", "--object-store-memory=80000000"]  # Ray takes no less than 75 MB
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environment = {
            **kept,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_memory_monitor_refresh_ms": "0",  # others may fill this machine's memory
            "RAY_worker_register_timeout_seconds": str(PATIENCE),  # and keep it busy
            "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "60",  # then the connection is tried again
        }
        start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--node-ip-address={HOST}"]
        self.log = folder / "start.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*start, *small, f"--temp-dir={folder}", *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def alive(self) -> bool:
        """Return true, or fail with what Ray said."""
        assert self.process.poll() is None, self.log.read_text()
        return True

    def kill(self) -> None:
        """Kill every process of the node at once, and wait for their end."""
        leader = self.process.pid
        while found := session_of(leader):
            for one in found:
                try:
                    os.kill(one, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            if leader in found:
                self.process.wait()
            time.sleep(0.05)


@contextmanager
def node(*options: str) -> Iterator[Node]:
    # Not pytest's folder: Ray puts sockets below, and the path of a socket has 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="ray"))
    started = Node(folder, *options)
    try:
        yield started
    finally:
        started.kill()
        shutil.rmtree(folder, ignore_errors=True)


class Cluster:
    def __init__(self, port: int, client_port: int) -> None:
        self.address = f"{HOST}:{port}"
        self.client = f"ray://{HOST}:{client_port}"


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@pytest.fixture(scope="module")
def head() -> Iterator[Cluster]:
    """A cluster of one node, which says that it has a GPU."""
    port, client_port = free_ports(2)
    ports = [f"--port={port}", f"--ray-client-server-port={client_port}"]
    with node("--head", *ports, "--include-dashboard=false", "--num-gpus=1") as started:
        wait_until(lambda: started.alive() and listens(port) and listens(client_port), "the cluster's head")
        yield Cluster(port, client_port)


@contextmanager
def opened(address: str, perform: Perform, **options: Any) -> Iterator["RayPool[Any, Any]"]:
    pool: RayPool[Any, Any] = RayPool(address, perform=perform, **options)
    try:
        yield pool
    finally:
        pool.close()


# What is performed is defined inside functions: Ray then sends the code along, as no node can import a test.


def holding(folder: Path) -> Perform:
    """Return a task that leaves word where it is, and squares its number once the file ``go`` is there."""

    def perform(number: int) -> int:
        # The parent of a Ray worker is its node's raylet.
        (folder / f"{number}-{os.getppid()}").write_text(str(os.getpid()))
        while not (folder / "go").exists():
            time.sleep(0.05)
        return number**2

    return perform


def environment() -> Perform:
    def perform(name: str) -> str | None:
        return os.environ.get(name)

    return perform


def words(folder: Path) -> dict[tuple[int, int], int]:
    """Return task and raylet -> worker, of what tasks left."""
    names = [path for path in folder.glob("*-*") if path.read_text()]
    return {(int(p.name.split("-")[0]), int(p.name.split("-")[1])): int(p.read_text()) for p in names}


def test_the_tasks_of_a_node_that_is_killed_are_done_by_another(head: Cluster, tmp_path: Path) -> None:
    with node(f"--address={head.address}") as second, opened(head.address, holding(tmp_path)) as pool:
        wait_until(lambda: second.alive() and pool.workers == 2, "two nodes, of one CPU each")
        futures = [pool.submit(number) for number in range(6)]
        wait_until(lambda: len({raylet for _, raylet in words(tmp_path)}) == 2, "a task on each node")
        doomed = session_of(second.process.pid)
        begun = words(tmp_path)
        (lost,) = [number for number, raylet in begun if raylet in doomed]
        assert begun[lost, next(raylet for number, raylet in begun if number == lost)] in doomed
        second.kill()
        (tmp_path / "go").touch()
        assert [future.result(timeout=PATIENCE) for future in futures] == [n**2 for n in range(6)]
        places = [raylet for number, raylet in words(tmp_path) if number == lost]
        assert len(places) == 2, "the lost task was not begun again on the other node"
        assert all(number == lost or raylet not in doomed for number, raylet in words(tmp_path))
        wait_until(lambda: pool.workers == 1, "one node left")


def tiny_grid(folder: Path) -> Grid:
    """Return a grid of two cells and two seeds over forty items, of models that learn for an epoch or two."""
    generator = np.random.default_rng(0)
    rows = [f"{user},{item}" for user in range(60) for item in generator.choice(40, 8, replace=False)]
    data = folder / "tiny.csv"
    data.write_text("\n".join(["user,item", *rows]) + "\n", "utf-8")
    few = {"epochs": 2, "evaluate_every": 1, "patience": 2}
    base = {
        "data": str(data),
        "victim": {"embedding_size": 8, "stopping": few},
        "attacks": ["PTD", "PTAQ"],
        "settings": {"PTD": {"stopping": few}, "PTAQ": {"stopping": few, "lists_stopping": few}},
        "k": 5,
    }
    return Grid(
        name="tests/tiny",
        title="Do two nodes find what one process finds?",
        source="none",
        base=base,
        axes={"split.known": (0.3, 0.5)},
        seeds=2,
        metric="agreement@5",
    )


def test_a_grid_over_a_dying_node_has_the_figures_of_one_process(head: Cluster, tmp_path: Path) -> None:
    grid = tiny_grid(tmp_path)
    alone, shared = Store(tmp_path / "alone"), Store(tmp_path / "shared")
    execute(missing(plan(grid, alone), alone), Here(perform), lambda _: None)
    with node(f"--address={head.address}") as second, opened(head.address, perform) as pool:
        wait_until(lambda: second.alive() and pool.workers == 2, "two nodes, of one CPU each")
        finished: list[str] = []

        def tell(state: State) -> None:
            if state.finished is not None:
                finished.append(state.finished)
                if len(finished) == 3:
                    second.kill()

        todo = missing(plan(grid, shared), shared)
        execute(todo, pool, tell)
    assert sorted(finished) == sorted(todo)
    assert len(finished) > 10, "the node died too late to matter"
    timeless = pl.col("metric") != "seconds"
    figures = results(grid, alone).filter(timeless)
    assert len(figures) > 10
    assert_frame_equal(results(grid, shared).filter(timeless), figures, check_exact=True)
    with opened(head.address, environment()) as pool:
        wait_until(lambda: pool.workers == 1, "Ray's notice that the node is gone")


@pytest.mark.parametrize("way", ["address", "client"])
def test_results_and_errors_come_back_as_they_are(head: Cluster, tmp_path: Path, way: str) -> None:
    tries = tmp_path / "tries"

    def perform(number: int) -> int:
        if number < 0:
            with tries.open("a") as log:
                log.write(f"{number}\n")
            raise UsageError(f"{number} is below zero")
        return number + 1

    with opened(getattr(head, way), perform) as pool:
        futures = [pool.submit(number) for number in (1, -2, 3)]
        assert futures[0].result(timeout=PATIENCE) == 2
        assert futures[2].result(timeout=PATIENCE) == 4
        error = futures[1].exception(timeout=PATIENCE)
    assert type(error) is UsageError
    assert str(error) == "-2 is below zero"
    assert "in perform" in str(error.__cause__), "the worker's traceback is lost"
    assert tries.read_text().split() == ["-2"], "an error of the task itself was tried again"


def test_a_task_that_kills_its_worker_each_time_is_given_up(head: Cluster, tmp_path: Path) -> None:
    def perform(number: int) -> int:
        with (tmp_path / "tries").open("a") as log:
            log.write("once\n")
        os.kill(os.getpid(), 9)
        return number

    with opened(head.address, perform) as pool:
        error = pool.submit(1).exception(timeout=PATIENCE)
    assert isinstance(error, TaskLost)
    assert "a rerun takes up from there" in str(error)
    assert len((tmp_path / "tries").read_text().split()) == 1 + RETRIES


def test_a_task_has_one_thread_and_no_gpu_or_its_own(head: Cluster) -> None:
    with opened(head.address, environment()) as pool:
        assert isinstance(pool, Pool)
        assert pool.workers == 1
        assert pool.submit("OMP_NUM_THREADS").result(timeout=PATIENCE) == "1"
    with opened(head.address, environment(), device="cuda") as pool:
        assert pool.workers == 1
        assert pool.submit("CUDA_VISIBLE_DEVICES").result(timeout=PATIENCE) == "0"


def test_more_workers_may_be_asked_for_than_there_are(head: Cluster) -> None:
    with opened(head.address, environment(), workers=7) as pool:
        assert pool.workers == 7
        futures = [pool.submit("NOBODY_SETS_THIS") for _ in range(7)]
        assert [future.result(timeout=PATIENCE) for future in futures] == [None] * 7


def test_closing_ends_what_runs(head: Cluster, tmp_path: Path) -> None:
    with opened(head.address, holding(tmp_path)) as pool:
        future = pool.submit(1)
        wait_until(lambda: len(words(tmp_path)) == 1, "the task's beginning")
        (worker,) = words(tmp_path).values()
    with pytest.raises(CancelledError):
        future.result(timeout=PATIENCE)
    assert pool.workers == 0
    wait_until(lambda: not Path(f"/proc/{worker}").exists(), "the worker's end")


def test_a_node_too_small_for_a_task_is_refused(head: Cluster) -> None:
    with pytest.raises(UsageError, match=r"needs 1 CPU and 2 GPU; the nodes have: 1 CPU and 1 GPU"):
        RayPool(head.address, perform=environment(), device="cuda", gpu_share=2.0)
    with opened(head.address, environment()) as pool:  # and the connection is closed
        assert pool.workers == 1


def test_a_second_pool_is_refused(head: Cluster) -> None:
    with opened(head.address, environment()), pytest.raises(UsageError, match="connected to a Ray cluster"):
        RayPool(head.address, perform=environment())


@pytest.mark.parametrize("form", ["{}", "ray://{}"])
def test_an_address_where_nobody_listens_is_named(form: str) -> None:
    address = form.format(f"{HOST}:{free_ports(1)[0]}")
    with pytest.raises(
        UsageError, match=f"no Ray cluster that can be used at {address}: .*`ray start --head`"
    ):
        RayPool(address, perform=environment())


def test_auto_follows_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"{HOST}:{free_ports(1)[0]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UsageError, match=f"at auto, by RAY_ADDRESS {address},"):
        RayPool("auto", perform=environment())


def test_auto_without_a_cluster_says_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def nothing(**_: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", nothing)  # somebody else may run a cluster on this machine
    with pytest.raises(UsageError, match=r"at auto: Could not find .*`ray start --head`"):
        RayPool("auto", perform=environment())


@pytest.mark.parametrize(
    "address", ["", "local", "head", "ray://head", "http://head:80", "head:none", ":6379"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="'auto', 'ray://host:port' or 'host:port'"):
        RayPool(address, perform=environment())


def test_without_the_extra_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'recaudit\[ray\]'"):
        RayPool("auto", perform=environment())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers is 0"),
        ({"device": "cuda:1"}, "write 'cuda'"),
        ({"device": "cuda", "gpu_share": 0.0}, "gpu_share is 0"),
        ({"device": "cuda", "gpu_share": -1.0}, "gpu_share is -1"),
        ({"device": "cuda", "gpu_share": 1.5}, "gpu_share is 1.5"),
    ],
)
def test_an_argument_out_of_range_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        RayPool("auto", perform=environment(), **options)


@pytest.mark.parametrize(
    ("resources", "gpus", "fit"),
    [
        ({"CPU": 8.0}, 0.0, 8),
        ({"memory": 1e9}, 0.0, 0),
        ({"CPU": 8.0}, 1.0, 0),
        ({"CPU": 8.0, "GPU": 2.0}, 1.0, 2),
        ({"CPU": 8.0, "GPU": 2.0}, 2.0, 1),
        ({"CPU": 8.0, "GPU": 3.0}, 2.0, 1),
        ({"CPU": 8.0, "GPU": 2.0}, 0.25, 8),
        ({"CPU": 4.0, "GPU": 2.0}, 0.25, 4),
        ({"CPU": 99.0, "GPU": 2.0}, 0.4, 4),  # two on each: a task's share is of one GPU
        ({"CPU": 99.0, "GPU": 1.0}, 0.1, 10),
    ],
)
def test_how_many_tasks_fit_a_node(resources: dict[str, float], gpus: float, fit: int) -> None:
    assert module._fitting(resources, gpus) == fit


@pytest.mark.parametrize(("failures", "tries"), [(0, 1), (2, 3), (3, 3)])
def test_a_client_whose_server_was_given_up_asks_again(
    monkeypatch: pytest.MonkeyPatch, failures: int, tries: int
) -> None:
    asked: list[str] = []

    def init(address: str, **rest: Any) -> None:
        asked.append(address)
        if len(asked) <= failures:
            raise ConnectionAbortedError("Initialization failure from server")

    fake = ModuleType("ray")
    fake.__dict__.update(
        is_initialized=lambda: False,
        init=init,
        shutdown=lambda: None,
        exceptions=SimpleNamespace(RayError=LookupError),
    )
    monkeypatch.setattr(module, "_reach", lambda *given: None)
    if failures < 3:
        module._connect(fake, "ray://head:10001")
    else:
        with pytest.raises(UsageError, match="Initialization failure from server"):
            module._connect(fake, "ray://head:10001")
    assert asked == ["ray://head:10001"] * tries
