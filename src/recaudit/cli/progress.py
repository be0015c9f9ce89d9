"""Long work on a terminal: which stage runs, how far it has come, and what is left."""

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["AuditProgress"]

AUDIT = "audit: "
"""How the names of an audit's own stages begin; the others are of trainings within one."""


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
