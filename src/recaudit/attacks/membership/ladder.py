"""The ladder: membership attacks from the seed to the strongest, each with what it must know.

The knowledge of a rung is ``shadow``: one model over the attacker's own users; ``auditor``: J models over
halves of the candidates themselves, which only who holds their histories and may train on them can have; or
``own``: J models over halves of the attacker's own users, the stranger's, none of which knows a candidate.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64
from pydantic import BaseModel, ConfigDict

from recaudit.attacks.membership.classifiers import Boosting, Logistic, NeuralNetwork, Together
from recaudit.attacks.membership.features import difference_vectors, rich_features
from recaudit.attacks.membership.lira import ItemLikelihood, ListLikelihood, calibrated
from recaudit.attacks.membership.shadows import Evidence, Table
from recaudit.attacks.membership.stack import learn_stack

__all__ = [
    "LADDER",
    "Difference",
    "LiraItems",
    "LiraLists",
    "Rich",
    "Rung",
    "Scorer",
    "Settings",
    "Source",
    "Stack",
]

Source = Literal["shadow", "auditor", "own"]
Tables = Literal["auditor", "own"]

# The candidates' served lists in, one log-odds a candidate out: above 0 says member.
Scorer = Callable[[Int64[np.ndarray, "C k"]], Float64[np.ndarray, "C"]]


@runtime_checkable
class Rung(Protocol):
    """Settings of an attack of the ladder.

    Args:
        source: which part of the attacker's knowledge it learns from.
    """

    @property
    def source(self) -> Source:
        """Which part of the attacker's knowledge it learns from."""

    def learn(self, evidence: Evidence, seed: int) -> Scorer:
        """Return what scores served lists; learned before any of them is seen.

        Raises:
            ValueError: where the evidence lacks what the rung learns from.
        """


class Difference(BaseModel):
    """The seed (Hu 2023): the difference of the centres of history and list, told apart by a perceptron.

    Args:
        weights: how much each rank of the list counts: alike, or as 1 / log2(rank + 1).
        classifier: settings of the perceptron.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["shadow"] = "shadow"
    weights: Literal["uniform", "rank"] = "uniform"
    classifier: NeuralNetwork = NeuralNetwork()

    def learn(self, evidence: Evidence, seed: int) -> Scorer:
        """Return what scores served lists, learned on the one shadow model."""
        known = evidence.knowledge
        space, shadow = known.space, known.shadow
        vectors = difference_vectors(space, shadow.histories, shadow.lists[0], weights=self.weights)
        fitted = self.classifier.fit(vectors, shadow.inside[0], seed)
        return lambda lists: fitted(difference_vectors(space, known.candidates, lists, weights=self.weights))


class Rich(BaseModel):
    """Features of history and list, told apart by boosted trees.

    Args:
        source: the shadow models to learn from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Tables = "auditor"

    def learn(self, evidence: Evidence, seed: int) -> Scorer:  # noqa: ARG002 - the evidence's classifier
        """Return what scores served lists: the evidence's shared classifier."""
        known, table = evidence.knowledge, _table(evidence, self.source)
        fitted = table.classifier
        return lambda lists: fitted(rich_features(known.space, known.candidates, lists))


class LiraItems(BaseModel):
    """Likelihood ratio of where the list has each item: :class:`~.lira.ItemLikelihood`, calibrated.

    Args:
        source: the shadow models to learn from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Tables = "auditor"

    def learn(self, evidence: Evidence, seed: int) -> Scorer:
        """Return what scores served lists."""
        table = _table(evidence, self.source)
        likelihood = ItemLikelihood(table.trials, table.space.n_items)
        return calibrated(lambda trial: likelihood(trial).sum(axis=1), table, seed)


class LiraLists(BaseModel):
    """Likelihood ratio of the rich classifier's log-odds: :class:`~.lira.ListLikelihood`, calibrated.

    Args:
        source: the shadow models to learn from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Tables = "auditor"

    def learn(self, evidence: Evidence, seed: int) -> Scorer:
        """Return what scores served lists."""
        table = _table(evidence, self.source)
        return calibrated(ListLikelihood(table.trials), table, seed)


class Stack(BaseModel):
    """Both likelihood ratios, residuals and raw features together: :func:`~.stack.learn_stack`.

    Args:
        source: the shadow models to learn from.
        classifier: learns from the features of each shadow that plays the target.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Tables = "auditor"
    classifier: Together | Boosting | Logistic = Together()

    def learn(self, evidence: Evidence, seed: int) -> Scorer:
        """Return what scores served lists."""
        return learn_stack(_table(evidence, self.source), self.classifier, seed)


Settings = Difference | Rich | LiraItems | LiraLists | Stack
"""The settings that come with recaudit: rungs that can be told as plain values."""

LADDER: MappingProxyType[str, Settings] = MappingProxyType(
    {
        "difference": Difference(),
        "rich": Rich(),
        "lira-items": LiraItems(),
        "lira-lists": LiraLists(),
        "stack": Stack(),
        "rich (stranger)": Rich(source="own"),
        "lira-items (stranger)": LiraItems(source="own"),
        "lira-lists (stranger)": LiraLists(source="own"),
        "stack (stranger)": Stack(source="own"),
    }
)
"""The rungs by their names in tables, weakest first."""


def _table(evidence: Evidence, source: Tables) -> Table:
    return evidence.auditor if source == "auditor" else evidence.own
