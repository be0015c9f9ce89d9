"""Summary: the figures that describe a data set."""

import math
from dataclasses import dataclass

import numpy as np

from recaudit.data.interactions import Interactions

__all__ = ["QUANTILES", "Summary", "popularity_share", "summarise"]

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A data set in figures.

    Args:
        users: number of users.
        items: number of items.
        interactions: number of interactions.
        density: share of the user-item pairs that are interactions.
        lengths: the history length at each of ``QUANTILES``.
        top_percent: share of the interactions that fall on the most popular 1 % of the items.
        top_tenth: the same for 10 %.
        times: whether the data have times.
        untimed: users whose times are all 0, that is unknown, among times in seconds; else 0.
        rating_range: the lowest and the highest rating, or ``None``.
    """

    users: int
    items: int
    interactions: int
    density: float
    lengths: tuple[float, ...]
    top_percent: float
    top_tenth: float
    times: bool
    untimed: int
    rating_range: tuple[float, float] | None


def popularity_share(interactions: Interactions, share: float) -> float:
    """Return the share of the interactions that falls on the most popular ``share`` of the items.

    The number of those items is rounded up.
    """
    popularity = np.sort(interactions.popularity)[::-1]
    top = math.ceil(round(share * len(popularity), 9))
    return float(popularity[:top].sum() / popularity.sum())


def summarise(interactions: Interactions) -> Summary:
    """Return the figures that describe these interactions."""
    untimed = 0
    # Small numbers are an order (of baskets, say), and 0 is a place in it.
    if interactions.times is not None and interactions.times.max() > 100_000_000:
        untimed = int((np.maximum.reduceat(np.abs(interactions.times), interactions.offsets[:-1]) == 0).sum())
    ratings = interactions.ratings
    return Summary(
        users=interactions.n_users,
        items=interactions.n_items,
        interactions=len(interactions.items),
        density=interactions.density,
        lengths=tuple(float(q) for q in np.quantile(interactions.lengths, QUANTILES)),
        top_percent=popularity_share(interactions, 0.01),
        top_tenth=popularity_share(interactions, 0.1),
        times=interactions.times is not None,
        untimed=untimed,
        rating_range=None if ratings is None else (float(ratings.min()), float(ratings.max())),
    )
