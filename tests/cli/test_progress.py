"""How a run shows how far it is: bars on a terminal, lines elsewhere."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from recaudit.cli.progress import MOST, GridProgress
from recaudit.experiments.costs import Costs
from recaudit.pipeline import Key, Store
from recaudit.pipeline.schedule import Planned, State, Task


def planned(kind: str, label: str, seed: int = 0) -> Planned:
    key = Key(kind=kind, inputs={"data": "ml-1m", "seed": seed, "label": label})
    task = Task(store="", spec="{}", seed=seed, key=key, label=label, device="cpu")
    return Planned(task=task, needs=frozenset(), place=0, wanted=True)


LABELS = {
    "model": "training ncf for the victim",
    "clone": "training a bpr clone",
    "judged": "attacking with PTD",
}


@pytest.fixture
def todo() -> dict[str, Planned]:
    """Return the nodes of a run, by their hash."""
    nodes = [planned(kind, label) for kind, label in LABELS.items()]
    return {one.task.key.hash: one for one in nodes}


@pytest.fixture
def costs(tmp_path) -> Costs:
    return Costs(Store(tmp_path))


def run(progress: GridProgress, todo: dict[str, Planned]) -> None:
    """Tell of a run of one node after another."""
    left = set(todo)
    with progress:
        for key, one in todo.items():
            progress.tell(State(todo=todo, running=(one.task,), finished=None, left=frozenset(left)))
            progress("training", 10, 200)
            left.discard(key)
            progress.tell(State(todo=todo, running=(), finished=key, left=frozenset(left)))


LINE = re.compile(r"zhu2023/table4: (\d)/3 nodes, about \d+:\d\d:\d\d left: (.*)")


def test_without_a_terminal_it_is_a_line_a_stage(todo, costs, capsys) -> None:
    run(GridProgress("zhu2023/table4", costs), todo)
    out, err = capsys.readouterr()
    assert out == ""
    found = [LINE.fullmatch(line) for line in err.splitlines()]
    assert [line and line.groups() for line in found] == [
        (str(number), f"{label}, ml-1m, seed 0") for number, label in enumerate(LABELS.values(), start=1)
    ]
    assert err.splitlines()[-1].startswith("zhu2023/table4: 3/3 nodes, about 0:00:00 left")


def test_colours_that_are_forced_make_no_bars_in_a_log(todo, costs, capsys, monkeypatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    run(GridProgress("zhu2023/table4", costs), todo)
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_damaged_stages_are_told(todo, costs, capsys) -> None:
    progress = GridProgress("zhu2023/table4", costs)
    progress.tell(
        State(todo=todo, running=(), finished=None, left=frozenset(todo), damaged=("x [/b] is damaged",))
    )
    assert capsys.readouterr().err == "recaudit: x [/b] is damaged\n"


def test_quiet_tells_nothing(todo, costs, capsys, monkeypatch) -> None:
    run(GridProgress("audit", costs, quiet=True), todo)
    assert capsys.readouterr() == ("", "")
    with terminal(monkeypatch, 80) as shown:
        run(GridProgress("audit", costs, quiet=True), todo)
    assert shown == []


@contextmanager
def terminal(monkeypatch, columns: int) -> Iterator[list[str]]:
    """Let standard error be a terminal; what it was written is in the list in the end, without its codes."""
    os_pty = pytest.importorskip("pty", reason="this system has no terminals of this kind")
    reader, writer = os_pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    shown: list[str] = []
    with open(writer, "w", encoding="utf-8") as stream, open(reader, "rb", buffering=0) as source:
        monkeypatch.setattr(sys, "stderr", stream)
        yield shown
        stream.flush()
        os.set_blocking(reader, False)
        written = b""
        while block := source.read(1 << 16):
            written += block
    shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode()).replace("\r", "\n").splitlines()


def test_on_a_terminal_it_shows_stages_what_runs_and_the_time_left(todo, costs, monkeypatch) -> None:
    with terminal(monkeypatch, 80) as shown:
        progress = GridProgress("zhu2023/table4", costs)
        with progress:
            first, second, _ = todo.values()
            left = frozenset(list(todo)[1:])
            progress.tell(State(todo=todo, running=(), finished=first.task.key.hash, left=left))
            progress.tell(State(todo=todo, running=(second.task, second.task), finished=None, left=left))
            progress("training bpr", 10, 200)
            progress._moving.refresh()
    assert any(re.search(r"1/3 nodes +\d:\d\d:\d\d +about \d:\d\d:\d\d left", line) for line in shown)
    running = [line.rstrip() for line in shown if "training a bpr clone" in line]
    assert running[-2:] == [
        "  training a bpr clone, ml-1m, seed 0 training bpr: epoch 10 of at most 200",
        "  training a bpr clone, ml-1m, seed 0",
    ]
    assert not any(LINE.match(line) for line in shown), "no lines for a log"
    assert all(len(line.rstrip()) <= 80 for line in shown)


def test_of_many_workers_some_are_named(costs, monkeypatch) -> None:
    many = {one.task.key.hash: one for one in (planned("model", LABELS["model"], seed) for seed in range(20))}
    with terminal(monkeypatch, 80) as shown, GridProgress("zhu2023/table4", costs) as progress:
        tasks = tuple(one.task for one in many.values())
        progress.tell(State(todo=many, running=tasks, finished=None, left=frozenset(many)))
        progress._moving.refresh()
    assert {line.strip() for line in shown if "seed" in line} == {
        f"training ncf for the victim, ml-1m, seed {seed}" for seed in range(MOST)
    }
    assert "  and 12 more" in {line.rstrip() for line in shown}
