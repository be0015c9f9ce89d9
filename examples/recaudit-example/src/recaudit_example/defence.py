"""A defence: neighbouring places of each list are swapped."""

from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from recaudit.data.interactions import Interactions
from recaudit.models.protocol import TopK
from recaudit.oracle.defences import Defence
from recaudit.victims.protocol import Queries
from recaudit.vocabulary import Card


@dataclass(frozen=True, kw_only=True)
class Swapping:
    """Swaps the first pairs of places; the same for everybody, so that asking again brings nothing new."""

    pairs: int

    def apply(self, queries: Queries, lists: TopK) -> TopK:
        """Return the lists with their first pairs of places swapped, without scores."""
        served = lists.items.copy()
        for first in range(0, min(2 * self.pairs, served.shape[1] - 1), 2):
            full = served[:, first + 1] >= 0  # padding stays at the end
            served[full, first : first + 2] = served[full, first : first + 2][:, ::-1]
        return TopK(items=served)


class SwapNeighbours(BaseModel):
    """Swaps the first with the second item of each list, the third with the fourth, and so on.

    Args:
        pairs: how many pairs are swapped; 0 changes nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    card: ClassVar[Card] = Card(
        name="swap-neighbours",
        label="Swapped neighbours",
        order=500,
        sentence="Neighbouring places of each list are swapped.",
    )

    pairs: int = Field(default=5, ge=0)

    def protect(self, seen: Interactions, seed: int, *, by_list: bool = False) -> Defence:
        """Return the defence; nothing is drawn at random."""
        return Swapping(pairs=self.pairs)
