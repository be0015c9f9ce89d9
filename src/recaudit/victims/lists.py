"""A victim whose lists are at hand: what a service has decided to serve to each of its users."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from recaudit.models.protocol import TopK
from recaudit.victims.protocol import Abilities, Queries

__all__ = ["FixedLists"]


@dataclass(frozen=True, kw_only=True, eq=False)
class FixedLists:
    """A victim that serves each user one fixed list.

    Args:
        lists: the list of each user, best item first, padded with ``-1``.
    """

    lists: Int64[np.ndarray, "U k"]

    @property
    def abilities(self) -> Abilities:
        """Users are asked about by number; lists are as long as they are here."""
        return Abilities(longest=self.lists.shape[1], leaves_out_seen=False)

    def recommend(self, queries: Queries, k: int) -> TopK:
        """Return the first ``k`` items of each user's list.

        Raises:
            IndexError: where a user has no list.
            ValueError: where histories are shown, or a list of ``k`` items is longer than the lists here.
        """
        users, n_users = queries.users, len(self.lists)
        if users is None:
            raise ValueError("fixed lists are of users by number; no history can be shown")
        if k > self.lists.shape[1]:
            raise ValueError(f"lists of {k} items were asked for; the lists here have {self.lists.shape[1]}")
        if len(users) and not (users.min() >= 0 and users.max() < n_users):
            raise IndexError(f"users must lie in 0..{n_users - 1}; found {users.min()}..{users.max()}")
        return TopK(items=self.lists[users, :k])
