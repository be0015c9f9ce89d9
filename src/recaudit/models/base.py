"""What every recommender is: a spec that can be fitted, and a fitted model that scores items."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int64

from recaudit.data.interactions import Interactions
from recaudit.rng import child_seed

T = TypeVar("T")

__all__ = [
    "Memo",
    "Progress",
    "Recommender",
    "RecommenderSpec",
    "Run",
    "TopK",
    "TrainingLog",
    "fit_once",
    "no_progress",
]


@dataclass(frozen=True, kw_only=True)
class TopK:
    """Ranked lists, one a user.

    Args:
        items: item numbers, best first; ``-1`` fills a list that has fewer than k items.
        scores: what the items were ranked by, or ``None`` where only the order is told.
    """

    items: Int64[np.ndarray, "U k"]
    scores: Float32[np.ndarray, "U k"] | None = None


@runtime_checkable
class Progress(Protocol):
    """Told how far long work has come; ``total`` is an upper bound where work may stop early."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take note that ``done`` of ``total`` steps of ``stage`` are done."""


def no_progress(stage: str, done: int, total: int) -> None:
    """Show nothing."""


@dataclass(kw_only=True)
class Memo:
    """Results that several stages of one audit share, such as the auxiliary model, with what they cost."""

    results: dict[tuple[str, ...], tuple[Any, float]] = field(default_factory=dict)
    saved_seconds: float = 0.0

    def once(self, key: tuple[str, ...], compute: Callable[[], T]) -> T:
        """Return the result kept under ``key``, computing it the first time.

        ``saved_seconds`` grows by what a kept result had cost, so that an attack's cost can be told as if it
        ran alone.
        """
        if key not in self.results:
            began, saved = time.perf_counter(), self.saved_seconds
            result = compute()
            cost = time.perf_counter() - began + self.saved_seconds - saved
            self.results[key] = (result, cost)
            return result
        result, cost = self.results[key]
        self.saved_seconds += cost
        return result

    @contextmanager
    def clock(self) -> Iterator[Callable[[], float]]:
        """Yield a function that tells the seconds since the block began, as if nothing had been kept."""
        began, saved = time.perf_counter(), self.saved_seconds
        yield lambda: time.perf_counter() - began + self.saved_seconds - saved


@dataclass(frozen=True, kw_only=True)
class Run:
    """The circumstances of a computation: its seed, its device, who watches, and what is shared.

    Args:
        seed: names the random streams; see :mod:`recaudit.rng`.
        device: a torch device, such as ``"cpu"``, ``"cuda"`` or ``"mps"``.
        progress: told how far the work has come.
        memo: shared results.
    """

    seed: int
    device: str = "cpu"
    progress: Progress = no_progress
    memo: Memo = field(default_factory=Memo)

    def child(self, *path: str | int) -> "Run":
        """Return the same circumstances with the seed of the stream named ``path``."""
        return replace(self, seed=child_seed(self.seed, *path))


@dataclass(frozen=True, kw_only=True)
class TrainingLog:
    """How a training went: epochs run, the epoch kept, its validation score, every score, and seconds."""

    epochs: int
    best_epoch: int
    best_score: float
    scores: tuple[tuple[int, float], ...]
    seconds: float


@runtime_checkable
class Recommender(Protocol):
    """A fitted recommender: scores every item for the users it was fitted on."""

    @property
    def n_users(self) -> int:
        """Number of users it knows, numbered from 0 as in the interactions it was fitted on."""

    @property
    def n_items(self) -> int:
        """Number of items in its catalogue."""

    @property
    def log(self) -> TrainingLog | None:
        """How its training went, where it was trained."""

    def score(self, users: Int64[np.ndarray, "B"]) -> Float32[torch.Tensor, "B I"]:
        """Return a fresh tensor with the scores of all items for ``users``; higher is better."""

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return all that was learned, enough for :meth:`RecommenderSpec.restore`."""


@runtime_checkable
class RecommenderSpec(Protocol):
    """Hyperparameters of a recommender, frozen and hashable by their JSON."""

    @property
    def model(self) -> str:
        """The model's name in specs, on the command line and in tables."""

    def fit(self, data: Interactions, run: Run) -> Recommender:
        """Return the recommender fitted to ``data``; the same spec, data and seed give the same result."""

    def restore(self, tensors: Mapping[str, torch.Tensor], *, n_users: int, n_items: int) -> Recommender:
        """Return the recommender whose :meth:`Recommender.tensors` were ``tensors``."""

    def model_dump_json(self) -> str:
        """Return the hyperparameters as JSON."""


def fit_once(spec: RecommenderSpec, data: Interactions, run: Run) -> Recommender:
    """Fit ``spec``, or return what this run's memo already holds for the same spec, data and seed."""
    key = ("fit", spec.model_dump_json(), data.fingerprint, str(run.seed), run.device)
    return run.memo.once(key, lambda: spec.fit(data, run))
