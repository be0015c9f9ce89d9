"""Defences that change a list on its way out of the oracle, or the scores that it is ranked by."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from pydantic import BaseModel, ConfigDict, Field, model_validator

from recaudit.data.interactions import Interactions
from recaudit.data.rows import picked_rows
from recaudit.errors import UsageError
from recaudit.models.protocol import Recommender, TopK, TrainingLog
from recaudit.oracle.draws import drawn, list_numbers, user_blocks, user_numbers
from recaudit.rng import numpy_generator
from recaudit.victims.protocol import Queries
from recaudit.vocabulary import Card

__all__ = [
    "ChecksLength",
    "Defence",
    "DefenceSpec",
    "MembershipDefence",
    "PopularItems",
    "RandomItems",
    "noisy",
]


@runtime_checkable
class Defence(Protocol):
    """Changes lists before they are served."""

    def apply(self, queries: Queries, lists: TopK) -> TopK:
        """Return what is served instead of ``lists``, those of ``queries``; their arrays stay as they are.

        Where histories are shown, what is drawn for a list must depend on the list and its history alone, not
        on whose it is said to be.
        """


@runtime_checkable
class DefenceSpec(Protocol):
    """Settings of a defence."""

    @property
    def card(self) -> Card:
        """How tables and texts name the defence."""

    def protect(self, seen: Interactions, seed: int, *, by_list: bool = False) -> Defence:
        """Return the defence of a victim.

        Args:
            seen: the histories of the victim's users, numbered as it numbers them.
            seed: names the random streams.
            by_list: whether the victim can be asked about a user by number and by history, so that the list
                must fix what is drawn for it, and not the user's number: both ways then get the same list.
        """


@runtime_checkable
class ChecksLength(Protocol):
    """Settings of a defence that does not suit lists of every length."""

    def check_length(self, k: int) -> None:
        """Refuse lists of ``k`` items.

        Raises:
            UsageError: where the defence cannot change such lists.
        """


def _check_changed(key: str, changed: int, k: int) -> None:
    if changed > k:
        raise UsageError(f"defence.{key}: {changed} of the {k} items of a list; at most {k}")


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
    - Where the victim reads histories, a shown history's own items are never mixed in, and the random
      numbers are fixed by the seed and by the list itself: asking by number, and with what the victim does
      not read in another order, brings nothing new. A history for which the victim ranks otherwise has
      numbers of its own: who may show any history can average over variants that change the list a little,
      or show one that holds all ``top`` items, into whose list none is mixed.

    Args:
        mixed: items of each list that are replaced; 0 changes nothing.
        top: popular items that they are drawn from (the whole catalogue where it is smaller).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    card: ClassVar[Card] = Card(
        name="popular-items",
        label="Popular items",
        order=10,
        sentence="Popular items, drawn at random, replace some items of each list (Zhu et al. 2023).",
    )

    mixed: int = Field(default=5, ge=0)
    top: int = Field(default=100, ge=1)

    @model_validator(mode="after")
    def _enough_to_draw_from(self) -> "PopularItems":
        if self.mixed > self.top:
            raise ValueError(f"mixed is {self.mixed}, more than the {self.top} items (top) to draw from")
        return self

    def check_length(self, k: int) -> None:
        """Refuse lists that have fewer items than are mixed in."""
        _check_changed("mixed", self.mixed, k)

    def protect(self, seen: Interactions, seed: int, *, by_list: bool = False) -> Defence:
        """Return the defence of a victim that was trained on ``seen``; see :class:`DefenceSpec`."""
        popular = np.argsort(-seen.popularity, kind="stable")[: self.top]
        return _Mixing(
            mixed=self.mixed, kind="popular items", pool=popular, seen=seen, seed=seed, by_list=by_list
        )


class RandomItems(BaseModel):
    """Random items mixed into each list.

    ``changed`` places of each list, chosen at random, get as many different items, drawn uniformly from the
    catalogue outside the list and outside the user's own history. What :class:`PopularItems` settles about
    ranks, padding, users with too few items left and asking again holds here too.

    Args:
        changed: items of each list that are replaced; 0 changes nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    card: ClassVar[Card] = Card(
        name="random-items",
        label="Random items",
        order=20,
        sentence="Items drawn at random from the catalogue replace some items of each list.",
    )

    changed: int = Field(default=5, ge=0)

    def check_length(self, k: int) -> None:
        """Refuse lists that have fewer items than are changed."""
        _check_changed("changed", self.changed, k)

    def protect(self, seen: Interactions, seed: int, *, by_list: bool = False) -> Defence:
        """Return the defence of those whose histories ``seen`` are never served; see :class:`DefenceSpec`."""
        pool = np.arange(seen.n_items)
        return _Mixing(
            mixed=self.changed, kind="random items", pool=pool, seen=seen, seed=seed, by_list=by_list
        )


class MembershipDefence(BaseModel):
    """What a service does to its output against membership inference; by default nothing.

    Args:
        random_items: items of each list that :class:`RandomItems` replaces.
        score_noise: scale of the noise that :func:`noisy` adds to scores.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    random_items: int = Field(default=0, ge=0)
    score_noise: float = Field(default=0.0, ge=0)


def noisy(recommender: Recommender, scale: float, seed: int) -> Recommender:
    """Return ``recommender`` with Gaussian noise on every score.

    The noise has mean 0 and, for each user, ``scale`` times the standard deviation of that user's scores over
    the catalogue. A user's noise is fixed by the seed: who asks again gets the same scores and cannot average
    the noise away, and another ``scale`` stretches the same noise. A ``scale`` of 0 changes nothing.
    """
    return _Noisy(recommender=recommender, scale=scale, seed=seed) if scale else recommender


@dataclass(frozen=True, kw_only=True, eq=False)
class _Noisy:
    """A recommender whose scores carry noise; see :func:`noisy`."""

    recommender: Recommender
    scale: float
    seed: int

    @property
    def n_users(self) -> int:
        return self.recommender.n_users

    @property
    def n_items(self) -> int:
        return self.recommender.n_items

    @property
    def log(self) -> TrainingLog | None:
        return self.recommender.log

    def score(self, users: Int64[np.ndarray, "B"]) -> Float32[torch.Tensor, "B I"]:
        """Return the scores of all items for ``users``, with their noise."""
        scores = self.recommender.score(users)
        # Row by row in double precision: nobody's scores may depend on who is asked about with them.
        spread = scores.detach().cpu().numpy().std(axis=1, dtype=np.float64) * self.scale
        noise = np.empty(scores.shape, dtype=np.float32)
        for row, user in enumerate(users.tolist()):
            stream = numpy_generator(self.seed, "defence", "score noise", user)
            stream.standard_normal(out=noise[row], dtype=np.float32)
        noise *= spread[:, None].astype(np.float32)
        return scores + torch.from_numpy(noise).to(scores.device)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return what the recommender learned; the noise is not learned."""
        return self.recommender.tensors()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Mixing:
    """Items of a pool mixed into the lists of one service's users.

    Args:
        mixed: items of each list to replace.
        kind: what the pool's items are, in the words of a message; names the random streams with the seed.
        pool: the P items to draw from.
        seen: the histories whose items are never served.
        seed: names the random streams.
        by_list: whether a list fixes what is drawn for it, instead of the user's number.
    """

    mixed: int
    kind: str
    pool: Int64[np.ndarray, "P"]
    seen: Interactions
    seed: int
    by_list: bool = False

    @cached_property
    def ranks(self) -> Int64[np.ndarray, "I"]:
        """The place of each item in ``pool``, or -1."""
        ranks = np.full(self.seen.n_items, -1, dtype=np.int64)
        ranks[self.pool] = np.arange(len(self.pool))
        return ranks

    def apply(self, queries: Queries, lists: TopK) -> TopK:
        """Return the mixed lists, without scores: those would tell the mixed items from the others.

        Raises:
            ValueError: where more items are to be mixed in than a list holds.
        """
        k = lists.items.shape[1]
        if self.mixed > k:
            raise ValueError(f"{self.mixed} {self.kind} cannot be mixed into lists of {k}")
        if self.mixed == 0:
            return lists
        shown = queries.histories
        mixing = self if shown is None else replace(self, seen=shown, by_list=True)
        users, served = queries.numbers, lists.items.copy()
        for rows in user_blocks(users):
            served[rows] = mixing._mixed(users[rows], served[rows])
        return TopK(items=served)

    def _mixed(self, users: Int64[np.ndarray, "B"], items: Int64[np.ndarray, "B k"]) -> np.ndarray:
        """Return mixed lists (B, k) of users of one block: the n-th place drawn gets the n-th item drawn."""
        filled = items >= 0
        width = min(self.mixed, len(self.pool))
        places, place_there = drawn(self._numbers("places", users, items, items.shape[1]), filled, width)
        free = self._free(users, items, filled)
        mixed, item_there = drawn(self._numbers("items", users, items, len(self.pool)), free, width)
        rows, turns = np.nonzero(place_there & item_there)
        served = items.copy()
        served[rows, places[rows, turns]] = self.pool[mixed[rows, turns]]
        return served

    def _free(self, users: np.ndarray, items: np.ndarray, filled: np.ndarray) -> np.ndarray:
        """Mark (B, P) the pool's items that stand neither in a user's history nor in their list."""
        free = np.ones((len(users), len(self.pool)), dtype=np.bool_)
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

    def _numbers(
        self, what: str, users: np.ndarray, items: np.ndarray, width: int
    ) -> Float64[np.ndarray, "B w"]:
        path = ("defence", self.kind, what)
        if self.by_list:
            return list_numbers(self.seed, *path, lists=items, width=width)
        return user_numbers(self.seed, *path, users=users, width=width)
