"""A victim that only answers lists: recently popular items, blended with co-occurrence."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from recaudit.data.interactions import Interactions
from recaudit.models.protocol import TopK
from recaudit.pipeline.run import Run
from recaudit.victims.protocol import Abilities, Queries, Victim
from recaudit.vocabulary import Card


@dataclass(frozen=True, kw_only=True, eq=False)
class Service:
    """Serves the users of ``data``, by their numbers."""

    data: Interactions
    scores: np.ndarray
    abilities: ClassVar[Abilities] = Abilities()

    def recommend(self, queries: Queries, k: int) -> TopK:
        """Return each user's list, best item first, without what the user has seen.

        Raises:
            IndexError: where a user does not exist.
            ValueError: where histories are shown.
        """
        users, n_users = queries.users, self.data.n_users
        if users is None:
            raise ValueError("the service knows its users by number alone")
        if len(users) and not (users.min() >= 0 and users.max() < n_users):
            raise IndexError(f"users must lie in 0..{n_users - 1}; found {users.min()}..{users.max()}")
        items = np.full((len(users), k), -1)
        for row, user in enumerate(users.tolist()):
            order = np.argsort(-self.scores[user], kind="stable")
            unseen = order[~np.isin(order, self.data.history(user))][:k]
            items[row, : len(unseen)] = unseen
        return TopK(items=items)


class RecentPopular(BaseModel):
    """The most popular items of the last interactions, blended with co-occurrence.

    Args:
        last: how many of the last interactions make an item popular; the file's order where there are no times.
        blend: weight of co-occurrence with the user's items; the rest is popularity's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    card: ClassVar[Card] = Card(
        name="recent-popular",
        label="Recently popular",
        order=500,
        sentence="Serves recently popular items that stand beside the user's own.",
    )

    last: int = Field(default=10_000, ge=1)
    blend: float = Field(default=0.7, ge=0, le=1)

    def open(self, data: Interactions, run: Run) -> Victim:
        """Return the service of the users of ``data``; nothing is drawn at random."""
        order = np.arange(len(data.items)) if data.times is None else np.argsort(data.times, kind="stable")
        popular = np.bincount(data.items[order[-self.last :]], minlength=data.n_items)
        matrix = np.asarray(data.matrix().todense(), dtype=np.float64)
        beside = matrix @ (matrix.T @ matrix)
        scores = self.blend * beside / beside.max() + (1 - self.blend) * popular / popular.max()
        return Service(data=data, scores=scores)

    def retrained(self, data: Interactions, run: Run) -> Victim | None:
        """Return ``None``: another seed changes nothing here, so that there is no other victim to compare with."""
        return None
