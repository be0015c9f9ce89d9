"""Long work on a terminal: which node runs, how far it has come, and what is left."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

if TYPE_CHECKING:
    from recaudit.experiments.costs import Costs
    from recaudit.pipeline.schedule import State, Task

__all__ = ["GridProgress"]

MOST = 8
"""How many of the running nodes are named."""


class GridProgress:
    """Shows how many nodes of an experiment are done, what runs, and about how long the rest takes.

    Time left is what the nodes that are left cost by like ones in the store, corrected by how those of this
    run turned out. On a terminal this is a bar; elsewhere, a line a finished node.
    """

    def __init__(self, name: str, costs: "Costs", *, quiet: bool = False) -> None:
        self._name = name
        self._costs = costs
        self._seconds: dict[str, float] = {}
        self._began = time.monotonic()
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=15),
            TextColumn("{task.fields[nodes]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self._bar = self._bars.add_task(name, total=None, nodes="", left="")
        # Below, in columns of its own: what runs is long, and would take the bar's room.
        self._below = Progress(
            TextColumn("{task.description}", markup=False), TextColumn("{task.fields[epochs]}", markup=False)
        )
        self._running = self._below.add_task("", total=None, visible=False, epochs="")
        self._console = console = Console(stderr=True, quiet=quiet)
        self._moving = Live(Group(self._bars, self._below), console=console, transient=True)
        # Colours may be forced where there is no terminal; bars that move would fill a log there.
        self._moves = (
            not quiet and console.is_terminal and not console.is_dumb_terminal and sys.stderr.isatty()
        )

    def __enter__(self) -> "GridProgress":
        if self._moves:
            self._moving.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._moves:
            self._moving.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show the epochs of the training at hand, where it runs in this process."""
        self._below.update(self._running, epochs=f"{stage}: epoch {done} of at most {total}")

    def tell(self, state: "State") -> None:
        """Show how far the run is."""
        for line in state.damaged:
            self._console.print(f"recaudit: {line}", markup=False, emoji=False, highlight=False)
        if not self._seconds:
            self._seconds = {key: self._costs.of([one]).seconds for key, one in state.todo.items()}
            self._bars.update(self._bar, total=sum(self._seconds.values()))
        left = sum(self._seconds[key] for key in state.left)
        done = sum(self._seconds.values()) - left
        elapsed = time.monotonic() - self._began
        # A few quick nodes tell no pace: until then, what like nodes cost does.
        paced = done > 0.05 * (done + left)
        rest = elapsed * left / done if paced else left / max(1, len(state.running))
        about = f"about {_clock(rest)} left"
        nodes = f"{len(state.todo) - len(state.left)}/{len(state.todo)} nodes"
        self._bars.update(self._bar, completed=done, nodes=nodes, left=about)
        running = [f"  {_described(task)}" for task in state.running[:MOST]]
        running += [f"  and {len(state.running) - MOST} more"] if len(state.running) > MOST else []
        self._below.update(self._running, description="\n".join(running), visible=bool(running), epochs="")
        if state.finished is not None and not self._moves:
            line = f"{self._name}: {nodes}, {about}: {_described(state.todo[state.finished].task)}"
            self._console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)


def _described(task: "Task") -> str:
    """Return in a few words what a task computes."""
    return f"{task.label}, {task.key.inputs.get('data', '')}, seed {task.seed}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
