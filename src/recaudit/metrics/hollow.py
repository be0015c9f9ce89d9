"""Where agreement says nothing of a model: places that ties fill, and overlap that arithmetic forces.

A list holds item numbers, none twice, padded at its end with -1 where a user has fewer than k unseen items.
"""

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64

__all__ = ["forced", "short", "tied"]


def tied(lists: Int[np.ndarray, "U k"], scores: Float[np.ndarray, "U k"]) -> Float64[np.ndarray, "U"]:
    """Return the share of each list's places whose score another of its places has, too.

    Their order, and who of the items with that score got into the list, is the order of item numbers and not
    the model's: 1 where all scores are equal, and where no item has any score. A user with an empty list gets
    nan.

    Args:
        lists: the lists.
        scores: what the items were ranked by, best first.
    """
    listed = lists >= 0
    equal = (scores[:, 1:] == scores[:, :-1]) & listed[:, 1:]
    both = np.zeros(lists.shape, dtype=bool)
    both[:, 1:] |= equal
    both[:, :-1] |= equal
    return _share(np.count_nonzero(both, axis=1), np.count_nonzero(listed, axis=1))


def short(unseen: Int64[np.ndarray, "U"], k: int) -> Bool[np.ndarray, "U"]:
    """Return which users have fewer than 2k unseen items, so that any two lists of k of them share some."""
    return unseen < 2 * k


def forced(unseen: Int64[np.ndarray, "U"], k: int) -> Float64[np.ndarray, "U"]:
    """Return the agreement that any two lists of k unseen items reach: ``max(0, 2 l - n) / l``, l = min(k, n).

    Of n items, two lists of l share at least ``2 l - n``. A user without an unseen item gets nan.
    """
    length = np.minimum(unseen, k)
    return _share(np.maximum(0, 2 * length - unseen), length)


def _share(numerator: np.ndarray, denominator: np.ndarray) -> Float64[np.ndarray, "U"]:
    """Divide, with nan where the denominator is 0."""
    found = np.full(len(denominator), np.nan)
    np.divide(numerator, denominator, out=found, where=denominator > 0)
    return found
