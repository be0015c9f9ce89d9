"""What of lists is judged: metrics by role, the constant list, and what a victim serves to everybody."""

import numpy as np
import torch
from jaxtyping import Float64, Int64

from recaudit.audit.values import Values
from recaudit.data.interactions import Interactions
from recaudit.data.rows import picked_rows
from recaudit.data.split import Split
from recaudit.metrics.diversity import coverage, diversity, times_listed
from recaudit.metrics.hollow import forced, short, tied
from recaudit.metrics.ranking import agreement, ndcg, rank_biased_overlap, recall
from recaudit.models.protocol import TopK
from recaudit.models.ranking import top_k
from recaudit.models.zoo.baselines import PopularityRecommender
from recaudit.rng import numpy_generator

__all__ = [
    "MOST_UNSEEN",
    "arithmetic",
    "by_role",
    "constant_lists",
    "hollow",
    "quality",
    "unseen_users",
    "values_of",
    "variety",
]

MOST_UNSEEN = 1000
"""Users whom the attacker has never seen, of whom so many are judged at most."""

Roles = dict[str, Int64[np.ndarray, "_"]]


def unseen_users(split: Split) -> Int64[np.ndarray, "N"]:
    """Return target users whom the attacker does not know, ascending.

    Who they are depends on the target alone: all seeds of a saved victim judge the same users, and another
    number of known users takes some away or brings some in.
    """
    order = numpy_generator(0, "unseen", split.target.fingerprint).permutation(split.target.n_users)
    return np.sort(order[~np.isin(order, split.known)][:MOST_UNSEEN])


def by_role(values: Float64[np.ndarray, "J"], roles: Roles) -> dict[str, Float64[np.ndarray, "_"]]:
    """Return each role's part of the judged users' values."""
    return {role: values[rows] for role, rows in roles.items()}


def values_of(
    reference: TopK, lists: TopK, split: Split, users: Int64[np.ndarray, "J"], roles: Roles
) -> Values:
    """Return the values of lists by metric and role.

    Args:
        reference: what the victim serves the judged users.
        lists: what they get instead.
        split: holds the held-out items.
        users: the judged users' numbers in the target.
        roles: positions in ``users``.
    """
    k = reference.items.shape[1]
    by_metric = {
        f"agreement@{k}": agreement(reference.items, lists.items),
        f"rbo@{k}": rank_biased_overlap(reference.items, lists.items),
        **quality(lists, split, users),
    }
    return {metric: by_role(values, roles) for metric, values in by_metric.items()}


def quality(lists: TopK, split: Split, users: Int64[np.ndarray, "J"]) -> dict[str, Float64[np.ndarray, "J"]]:
    """Return recall and NDCG of the lists of ``users`` on their held-out items, by metric."""
    k = lists.items.shape[1]
    offsets, places = picked_rows(split.heldout_offsets, users)
    heldout = (offsets, split.heldout_items[places])
    return {f"recall@{k}": recall(lists.items, *heldout), f"ndcg@{k}": ndcg(lists.items, *heldout)}


def hollow(lists: TopK, roles: Roles) -> Values:
    """Return how many places of the lists ties fill, for users nobody asked about; nothing without scores."""
    if lists.scores is None:
        return {}
    shares = tied(lists.items, lists.scores)
    return {f"tied@{lists.items.shape[1]}": by_role(shares, _unasked(roles))}


def arithmetic(split: Split, users: Int64[np.ndarray, "J"], roles: Roles, k: int) -> Values:
    """Return who of the users nobody asked about have few unseen items, and what agreement that forces."""
    unseen = split.target.n_items - np.diff(split.target.offsets)[users]
    found = {f"short@{k}": short(unseen, k).astype(np.float64), f"forced@{k}": forced(unseen, k)}
    return {metric: by_role(values, _unasked(roles)) for metric, values in found.items()}


def _unasked(roles: Roles) -> Roles:
    return {role: users for role, users in roles.items() if role in ("unqueried", "unseen")}


def variety(served: TopK, n_items: int) -> dict[str, Float64[np.ndarray, "_"]]:
    """Return how much all target users' lists differ, one value a user, and the share of items shown."""
    k = served.items.shape[1]
    return {
        f"diversity@{k}": diversity(served.items, n_items),
        f"coverage@{k}": np.array([coverage(served.items, n_items)]),
    }


def constant_lists(served: TopK, users: Int64[np.ndarray, "J"], target: Interactions) -> TopK:
    """Return what one list, the same for everybody, gives each of ``users``.

    Items are ranked by ``c_i / (U - s_i)``, the number of the victim's lists that hold item i over that of
    the users who have not seen it, ties by item number, and a user gets the first k that the user has not
    seen. Where one ranking makes all of the victim's lists, this comes close to it, while counts alone put
    items that many have seen too low. It is close to the best constant list, not the best one.

    This is hindsight: the ranking is counted on the lists of all the target's users, those among them that
    are judged, which no attacker gets to see. It tells how much of a victim's lists one list for all comes
    to, so that what an attack adds to that can be told.

    Args:
        served: the victim's lists of all the target's users.
        users: whom the list is for.
        target: the histories of all the target's users.
    """
    listed, unseen = times_listed(served.items, target.n_items), target.n_users - target.popularity
    shares = np.divide(listed, unseen, out=np.zeros(target.n_items), where=unseen > 0)
    # Their ranks, which float32 holds exactly, as it does not hold close shares.
    ranks = np.unique(shares, return_inverse=True)[1].astype(np.float32)
    ranking = PopularityRecommender(torch.from_numpy(ranks), n_users=target.n_users)
    return top_k(ranking, users, target, served.items.shape[1])
