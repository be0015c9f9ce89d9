"""Intervals over seeds and users that cover at their level with few users too: a Bayesian bootstrap."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

__all__ = ["FEWEST", "Interval", "bootstrap_interval", "check_resampling", "ends", "user_weights"]

FEWEST = 2
"""The least number of users with an interval: one value does not say how much users differ."""

BESIDE = 0.5
"""The weight of users put at each end of the range: half a user at 0 and half a user at 1."""

# Values drawn at once: 8 MB of weights and as much of weighted values.
_CHUNK = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure with the ends of its interval.

    Args:
        value: the estimate.
        low: the interval's lower end; ``None`` where fewer than ``FEWEST`` users have a value.
        high: the interval's upper end, likewise.
        n: the users behind the figure, over all seeds; users whom several seeds share count once.
    """

    value: float
    low: float | None
    high: float | None
    n: int


def bootstrap_interval(
    values: Sequence[Float64[np.ndarray, "_"]],
    *,
    seed: int,
    resamples: int = 2000,
    level: float = 0.95,
    same_users: bool = False,
) -> Interval:
    """Return the mean over seeds of the mean over users of values in [0, 1], with its two-level interval.

    Users are resampled by the Bayesian bootstrap (Rubin 1981): each resample weighs a seed's users by
    independent exponential draws. Half a user at 0 and half a user at 1 are weighed beside them, shared among
    the seeds. For values of 0 and 1 alone this is Jeffreys' interval of a proportion (Brown, Cai and DasGupta
    2001). It covers at its level from two users on, also where all users have the same value;
    ``docs/intervals.md`` has the coverage. With one seed, users alone are resampled: the interval then leaves
    out how much one training differs from the next. :func:`ends` says how seeds are.

    Users whose value is nan are left out, and so is a seed none of whose users has a value.

    Args:
        values: one array a seed, one value a user; the seeds' users need not be the same nor as many.
        same_users: the seeds judge the same users, in the same order, as attacks on one saved victim do. Each
            resample then weighs users once, for all of its seeds: users drawn anew for each seed would count
            the same few users as so many more.
        seed: names the random draws; the same values and seed give the same interval.
        resamples: how many resamples to draw.
        level: the interval's level, in (0, 1).

    Raises:
        ValueError: where no user has a value, a value is not in [0, 1], or ``resamples`` or ``level`` is out
            of range.
    """
    check_resampling(resamples, level)
    kept = [each for each in (array[~np.isnan(array)] for array in values) if len(each)]
    if not kept:
        raise ValueError(f"no user has a value in any of {len(values)} seeds, so there is nothing to average")
    least, greatest = min(array.min() for array in kept), max(array.max() for array in kept)
    if not -1e-9 <= least <= greatest <= 1 + 1e-9:
        raise ValueError(f"values lie in {least:g}..{greatest:g}; an interval needs values in [0, 1]")
    value = float(np.mean([array.mean() for array in kept]))
    tables = [array[None] for array in kept]
    if same_users:
        table = np.stack(values)
        table = table[~np.isnan(table).all(axis=1)]
        tables = [table[:, ~np.isnan(table).any(axis=0)]]
    n = sum(table.shape[1] for table in tables)
    if n < FEWEST:
        return Interval(value=value, low=None, high=None, n=n)

    of_seeds, *of_users = np.random.default_rng(seed).spawn(1 + len(tables))
    resampled = [
        _resampled_means(table, resamples, BESIDE / len(tables), generator)
        for table, generator in zip(tables, of_users, strict=True)
    ]
    own = np.concatenate([table.mean(axis=1) for table in tables])[:, None]
    drawn = np.concatenate([means for means, _ in resampled], axis=1)[:, :, None]
    weights = np.column_stack(
        [total / table.shape[1] for table, (_, total) in zip(tables, resampled, strict=True)]
    )
    low, high = ends(own, drawn, weights, of_seeds, level)[:, 0]
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value), n=n)


def ends(
    values: Float64[np.ndarray, "S F"],
    drawn: Float64[np.ndarray, "R S F"],
    weights: Float64[np.ndarray, "R W"],
    generator: np.random.Generator,
    level: float,
) -> Float64[np.ndarray, "2 F"]:
    """Return the lower and upper ends of the intervals of the means over seeds of figures in [0, 1].

    A mean differs from the truth by the choice of users, of which ``drawn`` has resamples, and by the choice
    of seeds. The variance between seeds is what the seeds' figures vary beyond the resamples,
    ``max(0, Var_s(values) - E_r Var_s(drawn - values))``, the analysis of variance. Each resample is moved by
    its root over ``√S`` times a draw of Student's t with S - 1 degrees of freedom, as few seeds say little of
    how seeds differ. What leaves [0, 1] counts as its end, and an interval holds its figure.

    Args:
        values: the figures of each seed.
        drawn: the same of each resample of users.
        weights: what each seed's users weigh in each resample, all seeds' about alike: a seed counts by it, as
            if all users were resampled together. One column where all seeds have the same users.
        generator: draws the moves.
        level: the intervals' level, in (0, 1).
    """
    n_seeds = len(values)
    shares = np.broadcast_to(weights, drawn.shape[:2])[:, :, None]
    means = (drawn * shares).sum(axis=1) / shares.sum(axis=1)
    if n_seeds > 1:
        noise = (drawn - values).var(axis=1, ddof=1).mean(axis=0)
        between = np.maximum(values.var(axis=0, ddof=1) - noise, 0)
        moves = generator.standard_t(n_seeds - 1, size=len(drawn))
        means = np.clip(means + moves[:, None] * np.sqrt(between / n_seeds), 0, 1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    value = values.mean(axis=0)
    return np.stack([np.minimum(low, value), np.maximum(high, value)])


def check_resampling(resamples: int, level: float) -> None:
    """Refuse a number of resamples or a level that makes no interval.

    Raises:
        ValueError: where ``resamples`` is below 1 or ``level`` is not in (0, 1).
    """
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(f"resamples must be at least 1 and level in (0, 1), not {resamples} and {level}")


def user_weights(
    count: int, n_users: int, beside: float, generator: np.random.Generator
) -> Float64[np.ndarray, "count n2"]:
    """Return weights of ``n_users`` users, a row a resample, between those put at 0 and at 1.

    Rows drawn in parts are those drawn at once. Divided by its sum, a row is a draw of the Dirichlet
    distribution.
    """
    shapes = np.concatenate([[beside], np.ones(n_users), [beside]])
    return generator.standard_gamma(shapes, size=(count, n_users + 2))


def _resampled_means(
    table: Float64[np.ndarray, "S n"], count: int, beside: float, generator: np.random.Generator
) -> tuple[Float64[np.ndarray, "count S"], Float64[np.ndarray, "count"]]:
    """Return ``count`` weighted means of each row of ``table``, whose columns are the same users; the weights."""
    n_seeds, n_users = table.shape
    at = np.column_stack([np.zeros(n_seeds), table, np.ones(n_seeds)])
    rows = max(1, _CHUNK // n_users)
    means, totals = np.empty((count, n_seeds)), np.empty(count)
    for start in range(0, count, rows):
        part, total = means[start : start + rows], totals[start : start + rows]
        weights = user_weights(len(part), n_users, beside, generator)
        total[:] = weights.sum(axis=1)
        for place, values in enumerate(at):
            part[:, place] = (weights * values).sum(axis=1) / total
    return means, totals
