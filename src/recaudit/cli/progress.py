"""Long work on a terminal: which stage runs, how far it has come, and what is left."""

import json
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from recaudit.experiments.costs import Costs
    from recaudit.experiments.execute import State
    from recaudit.experiments.plan import Planned, Task

__all__ = ["AuditProgress", "GridProgress"]

AUDIT = "audit: "
"""How the names of an audit's own stages begin; the others are of trainings within one."""

MOST = 8
"""How many of the running stages are named."""


class AuditProgress:
    """Shows an audit's stages and the epochs of the training at hand.

    On a terminal these are two bars; elsewhere, a line a stage. Everything goes to standard error, which
    leaves standard output to the result.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        # Colours may be forced where there is no terminal; bars that move would fill a log there.
        self._live = self._console.is_terminal and not self._console.is_dumb_terminal and sys.stderr.isatty()
        self._audit = self._bars.add_task("audit: data", total=None)
        self._inner = self._bars.add_task("", total=None, visible=False)
        self._stage = ""

    def __enter__(self) -> "AuditProgress":
        if self._live:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._bars.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Move the bar of the audit or of the training at hand."""
        if stage.startswith(AUDIT):
            self._bars.update(self._audit, description=stage, completed=done, total=total)
            self._bars.update(self._inner, visible=False)
            self._stage = ""
            self._line(f"{stage} ({done + 1} of {total})")
            return
        if stage != self._stage:
            self._stage = stage
            self._bars.reset(self._inner, description=f"{stage}, at most", total=total, visible=True)
            self._line(f"  {stage}, at most {total} epochs")
        self._bars.update(self._inner, completed=done, total=total)

    def _line(self, text: str) -> None:
        if not self._live:
            self._console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)


class GridProgress:
    """Shows how many stages of an experiment are done, what runs, and about how long the rest takes.

    Time left is what the stages that are left cost by like ones in the store, corrected by how those of this
    run turned out. On a terminal this is a bar; elsewhere, a line a finished stage.
    """

    def __init__(self, name: str, todo: Mapping[str, "Planned"], costs: "Costs") -> None:
        self._name = name
        self._todo = todo
        self._seconds = {key: costs.of([one]).seconds for key, one in todo.items()}
        self._began = time.monotonic()
        self._console = Console(stderr=True)
        self._moves = self._console.is_terminal and not self._console.is_dumb_terminal and sys.stderr.isatty()
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=15),
            TextColumn("{task.fields[stages]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self._bar = self._bars.add_task(
            name, total=sum(self._seconds.values()), stages=f"0/{len(todo)} stages", left=""
        )
        # Below, in columns of its own: what runs is long, and would take the bar's room.
        self._below = Progress(
            TextColumn("{task.description}", markup=False), TextColumn("{task.fields[epochs]}", markup=False)
        )
        self._running = self._below.add_task("", total=None, visible=False, epochs="")
        self._live = Live(Group(self._bars, self._below), console=self._console, transient=True)

    def __enter__(self) -> "GridProgress":
        if self._moves:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._moves:
            self._live.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show the epochs of the training at hand, where it runs in this process."""
        self._below.update(self._running, epochs=f"{stage}: epoch {done} of at most {total}")

    def tell(self, state: "State") -> None:
        """Show how far the run is."""
        for line in state.damaged:
            self._console.print(f"recaudit: {line}", markup=False, emoji=False, highlight=False)
        left = sum(self._seconds[key] for key in state.left)
        done = sum(self._seconds.values()) - left
        elapsed = time.monotonic() - self._began
        # Before anything is done there is no pace to go by.
        about = f"about {_clock(elapsed * left / done)} left" if done else ""
        stages = f"{len(self._todo) - len(state.left)}/{len(self._todo)} stages"
        self._bars.update(self._bar, completed=done, stages=stages, left=about)
        running = [f"  {_described(task)}" for task in state.running[:MOST]]
        running += [f"  and {len(state.running) - MOST} more"] if len(state.running) > MOST else []
        self._below.update(self._running, description="\n".join(running), visible=bool(running), epochs="")
        if not self._moves and state.finished is not None:
            finished = _described(self._todo[state.finished].task)
            self._console.print(
                f"{self._name}: {stages}, {about}: {finished}", markup=False, highlight=False, soft_wrap=True
            )


def _described(task: "Task") -> str:
    """Return in a few words what a task computes."""
    inputs = task.stage.inputs
    model = inputs.get("spec", {}).get("model", "")
    doing = {
        "fit": f"training {model}",
        "share": f"learning {model} for",
        "judge": f"{_victim(task.spec)}:",
    }[task.name[0]]
    return f"{doing} {task.name[1]}, {inputs.get('data', '')}, seed {task.seed}"


def _victim(spec: str) -> str:
    """Return the model of a spec in JSON, or the folder that it comes from."""
    victim = json.loads(spec)["victim"]
    return str(victim["model"] if isinstance(victim, dict) else victim)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
