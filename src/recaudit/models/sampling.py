"""What one epoch trains on, drawn at once: shuffled interactions, each with unseen items."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from recaudit.data.interactions import Interactions

__all__ = [
    "Examples",
    "LabelledPairs",
    "Membership",
    "ObservedItems",
    "RatedPairs",
    "equal_batches",
    "shuffled_passes",
]

BITMAP_PAIRS = 1 << 30
"""Up to this many user-item pairs, membership is looked up in a table of a byte a pair (1 GiB)."""


@runtime_checkable
class Examples(Protocol):
    """Draws what one epoch trains on."""

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Return what the loss is taken of, in random order.

        N users (N,) and, for each, M items (M, N) whose scores the loss compares; then whatever else it
        takes beside the scores, such as targets, each of length N.
        """


@dataclass(frozen=True, kw_only=True, eq=False)
class Membership:
    """Tells which user-item pairs are taken, and draws items that are not.

    Args:
        keys: ``user * n_items + item`` of every taken pair, in any order.
        n_users: number of users.
        n_items: number of items.
    """

    keys: Int64[np.ndarray, "N"]
    n_users: int
    n_items: int

    @cached_property
    def _table(self) -> Tensor | None:
        if self.n_users * self.n_items > BITMAP_PAIRS:
            return None
        table = torch.zeros(self.n_users * self.n_items, dtype=torch.bool)
        table[torch.from_numpy(self.keys)] = True
        return table

    @cached_property
    def _sorted(self) -> Tensor:
        return torch.from_numpy(np.sort(self.keys))

    def taken(self, users: Int64[Tensor, "N"], items: Int64[Tensor, "N"]) -> Bool[Tensor, "N"]:
        """Tell for each pair whether it is taken."""
        keys = torch.add(items, users, alpha=self.n_items)
        if self._table is not None:
            # Here and below index_select, which takes a third of the time of indexing.
            return self._table.index_select(0, keys)
        places = torch.searchsorted(self._sorted, keys).clamp_max_(len(self._sorted) - 1)
        return self._sorted[places] == keys

    def draw_free(self, users: Int64[Tensor, "N"], generator: torch.Generator) -> Int64[Tensor, "N"]:
        """Draw for each user one item uniformly among those not taken, by rejection.

        Users who are still without one after 100 rounds have taken nearly every item: theirs are drawn from a
        list of the free ones. A user who has taken every item gets any: there is nothing better to give.
        """
        items = torch.randint(self.n_items, users.shape, generator=generator)
        open_ = torch.nonzero(self.taken(users, items)).flatten()
        for _ in range(100):
            if len(open_) == 0:
                break
            drawn = torch.randint(self.n_items, open_.shape, generator=generator)
            items.index_copy_(0, open_, drawn)
            open_ = open_[self.taken(users.index_select(0, open_), drawn)]
        for user in torch.unique(users[open_]):
            catalogue = torch.arange(self.n_items)
            free = catalogue[~self.taken(user.expand(self.n_items), catalogue)]
            places = open_[users[open_] == user]
            if len(free):
                items[places] = free[torch.randint(len(free), places.shape, generator=generator)]
        return items


@dataclass(frozen=True, kw_only=True, eq=False)
class ObservedItems:
    """Every interaction once a pass, each with ``negatives`` items drawn uniformly from the unseen ones.

    Unseen means not in ``train``: items of the validation slice are drawn like any other, or the sampling
    would tell the training what is held out.

    An epoch makes as many passes as give it ``examples`` examples or more: a few users' interactions fill
    less than a batch, and an early stop that counts epochs should mean as many steps for them as for many.
    """

    train: Interactions
    negatives: int = 1
    examples: int = 1

    @cached_property
    def _pairs(self) -> tuple[Tensor, Tensor]:
        users, items = self.train.users, self.train.items
        return torch.from_numpy(users.astype(np.int64)), torch.from_numpy(items.astype(np.int64))

    @cached_property
    def _membership(self) -> Membership:
        return Membership(keys=self.train.keys, n_users=self.train.n_users, n_items=self.train.n_items)

    def epoch(self, generator: torch.Generator) -> tuple[Int64[Tensor, "N"], Int64[Tensor, "M N"]]:
        """Return the shuffled users and a row of their items above rows of sampled ones."""
        users, items = self._pairs
        order = shuffled_passes(len(users), self.examples, generator)
        users = users.index_select(0, order)
        drawn = [self._membership.draw_free(users, generator) for _ in range(self.negatives)]
        return users, torch.stack([items.index_select(0, order), *drawn])


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledPairs:
    """Every interaction with the target 1, and for each ``negatives`` unseen items with the target 0.

    Each pair is an example of its own: interactions and drawn pairs are shuffled together.
    """

    train: Interactions
    negatives: int = 1

    @cached_property
    def _observed(self) -> ObservedItems:
        return ObservedItems(train=self.train, negatives=self.negatives)

    def epoch(
        self, generator: torch.Generator
    ) -> tuple[Int64[Tensor, "N"], Int64[Tensor, "1 N"], Float32[Tensor, "N"]]:
        """Return the users, their items and the targets of all pairs."""
        users, items = self._observed.epoch(generator)
        order = torch.randperm(items.numel(), generator=generator)
        targets = (order < len(users)).float()  # the first row of items holds the interactions
        return users.index_select(0, order % len(users)), items.flatten()[order][None], targets


@dataclass(frozen=True, kw_only=True, eq=False)
class RatedPairs:
    """Every interaction, with its rating for the target.

    Raises:
        ValueError: where ``train`` has no ratings.
    """

    train: Interactions

    def __post_init__(self) -> None:
        if self.train.ratings is None:
            raise ValueError(f"{self.train.name} has no ratings")

    def epoch(
        self, generator: torch.Generator
    ) -> tuple[Int64[Tensor, "N"], Int64[Tensor, "1 N"], Float32[Tensor, "N"]]:
        """Return the users, items and ratings of all interactions."""
        users, items, ratings = self._columns
        order = torch.randperm(len(users), generator=generator)
        return users[order], items[order][None], ratings[order]

    @cached_property
    def _columns(self) -> tuple[Tensor, Tensor, Tensor]:
        assert self.train.ratings is not None
        users, items = (part.astype(np.int64) for part in (self.train.users, self.train.items))
        return torch.from_numpy(users), torch.from_numpy(items), torch.tensor(self.train.ratings)


def shuffled_passes(n: int, at_least: int, generator: torch.Generator) -> Int64[Tensor, "N"]:
    """Return ``range(n)`` shuffled, over and over until there are ``at_least`` numbers."""
    passes = max(1, -(-at_least // n))
    return torch.cat([torch.randperm(n, generator=generator) for _ in range(passes)])


def equal_batches(n: int, batch_size: int) -> list[tuple[int, int]]:
    """Cut ``range(n)`` into the fewest batches of at most ``batch_size``, equal in size to within one.

    A tail batch of a few rows would weigh as much under Adam as a full one, and be mostly noise.
    """
    n_batches = -(-n // batch_size)
    edges = [n * b // n_batches for b in range(n_batches + 1)]
    return list(pairwise(edges))
