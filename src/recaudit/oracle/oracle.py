"""The black box: top-k lists out, a ledger of what was asked, a hard budget."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from recaudit.data.interactions import Interactions
from recaudit.models.base import Recommender, TopK
from recaudit.models.ranking import top_k
from recaudit.oracle.defences import Defence

__all__ = ["BudgetExceeded", "Ledger", "Oracle"]


class BudgetExceeded(RuntimeError):
    """A query would ask for more lists than the budget has left; none was served."""


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """What an oracle has given away: lists as they were served, after the defence.

    Args:
        lists: lists served, repeated ones counted again.
        users: distinct users whose list was served.
        items: distinct items that the lists revealed.
    """

    lists: int
    users: int
    items: int


class Oracle:
    """A victim as an outsider meets it: who asks for users' lists gets items in order, and nothing else.

    Victim and defence stay in a closure: no attribute leads to them. Scores never leave.

    Args:
        victim: the recommender to ask.
        seen: the victim's training histories, excluded from its lists.
        k: length of the lists.
        budget: lists that may be served in all; ``None`` for no limit.
        defence: changes the lists before they are served; ``None`` for the victim's own.
    """

    def __init__(
        self,
        victim: Recommender,
        seen: Interactions,
        *,
        k: int,
        budget: int | None = None,
        defence: Defence | None = None,
    ) -> None:
        def serve(users: Int64[np.ndarray, "Q"]) -> TopK:
            lists = top_k(victim, users, seen, k)
            return lists if defence is None else defence.apply(users, lists)

        self._open(serve, victim.n_users, budget)

    @classmethod
    def serving(
        cls,
        serve: Callable[[Int64[np.ndarray, "Q"]], TopK],
        *,
        n_users: int,
        budget: int | None = None,
    ) -> "Oracle":
        """Return the oracle of a service that decides by itself what each user is served.

        Args:
            serve: returns the lists of users ``0..n_users-1``; it stays in a closure, with all that it knows.
            n_users: number of users who may be asked about.
            budget: lists that may be served in all; ``None`` for no limit.
        """

        def answer(users: Int64[np.ndarray, "Q"]) -> TopK:
            return serve(users)

        oracle = cls.__new__(cls)
        oracle._open(answer, n_users, budget)
        return oracle

    def _open(
        self, serve: Callable[[Int64[np.ndarray, "Q"]], TopK], n_users: int, budget: int | None
    ) -> None:
        """Begin with an empty ledger."""
        self._budget = budget
        self._serve = serve
        self._n_users = n_users
        self._lists = 0
        self._users: set[int] = set()
        self._items: set[int] = set()

    def query(self, users: Int64[np.ndarray, "Q"]) -> TopK:
        """Return the lists of ``users``, without scores.

        Raises:
            BudgetExceeded: before anything is served, where fewer lists are left than ``users`` asks for.
            IndexError: where a user does not exist.
        """
        if len(users) and not (users.min() >= 0 and users.max() < self._n_users):
            raise IndexError(
                f"users must lie in 0..{self._n_users - 1}; asked for {users.min()}..{users.max()}"
            )
        if self._budget is not None and self._lists + len(users) > self._budget:
            left = self._budget - self._lists
            raise BudgetExceeded(f"{len(users)} lists asked for, {left} of the budget of {self._budget} left")
        lists = TopK(items=self._serve(users).items)
        self._lists += len(users)
        self._users.update(users.tolist())
        self._items.update(np.unique(lists.items[lists.items >= 0]).tolist())
        return lists

    @property
    def ledger(self) -> Ledger:
        """What has been given away so far."""
        return Ledger(lists=self._lists, users=len(self._users), items=len(self._items))
