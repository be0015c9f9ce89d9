"""A grid on a store: what a kill leaves, all finished results, and a rerun the same figures."""

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
from pathlib import Path
from typing import Any

import pytest

from planted import VICTIM, name_of
from recaudit.audit import tasks
from recaudit.audit.tasks import missing, perform
from recaudit.errors import UsageError
from recaudit.experiments.plan import plan
from recaudit.pipeline import Key, Store
from recaudit.pipeline.cache import Cache
from recaudit.pipeline.pools.local import Here, Processes
from recaudit.pipeline.schedule import Done, State, Task, execute

PATIENCE = 300  # seconds until a test gives up waiting; what it waits for takes a few on a free machine


def wait_until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"waited {PATIENCE} seconds for: {what}"
        time.sleep(0.02)


# --- one task ---------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store", say=pytest.fail)


def task_of(grid: Any, store: Store) -> Task:
    """Return the task that trains the victim."""
    return next(one.task for one in plan(grid, store).values() if one.task.label == VICTIM)


def test_a_task_leaves_its_stage_in_the_store(make_grid, store) -> None:
    task = task_of(make_grid(), store)
    assert perform(task) == Done()
    assert [one.hash for one in store.nodes()] == [task.key.hash]


def test_a_stage_that_another_run_computes_is_left_to_it(make_grid, store) -> None:
    task = task_of(make_grid(), store)
    with store.lock(task.key):
        assert perform(task) == Done(busy=True)
        assert list(store.nodes()) == []


def test_a_store_that_is_not_there_is_told(make_grid, store, tmp_path) -> None:
    task = task_of(make_grid(), store)
    shutil.rmtree(store.folder)
    with pytest.raises(
        UsageError, match=r"^store: .*/store is not there on .*; a cluster needs a folder that all"
    ):
        perform(task)
    assert not store.folder.exists()


def test_a_machine_with_other_data_is_told_before_it_computes(make_grid, store, data, tmp_path) -> None:
    file = shutil.copy(data, tmp_path / "mine.csv")
    task = task_of(make_grid(base={"data": str(file)}), store)
    file.write_text(data.read_text("utf-8").replace("\n7,", "\n700,"), "utf-8")
    tasks._data.cache_clear()
    with pytest.raises(UsageError, match="has other data than the process that asks, or another version of"):
        perform(task)
    assert list(store.nodes()) == []


# --- a process that dies ---


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")

# --- a grid, killed at any moment -------------------------------------------------------------------------

RUN = """
import json, sys
from pathlib import Path
from recaudit.pipeline.pools.local import Here, Processes
from recaudit.pipeline.schedule import execute
from recaudit.experiments.grid import Grid
from recaudit.audit.tasks import missing, perform
from recaudit.experiments.plan import plan
from recaudit.pipeline.cache import Cache
from recaudit.pipeline import Store
from recaudit.validation import validated

folder, grid, workers = Path(sys.argv[1]), validated(Grid, json.loads(sys.argv[2])), int(sys.argv[3])
computed = Cache._computed

def noted(self, node, codec):
    print("computed", node.key.hash, flush=True)
    return computed(self, node, codec)

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
execute(todo, Processes(perform, workers) if workers else Here(perform), tell)
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
            assert not any(store.busy(one.task.key) for one in plan(make_grid(), store).values())
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
    assert {stored.hash for stored in store.nodes()} == set(computed)
    assert list(store.garbage()) == []
    assert figures(make_grid(), folder).equals(figures(make_grid(), finished))
    same_tensors(contents(folder), contents(finished))


@pytest.mark.process
def test_processes_give_what_this_process_gives(make_grid, finished, figures, contents, store) -> None:
    told: list[State] = []
    execute(missing(plan(make_grid(), store), store), Processes(perform, 2), told.append)
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
    """The keys of the nodes that are computed in this process."""
    found, compute = [], Cache._computed

    def noted(self, node, codec):
        found.append(node.key)
        return compute(self, node, codec)

    monkeypatch.setattr(Cache, "_computed", noted)
    return found


def test_a_rerun_computes_nothing(make_grid, copied, computed, contents) -> None:
    before = contents(copied.folder)
    planned = plan(make_grid(), copied)
    assert missing(planned, copied) == {}
    execute(planned, Here(perform), lambda state: None)  # not even if it is told to
    assert computed == []
    assert contents(copied.folder) == before


def test_a_wider_grid_takes_the_models_that_are_there(make_grid, copied, computed, contents) -> None:
    before = contents(copied.folder)
    wider = make_grid(axes={"split.known": [0.5, 0.6]})
    execute(missing(plan(wider, copied), copied), Here(perform), lambda state: None)
    kinds = Counter(key.kind for key in computed)
    # Of each seed: no victim, no retrained one, no auxiliary model; clones and figures of the new cell.
    assert kinds == {"clone": 2 * 2, "judged": 2 * 8}
    assert before.items() <= contents(copied.folder).items()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_damaged_stage_that_is_needed_is_told_and_computed_again(
    make_grid, finished, copied, computed, figures, contents, moment
) -> None:
    """Whether it is damaged before the run looks for what is missing, or after."""
    told: list[str] = []
    store = Store(copied.folder, say=told.append)
    planned = plan(make_grid(), store)
    by_name = {name_of(one.task): one.task.key for one in planned.values() if one.place == 1}
    wanted, needed = by_name["attacking with PTAQ"], by_name[VICTIM]
    file = store.folder / needed.kind / needed.hash / "tensors.safetensors"
    shutil.rmtree(store.folder / wanted.kind / wanted.hash)

    def damage() -> None:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)

    if moment == "before":
        damage()
    todo = missing(planned, store)
    assert {one.task.key.hash for one in todo.values()} == {wanted.hash} | (
        {needed.hash} if moment == "before" else set()
    )
    if moment == "after":
        damage()
    execute(todo, Here(perform), lambda state: told.extend(state.damaged))
    line = f"{file.parent}: tensors.safetensors is damaged; it is computed again"
    assert set(told) == {line}
    assert [key.hash for key in computed].count(needed.hash) == 1
    assert sorted(key.kind for key in computed) == ["judged", "model"]
    assert figures(make_grid(), store.folder).equals(figures(make_grid(), finished))
    expected = contents(finished)
    for name, (content, *_) in contents(store.folder).items():
        if name.endswith(".safetensors"):
            assert content == expected[name][0]


def test_damaged_figures_are_computed_again(make_grid, finished, copied, computed, figures) -> None:
    told: list[str] = []
    store = Store(copied.folder, say=told.append)
    for file in store.folder.glob("judged/*/node.json"):
        file.write_text("{}")
    todo = missing(plan(make_grid(), store), store)
    assert len(todo) == len(told) == 16
    execute(todo, Here(perform), lambda state: None)
    assert {key.kind for key in computed} == {"judged"}
    assert figures(make_grid(), store.folder).equals(figures(make_grid(), finished))
