"""The circumstances of a computation: seed, device, who watches, and what is shared."""

from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from recaudit.pipeline.cache import Cache
from recaudit.rng import child_seed

__all__ = ["Progress", "Run", "no_progress"]


@runtime_checkable
class Progress(Protocol):
    """Told how far long work has come; ``total`` is an upper bound where work may stop early."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take note that ``done`` of ``total`` steps of ``stage`` are done."""


def no_progress(stage: str, done: int, total: int) -> None:
    """Show nothing."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """The circumstances of a computation: its seed, its device, who watches, and what is shared.

    Args:
        seed: names the random streams; see :mod:`recaudit.rng`.
        device: a torch device, such as ``"cpu"``, ``"cuda"`` or ``"mps"``.
        progress: told how far the work has come.
        cache: shared results.
    """

    seed: int
    device: str = "cpu"
    progress: Progress = no_progress
    cache: Cache = field(default_factory=Cache)

    def child(self, *path: str | int) -> "Run":
        """Return the same circumstances with the seed of the stream named ``path``."""
        return replace(self, seed=child_seed(self.seed, *path))
