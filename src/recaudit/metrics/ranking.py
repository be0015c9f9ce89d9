"""Agreement, recall, NDCG and rank-biased overlap of top-k lists, one value a user.

A list holds item numbers, best first and none twice, padded at its end with -1 where a user has fewer than k
unseen items. Users for whom a metric is undefined get nan, which means and intervals leave out. A metric at a
smaller k is the metric of ``lists[:, :k]``.
"""

import numpy as np
from jaxtyping import Float64, Int, Int64

__all__ = ["agreement", "ndcg", "rank_biased_overlap", "recall"]


def agreement(reference: Int[np.ndarray, "U k"], lists: Int[np.ndarray, "U k"]) -> Float64[np.ndarray, "U"]:
    """Return the share of each reference list that stands in the other list, whatever the order.

    ``Agr_i = |R_i^target ∩ R_i^clone| / |R_i^target|`` (Zhu et al. 2023, Eq. 3). ``|R_i^target|`` counts the
    items without the padding; a user with an empty reference list gets nan.

    Args:
        reference: the target model's lists.
        lists: the clone's lists of the same users.
    """
    shared = np.count_nonzero(_ranks_in(lists, reference) >= 0, axis=1)
    return _ratio(shared, np.count_nonzero(reference >= 0, axis=1))


def recall(
    lists: Int[np.ndarray, "U k"],
    relevant_offsets: Int64[np.ndarray, "U1"],
    relevant_items: Int[np.ndarray, "N"],
) -> Float64[np.ndarray, "U"]:
    """Return the share of each user's relevant items that the list holds.

    ``Recall@k = |L_i ∩ Rel_i| / |Rel_i|``: divided by the number of relevant items, not by
    ``min(k, |Rel_i|)``, so a user with more than k relevant items cannot reach 1. A user without relevant
    items gets nan.

    Args:
        lists: the lists to judge.
        relevant_offsets: where each user's relevant items begin and end, one row a list.
        relevant_items: the relevant items, none twice within a user.
    """
    hits = _hits(lists, relevant_offsets, relevant_items)
    return _ratio(hits.sum(axis=1), np.diff(relevant_offsets))


def ndcg(
    lists: Int[np.ndarray, "U k"],
    relevant_offsets: Int64[np.ndarray, "U1"],
    relevant_items: Int[np.ndarray, "N"],
) -> Float64[np.ndarray, "U"]:
    """Return each list's discounted gain as a share of the best that k places allow.

    ``NDCG@k = Σ_{r=1..k} [l_r ∈ Rel] / log2(r + 1)`` over ``Σ_{r=1..min(k, |Rel|)} 1 / log2(r + 1)``: gains
    are 0 or 1 (Järvelin and Kekäläinen 2002, with the ideal list cut at k). A user without relevant items
    gets nan.

    Args:
        lists: the lists to judge; k is their width, padded or not.
        relevant_offsets: where each user's relevant items begin and end, one row a list.
        relevant_items: the relevant items, none twice within a user.
    """
    k = lists.shape[1]
    discounts = 1 / np.log2(np.arange(2, k + 2))
    gained = _hits(lists, relevant_offsets, relevant_items) @ discounts
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])[np.minimum(np.diff(relevant_offsets), k)]
    return _ratio(gained, ideal)


def rank_biased_overlap(
    reference: Int[np.ndarray, "U k"], lists: Int[np.ndarray, "U k"], persistence: float = 0.9
) -> Float64[np.ndarray, "U"]:
    """Return the extrapolated rank-biased overlap: likeness of two lists in which the top weighs most.

    With ``X_d`` the number of items that both lists hold within depth d, l and s the lengths of the longer
    and the shorter list, and p the persistence (Webber, Moffat and Zobel 2010, Eq. 32)::

        RBO_ext = (1 - p) / p · (Σ_{d=1..l} X_d / d · p^d + Σ_{d=s+1..l} X_s (d - s) / (s d) · p^d)
                  + ((X_l - X_s) / l + X_s / s) p^l

    For lists of one length this is ``(1 - p) / p · Σ_{d=1..k} X_d / d · p^d + X_k / k · p^k``. It is
    symmetric, 1 for identical lists and 0 for disjoint ones. A user whose lists are both empty gets nan, one
    with one empty list 0.

    Args:
        reference: one model's lists.
        lists: the other model's lists of the same users.
        persistence: p, in (0, 1); the first ``1 / (1 - p)`` places carry most of the weight.

    Raises:
        ValueError: where ``persistence`` does not lie between 0 and 1.
    """
    if not 0 < persistence < 1:
        raise ValueError(f"persistence is {persistence}; it must lie between 0 and 1")
    k = reference.shape[1]
    lengths = np.stack([np.count_nonzero(part >= 0, axis=1) for part in (reference, lists)])
    # An empty list counts as one of length 1 that shares nothing.
    short, long = lengths.min(axis=0).clip(1)[:, None], lengths.max(axis=0).clip(1)[:, None]
    depth = np.arange(1, k + 1)
    overlap = _overlap_at_depth(reference, lists)
    at_short = np.take_along_axis(overlap, short - 1, axis=1)
    beyond = np.where(depth > short, at_short * (depth - short) / (short * depth), 0.0)
    weight = np.where(depth <= long, persistence**depth, 0.0)
    seen = (1 - persistence) / persistence * ((overlap / depth + beyond) * weight).sum(axis=1)
    rest = ((overlap[:, -1:] - at_short) / long + at_short / short) * persistence**long
    return np.where(lengths.any(axis=0), seen + rest[:, 0], np.nan)


def _keys(rows: np.ndarray, items: np.ndarray, width: int) -> np.ndarray:
    """One number for each pair of a row and an item below ``width``."""
    keys: np.ndarray = rows.astype(np.int64) * width + items
    return keys


def _hits(
    lists: Int[np.ndarray, "U k"], offsets: Int64[np.ndarray, "U1"], items: Int[np.ndarray, "N"]
) -> np.ndarray:
    """Mark (U, k) where a list's item is among its row's relevant items."""
    n_users = len(lists)
    width = 1 + int(max(lists.max(initial=0), items.max(initial=0)))
    relevant = _keys(np.repeat(np.arange(n_users), np.diff(offsets)), items, width)
    # Padding would take the key of the row before it, so it is masked.
    return np.isin(_keys(np.arange(n_users)[:, None], lists, width), relevant) & (lists >= 0)


def _ranks_in(lists: Int[np.ndarray, "U k"], reference: Int[np.ndarray, "U k"]) -> Int64[np.ndarray, "U k"]:
    """For each item of ``lists``: its place, from 0, in the reference list of its row, or -1."""
    n_users, k = reference.shape
    if reference.size == 0:
        return np.full(lists.shape, -1, dtype=np.int64)
    width = 1 + int(max(lists.max(initial=0), reference.max(initial=0)))
    rows = np.arange(n_users)[:, None]
    # Padding goes to the end of the sorted keys, where no item finds it.
    sought = np.where(reference >= 0, _keys(rows, reference, width), n_users * width).ravel()
    order = np.argsort(sought, kind="stable")
    keys = _keys(rows, lists, width)
    place = order[np.minimum(np.searchsorted(sought, keys, sorter=order), n_users * k - 1)]
    return np.where((sought[place] == keys) & (lists >= 0), place % k, -1)


def _overlap_at_depth(
    reference: Int[np.ndarray, "U k"], lists: Int[np.ndarray, "U k"]
) -> Int64[np.ndarray, "U k"]:
    """Count X_d, the items that both lists hold within depth d, for d = 1..k."""
    n_users, k = reference.shape
    place = _ranks_in(lists, reference)
    both = place >= 0
    # An item is shared from the deeper of its two places on.
    deeper = np.maximum(place, np.arange(k))[both]
    starts = np.bincount(np.nonzero(both)[0] * k + deeper, minlength=n_users * k)
    return np.cumsum(starts.reshape(n_users, k), axis=1)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> Float64[np.ndarray, "U"]:
    """Divide, with nan where the denominator is 0."""
    undefined = np.full(len(denominator), np.nan)
    np.divide(numerator, denominator, out=undefined, where=denominator > 0)
    return undefined
