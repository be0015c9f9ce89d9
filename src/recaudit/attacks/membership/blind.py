"""The blind panel: single features that explain how far an attack is owed to how strangers are served.

Each is told by one shadow model which way it points; nothing else is learned. Where one of them reaches an
attack, that attack has found no more than it: a stranger's list that differs in kind, such as one of popular
items, is told from a member's without any look at tastes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from recaudit.attacks.membership.classifiers import Logistic
from recaudit.attacks.membership.features import BLIND_NAMES, RICH_NAMES, blind_features, rich_features
from recaudit.attacks.membership.knowledge import ItemSpace, MembershipKnowledge
from recaudit.data.interactions import Interactions
from recaudit.metrics.membership import auc
from recaudit.vocabulary import BEST_FEATURE

__all__ = ["BlindResult", "blind_panel"]

# Log-odds a standard deviation where the regression's slope contradicts the AUC: an order, and no more.
LEAST_SLOPE = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class BlindResult:
    """The panel's scores.

    Args:
        scores: log-odds of each candidate by the blind features' names, and by ``BEST_FEATURE``.
        best: name of the best single feature on the shadow, of the blind and the rich ones.
    """

    scores: dict[str, Float64[np.ndarray, "C"]]
    best: str


def blind_panel(knowledge: MembershipKnowledge, lists: Int64[np.ndarray, "C k"]) -> BlindResult:
    """Score the candidates by single features of the lists that they are served.

    Which way a feature points (the sign of its AUC - 0.5 on ``knowledge.shadow``), its scale and the best one
    (the AUC furthest from 0.5, the first of equals) are the shadow's.

    Args:
        knowledge: what the attacker may see.
        lists: what the candidates are served.
    """
    space, shadow = knowledge.space, knowledge.shadow
    known = _single_features(space, shadow.histories, shadow.lists[0])
    asked = _single_features(space, knowledge.candidates, lists)
    labels = shadow.inside[0]
    strengths = {name: abs(auc(values, labels) - 0.5) for name, values in known.items()}
    best = max(strengths, key=strengths.__getitem__)
    scores = {name: oriented(known[name], labels, asked[name]) for name in BLIND_NAMES}
    return BlindResult(scores=scores | {BEST_FEATURE: oriented(known[best], labels, asked[best])}, best=best)


def oriented(
    known: Float64[np.ndarray, "N"], labels: Bool[np.ndarray, "N"], asked: Float64[np.ndarray, "C"]
) -> Float64[np.ndarray, "C"]:
    """Return log-odds that grow with a feature where members' values are higher, and fall where lower.

    The scale is that of a logistic regression on the labelled values. Its slope can differ in sign from the
    AUC less 0.5, which decides; the slope is then next to none. An AUC of 0.5 gives one score to all.

    Args:
        known: labelled values.
        labels: whether each is a member's.
        asked: the values to score.
    """
    sign = float(np.sign(auc(known, labels) - 0.5))
    fitted = Logistic(strength=1.0).fit(sign * known[:, None], labels, 0)
    start, end = fitted(np.array([[0.0], [1.0]]))
    if not sign:
        return np.full(len(asked), start)
    slope = max(end - start, LEAST_SLOPE / known.std())
    scores: Float64[np.ndarray, "C"] = start + slope * sign * asked
    return scores


def _single_features(
    space: ItemSpace, histories: Interactions, lists: Int64[np.ndarray, "U k"]
) -> Mapping[str, Float64[np.ndarray, "U"]]:
    """Return the blind features and then the rich ones, by name."""
    rich = dict(zip(RICH_NAMES, rich_features(space, histories, lists).T, strict=True))
    return blind_features(space, histories, lists) | {f"rich: {name}": rich[name] for name in RICH_NAMES}
