"""What every recommender is: a spec that can be fitted, and a fitted model that scores items."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int64

from recaudit.data.interactions import Interactions
from recaudit.pipeline.run import Run

__all__ = [
    "ReadsHistories",
    "Recommender",
    "RecommenderSpec",
    "TopK",
    "TrainingLog",
    "of_type",
    "reading",
    "reads_histories",
]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TopK:
    """Ranked lists, one a user.

    Args:
        items: item numbers, best first; ``-1`` fills a list that has fewer than k items.
        scores: what the items were ranked by, or ``None`` where only the order is told.
    """

    items: Int64[np.ndarray, "U k"]
    scores: Float32[np.ndarray, "U k"] | None = None


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


def of_type(kind: type[T], given: object) -> T:
    """Return ``given``, which is of a type.

    Raises:
        TypeError: where it is of another.
    """
    if not isinstance(given, kind):
        raise TypeError(f"expected {kind.__name__}; found {type(given).__name__}")
    return given


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
