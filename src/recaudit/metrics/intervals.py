"""Bootstrap intervals over seeds and users."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

__all__ = ["Interval", "bootstrap_interval", "check_resampling"]

# Values drawn at once: 8 MB of indices and as much of values.
_CHUNK = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure with the ends of its interval.

    Args:
        value: the estimate.
        low: the interval's lower end.
        high: the interval's upper end.
    """

    value: float
    low: float
    high: float


def bootstrap_interval(
    values: Sequence[Float64[np.ndarray, "_"]],
    *,
    seed: int,
    resamples: int = 2000,
    level: float = 0.95,
    same_users: bool = False,
) -> Interval:
    """Return the mean over seeds of the mean over users, with its two-level percentile bootstrap interval.

    Each resample draws as many seeds as there are, with replacement, and then for each drawn seed as many of
    its users as it has, with replacement; the interval runs between the quantiles of the resampled figures
    (Davison and Hinkley 1997, section 3.8, the cluster bootstrap that resamples both levels). With one seed
    only users are resampled: the interval then leaves out how much one training differs from the next. With a
    handful of seeds it is somewhat too narrow, as every percentile bootstrap of a few values is.

    Users whose value is nan are left out, and so is a seed none of whose users has a value.

    Args:
        values: one array a seed, one value a user; the seeds' users need not be the same nor as many.
        same_users: the seeds judge the same users, in the same order, as attacks on one saved victim do. Each
            resample then draws users once, for all of its seeds: users drawn anew for each seed would count
            the same few users as so many more.
        seed: names the random draws; the same values and seed give the same interval.
        resamples: how many resamples to draw.
        level: the interval's level, in (0, 1).

    Raises:
        ValueError: where no user has a value, or ``resamples`` or ``level`` is out of range.
    """
    check_resampling(resamples, level)
    kept = [each for each in (array[~np.isnan(array)] for array in values) if len(each)]
    if not kept:
        raise ValueError(f"no user has a value in any of {len(values)} seeds, so there is nothing to average")

    generator = np.random.default_rng(seed)
    value = float(np.mean([array.mean() for array in kept]))
    if same_users:
        table = np.stack(values)
        table = table[~np.isnan(table).all(axis=1)]
        table = table[:, ~np.isnan(table).any(axis=0)]
        n_seeds, n_users = table.shape
        seeds = generator.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=resamples) / n_seeds
        users = generator.multinomial(n_users, np.full(n_users, 1 / n_users), size=resamples) / n_users
        resampled = ((seeds @ table) * users).sum(axis=1)
    else:
        resampled = _resampled_seeds(kept, resamples, generator)
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value=value, low=float(low), high=float(high))


def check_resampling(resamples: int, level: float) -> None:
    """Refuse a number of resamples or a level that makes no interval.

    Raises:
        ValueError: where ``resamples`` is below 1 or ``level`` is not in (0, 1).
    """
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(f"resamples must be at least 1 and level in (0, 1), not {resamples} and {level}")


def _resampled_seeds(
    kept: Sequence[Float64[np.ndarray, "_"]], resamples: int, generator: np.random.Generator
) -> Float64[np.ndarray, "resamples"]:
    """Return the figure of each resample of seeds and, within each drawn seed, of its users."""
    drawn = generator.integers(len(kept), size=(resamples, len(kept)))
    means = np.empty(drawn.shape)
    for number, array in enumerate(kept):
        chosen = drawn == number
        means[chosen] = _resampled_means(array, int(chosen.sum()), generator)
    figures: np.ndarray = means.mean(axis=1)
    return figures


def _resampled_means(
    array: Float64[np.ndarray, "n"], count: int, generator: np.random.Generator
) -> Float64[np.ndarray, "count"]:
    """Return ``count`` means of as many values as ``array`` holds, drawn from it with replacement."""
    rows = max(1, _CHUNK // len(array))
    means = np.empty(count)
    for start in range(0, count, rows):
        part = means[start : start + rows]
        part[:] = array[generator.integers(len(array), size=(len(part), len(array)))].mean(axis=1)
    return means
