"""The scheduler on planted nodes, and the pools of this machine."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planted import number_of, refusing
from profiles import examples
from recaudit.errors import UsageError
from recaudit.pipeline import Key
from recaudit.pipeline import schedule as module
from recaudit.pipeline.pools.local import Here, Processes
from recaudit.pipeline.schedule import DEATHS, Done, Planned, Pool, State, Task, execute

PATIENCE = 300  # seconds until a test gives up waiting; what it waits for takes a few on a free machine


def wait_until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"waited {PATIENCE} seconds for: {what}"
        time.sleep(0.02)


# --- the scheduler, on planted nodes ---------------------------------------------------------------------


def planted(
    number: int, needs: tuple[int, ...] = (), *, kind: str = "model", place: int = 0, shares: str = ""
) -> Planned:
    """Return a task whose hash is its number: the scheduler asks no more of it."""
    key = Key(kind=kind, inputs={"number": number})
    task = Task(store="nowhere", spec="{}", seed=0, key=key, label=f"node {number}", device="cpu")
    needed = frozenset(map(str, needs))
    return Planned(task=task, needs=needed, shares=frozenset(shares), place=place, wanted=True)


def todo_of(*planned: Planned) -> dict[str, Planned]:
    return {str(number_of(one.task)): one for one in planned}


class Threads:
    """A pool of threads that computes nothing but what ``perform`` says, and notes what it was given."""

    def __init__(self, workers: int, perform: Callable[[int], Done] = lambda number: Done()) -> None:
        self.workers = workers
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.most = self.now = self.closed = 0
        self._perform = perform
        self._lock = threading.Lock()
        self._executor = ThreadPoolExecutor(workers)

    def submit(self, task: Task) -> "Future[Done]":
        number = number_of(task)
        with self._lock:
            self.begun.append(number)
            self.now += 1
            self.most = max(self.most, self.now)
        return self._executor.submit(self._do, number)

    def _do(self, number: int) -> Done:
        try:
            return self._perform(number)
        finally:
            with self._lock:
                self.ended.append(number)
                self.now -= 1

    def close(self) -> None:
        self.closed += 1
        self._executor.shutdown()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.005)


@st.composite
def graphs(draw: st.DrawFn) -> list[tuple[tuple[int, ...], str, int]]:
    """Draw needs, kind and place of up to twelve nodes; numbers from 100 on are stored already."""
    drawn = []
    for number in range(draw(st.integers(0, 12))):
        earlier = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        stored = draw(st.sets(st.integers(100, 102), max_size=1))
        drawn.append(
            (
                (*earlier, *stored),
                draw(st.sampled_from(["model", "clone", "judged"])),
                draw(st.integers(0, 3)),
            )
        )
    return drawn


@given(graphs(), st.integers(1, 3), st.data())
@settings(max_examples=examples(60))
def test_each_stage_is_done_once_after_what_it_needs(graph, workers, data) -> None:
    """Though others be at work at some of them, and processes die."""
    numbers = range(len(graph))
    todo = todo_of(
        *(planted(n, needs, kind=kind, place=place) for n, (needs, kind, place) in enumerate(graph))
    )
    ends = data.draw(
        st.fixed_dictionaries({n: st.lists(st.sampled_from("bd"), max_size=DEATHS) for n in numbers})
    )
    done: set[str] = set()
    told: list[State] = []

    def act(number: int) -> Done:
        assert todo[str(number)].needs & todo.keys() <= done
        if ends[number]:
            if ends[number].pop() == "b":
                return Done(busy=True)
            raise BrokenExecutor("a process died")
        done.add(str(number))
        return Done()

    tries = {number: 1 + len(ends[number]) for number in numbers}
    pool = Threads(workers, act)
    execute(todo, pool, told.append)
    assert done == todo.keys()
    assert Counter(pool.begun) == tries
    assert pool.most <= workers
    assert pool.closed == 1
    finished = [state.finished for state in told if state.finished is not None]
    assert sorted(finished) == sorted(todo)
    for before, after in pairwise(told):
        assert after.left == before.left - {after.finished}
    assert all(len(state.running) <= workers for state in told)
    assert not told or (told[-1].left, told[-1].running) == (frozenset(), ())


def test_the_longest_chain_of_the_first_cell_goes_first() -> None:
    """Hand-worked: model weighs 4, clone 2, judged 1."""
    first = [
        planted(0, kind="model"),  # 4, and 1 of 4 after it: 5
        planted(1, kind="model"),  # 4, 2 of 2, 1 of 3: 7
        planted(2, (1,), kind="clone"),  # 3
        planted(3, (1, 2), kind="judged"),  # 1
        planted(4, (0,), kind="judged"),  # 1
    ]
    second = [
        planted(5, kind="model", place=1),  # 5, but of the second cell
        planted(6, (5, 1), kind="judged", place=1),
    ]
    pool = Threads(1)
    execute(todo_of(*first, *second), pool, lambda state: None)
    assert pool.begun == [1, 0, 2, 3, 4, 5, 6]


def test_as_many_run_at_once_as_there_are_workers() -> None:
    together = threading.Barrier(3)

    def meet(number: int) -> Done:
        together.wait(PATIENCE)
        return Done()

    pool = Threads(3, meet)
    execute(todo_of(*(planted(number) for number in range(6))), pool, lambda state: None)
    assert pool.most == 3


def test_what_another_run_computes_is_put_off_and_the_rest_goes_on() -> None:
    elsewhere = threading.Event()

    def act(number: int) -> Done:
        if number == 0 and not elsewhere.is_set():
            return Done(busy=True)
        if number == 3:
            elsewhere.set()
        return Done()

    todo = todo_of(planted(0), planted(1), planted(2), planted(3, (1, 2)), planted(4, (0,), kind="judged"))
    told: list[State] = []
    pool = Threads(1, act)
    execute(todo, pool, told.append)
    assert [state.finished for state in told if state.finished][-1] == "4"
    assert pool.begun.count(0) > 1
    assert Counter(number for number in pool.begun if number) == {1: 1, 2: 1, 3: 1, 4: 1}


def test_a_run_waits_for_another_run_s_last_stage() -> None:
    tries = iter([Done(busy=True)] * 5)
    pool = Threads(2, lambda number: next(tries, Done(damaged=("mended",))))
    told: list[State] = []
    execute(todo_of(planted(0)), pool, told.append)
    assert pool.begun == [0] * 6
    assert [state.damaged for state in told if state.finished] == [("mended",)]


def test_a_task_that_loses_its_process_too_often_ends_the_run() -> None:
    def die(number: int) -> Done:
        raise BrokenExecutor("a process died")

    pool = Threads(1, die)
    with pytest.raises(
        UsageError, match=r"^workers: 4 processes died at the node 'node 7'; .*fewer workers$"
    ):
        execute(todo_of(planted(7)), pool, lambda state: None)
    assert pool.begun == [7] * (DEATHS + 1)
    assert pool.closed == 1


def test_the_first_error_ends_the_run_and_comes_as_it_is() -> None:
    error = UsageError("queries: too few")

    def refuse(number: int) -> Done:
        if number == 1:
            raise error
        return Done()

    pool, told = Threads(1, refuse), []
    with pytest.raises(UsageError) as caught:
        execute(todo_of(planted(0), planted(1, (0,)), planted(2, (1,))), pool, told.append)
    assert caught.value is error
    assert [state.finished for state in told if state.finished] == ["0"]
    assert pool.begun == [0, 1]
    assert pool.closed == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_tasks_that_share_what_lies_in_memory_follow_each_other(workers) -> None:
    """A free process goes on with what it has at hand; what another one has is left to that one."""
    todo = todo_of(*(planted(number, shares="abc"[number % 3]) for number in range(12)))
    told: list[State] = []
    pool = Threads(workers)
    execute(todo, pool, told.append)
    assert sorted(pool.begun) == list(range(12))
    if workers == 1:
        assert [number % 3 for number in pool.begun] == [0] * 4 + [1] * 4 + [2] * 4
    for state in told:
        at_work = [number_of(task) % 3 for task in state.running]
        left = {int(number) % 3 for number in state.left}
        assert len(set(at_work)) == len(at_work) or left == set(at_work)


def test_whatever_stops_a_run_closes_its_pool() -> None:
    def stop(state: State) -> None:
        raise KeyboardInterrupt

    pool = Threads(1)
    with pytest.raises(KeyboardInterrupt):
        execute(todo_of(planted(0)), pool, stop)
    assert pool.closed == 1


def test_nothing_to_do_is_done_at_once() -> None:
    pool = Threads(1)
    execute({}, pool, pytest.fail)
    assert (pool.begun, pool.closed) == ([], 1)


# --- the pools of this machine ----------------------------------------------------------------------------


def test_pools_are_pools() -> None:
    here, processes = Here(lambda task: Done()), Processes(lambda task: Done(), 3)
    assert isinstance(here, Pool)
    assert isinstance(processes, Pool)
    assert (here.workers, processes.workers) == (1, 3)


@pytest.mark.parametrize("kind", ["here", pytest.param("processes", marks=pytest.mark.process)])
def test_answers_and_errors_come_out_of_the_future(kind) -> None:
    pool: Pool = Here(refusing) if kind == "here" else Processes(refusing, 1)
    try:
        (process,) = pool.submit(planted(0).task).result(PATIENCE).damaged
        assert (int(process) == os.getpid()) == (kind == "here")
        with pytest.raises(UsageError, match="queries: 1 are too few"):
            pool.submit(planted(1).task).result(PATIENCE)
    finally:
        pool.close()


def test_an_interrupt_in_this_process_is_not_taken_for_a_task_s_error() -> None:
    def stop(task: Task) -> Done:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Here(stop).submit(planted(0).task)


# --- processes that die -----------------------------------------------------------------------------------


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")

# Processes can import what lies in tests/, but not this module: tasks are performed by functions of planted.py, or by
# functions defined inside functions, whose code loky sends along.


def killed_once(folder: Path) -> Callable[[Task], Done]:
    """Return a task that kills its process the first time that number 1 is done."""

    def die_once(task: Task) -> Done:
        word = folder / str(number_of(task))
        if str(number_of(task)) == "1" and not word.exists():
            word.write_text("died")
            os.kill(os.getpid(), signal.SIGKILL)
        word.write_text(f"{os.getpid()} {os.environ['OMP_NUM_THREADS']}")
        return Done()

    return die_once


@pytest.mark.process
def test_a_task_whose_process_is_killed_is_done_by_another(tmp_path) -> None:
    todo = todo_of(planted(0), planted(1, (0,)), planted(2, (1,)))
    execute(todo, Processes(killed_once(tmp_path), 1), lambda state: None)
    words = [(tmp_path / str(number)).read_text().split() for number in range(3)]
    assert words[0][0] != words[1][0] == words[2][0]
    assert {threads for _, threads in words} == {"1"}


def sleeping(folder: Path) -> Callable[[Task], Done]:
    def sleep(task: Task) -> Done:
        (folder / str(number_of(task))).write_text(str(os.getpid()))
        time.sleep(100_000)
        return Done()

    return sleep


@needs_proc
@pytest.mark.process
def test_closing_kills_what_is_running(tmp_path) -> None:
    pool = Processes(sleeping(tmp_path), 1)
    pool.submit(planted(0).task)
    word = tmp_path / "0"
    wait_until(lambda: word.exists() and word.read_text() != "", "the task")
    assert alive(int(word.read_text()))
    pool.close()
    wait_until(lambda: not alive(int(word.read_text())), "the end of the process")
