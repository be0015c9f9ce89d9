"""From each candidate's scores to figures of membership inference, with intervals and curves."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import Float64

from recaudit.audit.spec import VICTIM, AuditSpec
from recaudit.audit.values import BLIND, NULL, SeedResult, ServedCandidates
from recaudit.metrics.intervals import bootstrap_interval
from recaudit.metrics.membership import mean_roc, membership_intervals
from recaudit.rng import child_seed
from recaudit.vocabulary import CANDIDATES, JUDGED

__all__ = ["chosen_features", "curves", "membership_figures"]

Row = dict[str, Any]

CURVE = np.unique(np.concatenate([[0.0], np.logspace(-3, 0, 31).round(6), np.linspace(0.05, 1, 20).round(6)]))
"""Where ROC curves are read: close to zero as well as over the whole range."""


def membership_figures(spec: AuditSpec, name: str, seeds: Sequence[SeedResult]) -> list[Row]:
    """Return one row a figure of membership inference, as ``figures.csv`` has them.

    Each attack has ``auc``, ``tpr@0.01``, ``tpr@0.001`` and, with the attack's own threshold of 0 (log-odds),
    the balanced ``accuracy``; a blind feature has no threshold, and calls the higher half members. A null
    control has ``auc`` alone. The victim's quality is given for members and for strangers (``non-members``).
    ``n`` counts the candidates behind a figure, members and strangers, over all seeds.
    """
    common = {
        "data": name,
        "victim": spec.victim_card.name,
        "clone": None,
        "seeds": len(seeds),
        "threat": "membership",
    }
    rows: list[Row] = []
    for serving in spec.membership.serving if seeds[0].inferred else ():
        found = [one.inferred[serving] for one in seeds]
        at = common | {"serving": serving}
        for attack in found[0].scores:
            rows += [at | row for row in _told_apart(attack, found)]
        rows += [at | row for row in _quality(found)]
        for attack in spec.membership.attacks:
            seconds = [one.attacks[attack].seconds for one in found]
            rows.append(at | _counted(attack, "seconds", seconds))
            lists = [float(one.attacks[attack].ledger["lists"]) for one in found]
            rows.append(at | _counted(attack, "lists", lists))
    return rows


def curves(spec: AuditSpec, seeds: Sequence[SeedResult]) -> list[Row]:
    """Return the mean ROC curve of each attack and blind feature under each serving, with its band."""
    rows = []
    for serving in spec.membership.serving if seeds[0].inferred else ():
        found = [one.inferred[serving] for one in seeds]
        for attack in found[0].scores:
            if not attack.startswith(NULL):
                curve = mean_roc(*_of(attack, found), CURVE, seed=_stream())
                rows.append(
                    {
                        "serving": serving,
                        "attack": attack,
                        "fpr": curve.false_positive_rates.tolist(),
                        "tpr": curve.true_positive_rates.tolist(),
                        "low": [None if np.isnan(end) else float(end) for end in curve.low],
                        "high": [None if np.isnan(end) else float(end) for end in curve.high],
                    }
                )
    return rows


def chosen_features(seeds: Sequence[SeedResult]) -> list[Row]:
    """Return which single feature the attacker's own shadow chose, by serving and seed."""
    return [
        {"serving": serving, "seed": one.seed, "best": found.blind.best}
        for one in seeds
        for serving, found in one.inferred.items()
    ]


def _told_apart(attack: str, found: Sequence[ServedCandidates]) -> list[Row]:
    """Return an attack's rows: how well its scores tell members from strangers."""
    scores, members = _of(attack, found)
    thresholds = None if attack.startswith(BLIND) else [0.0] * len(found)
    ends = membership_intervals(scores, members, seed=_stream(), thresholds=thresholds)
    if attack.startswith(NULL):
        ends = {"auc": ends["auc"]}
    return [
        {
            "attack": attack,
            "users": CANDIDATES,
            "metric": metric,
            "value": one.value,
            "low": one.low,
            "high": one.high,
            "n": one.n,
        }
        for metric, one in ends.items()
    ]


def _quality(found: Sequence[ServedCandidates]) -> list[Row]:
    rows = []
    for metric in found[0].blind.quality:
        for users in JUDGED:
            values = [one.blind.quality[metric][one.members == (users == "members")] for one in found]
            row: Row = {"attack": VICTIM, "users": users, "metric": metric}
            ends: Row = dict.fromkeys(("value", "low", "high")) | {"n": 0}
            if not all(np.isnan(array).all() for array in values):
                ends = asdict(bootstrap_interval(values, seed=_stream()))
            rows.append(row | ends)
    return rows


def _counted(attack: str, metric: str, values: Sequence[float]) -> Row:
    """Return a mean over seeds with the least and the greatest."""
    return {
        "attack": attack,
        "users": CANDIDATES,
        "metric": metric,
        "value": float(np.mean(values)),
        "low": float(min(values)),
        "high": float(max(values)),
        "n": None,
    }


def _of(
    attack: str, found: Sequence[ServedCandidates]
) -> tuple[list[Float64[np.ndarray, "_"]], list[np.ndarray]]:
    return [one.scores[attack] for one in found], [one.members for one in found]


def _stream() -> int:
    """Return the seed of all resamples: the same users are drawn for every attack."""
    return child_seed(0, "bootstrap")
