"""What every victim is: something that answers queries with lists, and a spec that opens it."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from recaudit.data.interactions import Interactions
from recaudit.models.protocol import Recommender, TopK
from recaudit.pipeline.node import Node
from recaudit.pipeline.run import Run
from recaudit.vocabulary import Card

__all__ = ["Abilities", "FitsModel", "Queries", "Victim", "VictimSpec"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Queries:
    """Who is asked about: users by their numbers in the target, or users whose histories are shown.

    Args:
        users: the users' numbers, where users are asked about by number.
        histories: the shown histories, where users are shown. ``histories.user_ids`` name the sessions: a
            session keeps its id while its history grows from query to query.

    Raises:
        ValueError: where not exactly one of the two is given.
    """

    users: Int64[np.ndarray, "Q"] | None = None
    histories: Interactions | None = None

    def __post_init__(self) -> None:
        if (self.users is None) == (self.histories is None):
            raise ValueError("queries ask about users by number or by history, one of the two")

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def numbers(self) -> Int64[np.ndarray, "Q"]:
        """The users' numbers: in the target, or in ``histories`` where these are shown."""
        if self.users is not None:
            return self.users
        return np.arange(0 if self.histories is None else self.histories.n_users)


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What a victim can be asked, and what its lists are like.

    Args:
        by_user: whether it answers for users by their numbers.
        by_history: whether it answers for histories that are shown.
        longest: the most items that a list can have; ``None`` for no limit.
        leaves_out_seen: whether no list holds an item of the user's own history.
        repeatable: whether the same query gets the same list again.
    """

    by_user: bool = True
    by_history: bool = False
    longest: int | None = None
    leaves_out_seen: bool = True
    repeatable: bool = True


@runtime_checkable
class Victim(Protocol):
    """A recommender that can be asked for lists. Neither its scores nor its model are needed."""

    @property
    def abilities(self) -> Abilities:
        """What it can be asked, and what its lists are like."""

    def recommend(self, queries: Queries, k: int) -> TopK:
        """Return the list of each query, best item first, ``-1`` where a list has fewer than ``k`` items.

        Raises:
            IndexError: where a user does not exist.
            ValueError: where the victim cannot answer such queries, or histories are over another catalogue.
        """


@runtime_checkable
class VictimSpec(Protocol):
    """What opens a victim: frozen settings that name one."""

    @property
    def card(self) -> Card:
        """How tables and texts name the victim."""

    def model_dump_json(self) -> str:
        """Return the settings as JSON: they are part of the keys of stored results."""

    def open(self, data: Interactions, run: Run) -> Victim:
        """Return the victim of the users of ``data``, the target's interactions, numbered as there.

        Raises:
            UsageError: where it cannot be opened, or serves users of other interactions.
        """

    def retrained(self, data: Interactions, run: Run) -> Victim | None:
        """Return the same victim trained again with another seed; ``None`` where it cannot be."""


@runtime_checkable
class FitsModel(Protocol):
    """A victim's spec that asks a model which is fitted or loaded here, and whose result is kept as a node."""

    def fitted(self, data: Interactions, run: Run) -> Node[Recommender]:
        """Return the node of the model that is asked."""

    def refitted(self, data: Interactions, run: Run) -> Node[Recommender]:
        """Return the node of the same model, trained with another seed."""
