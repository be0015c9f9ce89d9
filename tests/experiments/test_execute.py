"""The scheduler, the pools, and what a kill leaves: all finished stages, and a rerun the same figures."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiles import examples
from recaudit.audit.tasks import missing, perform
from recaudit.errors import UsageError
from recaudit.experiments import execute as module
from recaudit.experiments import plan as planning
from recaudit.experiments.plan import plan
from recaudit.pipeline import Key, Store
from recaudit.pipeline.cache import Cache
from recaudit.pipeline.pools.local import Here, Processes
from recaudit.pipeline.schedule import DEATHS, Done, Planned, Pool, State, Task, execute

PATIENCE = 300  # seconds until a test gives up waiting; what it waits for takes a few on a free machine


def wait_until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"waited {PATIENCE} seconds for: {what}"
        time.sleep(0.02)


# --- the scheduler, on planted stages ---------------------------------------------------------------------


def planted(number: int, needs: tuple[int, ...] = (), *, name: str = "fit", place: int = 0) -> Planned:
    task = Task(
        store="nowhere", spec="{}", seed=0, name=(name, str(number)), stage=stage_of(number), device="cpu"
    )
    return Planned(task=task, needs=frozenset(stage_of(need).hash for need in needs), place=place)


def stage_of(number: int) -> Key:
    return Key(kind="model", inputs={"number": number})


def todo_of(*planned: Planned) -> dict[str, Planned]:
    return {one.task.stage.hash: one for one in planned}


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
        number = int(task.name[1])
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
    """Draw needs, name and place of up to twelve stages; numbers from 100 on are stored already."""
    drawn = []
    for number in range(draw(st.integers(0, 12))):
        earlier = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        stored = draw(st.sets(st.integers(100, 102), max_size=1))
        drawn.append(
            ((*earlier, *stored), draw(st.sampled_from(["fit", "share", "judge"])), draw(st.integers(0, 3)))
        )
    return drawn


@given(graphs(), st.integers(1, 3), st.data())
@settings(max_examples=examples(60))
def test_each_stage_is_done_once_after_what_it_needs(graph, workers, data) -> None:
    """Though others be at work at some of them, and processes die."""
    numbers = range(len(graph))
    todo = todo_of(
        *(planted(n, needs, name=name, place=place) for n, (needs, name, place) in enumerate(graph))
    )
    ends = data.draw(
        st.fixed_dictionaries({n: st.lists(st.sampled_from("bd"), max_size=DEATHS) for n in numbers})
    )
    done: set[str] = set()
    told: list[State] = []

    def act(number: int) -> Done:
        assert todo[stage_of(number).hash].needs & todo.keys() <= done
        if ends[number]:
            if ends[number].pop() == "b":
                return Done(busy=True)
            raise BrokenExecutor("a process died")
        done.add(stage_of(number).hash)
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
    """Hand-worked: fit weighs 4, share 2, judge 1."""
    first = [
        planted(0, name="fit"),  # 4, and 1 of 4 after it: 5
        planted(1, name="fit"),  # 4, 2 of 2, 1 of 3: 7
        planted(2, (1,), name="share"),  # 3
        planted(3, (1, 2), name="judge"),  # 1
        planted(4, (0,), name="judge"),  # 1
    ]
    second = [
        planted(5, name="fit", place=1),  # 5, but of the second cell
        planted(6, (5, 1), name="judge", place=1),
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

    todo = todo_of(planted(0), planted(1), planted(2), planted(3, (1, 2)), planted(4, (0,), name="judge"))
    told: list[State] = []
    pool = Threads(1, act)
    execute(todo, pool, told.append)
    assert [state.finished for state in told if state.finished][-1] == stage_of(4).hash
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
        UsageError, match=r"^workers: 4 processes died at the stage 'fit 7'; .*fewer workers$"
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
    assert [state.finished for state in told if state.finished] == [stage_of(0).hash]
    assert pool.begun == [0, 1]
    assert pool.closed == 1


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


# --- one task ---------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store", say=pytest.fail)


def task_of(grid: Any, store: Store, *name: str) -> Task:
    return next(one.task for one in plan(grid, store).values() if one.task.name == name)


def test_a_task_leaves_its_stage_in_the_store(make_grid, store) -> None:
    task = task_of(make_grid(), store, "fit", "victim")
    assert perform(task) == Done()
    assert [one.hash for one in store.stages()] == [task.stage.hash]


def test_a_stage_that_another_run_computes_is_left_to_it(make_grid, store) -> None:
    task = task_of(make_grid(), store, "fit", "victim")
    with store.lock(task.stage):
        assert perform(task) == Done(busy=True)
        assert list(store.stages()) == []


def test_a_store_that_is_not_there_is_told(make_grid, store, tmp_path) -> None:
    task = task_of(make_grid(), store, "fit", "victim")
    shutil.rmtree(store.folder)
    with pytest.raises(
        UsageError, match=r"^store: .*/store is not there on .*; a cluster needs a folder that all"
    ):
        perform(task)
    assert not store.folder.exists()


def test_a_machine_with_other_data_is_told_before_it_computes(make_grid, store, data, tmp_path) -> None:
    file = shutil.copy(data, tmp_path / "mine.csv")
    task = task_of(make_grid(base={"data": str(file)}), store, "fit", "victim")
    file.write_text(data.read_text("utf-8").replace("\n7,", "\n700,"), "utf-8")
    planning._data.cache_clear()
    with pytest.raises(UsageError, match="has other data than the process that asks, or another version of"):
        perform(task)
    assert list(store.stages()) == []


@pytest.mark.process
def test_errors_come_out_of_the_future(make_grid, store) -> None:
    task = task_of(make_grid(), store, "fit", "victim")
    shutil.rmtree(store.folder)
    with pytest.raises(UsageError, match="is not there on"):
        Here().submit(task).result()
    pool = Processes(1)
    try:
        with pytest.raises(UsageError, match="is not there on"):
            pool.submit(task).result(PATIENCE)
    finally:
        pool.close()


def test_pools_are_pools() -> None:
    assert isinstance(Here(), Pool)
    assert isinstance(Processes(3), Pool)
    assert (Here().workers, Processes(3).workers) == (1, 3)


# --- processes that die -----------------------------------------------------------------------------------


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")

# Tasks are performed by functions defined inside functions: loky then sends their code along.


def killed_once(folder: Path) -> Callable[[Task], Done]:
    """Return a task that kills its process the first time that number 1 is done."""

    def die_once(task: Task) -> Done:
        word = folder / task.name[1]
        if task.name[1] == "1" and not word.exists():
            word.write_text("died")
            os.kill(os.getpid(), signal.SIGKILL)
        word.write_text(f"{os.getpid()} {os.environ['OMP_NUM_THREADS']}")
        return Done()

    return die_once


@pytest.mark.process
def test_a_task_whose_process_is_killed_is_done_by_another(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "perform", killed_once(tmp_path))
    todo = todo_of(planted(0), planted(1, (0,)), planted(2, (1,)))
    execute(todo, Processes(1), lambda state: None)
    words = [(tmp_path / str(number)).read_text().split() for number in range(3)]
    assert words[0][0] != words[1][0] == words[2][0]
    assert {threads for _, threads in words} == {"1"}


def sleeping(folder: Path) -> Callable[[Task], Done]:
    def sleep(task: Task) -> Done:
        (folder / task.name[1]).write_text(str(os.getpid()))
        time.sleep(100_000)
        return Done()

    return sleep


@needs_proc
@pytest.mark.process
def test_closing_kills_what_is_running(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "perform", sleeping(tmp_path))
    pool = Processes(1)
    pool.submit(planted(0).task)
    word = tmp_path / "0"
    wait_until(lambda: word.exists() and word.read_text() != "", "the task")
    assert alive(int(word.read_text()))
    pool.close()
    wait_until(lambda: not alive(int(word.read_text())), "the end of the process")


# --- a grid, killed at any moment -------------------------------------------------------------------------

RUN = """
import json, sys
from pathlib import Path
from recaudit.pipeline.pools.local import Here, Processes
from recaudit.pipeline.schedule import execute
from recaudit.experiments.grid import Grid
from recaudit.audit.tasks import missing
from recaudit.experiments.plan import plan
from recaudit.pipeline.cache import Cache
from recaudit.pipeline import Store
from recaudit.validation import validated

folder, grid, workers = Path(sys.argv[1]), validated(Grid, json.loads(sys.argv[2])), int(sys.argv[3])
computed = Cache._computed

def noted(self, stage, compute, pack):
    print("computed", stage.hash, flush=True)
    return computed(self, stage, compute, pack)

def tell(state):
    for line in state.damaged:
        print("damaged", line, flush=True)
    if state.finished is not None:
        print("finished", state.finished, flush=True)

Cache._computed = noted
store = Store(folder, say=lambda line: print("damaged", line, flush=True))
todo = missing(plan(grid, store), store)
print("planned", len(todo), flush=True)
sys.stdin.readline()
execute(todo, Processes(workers) if workers else Here(), tell)
print("end", flush=True)
"""


class Execution:
    """A process that executes a grid on a store, with 0 workers in itself."""

    def __init__(self, store: Path, grid: dict[str, Any], workers: int) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(store), json.dumps(grid), str(workers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.said: list[list[str]] = []

    def __enter__(self) -> "Execution":
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        self.process.stdin.close()
        self.process.stdout.close()

    def lines(self) -> Iterator[list[str]]:
        """Yield the words of each line until the process ends."""
        for line in self.process.stdout:
            self.said.append(line.strip().split(maxsplit=1))
            yield self.said[-1]

    def planned(self) -> int:
        """Wait until it has planned; return how many stages it found missing."""
        first = next(self.lines())
        assert first[0] == "planned"
        return int(first[1])

    def go(self) -> None:
        """Let it begin, once it has planned."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def of(self, word: str) -> list[str]:
        return [words[1] for words in self.said if words[0] == word]

    def children(self) -> list[int]:
        """Return all processes that it has begun, and they in turn."""
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
        found = [self.process.pid]
        for one in found:
            found += [child for child, parent in parents.items() if parent == one]
        return found[1:]

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


def interrupted(run: Execution, kills: int, moments: random.Random) -> tuple[bool, list[int]]:
    """Let a run come to a random moment; return whether it came to its end, and its other processes.

    The first time that is when workers are being started, and after four kills it is the end.
    """
    if kills == 0:
        wait_until(lambda: len(run.children()) > 0, "a worker")
    elif kills < 4:
        wanted = moments.randint(1, 3)
        for words in run.lines():
            wanted -= words[0] == "finished"
            if not wanted:
                break
        time.sleep(moments.random() * 0.06)
    else:
        assert list(run.lines())[-1] == ["end"]
        assert run.process.wait(PATIENCE) == 0
    workers = run.children()
    return run.process.poll() is not None, workers


@needs_proc
@pytest.mark.process
def test_a_grid_that_is_killed_over_and_over_loses_nothing_and_ends_the_same(
    plain_grid, make_grid, finished, figures, contents, tmp_path
) -> None:
    """SIGKILL at random moments; workers die with their parent; what is finished stays to the byte."""
    store, moments = Store(tmp_path / "store", say=pytest.fail), random.Random(7)
    kept: dict[str, tuple[bytes, int, int]] = {}
    progress, ended = [], False
    while not ended:
        kills = len(progress)
        with Execution(store.folder, plain_grid, workers=2) as run:
            run.planned()
            run.go()
            ended, workers = interrupted(run, kills, moments)
            run.kill()
        if kills % 2 == 0:  # at other times the next run meets those that are still there
            wait_until(lambda w=workers: not any(map(alive, w)), "the end of the workers")
            assert not any(store.busy(one.task.stage) for one in plan(make_grid(), store).values())
        there = contents(store.folder)
        assert kept.items() <= there.items(), "a finished stage was lost or written again"
        stored = {name.split("/")[1] for name in there}
        assert set(run.of("finished")) <= stored
        assert not run.of("damaged")
        kept = there
        progress.append(len(stored))
    assert progress == sorted(progress)
    assert len(set(progress)) > 3, f"it was killed at too few different moments: {progress}"
    assert missing(plan(make_grid(), store), store) == {}
    assert figures(make_grid(), store.folder).equals(figures(make_grid(), finished))
    # And every stage, not the figures alone.
    same_tensors(there, contents(finished))


def same_tensors(there: dict[str, Any], expected: dict[str, Any]) -> None:
    assert there.keys() == expected.keys()
    for name in expected:
        if name.endswith(".safetensors"):
            assert there[name][0] == expected[name][0], name


@pytest.mark.process
def test_two_processes_at_once_share_a_grid(
    plain_grid, make_grid, finished, figures, contents, tmp_path
) -> None:
    folder = tmp_path / "store"
    with Execution(folder, plain_grid, 0) as one, Execution(folder, plain_grid, 0) as other:
        runs = (one, other)
        assert [run.planned() for run in runs] == [26, 26]
        for run in runs:
            run.go()
        listeners = [threading.Thread(target=lambda run=run: list(run.lines())) for run in runs]
        for listener in listeners:
            listener.start()
        for listener in listeners:
            listener.join(PATIENCE)
        assert [run.process.wait(PATIENCE) for run in runs] == [0, 0]
        for run in runs:
            assert len(run.of("finished")) == 26
            assert not run.of("damaged")
        computed = Counter(one.of("computed") + other.of("computed"))
    assert set(computed.values()) == {1}, "a stage was computed twice"
    assert one.of("computed"), "the other process did it all"
    assert other.of("computed"), "the first process did it all"
    store = Store(folder, say=pytest.fail)
    assert {stored.hash for stored in store.stages()} == set(computed)
    assert list(store.garbage()) == []
    assert figures(make_grid(), folder).equals(figures(make_grid(), finished))
    same_tensors(contents(folder), contents(finished))


@pytest.mark.process
def test_processes_give_what_this_process_gives(make_grid, finished, figures, contents, store) -> None:
    told: list[State] = []
    execute(missing(plan(make_grid(), store), store), Processes(2), told.append)
    assert max(len(state.running) for state in told) == 2
    assert figures(make_grid(), store.folder).equals(figures(make_grid(), finished))
    same_tensors(contents(store.folder), contents(finished))


# --- what is there is not computed again ------------------------------------------------------------------


@pytest.fixture
def copied(finished, tmp_path) -> Store:
    """The finished grid, to be changed at will."""
    return Store(shutil.copytree(finished, tmp_path / "copied"))


@pytest.fixture
def computed(monkeypatch) -> list[Key]:
    """The stages that are computed in this process."""
    found, compute = [], Cache._computed

    def noted(self, stage, *rest):
        found.append(stage)
        return compute(self, stage, *rest)

    monkeypatch.setattr(Cache, "_computed", noted)
    return found


def test_a_rerun_computes_nothing(make_grid, copied, computed, contents) -> None:
    before = contents(copied.folder)
    planned = plan(make_grid(), copied)
    assert missing(planned, copied) == {}
    execute(planned, Here(), lambda state: None)  # not even if it is told to
    assert computed == []
    assert contents(copied.folder) == before


def test_a_wider_grid_takes_the_models_that_are_there(make_grid, copied, computed, contents) -> None:
    before = contents(copied.folder)
    wider = make_grid(axes={"split.known": [0.5, 0.6]})
    execute(missing(plan(wider, copied), copied), Here(), lambda state: None)
    kinds = Counter(stage.kind for stage in computed)
    # Of each seed: no victim, no retrained one, no auxiliary model; clones and figures of the new cell.
    assert kinds == {"clone": 2 * 5, "figures": 2 * 8}
    assert before.items() <= contents(copied.folder).items()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_damaged_stage_that_is_needed_is_told_and_computed_again(
    make_grid, finished, copied, computed, figures, contents, moment
) -> None:
    """Whether it is damaged before the run looks for what is missing, or after."""
    told: list[str] = []
    store = Store(copied.folder, say=told.append)
    planned = plan(make_grid(), store)
    by_name = {one.task.name: one.task.stage for one in planned.values() if one.place == 1}
    wanted, needed = by_name["judge", "PTAQ"], by_name["fit", "victim"]
    file = store.folder / needed.kind / needed.hash / "tensors.safetensors"
    shutil.rmtree(store.folder / wanted.kind / wanted.hash)
    for clone in [one for one in store.stages() if "settings" in one.inputs]:  # learnt from lists
        store.remove(clone.folder)  # nothing: no garbage
        shutil.rmtree(clone.folder)

    def damage() -> None:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)

    if moment == "before":
        damage()
    todo = missing(planned, store)
    assert {one.task.stage.hash for one in todo.values()} == {wanted.hash} | (
        {needed.hash} if moment == "before" else set()
    )
    if moment == "after":
        damage()
    execute(todo, Here(), lambda state: told.extend(state.damaged))
    line = f"{file.parent}: tensors.safetensors is damaged; it is computed again"
    assert set(told) == {line}
    assert [stage.hash for stage in computed].count(needed.hash) == 1
    assert sorted(stage.kind for stage in computed) == ["clone", "figures", "model"]
    assert figures(make_grid(), store.folder).equals(figures(make_grid(), finished))
    expected = contents(finished)
    for name, (content, *_) in contents(store.folder).items():
        if name.endswith(".safetensors"):
            assert content == expected[name][0]


def test_damaged_figures_are_computed_again(make_grid, finished, copied, computed, figures) -> None:
    told: list[str] = []
    store = Store(copied.folder, say=told.append)
    for file in store.folder.glob("figures/*/stage.json"):
        file.write_text("{}")
    todo = missing(plan(make_grid(), store), store)
    assert len(todo) == len(told) == 16
    execute(todo, Here(), lambda state: None)
    assert {stage.kind for stage in computed} == {"figures"}
    assert figures(make_grid(), store.folder).equals(figures(make_grid(), finished))
