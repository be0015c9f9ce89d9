"""The scheduler: computes the missing nodes of audits, each after the nodes that it needs, on any pool."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from recaudit.errors import UsageError
from recaudit.pipeline.keys import Key

__all__ = ["Done", "Planned", "Pool", "State", "Task", "execute"]

DEATHS = 3
"""How often a task may lose its process before the run gives up."""

PAUSE = 0.5
"""Seconds between two looks at nodes that another run is computing."""

WEIGHTS = {"model": 4, "models": 4, "clone": 2}
"""Guesses of how long nodes of a kind take beside others: long chains begin first."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One node to compute, in plain values that any process can take.

    Args:
        store: folder of the store.
        spec: JSON of the audit's spec, from which a process makes the node again.
        seed: the seed.
        key: the node's key.
        label: what the node does, for people who watch.
        device: where to compute it.
    """

    store: str
    spec: str
    seed: int
    key: Key
    label: str
    device: str


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A task with what must be there before it.

    Args:
        task: what is to be computed.
        needs: hashes of the kept nodes whose results it takes.
        shares: hashes of what it takes from its process's memory, and what tasks with the same hash take too.
        place: where its audit stands among all; who comes first is computed first.
        wanted: whether the figures need it by itself, not only by way of another node.
    """

    task: Task
    needs: frozenset[str]
    shares: frozenset[str] = frozenset()
    place: int
    wanted: bool


@dataclass(frozen=True, kw_only=True)
class Done:
    """A task's answer.

    Args:
        busy: another run is computing the node; nothing was done.
        damaged: lines about damaged results that were met.
    """

    busy: bool = False
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class State:
    """How far a run is.

    Args:
        todo: all tasks of the run, by hash.
        running: the tasks at work.
        finished: hash of the node that was just finished, ``None`` where none was.
        left: hashes of the nodes that are not finished.
        damaged: lines about damaged results.
    """

    todo: Mapping[str, Planned]
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


def execute(todo: Mapping[str, Planned], pool: Pool, tell: Callable[[State], None]) -> None:
    """Compute all nodes of ``todo``; what they need besides is stored already.

    A node that another run on the same store is computing is put off. A task whose process dies is begun
    again, ``DEATHS`` times at most. The first error of a task ends the run; what is finished stays.

    Args:
        todo: nodes by hash.
        pool: where they run.
        tell: hears how far the run is, whenever that changes.

    Raises:
        UsageError: where a task lost its process too often, and all that a task raises.
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
        self.order = self._order(todo)
        self.at_hand: frozenset[str] = frozenset()

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
            self.at_hand = frozenset()
            for future in finished:
                self._take(future)

    def _submit(self) -> None:
        """Begin as many tasks as there are free workers."""
        while len(self.running) < self.pool.workers:
            busy = set(self.running.values()) | self.put_off
            ready = [key for key in self.left - busy if not self.todo[key].needs & self.left]
            if not ready:
                return
            key = min(ready, key=self._turn)
            # Told first: a pool may compute the task before it returns.
            self._told(None, begins=(self.todo[key].task,))
            self.running[self.pool.submit(self.todo[key].task)] = key

    def _turn(self, key: str) -> tuple[int, ...]:
        """Order ready tasks: those that others wait for longest first, and of these what suits the free process.

        Processes that are free have just finished tasks: what these share lies in their memory. What a
        running task shares lies in another's.
        """
        shares = self.todo[key].shares
        elsewhere = any(shares & self.todo[other].shares for other in self.running.values())
        return (*self.order[key][:2], not shares & self.at_hand, elsewhere, self.order[key][2])

    def _take(self, future: "Future[Done]") -> None:
        key = self.running.pop(future)
        try:
            done = future.result()
        except BrokenExecutor:
            self.deaths[key] = self.deaths.get(key, 0) + 1
            if self.deaths[key] > DEATHS:
                label = self.todo[key].task.label
                raise UsageError(
                    f"workers: {self.deaths[key]} processes died at the node {label!r}; the system may have "
                    "killed them for want of memory: take fewer workers"
                ) from None
            return
        except UsageError:
            raise
        except Exception as error:
            task = self.todo[key].task
            about = f"{task.label} of {task.key.inputs.get('data', '')}, seed {task.seed}"
            error.add_note(f"This happened at the node {about}; finished nodes are kept.")
            raise
        if done.busy:
            self.put_off.add(key)
            return
        self.left.discard(key)
        self.at_hand |= self.todo[key].shares
        self._told(key, done.damaged)

    def _told(
        self, finished: str | None, damaged: tuple[str, ...] = (), begins: tuple[Task, ...] = ()
    ) -> None:
        running = tuple(self.todo[key].task for key in self.running.values()) + begins
        self.tell(
            State(
                todo=self.todo, running=running, finished=finished, left=frozenset(self.left), damaged=damaged
            )
        )

    @staticmethod
    def _order(todo: Mapping[str, Planned]) -> dict[str, tuple[int, int, int]]:
        """Order by the cell, within it by how much waits for a node, longest chain first, and as planned."""
        height: dict[str, int] = {}
        for key in reversed(tuple(todo)):  # each comes after those that it needs
            one = todo[key]
            height[key] = height.get(key, 0) + WEIGHTS.get(one.task.key.kind, 1)
            for need in one.needs & todo.keys():
                height[need] = max(height.get(need, 0), height[key])
        return {key: (one.place, -height[key], number) for number, (key, one) in enumerate(todo.items())}
