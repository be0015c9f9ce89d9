"""What an attacker may see, and what a stealing attack is."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int64

from recaudit.data.interactions import Interactions
from recaudit.models.protocol import Recommender
from recaudit.oracle.oracle import Oracle
from recaudit.pipeline.node import Node
from recaudit.pipeline.run import Run

__all__ = ["Knowledge", "SharesNodes", "StealingAttack"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Knowledge:
    """All that an attacker may see beside the oracle (Zhu et al. 2023, section 3.2).

    Args:
        known: the histories of the K target users that the attacker knows, as the victim was trained on them.
        accounts: under which number the oracle serves each known user.
        queried: positions in ``known`` of the users whose lists the attack may learn from.
        validation: positions in ``known`` of the users whose lists the attack may judge itself by.
        auxiliary: histories of other users over the same items.
        common: the items whose auxiliary vectors the attacker can match to the target's (section 5.3.3): no
            other item's auxiliary vector may be used, though a model may learn from all of ``auxiliary``.
            ``None`` means all items.
    """

    known: Interactions
    accounts: Int64[np.ndarray, "K"]
    queried: Int64[np.ndarray, "Q"]
    validation: Int64[np.ndarray, "V"]
    auxiliary: Interactions
    common: Bool[np.ndarray, "I"] | None = None

    @property
    def n_items(self) -> int:
        """Number of items in the common catalogue."""
        return self.known.n_items


@runtime_checkable
class StealingAttack(Protocol):
    """Builds a copy of a recommender."""

    def steal(self, knowledge: Knowledge, oracle: Oracle, run: Run) -> Recommender:
        """Return a clone that knows the users of ``knowledge.known``, numbered as there."""


@runtime_checkable
class SharesNodes(Protocol):
    """A stealing attack that takes results which other attacks may share, such as the auxiliary model."""

    def nodes(self, knowledge: Knowledge, run: Run) -> tuple[Node[Any], ...]:
        """Return the nodes of these results; the attack takes them from the run's cache."""
