"""Filters: fewer interactions out of the given ones, in the same order."""

import numpy as np

from recaudit.data.interactions import Interactions
from recaudit.errors import UsageError

__all__ = ["binarise", "check_core", "k_core", "truncate"]


def check_core(**cores: int) -> None:
    """Check the smallest numbers of interactions that a core asks for.

    Raises:
        UsageError: where one is negative, or no whole number; the message names it.
    """
    for name, least in cores.items():
        if isinstance(least, bool) or not isinstance(least, int) or least < 0:
            raise UsageError(f"{name}: found {least!r}, expected a whole number, 0 (off) or more")


def k_core(interactions: Interactions, *, users: int, items: int, iterative: bool) -> Interactions:
    """Keep the users and items with enough interactions.

    One pass counts once, in the data as given, and drops at the same time the users with fewer than ``users``
    interactions and the items with fewer than ``items``: what is left may hold users and items below the
    numbers, since each loses interactions with the other. Iterative repeats that until nothing is dropped any
    more, and leaves the (unique, largest) core in which every user and every item has enough. Users and
    items left with no interaction go.

    Args:
        interactions: what to filter; order, ids, ratings and times of what is kept stay as they are.
        users: the fewest interactions of a user that stays; 0 is off.
        items: the fewest interactions of an item that stays; 0 is off.
        iterative: whether to repeat until nothing changes.

    Raises:
        UsageError: where ``users`` or ``items`` is negative, or nothing is left.
    """
    check_core(user_core=users, item_core=items)
    core = interactions
    while True:
        many_users = core.lengths >= users
        many_items = core.popularity >= items
        if many_users.all() and many_items.all():
            return core
        keep = np.repeat(many_users, core.lengths) & many_items[core.items]
        if not keep.any():
            raise UsageError(
                f"{interactions.name}: nothing is left when every user must have {users} interactions "
                f"and every item {items}; lower user_core or item_core"
            )
        core = _of_seen_items(core.where(keep))
        if not iterative:
            return core


def binarise(interactions: Interactions, minimum_rating: float) -> Interactions:
    """Keep the interactions rated at least ``minimum_rating``.

    The ratings stay; users and items left with no interaction go.

    Raises:
        UsageError: where the data have no ratings, or nothing is left.
    """
    if interactions.ratings is None:
        raise UsageError(
            f"{interactions.name}: minimum_rating needs ratings, and these data have none; leave it out"
        )
    keep = interactions.ratings >= np.float32(minimum_rating)
    if not keep.any():
        raise UsageError(
            f"{interactions.name}: no rating reaches minimum_rating {minimum_rating:g}; "
            f"the highest is {interactions.ratings.max():g}"
        )
    return interactions if keep.all() else _of_seen_items(interactions.where(keep))


def truncate(interactions: Interactions, length: int) -> Interactions:
    """Keep each user's last ``length`` interactions; the catalogue stays as it is.

    Raises:
        UsageError: where ``length`` is below 1.
    """
    if length < 1:
        raise UsageError(f"history length: found {length}, expected 1 or more")
    if interactions.lengths.max(initial=0) <= length:
        return interactions
    from_end = np.repeat(interactions.offsets[1:], interactions.lengths) - np.arange(len(interactions.items))
    return interactions.where(from_end <= length)


def _of_seen_items(interactions: Interactions) -> Interactions:
    """Drop the items that nobody interacted with; the others keep their order."""
    seen = np.flatnonzero(interactions.popularity)
    if len(seen) == interactions.n_items:
        return interactions
    number = np.full(interactions.n_items, -1, dtype=np.int32)
    number[seen] = np.arange(len(seen), dtype=np.int32)
    return Interactions(
        name=interactions.name,
        offsets=interactions.offsets,
        items=number[interactions.items],
        user_ids=interactions.user_ids,
        item_ids=interactions.item_ids.gather(seen),
        ratings=interactions.ratings,
        times=interactions.times,
        reading=interactions.reading,
    )
