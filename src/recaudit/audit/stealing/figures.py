"""From each user's values to figures with intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from recaudit.audit.spec import AUXILIARY, CEILING, CONSTANT, FLOOR, VICTIM, AuditSpec
from recaudit.audit.values import SeedResult
from recaudit.metrics.intervals import bootstrap_interval
from recaudit.rng import child_seed

__all__ = ["figures"]

Row = dict[str, Any]

NARROWEST = 0.05
"""The least distance from floor to ceiling that a place is told by: on less, it would be noise."""


def figures(spec: AuditSpec, name: str, seeds: Sequence[SeedResult]) -> list[Row]:
    """Return one row a figure, as ``figures.csv`` has them.

    ``place@k`` is where an attack's agreement lies between the floor's (0) and the ceiling's (1), of the
    means; its ends are those of the agreement's interval, measured on the same scale. It is ``None`` where
    less than ``NARROWEST`` lies between the two. Seconds, what was asked and the share of the catalogue that
    is shown are means over seeds, and their ends the least and the greatest. ``n`` counts the users behind a
    mean over users, over all seeds; those of a saved victim, whom all seeds share, count once.

    Where a model reads histories, the constant list has its place too, and where the clone does, the
    auxiliary model alone is told as an attack is.
    """
    table = _Rows(spec, name, seeds)
    references = spec.references
    reads = CONSTANT in references
    for attack in (*references, *spec.attacks):
        for metric, roles in seeds[0].values[attack].items():
            for role in roles:
                if metric == f"coverage@{spec.k}":
                    shares = [one.values[attack][metric][role].item() for one in seeds]
                    table.counted(attack, metric, shares, role)
                else:
                    table.measured(attack, metric, role)
    asking = (*(row for row in references if row == AUXILIARY), *spec.attacks)
    asked = ("lists", "users", "items", *(("calls", "sequences") if reads else ()))
    for attack in (*(row for row in references if row == CONSTANT), *asking):
        for role in ("all", "queried", "unqueried", "unseen"):
            if role in seeds[0].users:
                table.place(attack, role)
        for column in asked if attack in asking else ():
            table.counted(attack, column, [_of(one.ledgers, "attack", attack)[column] for one in seeds])
    for stage in (VICTIM, CEILING, *asking):
        seconds = [one["seconds"] for seed in seeds for one in seed.stages if one["stage"] == stage]
        if seconds:  # a ceiling that cannot be measured takes none
            table.counted(stage, "seconds", seconds)
    return table.rows


class _Rows:
    def __init__(self, spec: AuditSpec, name: str, seeds: Sequence[SeedResult]) -> None:
        self.seeds = seeds
        self.k = spec.k
        self.same_users = spec.saved_victim is not None and len(seeds) > 1
        self.rows: list[Row] = []
        self.common = {"data": name, "victim": spec.victim_card.name}
        self.clone = spec.clone.model
        self.agreements: dict[tuple[str, str], Row] = {}

    def _add(
        self, attack: str, users: str, metric: str, ends: tuple[float | None, ...], n: int | None = None
    ) -> Row:
        value, low, high = ends
        row = {
            **self.common,
            "clone": None if attack in (FLOOR, CEILING, VICTIM, CONSTANT) else self.clone,
            "attack": attack,
            "users": users,
            "metric": metric,
            "value": value,
            "low": low,
            "high": high,
            "n": n,
            "seeds": len(self.seeds),
            "threat": "stealing",
            "serving": None,
        }
        self.rows.append(row)
        return row

    def measured(self, attack: str, metric: str, role: str) -> None:
        """Add the mean over seeds and users with its interval."""
        values = [one.values[attack][metric][role] for one in self.seeds]
        if all(np.isnan(array).all() for array in values):
            row = self._add(attack, role, metric, (None, None, None), 0)
        else:
            # One stream for all rows: the same users are resampled for every attack.
            interval = bootstrap_interval(values, seed=child_seed(0, "bootstrap"), same_users=self.same_users)
            ends = (interval.value, interval.low, interval.high)
            row = self._add(attack, role, metric, ends, interval.n)
        if metric == f"agreement@{self.k}":
            self.agreements[attack, role] = row

    def place(self, attack: str, role: str) -> None:
        """Add where an agreement lies between floor and ceiling, ``None`` where they are too close."""
        floor, ceiling = (self.agreements[bound, role]["value"] for bound in (FLOOR, CEILING))
        own = self.agreements[attack, role]
        ends: tuple[float | None, ...] = (None, None, None)
        if None not in (floor, ceiling, own["value"]) and ceiling - floor >= NARROWEST:
            found = (own[end] for end in ("value", "low", "high"))
            ends = tuple(None if end is None else (end - floor) / (ceiling - floor) for end in found)
        self._add(attack, role, f"place@{self.k}", ends, own["n"])

    def counted(self, attack: str, metric: str, values: Sequence[int | float], users: str = "all") -> None:
        """Add a mean over seeds with the least and the greatest."""
        self._add(attack, users, metric, (float(np.mean(values)), float(min(values)), float(max(values))))


def _of(records: Sequence[Row], key: str, value: str) -> Row:
    return next(record for record in records if record[key] == value)
