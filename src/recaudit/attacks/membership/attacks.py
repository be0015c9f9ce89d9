"""The membership attacks that come with recaudit, from the published one to the strongest.

An attack learns from ``shadow``: one model over the attacker's own users; ``auditor``: J models over halves
of the candidates themselves, which only who holds their histories and may train on them can have; or ``own``:
J models over halves of the attacker's own users, the stranger's, none of which knows a candidate.
"""

from abc import ABC
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from recaudit.attacks.membership.classifiers import Boosting, Logistic, NeuralNetwork, Together
from recaudit.attacks.membership.features import difference_vectors, rich_features
from recaudit.attacks.membership.lira import ItemLikelihood, ListLikelihood, calibrated
from recaudit.attacks.membership.shadows import Evidence, ShadowTable
from recaudit.attacks.membership.stack import learn_stack
from recaudit.attacks.protocol import Scorer, Source
from recaudit.vocabulary import Card

__all__ = [
    "DEFAULT_ATTACKS",
    "LIRA_ITEMS",
    "LIRA_ITEMS_STRANGER",
    "LIRA_LISTS",
    "LIRA_LISTS_STRANGER",
    "RICH",
    "RICH_STRANGER",
    "STACK",
    "STACK_STRANGER",
    "Difference",
    "LiraItems",
    "LiraLists",
    "Rich",
    "Stack",
]

DEFAULT_ATTACKS = (
    "difference",
    "rich",
    "lira-items",
    "lira-lists",
    "stack",
    "rich (stranger)",
    "lira-items (stranger)",
    "lira-lists (stranger)",
    "stack (stranger)",
)
"""The attacks of an audit that names none."""


class Difference(BaseModel):
    """The published attack (Hu 2023): a perceptron judges the difference of history's and list's centres.

    Args:
        weights: how much each rank of the list counts: alike, or as 1 / log2(rank + 1).
        classifier: settings of the perceptron.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str] = "Difference"
    needs: ClassVar[tuple[Source, ...]] = ("shadow",)
    card: ClassVar[Card] = Card(
        name="difference",
        label="difference",
        order=0,
        sentence="The published attack (Hu et al. 2023): the centre of the user’s items minus the centre "
        "of the listed ones, judged by a small network that learned on one shadow model.",
        needs=("auxiliary", "lists", "shadows"),
    )

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


class _FromTable(BaseModel, ABC):
    """An attack that compares several shadow models.

    Args:
        source: the shadow models to learn from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    auditors_card: ClassVar[Card]

    source: Literal["auditor", "own"] = "auditor"

    @property
    def needs(self) -> tuple[Source, ...]:
        """The shadow models that the attack learns from."""
        return (self.source,)

    @property
    def card(self) -> Card:
        """The card; a stranger, who trains on no candidate, has a name of their own."""
        own = self.auditors_card
        if self.source == "auditor":
            return own
        return Card(
            name=f"{own.name} (stranger)",
            label=f"{own.label} (stranger)",
            order=own.order - STRANGERS_FIRST,
            sentence=f"As “{own.name}”, with shadow models of the attacker’s own users; none was trained "
            "on a candidate.",
            needs=("auxiliary", "lists", "shadows"),
        )

    def _table(self, evidence: Evidence) -> ShadowTable:
        return evidence.auditor if self.source == "auditor" else evidence.own


STRANGERS_FIRST = 100
"""Tables have the attacks with less knowledge first."""


def _card(name: str, order: int, sentence: str) -> Card:
    needs = ("histories", "lists", "shadows")
    return Card(name=name, label=name, order=STRANGERS_FIRST + order, sentence=sentence, needs=needs)


class Rich(_FromTable):
    """Features of history and list, told apart by boosted trees: the evidence's shared classifier."""

    kind: ClassVar[str] = "Rich"
    auditors_card: ClassVar[Card] = _card(
        "rich",
        10,
        "Many features of list and history (similarities, weighted centres, popular items), judged by "
        "boosted trees that learned on shadow models.",
    )

    def learn(self, evidence: Evidence, seed: int) -> Scorer:
        """Return what scores served lists: the evidence's shared classifier."""
        known, fitted = evidence.knowledge, self._table(evidence).classifier
        return lambda lists: fitted(rich_features(known.space, known.candidates, lists))


class LiraItems(_FromTable):
    """Likelihood ratio of where the list has each item: :class:`~.lira.ItemLikelihood`, calibrated."""

    kind: ClassVar[str] = "LiraItems"
    auditors_card: ClassVar[Card] = _card(
        "lira-items",
        20,
        "Asks of each listed item whether shadow models list it more often for this user when they were "
        "trained on this history than when not (likelihood ratio, Carlini et al. 2022).",
    )

    def learn(self, evidence: Evidence, seed: int) -> Scorer:
        """Return what scores served lists."""
        table = self._table(evidence)
        likelihood = ItemLikelihood(table.trials, table.space.n_items)
        return calibrated(lambda trial: likelihood(trial).sum(axis=1), table, seed)


class LiraLists(_FromTable):
    """Likelihood ratio of the rich classifier's log-odds: :class:`~.lira.ListLikelihood`, calibrated."""

    kind: ClassVar[str] = "LiraLists"
    auditors_card: ClassVar[Card] = _card(
        "lira-lists",
        30,
        "Asks whether the list as a whole, by the score of “rich”, looks more like those of shadow models "
        "trained on this history or like those of the others (likelihood ratio).",
    )

    def learn(self, evidence: Evidence, seed: int) -> Scorer:
        """Return what scores served lists."""
        table = self._table(evidence)
        return calibrated(ListLikelihood(table.trials), table, seed)


class Stack(_FromTable):
    """Both likelihood ratios, residuals and raw features together: :func:`~.stack.learn_stack`.

    Args:
        classifier: learns from the features of each shadow that plays the target.
    """

    kind: ClassVar[str] = "Stack"
    auditors_card: ClassVar[Card] = _card(
        "stack",
        40,
        "Weighs all of these together, each set against what is usual for this user; learned by letting "
        "each shadow model play the victim.",
    )

    classifier: Together | Boosting | Logistic = Together()

    def learn(self, evidence: Evidence, seed: int) -> Scorer:
        """Return what scores served lists."""
        return learn_stack(self._table(evidence), self.classifier, seed)


RICH, RICH_STRANGER = Rich(), Rich(source="own")
LIRA_ITEMS, LIRA_ITEMS_STRANGER = LiraItems(), LiraItems(source="own")
LIRA_LISTS, LIRA_LISTS_STRANGER = LiraLists(), LiraLists(source="own")
STACK, STACK_STRANGER = Stack(), Stack(source="own")
