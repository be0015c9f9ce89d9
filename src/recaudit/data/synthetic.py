"""Generated interactions: the built-in data in MovieLens-1M's likeness, and a planted answer for tests."""

import numpy as np
import polars as pl
from jaxtyping import Float64, Int64

from recaudit.data.interactions import Interactions
from recaudit.errors import UsageError
from recaudit.rng import numpy_generator

__all__ = ["checkerboard", "synthetic_interactions"]

# Fitted by eye to MovieLens-1M (6,040 users, 3,706 items); docs/synthetic.md shows how near they come.
SHORTEST_HISTORY = 20
ACTIVITY_SHAPE = 0.745  # Weibull shape of what a history has beyond the shortest
ACTIVITY_SCALE = 0.0262  # its scale, as a share of the catalogue
POPULARITY_SHAPE = 3.2  # Weibull shape of an item's fall in log popularity below the most popular one
POPULARITY_SCALE = 6.8
TASTES = 16  # latent tastes, the n-th of them weaker by n ** -TASTE_DECAY
TASTE_DECAY = 0.7
TASTE_STRENGTH = 2.7  # standard deviation of a user's affinity to an item, in log weight

_BLOCK = 500  # users drawn at once; bounds the memory and changes no draw


def synthetic_interactions(*, n_users: int = 2000, n_items: int = 1500, seed: int = 0) -> Interactions:
    """Return generated interactions; they are nobody's, and never to be presented as real data.

    User u has a history of ``20 + Weibull`` items, drawn without replacement with the weights
    ``exp(log_popularity_i + s · Σ_d λ_d p_ud q_id)``, where p and q are standard normal tastes and
    ``Σ_d λ_d² = 1``: the items with the greatest sums of log weight and Gumbel noise (Vieira 2014,
    "Gumbel-max trick and weighted reservoir sampling"). The defaults have MovieLens-1M's density, popularity
    curve and spread of activity, see docs/synthetic.md; in a smaller catalogue the shortest history of 20
    makes the data denser.

    Times rise within a user, but neither they nor the order carry a meaning: a history's items stand in
    random order. There are no ratings, ids are integers from 1, and some unpopular items have no interaction.

    A seed gives the same interactions on every processor. A user's items hang on sums of logarithms,
    whose last bits may differ from one processor to the next; but no two sums that matter lie that close (a
    test holds this for the default data).

    Args:
        n_users: number of users, at least 10.
        n_items: number of items in the catalogue, at least 100.
        seed: names the random draws.

    Raises:
        UsageError: where there are too few users or items.
    """
    if n_users < 10 or n_items < 100:
        raise UsageError(
            f"synthetic data need at least 10 users and 100 items, not {n_users} users and {n_items} items"
        )
    lengths = _history_lengths(n_users, n_items, seed)
    log_popularity = -POPULARITY_SCALE * _weibull(
        numpy_generator(seed, "synthetic", "popularity"), POPULARITY_SHAPE, n_items
    )
    strengths = np.arange(1, TASTES + 1.0) ** -TASTE_DECAY
    strengths *= TASTE_STRENGTH / np.sqrt(np.square(strengths).sum())
    user_tastes = numpy_generator(seed, "synthetic", "users").standard_normal((n_users, TASTES))
    item_tastes = numpy_generator(seed, "synthetic", "items").standard_normal((n_items, TASTES)) * strengths

    noise = numpy_generator(seed, "synthetic", "noise")
    users, items = [], []
    for start in range(0, n_users, _BLOCK):
        block = slice(start, start + _BLOCK)
        keys = log_popularity + user_tastes[block] @ item_tastes.T
        keys += _gumbel(noise, keys.shape)
        last = np.sort(keys, axis=1)[np.arange(len(keys)), n_items - lengths[block]]
        chosen_users, chosen_items = np.nonzero(keys >= last[:, None])
        users.append(chosen_users + start)
        items.append(chosen_items)
    pairs = np.stack([np.concatenate(users), np.concatenate(items)])
    return _histories("synthetic", pairs, n_users, n_items, seed=seed)


def checkerboard(*, n_users: int = 50, n_items: int = 50, groups: int = 2, seed: int = 0) -> Interactions:
    """Return data with a planted answer: users and items whose numbers modulo ``groups`` agree go together.

    Each user has four fifths of the items of the own group, at random and in random order, and no other item
    (after implicit's checkerboard): a recommender that has learned anything recommends the missing fifth, at
    least one item, before all others.

    Args:
        n_users: number of users, at least ``groups``.
        n_items: number of items, at least two a group.
        groups: number of groups.
        seed: names the random draws.

    Raises:
        UsageError: where there are too few users or items for the groups.
    """
    if groups < 1 or n_users < groups or n_items < 2 * groups:
        raise UsageError(
            f"{groups} groups need at least as many users and twice as many items, "
            f"not {n_users} users and {n_items} items"
        )
    own = np.arange(n_users)[:, None] % groups == np.arange(n_items) % groups
    keys = np.where(own, numpy_generator(seed, "checkerboard", "items").random((n_users, n_items)), np.inf)
    n_own = own.sum(axis=1)
    n_kept = n_own - np.maximum(1, n_own // 5)
    ranks = np.argsort(np.argsort(keys, axis=1), axis=1)
    users, items = np.nonzero(ranks < n_kept[:, None])
    return _histories("checkerboard", np.stack([users, items]), n_users, n_items, seed=seed)


def _histories(
    name: str, pairs: Int64[np.ndarray, "2 N"], n_users: int, n_items: int, *, seed: int
) -> Interactions:
    """Put each user's items into random order, seconds to minutes apart; ``pairs`` come sorted by user."""
    users, items = pairs
    shuffle = numpy_generator(seed, name, "order").random(len(items))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(users, minlength=n_users))])
    clock = numpy_generator(seed, name, "times")
    three_years = 3 * 365 * 24 * 3600
    begin = np.floor(clock.random(n_users) * three_years).astype(np.int64)
    passed = np.cumsum(1 + np.floor(clock.random(len(items)) * 600).astype(np.int64))
    return Interactions(
        name=name,
        offsets=offsets,
        items=items[np.lexsort((shuffle, users))].astype(np.int32),
        user_ids=pl.Series(np.arange(1, n_users + 1)),
        item_ids=pl.Series(np.arange(1, n_items + 1)),
        times=(begin - passed[offsets[:-1]])[users] + passed,
    )


def _history_lengths(n_users: int, n_items: int, seed: int) -> Int64[np.ndarray, "U"]:
    """Draw how many items each user has, at most half the catalogue."""
    drawn = _weibull(numpy_generator(seed, "synthetic", "activity"), ACTIVITY_SHAPE, n_users)
    lengths = SHORTEST_HISTORY + np.floor(ACTIVITY_SCALE * n_items * drawn).astype(np.int64)
    return np.minimum(lengths, n_items // 2)


def _weibull(generator: np.random.Generator, shape: float, count: int) -> Float64[np.ndarray, "count"]:
    """Draw from the Weibull distribution of scale 1 by inverting it, from uniform numbers alone."""
    drawn: np.ndarray = (-np.log1p(-generator.random(count))) ** (1 / shape)
    return drawn


def _gumbel(generator: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """Draw from the standard Gumbel distribution."""
    drawn: np.ndarray = -np.log(-np.log1p(-generator.random(size)))
    return drawn
