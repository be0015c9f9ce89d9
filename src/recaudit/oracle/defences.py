"""Defences that change a list on its way out of the oracle."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64
from pydantic import BaseModel, ConfigDict, Field, model_validator

from recaudit.data.interactions import Interactions
from recaudit.data.rows import picked_rows
from recaudit.models.base import TopK
from recaudit.rng import numpy_generator

__all__ = ["Defence", "PopularItems"]

BLOCK = 256
"""Users whose random numbers are drawn together. Another number would draw other lists from the same seed."""


@runtime_checkable
class Defence(Protocol):
    """Changes lists before they are served."""

    def apply(self, users: Int64[np.ndarray, "Q"], lists: TopK) -> TopK:
        """Return what is served to ``users`` instead of ``lists``, whose arrays stay as they are."""


class PopularItems(BaseModel):
    """Popular items mixed into each list (Zhu et al. 2023, section 6).

    ``mixed`` places of each list, chosen at random, get as many different items, drawn at random from the
    ``top`` most popular ones; all other items stay where they are. What the paper leaves open is settled so:

    - Popularity counts the victim's training interactions; equally popular items go by item number.
    - A mixed item takes the rank of the item that it replaces.
    - Mixed items come from outside the list, so that ``mixed`` of the victim's items are gone from it, which
      may be popular ones too, and no item stands in it twice.
    - Items in the user's own training history are never mixed in: no list holds them.
    - Where fewer than ``mixed`` popular items are left for a user, or the list is shorter, as many are
      replaced as can be. No list becomes shorter, and padding stays padding.
    - A user's random numbers are fixed by the seed, ``top`` and the length of the lists: who asks again gets
      the same list and cannot average the noise away. With a greater ``mixed``, the changes that a smaller
      one makes stay, and more come in.

    Args:
        mixed: items of each list that are replaced; 0 changes nothing.
        top: popular items that they are drawn from (the whole catalogue where it is smaller).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mixed: int = Field(default=5, ge=0)
    top: int = Field(default=100, ge=1)

    @model_validator(mode="after")
    def _enough_to_draw_from(self) -> "PopularItems":
        if self.mixed > self.top:
            raise ValueError(f"mixed is {self.mixed}, more than the {self.top} items (top) to draw from")
        return self

    def protect(self, seen: Interactions, seed: int) -> Defence:
        """Return the defence of a victim that was trained on ``seen``, the users numbered as there."""
        popular = np.argsort(-seen.popularity, kind="stable")[: self.top]
        ranks = np.full(seen.n_items, -1, dtype=np.int64)
        ranks[popular] = np.arange(len(popular))
        return _Mixing(mixed=self.mixed, popular=popular, ranks=ranks, seen=seen, seed=seed)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Mixing:
    """Popular items mixed into the lists of one victim's users.

    Args:
        mixed: items of each list to replace.
        popular: the P most popular items, the most popular first.
        ranks: the place of each item in ``popular``, or -1.
        seen: the histories whose items are never served.
        seed: names the random streams.
    """

    mixed: int
    popular: Int64[np.ndarray, "P"]
    ranks: Int64[np.ndarray, "I"]
    seen: Interactions
    seed: int

    def apply(self, users: Int64[np.ndarray, "Q"], lists: TopK) -> TopK:
        """Return the mixed lists, without scores: those would tell the mixed items from the others.

        Raises:
            ValueError: where more items are to be mixed in than a list holds.
        """
        k = lists.items.shape[1]
        if self.mixed > k:
            raise ValueError(f"{self.mixed} popular items cannot be mixed into lists of {k}")
        if self.mixed == 0:
            return lists
        served = lists.items.copy()
        blocks = users // BLOCK
        order = np.argsort(blocks, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(blocks[order])) + 1):
            if len(rows):
                served[rows] = self._mixed(users[rows], served[rows])
        return TopK(items=served)

    def _mixed(self, users: Int64[np.ndarray, "B"], items: Int64[np.ndarray, "B k"]) -> np.ndarray:
        """Return mixed lists (B, k) of users of one block: the n-th place drawn gets the n-th item drawn."""
        filled = items >= 0
        width = min(self.mixed, len(self.popular))
        places, place_there = _drawn(self._numbers("places", users, items.shape[1]), filled, width)
        free = self._free(users, items, filled)
        mixed, item_there = _drawn(self._numbers("items", users, len(self.popular)), free, width)
        rows, turns = np.nonzero(place_there & item_there)
        served = items.copy()
        served[rows, places[rows, turns]] = self.popular[mixed[rows, turns]]
        return served

    def _free(self, users: np.ndarray, items: np.ndarray, filled: np.ndarray) -> np.ndarray:
        """Mark (B, P) the popular items that stand neither in a user's history nor in their list."""
        free = np.ones((len(users), len(self.popular)), dtype=np.bool_)
        offsets, entries = picked_rows(self.seen.offsets, users)
        seen_rows = np.repeat(np.arange(len(users)), np.diff(offsets))
        listed_rows, listed_places = np.nonzero(filled)
        for rows, taken in (
            (seen_rows, self.seen.items[entries]),
            (listed_rows, items[listed_rows, listed_places]),
        ):
            ranks = self.ranks[taken]
            free[rows[ranks >= 0], ranks[ranks >= 0]] = False
        return free

    def _numbers(self, what: str, users: np.ndarray, width: int) -> Float64[np.ndarray, "B w"]:
        """Return each user's ``width`` random numbers; the users are of one block and share its stream."""
        stream = numpy_generator(self.seed, "defence", "popular items", what, int(users[0] // BLOCK))
        numbers: np.ndarray = stream.random((BLOCK, width))[users % BLOCK]
        return numbers


def _drawn(
    numbers: Float64[np.ndarray, "B w"], allowed: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw ``count`` of the ``allowed`` columns (B, w) of each row, in random order.

    Returns:
        The columns (B, count), and whether each is allowed: where a row allows fewer, the last ones are not.
    """
    order = np.argsort(np.where(allowed, numbers, np.inf), axis=1)[:, :count]
    return order, np.take_along_axis(allowed, order, axis=1)
