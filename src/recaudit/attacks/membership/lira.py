"""Likelihood ratios of served lists against shadow models (LiRA).

Carlini et al. 2022, "Membership Inference Attacks From First Principles": the score is the log of
p(served | member) / p(served | not), each likelihood from models that did or did not know the very user (Eq.
3 and 4). They fit a Gaussian to the model's confidence in each case; a list has none, so there are two kinds
here: a categorical likelihood of each item's place, and a Gaussian of the rich classifier's log-odds.

A handful of shadow models is too few for likelihoods of each user's own. What few models say of a user is put
in a few numbers (how often they were served an item; their mean log-odds), and the likelihood given these
numbers is learned over all users, each shadow model playing the target. A stranger's models, none of which
knows the candidates, tell one side alone (their offline, one-sided attack), and so they do of the users
learned on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from recaudit.attacks.membership.classifiers import Logistic, LogOdds
from recaudit.attacks.membership.shadows import Lists, ShadowTable, Trial, labels_of

__all__ = ["ItemLikelihood", "ListLikelihood", "calibrated"]

# Parts of a list that are told apart: its first third, the middle and the last.
PARTS = 3

# What is added to the count of each outcome in each cell, spread as the outcomes of both labels together.
SMOOTHING = 1.0

Statistic = Callable[[Trial], Float64[np.ndarray, "U"]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Places:
    """Where each user's list has the items that its reference has, and the items that it has alone.

    Args:
        users: the user of each pair of user and item that is listed somewhere.
        cells: how many of the reference's lists have it, outside and inside, as one number.
        outcomes: the part of the list where it stands; ``PARTS`` where it does not.
        elsewhere: number of items of each user that no list has.
    """

    users: Int64[np.ndarray, "N"]
    cells: Int64[np.ndarray, "N"]
    outcomes: Int64[np.ndarray, "N"]
    elsewhere: Int64[np.ndarray, "U"]


class ItemLikelihood:
    """The log-likelihood ratio of a list from where it has each item.

    An item that ``a`` of the R reference models without the user and ``b`` of those with them list stands in
    the first, middle or last third of their list, or outside it, with probabilities p(place | a, b, label),
    the shares over all users, items and trials: an empirical Bayes estimate of Carlini et al.'s likelihoods, with
    no smoothing to choose. The ratio is the sum over the items, as if they were independent given the label.

    Args:
        trials: labelled trials to learn the shares from.
        n_items: number of items in the catalogue.
    """

    def __init__(self, trials: Sequence[Trial], n_items: int) -> None:
        self.n_items = n_items
        counts: np.ndarray = np.sum([self._counts(trial) for trial in trials], axis=0)
        both = counts.sum(axis=0) + 1e-3
        counts = counts + SMOOTHING * both / both.sum(axis=1, keepdims=True)
        shares = counts / counts.sum(axis=2, keepdims=True)
        self.log_ratios: Float64[np.ndarray, "cells outcomes"] = np.log(shares[1]) - np.log(shares[0])

    def __call__(self, trial: Trial) -> Float64[np.ndarray, "U 2"]:
        """Return the log-likelihood ratio from listed items, and that from items that are not listed."""
        found = places(trial, self.n_items)
        values = self.log_ratios[found.cells, found.outcomes]
        listed = found.outcomes < PARTS
        n_users = len(found.elsewhere)
        sums = [
            np.bincount(found.users[chosen], weights=values[chosen], minlength=n_users).astype(np.float64)
            for chosen in (listed, ~listed)
        ]
        sums[1] += found.elsewhere * self.log_ratios[0, PARTS]
        return np.stack(sums, axis=1)

    def _counts(self, trial: Trial) -> Float64[np.ndarray, "2 cells outcomes"]:
        found = places(trial, self.n_items)
        n_sides, n_models = trial.reference.items.shape[:2]
        shape = ((n_models + 1) ** n_sides, PARTS + 1)
        counts = np.zeros((2, *shape))
        flat = np.ravel_multi_index((found.cells, found.outcomes), shape)
        side = int(bool(trial.inside))
        counts[side] = np.bincount(flat, minlength=counts[side].size).reshape(shape)
        counts[side, 0, PARTS] += found.elsewhere.sum()
        return counts


class ListLikelihood:
    """The log-likelihood ratio of the rich classifier's log-odds of a list, as Gaussians (Carlini's Eq. 4).

    The mean under each label is linear in the mean log-odds of the user's reference lists, outside and (where
    there are such) inside, fitted by least squares over all users and trials; the variance is that of the
    residuals, pooled over users as Carlini et al. advise for few shadow models. With many models the weights
    go to the user's own means; with few the means shrink towards everybody's.

    Args:
        trials: labelled trials to fit to.
    """

    def __init__(self, trials: Sequence[Trial]) -> None:
        self.fits = []
        for label in (False, True):
            chosen = [trial for trial in trials if trial.inside is label]
            design = np.concatenate([_design(trial.reference) for trial in chosen])
            logits = np.concatenate([trial.played.logits for trial in chosen])
            weights = np.linalg.lstsq(design, logits, rcond=None)[0]
            variance = float(np.square(logits - design @ weights).mean())
            self.fits.append((weights, max(variance, np.finfo(np.float64).eps)))

    def __call__(self, trial: Trial) -> Float64[np.ndarray, "U"]:
        """Return the log-likelihood ratio of each user's list."""
        design = _design(trial.reference)
        outside, inside = (
            -0.5 * np.square(trial.played.logits - design @ weights) / variance - 0.5 * np.log(variance)
            for weights, variance in self.fits
        )
        ratios: np.ndarray = inside - outside
        return ratios


def places(trial: Trial, n_items: int) -> Places:
    """Return where each user's list has the items that it or its reference has."""
    _, n_models, n_users, _ = trial.reference.items.shape
    by_side = [_keys(side, n_items) for side in trial.reference.items]
    known, index = np.unique(np.concatenate(by_side), return_inverse=True)
    cells = np.zeros(len(known), dtype=np.int64)
    for number, numbers in enumerate(np.split(index, np.cumsum([len(keys) for keys in by_side])[:-1])):
        cells += np.bincount(numbers, minlength=len(known)) * (n_models + 1) ** number
    keys, parts = _keys(trial.played.items, n_items), _list_parts(trial.played.items)
    at = np.searchsorted(known, keys)
    shared = known[np.minimum(at, len(known) - 1)] == keys if len(known) else np.zeros(len(keys), dtype=bool)
    outcomes = np.full(len(known), PARTS)
    outcomes[at[shared]] = parts[shared]
    alone = keys[~shared]
    users = np.concatenate([known, alone]) // n_items
    return Places(
        users=users,
        cells=np.concatenate([cells, np.zeros(len(alone), dtype=np.int64)]),
        outcomes=np.concatenate([outcomes, parts[~shared]]),
        elsewhere=n_items - np.bincount(users, minlength=n_users),
    )


def calibrated(statistic: Statistic, table: ShadowTable, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return what tells the log-odds of lists from a statistic of their trials.

    A logistic regression of the label on the statistic, over the shadows that play the target (Platt 1999),
    turns the statistic into log-odds; the mean over the trials of a list is its score.
    """
    values = np.concatenate([statistic(trial) for trial in table.trials])[:, None]
    fitted: LogOdds = Logistic(strength=1e3).fit(values, labels_of(table.trials), seed)

    def scores(items: Int64[np.ndarray, "U k"]) -> Float64[np.ndarray, "U"]:
        result: np.ndarray = np.mean(
            [fitted(statistic(trial)[:, None]) for trial in table.asked(items)], axis=0
        )
        return result

    return scores


def _design(reference: Lists) -> Float64[np.ndarray, "U S1"]:
    """Return a one and the mean log-odds of each side's lists, a row a user."""
    means = reference.logits.mean(axis=1)
    return np.column_stack([np.ones(means.shape[1]), *means])


def _keys(items: Int64[np.ndarray, "*A U k"], n_items: int) -> Int64[np.ndarray, "N"]:
    """Return ``user * n_items + item`` of each listed item, in the order of the lists."""
    users = np.arange(items.shape[-2])[:, None]
    keys: np.ndarray = (users * n_items + items)[items >= 0]
    return keys


def _list_parts(items: Int64[np.ndarray, "U k"]) -> Int64[np.ndarray, "N"]:
    """Return the part of its list where each listed item stands, from 0 for the best."""
    ranks = np.broadcast_to(np.arange(items.shape[1]) * PARTS // max(1, items.shape[1]), items.shape)
    parts: np.ndarray = ranks[items >= 0]
    return parts
