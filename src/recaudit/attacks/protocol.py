"""What an attacker may see, and what every attack is: all that an audit calls of one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64, Int64

from recaudit.attacks.membership.shadows import Evidence
from recaudit.data.interactions import Interactions
from recaudit.models.protocol import Recommender
from recaudit.models.trained import TrainedSpec
from recaudit.oracle.oracle import Oracle
from recaudit.pipeline.node import Node
from recaudit.pipeline.run import Run
from recaudit.vocabulary import Card

__all__ = ["Knowledge", "MembershipAttack", "Scorer", "SharesNodes", "Source", "StealingAttack", "named"]

Source = Literal["shadow", "auditor", "own"]
"""Shadow models that an attack can learn from: one over the attacker's own users; several, each over half of
the candidates, which only who holds their histories can train; several, each over half of the attacker's own
users."""

Scorer = Callable[[Int64[np.ndarray, "C k"]], Float64[np.ndarray, "C"]]
"""The candidates' served lists in, one log-odds a candidate out: above 0 says member."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Knowledge:
    """All that an attacker may see beside the oracle (Zhu et al. 2023, section 3.2).

    Args:
        known: the histories of the K target users that the attacker knows, as the victim was trained on them.
        accounts: under which number the oracle serves each known user.
        queried: positions in ``known`` of the users whose lists the attack may learn from.
        validation: positions in ``known`` of the users whose lists the attack may judge itself by.
        auxiliary: histories of other users over the same items.
        clone: the model that the attacker trains; an attack may take another.
        common: the items whose auxiliary vectors the attacker can match to the target's (section 5.3.3): no
            other item's auxiliary vector may be used, though a model may learn from all of ``auxiliary``.
            ``None`` means all items.
    """

    known: Interactions
    accounts: Int64[np.ndarray, "K"]
    queried: Int64[np.ndarray, "Q"]
    validation: Int64[np.ndarray, "V"]
    auxiliary: Interactions
    clone: TrainedSpec
    common: Bool[np.ndarray, "I"] | None = None

    @property
    def n_items(self) -> int:
        """Number of items in the common catalogue."""
        return self.known.n_items


@runtime_checkable
class StealingAttack(Protocol):
    """Builds a copy of a recommender: frozen settings that say how.

    An attack that is registered as a plug-in is a pydantic model, or a class of them whose defaults are the
    attack, and its card's name is that of its entry point.
    """

    @property
    def card(self) -> Card:
        """How tables and texts name the attack, and what it needs."""

    def model_dump_json(self) -> str:
        """Return the settings as JSON: they are part of the keys of stored results."""

    def asks(self, knowledge: Knowledge) -> int:
        """Return how many lists the attack will ask for; told before anything is trained.

        Raises:
            UsageError: where the attack cannot be carried out with this knowledge.
        """

    def steal(self, knowledge: Knowledge, oracle: Oracle, run: Run) -> Recommender:
        """Return a clone that knows the users of ``knowledge.known``, numbered as there.

        The attack may ask the oracle about ``knowledge.accounts`` of the queried and validation users alone.
        """


@runtime_checkable
class SharesNodes(Protocol):
    """A stealing attack that takes results which other attacks may share, such as the auxiliary model."""

    def nodes(self, knowledge: Knowledge, run: Run) -> tuple[Node[Any], ...]:
        """Return the nodes of these results; the attack takes them from the run's cache."""


@runtime_checkable
class MembershipAttack(Protocol):
    """Tells members from non-members: frozen settings that say how.

    What is said of plug-ins at :class:`StealingAttack` holds here too.
    """

    @property
    def card(self) -> Card:
        """How tables and texts name the attack, and what it needs."""

    def model_dump_json(self) -> str:
        """Return the settings as JSON: they are part of the keys of stored results."""

    @property
    def needs(self) -> tuple[Source, ...]:
        """The shadow models that the attack learns from."""

    def learn(self, evidence: Evidence, seed: int) -> Scorer:
        """Return what scores served lists; learned before any of them is seen.

        Raises:
            ValueError: where the evidence lacks what the attack learns from.
        """


def named(attack: StealingAttack | MembershipAttack, name: str) -> Card:
    """Return an attack's card for the row ``name``; settings of one's own have names of their own."""
    card = attack.card
    return card if card.name == name else replace(card, name=name, label=name)
