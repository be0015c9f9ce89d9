"""Pools of this machine: the process itself, or processes of its own."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager
from multiprocessing import resource_tracker

from loky import ProcessPoolExecutor

from recaudit.pipeline.schedule import Done, Task

__all__ = ["Here", "Processes"]

WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "LOKY_MAX_MEMORY_LEAK_SIZE": "1e12"}
"""A worker keeps data and splits on purpose: loky is not to take that for a leak and replace it."""


class Here:
    """The process itself: one task after another, whose epochs can be watched."""

    workers = 1

    def __init__(self, perform: Callable[[Task], Done]) -> None:
        self._perform = perform

    def submit(self, task: Task) -> "Future[Done]":
        """Compute the task now."""
        future: Future[Done] = Future()
        try:
            future.set_result(self._perform(task))
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        """Nothing goes on here after :meth:`submit`."""


class Processes:
    """Processes of this machine, one thread of torch each."""

    def __init__(self, perform: Callable[[Task], Done], workers: int) -> None:
        self.workers = workers
        self._perform = perform
        self._executor: ProcessPoolExecutor | None = None

    def submit(self, task: Task) -> "Future[Done]":
        """Begin a task in a free process; processes that died are replaced."""
        with _held_interrupts():
            try:
                future: Future[Done] = self._started().submit(self._perform, task)
            except BrokenExecutor:
                self.close()
                future = self._started().submit(self._perform, task)
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
