"""How much the lists of different users differ, and how much of the catalogue they show.

A list holds item numbers, none twice, padded at its end with -1 where a user has fewer than k unseen items.
"""

import numpy as np
from jaxtyping import Float64, Int, Int64

__all__ = ["coverage", "diversity", "times_listed"]


def times_listed(lists: Int[np.ndarray, "U k"], n_items: int) -> Int64[np.ndarray, "I"]:
    """Return how many of the lists hold each of ``n_items`` items."""
    return np.bincount(lists[lists >= 0], minlength=n_items)


def diversity(lists: Int[np.ndarray, "U k"], n_items: int) -> Float64[np.ndarray, "U"]:
    """Return the share of each list that another user's list, drawn at random, is expected to leave out.

    ``Div_u = 1 - Σ_{i in L_u} (c_i - 1) / (|L_u| (U - 1))``, with ``c_i`` the number of lists that hold item
    i: 0 where all users are served the same items, 1 where no two lists share any. It is exact, the mean over
    all U - 1 other users. A user with an empty list gets nan, and so does an only user.
    """
    listed = lists >= 0
    others = np.where(listed, times_listed(lists, n_items)[lists] - 1, 0).sum(axis=1)
    compared = np.count_nonzero(listed, axis=1) * (len(lists) - 1)
    shared = np.full(len(lists), np.nan)
    np.divide(others, compared, out=shared, where=compared > 0)
    return 1 - shared


def coverage(lists: Int[np.ndarray, "U k"], n_items: int) -> float:
    """Return the share of ``n_items`` items that stand in any of the lists."""
    return np.count_nonzero(times_listed(lists, n_items)) / n_items
