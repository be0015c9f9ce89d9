"""Where stages run: here, in processes of this machine, or on a cluster; one scheduler for all."""

import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from loky import ProcessPoolExecutor

from recaudit.errors import UsageError
from recaudit.experiments.plan import Planned, Task, open_seed
from recaudit.pipeline import Store
from recaudit.pipeline.memo import Memo
from recaudit.pipeline.run import Progress, no_progress

__all__ = ["Done", "Here", "Pool", "Processes", "State", "execute", "perform"]

DEATHS = 3
"""How often a task may lose its process before the run gives up."""

WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "LOKY_MAX_MEMORY_LEAK_SIZE": "1e12"}
"""A worker keeps data and splits on purpose: loky is not to take that for a leak and replace it."""

PAUSE = 0.5
"""Seconds between two looks at stages that another run is computing."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """A task's answer.

    Args:
        busy: another run is computing the stage; nothing was done.
        damaged: lines about damaged stages that were met.
    """

    busy: bool = False
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class State:
    """How far a run is.

    Args:
        running: the tasks at work.
        finished: hash of the stage that was just finished, ``None`` where none was.
        left: hashes of those that are not finished.
        damaged: lines about damaged stages.
    """

    running: tuple[Task, ...]
    finished: str | None
    left: frozenset[str]
    damaged: tuple[str, ...] = ()


@runtime_checkable
class Pool(Protocol):
    """Somewhere tasks run."""

    @property
    def workers(self) -> int:
        """How many tasks may run at once."""

    def submit(self, task: Task) -> "Future[Done]":
        """Begin a task."""

    def close(self) -> None:
        """End all work, also what is running."""


def perform(task: Task, progress: Progress = no_progress) -> Done:
    """Compute one stage and keep it in the store.

    Raises:
        UsageError: where the store or the data cannot be found on this machine, or the data cannot be split;
            where this machine's data or versions are others than those of the process that asks.
    """
    torch.set_num_threads(1)  # results must not depend on who computes, and workers share the machine
    if not Path(task.store).is_dir():
        raise UsageError(
            f"store: {task.store} is not there on {platform.node()}; a cluster needs a folder that all "
            "machines share, under the same name"
        )
    damaged: list[str] = []
    store = Store(Path(task.store), say=damaged.append)
    if store.busy(task.stage):
        return Done(busy=True)
    audit = open_seed(task.spec, task.seed, Memo(store=store), progress)
    if all(work.stage.hash != task.stage.hash for work in audit.works()):
        raise UsageError(
            f"{platform.node()} has other data than the process that asks, or another version of recaudit, "
            "torch, numpy, scipy or polars: the figures would not be comparable; give both the same"
        )
    audit.do(task.name)
    return Done(damaged=tuple(damaged))


class Here:
    """The process itself: one task after another, whose epochs can be watched."""

    workers = 1

    def __init__(self, progress: Progress = no_progress) -> None:
        self._progress = progress

    def submit(self, task: Task) -> "Future[Done]":
        """Compute the task now."""
        future: Future[Done] = Future()
        try:
            future.set_result(perform(task, self._progress))
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        """Nothing goes on here after :meth:`submit`."""


class Processes:
    """Processes of this machine, one thread of torch each."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._executor: ProcessPoolExecutor | None = None

    def submit(self, task: Task) -> "Future[Done]":
        """Begin a task in a free process; processes that died are replaced."""
        with _held_interrupts():
            try:
                future: Future[Done] = self._started().submit(perform, task)
            except BrokenExecutor:
                self.close()
                future = self._started().submit(perform, task)
        return future

    def close(self) -> None:
        """Kill the processes."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=True)
            self._executor = None

    def _started(self) -> ProcessPoolExecutor:
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                self.workers, initializer=_begin_worker, initargs=(os.getpid(),), env=WORKER_ENVIRONMENT
            )
        return self._executor


@contextmanager
def _held_interrupts() -> Iterator[None]:
    """Begin processes that Ctrl-C passes by even while they import; it reaches this one in the end."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # were it begun with the first worker, it would let Ctrl-C through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end when it ends, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where none could be held back

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def execute(todo: Mapping[str, Planned], pool: Pool, tell: Callable[[State], None]) -> None:
    """Compute all stages of ``todo``; what they need besides is stored already.

    A stage that another run on the same store is computing is put off. A task whose process dies is begun
    again, ``DEATHS`` times at most. The first error of a task ends the run; what is finished stays.

    Args:
        todo: stages by hash.
        pool: where they run.
        tell: hears how far the run is, whenever that changes.

    Raises:
        UsageError: where a task lost its process too often, and all that :func:`perform` raises.
    """
    scheduler = _Scheduler(todo, pool, tell)
    try:
        scheduler.run()
    finally:
        pool.close()


class _Scheduler:
    def __init__(self, todo: Mapping[str, Planned], pool: Pool, tell: Callable[[State], None]) -> None:
        self.todo = todo
        self.pool = pool
        self.tell = tell
        self.left = set(todo)
        self.running: dict[Future[Done], str] = {}
        self.deaths: dict[str, int] = {}
        self.put_off: set[str] = set()
        self.order = sorted(todo, key=self._priority(todo))

    def run(self) -> None:
        while self.left:
            self._submit()
            if not self.running:  # all that could run is being computed by another run
                time.sleep(PAUSE)
                self.put_off.clear()
                continue
            finished, _ = wait(
                self.running, timeout=PAUSE if self.put_off else None, return_when=FIRST_COMPLETED
            )
            self.put_off.clear()
            for future in finished:
                self._take(future)

    def _submit(self) -> None:
        """Begin as many tasks as there are free workers, those that others wait for longest first."""
        busy = set(self.running.values()) | self.put_off
        for key in self.order:
            if len(self.running) >= self.pool.workers:
                return
            if key in self.left and key not in busy and not self.todo[key].needs & self.left:
                # Told first: a pool may compute the task before it returns.
                self._told(None, begins=(self.todo[key].task,))
                self.running[self.pool.submit(self.todo[key].task)] = key

    def _take(self, future: "Future[Done]") -> None:
        key = self.running.pop(future)
        try:
            done = future.result()
        except BrokenExecutor:
            self.deaths[key] = self.deaths.get(key, 0) + 1
            if self.deaths[key] > DEATHS:
                stage = " ".join(self.todo[key].task.name)
                raise UsageError(
                    f"workers: {self.deaths[key]} processes died at the stage {stage!r}; the system may have "
                    "killed them for want of memory: take fewer workers"
                ) from None
            return
        except UsageError:
            raise
        except Exception as error:
            task = self.todo[key].task
            about = f"{' '.join(task.name)} of {task.stage.inputs.get('data', '')}, seed {task.seed}"
            error.add_note(f"This happened at the stage {about}; finished stages are kept.")
            raise
        if done.busy:
            self.put_off.add(key)
            return
        self.left.discard(key)
        self._told(key, done.damaged)

    def _told(
        self, finished: str | None, damaged: tuple[str, ...] = (), begins: tuple[Task, ...] = ()
    ) -> None:
        running = tuple(self.todo[key].task for key in self.running.values()) + begins
        self.tell(State(running=running, finished=finished, left=frozenset(self.left), damaged=damaged))

    @staticmethod
    def _priority(todo: Mapping[str, Planned]) -> Callable[[str], tuple[int, int]]:
        """Order by the cell, and within it by how much waits for a stage, longest chain first."""
        weights = {"fit": 4, "share": 2, "judge": 1}
        height: dict[str, int] = {}
        for key in reversed(tuple(todo)):  # each comes after those that it needs
            one = todo[key]
            height[key] = height.get(key, 0) + weights[one.task.name[0]]
            for need in one.needs & todo.keys():
                height[need] = max(height.get(need, 0), height[key])
        return lambda key: (todo[key].place, -height[key])
