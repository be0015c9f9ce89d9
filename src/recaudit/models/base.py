"""What every recommender is: a spec that can be fitted, and a fitted model that scores items."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int64

from recaudit.data.interactions import Interactions
from recaudit.rng import child_seed
from recaudit.store import Piece, Stage, Store

T = TypeVar("T")

__all__ = [
    "Memo",
    "Progress",
    "ReadsHistories",
    "Recommender",
    "RecommenderSpec",
    "Run",
    "TopK",
    "TrainingLog",
    "no_progress",
    "reading",
    "reads_histories",
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
    """Results that several stages share, such as the auxiliary model, with what they cost.

    Args:
        store: keeps the results on disk, for later runs and other processes; without it, memory does.
        pieces: results in memory, by the hash of their stage.
        saved_seconds: what the results cost that were there already.
        computed: how many were not there.
    """

    store: Store | None = None
    pieces: dict[str, Piece] = field(default_factory=dict)
    saved_seconds: float = 0.0
    computed: int = 0

    def once(
        self, stage: Stage, compute: Callable[[], T], pack: Callable[[T], Piece], unpack: Callable[[Piece], T]
    ) -> T:
        """Return the result of ``stage``, computing it where it is not kept yet.

        ``saved_seconds`` grows by what a kept result had cost, so that an attack's cost can be told as if it
        ran alone.

        Args:
            stage: names the result.
            compute: computes it.
            pack: makes what is kept of it; ``seconds`` are filled in here.
            unpack: makes the result again, each time anew: who changes it changes nothing that is kept.
        """
        kept = self._kept(stage)
        if kept is None:
            with nullcontext() if self.store is None else self.store.lock(stage):
                kept = self._kept(stage)  # another process may have been quicker
                if kept is None:
                    return self._computed(stage, compute, pack)
        self.saved_seconds += kept.seconds
        return unpack(kept)

    def _kept(self, stage: Stage) -> Piece | None:
        if self.store is not None:
            return self.store.read(stage)
        return _copy(self.pieces[stage.hash]) if stage.hash in self.pieces else None

    def _computed(self, stage: Stage, compute: Callable[[], T], pack: Callable[[T], Piece]) -> T:
        self.computed += 1
        with self.clock() as seconds:
            began = time.perf_counter()
            result = compute()
            elapsed = time.perf_counter() - began
            piece = replace(pack(result), seconds=seconds(), elapsed=elapsed)
        if self.store is None:
            self.pieces[stage.hash] = _copy(piece)
        else:
            self.store.write(stage, piece)
        return result

    @contextmanager
    def clock(self) -> Iterator[Callable[[], float]]:
        """Yield a function that tells the seconds since the block began, as if nothing had been kept."""
        began, saved = time.perf_counter(), self.saved_seconds
        yield lambda: time.perf_counter() - began + self.saved_seconds - saved


def _copy(piece: Piece) -> Piece:
    """Return a piece that has nothing in common with ``piece``."""
    tensors = {name: tensor.detach().clone() for name, tensor in piece.tensors.items()}
    return replace(piece, tensors=tensors, facts=deepcopy(piece.facts))


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
class ReadsHistories(Protocol):
    """A fitted recommender that scores for a history which it is shown, whoever's it is."""

    def shown(self, histories: Interactions) -> Recommender:
        """Return the same model for the users of ``histories``, numbered as there; nothing is trained."""


def reading(recommender: Recommender, histories: Interactions) -> Recommender:
    """Return ``recommender`` for the users of ``histories`` where it reads histories, else as it is."""
    return recommender.shown(histories) if isinstance(recommender, ReadsHistories) else recommender


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


def reads_histories(spec: RecommenderSpec) -> bool:
    """Return whether what ``spec`` fits is :class:`ReadsHistories`, before anything is fitted.

    A spec says so by an attribute of that name that is true; one without it fits what knows users by number.
    """
    return getattr(spec, "reads_histories", False) is True
