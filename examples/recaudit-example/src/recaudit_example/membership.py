"""A membership attack: overlap of a list with the histories of the user's nearest neighbours."""

from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from sklearn.linear_model import LogisticRegression

from recaudit.attacks.membership.shadows import Evidence
from recaudit.attacks.protocol import Scorer, Source
from recaudit.data.interactions import Interactions
from recaudit.vocabulary import Card


class NeighbourOverlap(BaseModel):
    """Learns on the shadow model how much a member's list overlaps with the neighbours' histories.

    Args:
        neighbours: how many of the attacker's own users are a user's neighbours.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    card: ClassVar[Card] = Card(
        name="neighbour-overlap",
        label="Neighbour overlap",
        order=500,
        sentence="Compares the list with the histories of the user's nearest neighbours among the attacker's users.",
        needs=("auxiliary", "lists", "shadows"),
    )
    needs: ClassVar[tuple[Source, ...]] = ("shadow",)

    neighbours: int = Field(default=10, ge=1)

    def learn(self, evidence: Evidence, seed: int) -> Scorer:
        """Return what scores served lists, learned on the one shadow model; nothing is drawn at random."""
        known, shadow = evidence.knowledge, evidence.knowledge.shadow
        features = self._overlap(shadow.histories, shadow.histories, shadow.lists[0], itself=True)
        fitted = LogisticRegression().fit(features, shadow.inside[0])

        def score(lists: np.ndarray) -> np.ndarray:
            asked = self._overlap(known.candidates, shadow.histories, lists, itself=False)
            return np.asarray(fitted.decision_function(asked), dtype=np.float64)

        return score

    def _overlap(
        self, histories: Interactions, others: Interactions, lists: np.ndarray, *, itself: bool
    ) -> np.ndarray:
        """Return the share (U, 1) of the neighbours that have an item of the list, mean over the items."""
        own, theirs = (np.asarray(one.matrix().todense(), dtype=np.float64) for one in (histories, others))
        alike = own @ theirs.T / np.sqrt(np.outer(own.sum(1), theirs.sum(1)))
        if itself:  # nobody is their own neighbour
            np.fill_diagonal(alike, -1)
        nearest = np.argsort(-alike, axis=1, kind="stable")[:, : self.neighbours]
        have = theirs[nearest].mean(axis=1)
        listed = lists >= 0
        shares = np.take_along_axis(have, np.where(listed, lists, 0), axis=1)
        mean = (shares * listed).sum(1, keepdims=True) / np.maximum(listed.sum(1, keepdims=True), 1)
        return np.asarray(mean, dtype=np.float64)
