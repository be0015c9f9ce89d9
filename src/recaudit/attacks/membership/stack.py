"""The stack: what the likelihood ratios say, and the list beside the user's others, in one classifier.

Each shadow model plays the target: its lists' statistics, relative to the user's other shadow models, are
features, and whether it knew the user is the label. Nothing is learned from the target.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int64

from recaudit.attacks.membership.classifiers import Classifier
from recaudit.attacks.membership.lira import ItemLikelihood, ListLikelihood
from recaudit.attacks.membership.shadows import ShadowTable, Trial, labels_of

__all__ = ["learn_stack"]


def learn_stack(
    table: ShadowTable, classifier: Classifier, seed: int
) -> Callable[[Int64[np.ndarray, "U k"]], Float64[np.ndarray, "U"]]:
    """Return what tells the log-odds of served lists: the mean over their trials.

    Args:
        table: shadow models' lists.
        classifier: learns from the trials' features.
        seed: names its random streams.
    """
    items, lists = ItemLikelihood(table.trials, table.space.n_items), ListLikelihood(table.trials)
    rows = np.concatenate([stack_features(trial, items, lists) for trial in table.trials])
    fitted = classifier.fit(rows, labels_of(table.trials), seed)

    def scores(served: Int64[np.ndarray, "U k"]) -> Float64[np.ndarray, "U"]:
        told = [fitted(stack_features(trial, items, lists)) for trial in table.asked(served)]
        result: np.ndarray = np.mean(told, axis=0)
        return result

    return scores


def stack_features(trial: Trial, items: ItemLikelihood, lists: ListLikelihood) -> Float64[np.ndarray, "U X"]:
    """Return the features of each user's list in a trial.

    Both likelihood ratios, the item one in its two parts and as a sum; overlap with the reference's lists,
    the mean share of common items, of each side and their difference; the rich classifier's log-odds; and
    log-odds and rich features, less the mean of the sides' means, and as they are.
    """
    ratios = items(trial)
    overlaps = _overlaps(trial, items.n_items)
    played, reference = trial.played, trial.reference
    middle = reference.features.mean(axis=(0, 1))
    return np.column_stack(
        [
            ratios,
            ratios.sum(axis=1),
            lists(trial),
            overlaps,
            *([overlaps[:, 1] - overlaps[:, 0]] if overlaps.shape[1] == 2 else []),
            played.logits,
            played.logits - reference.logits.mean(axis=(0, 1)),
            played.features - middle,
            played.features,
        ]
    )


def _overlaps(trial: Trial, n_items: int) -> Float64[np.ndarray, "U S"]:
    """Return the mean share of each user's list that a list of each side of the reference has in common."""
    items, reference = trial.played.items, trial.reference.items
    users = np.arange(len(items))[:, None]
    keys = np.sort((users * n_items + items)[items >= 0])
    lengths = np.maximum((items >= 0).sum(axis=1), 1)
    common = np.isin(users * n_items + reference, keys) & (reference >= 0)
    overlaps: np.ndarray = (common.sum(axis=3) / lengths).mean(axis=1).T
    return overlaps
