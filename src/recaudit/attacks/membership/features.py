"""What a user's list says about them: features for membership inference, over all users at once.

All features are of a user's history and the list that they are served, in the attacker's view of the items.
``-1`` pads lists and counts nowhere. An item without vector has cosine 0 with every item and counts as a zero
vector in centres. An empty list has a zero centre, and every mean, quantile and share over it is 0.

A user's features do not depend on the other users nor on their order, up to rounding; list constancy alone
is relative to the users that are given together.

Shapes are named U for users, k for places of a list, I for items, D for dimensions and F for features.
"""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, Shaped
from scipy import sparse

from recaudit.attacks.membership.knowledge import ItemSpace
from recaudit.data.interactions import Interactions

__all__ = ["BLIND_NAMES", "RICH_NAMES", "blind_features", "difference_vectors", "rich_features"]

BLIND_NAMES = ("popular share", "seen item", "history length", "list constancy")
"""Names of the blind features, none of which looks at an item's vector."""

QUANTILES = {"10 %": 0.1, "25 %": 0.25, "50 %": 0.5, "75 %": 0.75, "90 %": 0.9}
TOPS = {"top k": 1, "top 2k": 2, "top 10k": 10}
LEADING = 10

RICH_NAMES = (
    *(f"max cosine, {q}" for q in QUANTILES),
    *(f"mean cosine, {q}" for q in QUANTILES),
    "max cosine, rank-weighted mean",
    "mean cosine, rank-weighted mean",
    *(f"log popularity, {q}" for q in QUANTILES),
    "log popularity, mean",
    *(f"share in {top}" for top in TOPS),
    "share unknown",
    "seen items",
    "list constancy",
    "history: log length",
    "history: log popularity, mean",
    "distance",
    "distance, rank-weighted",
    "cosine",
    "cosine, rank-weighted",
    *(f"difference {d}" for d in range(1, LEADING + 1)),
)
"""Names of the columns of ``rich_features``."""

CELLS = 1 << 20
"""Cosines held at a time: 4 MiB of float32, small enough for a processor's cache."""

Weights = Literal["uniform", "rank"]


def difference_vectors(
    space: ItemSpace,
    histories: Interactions,
    lists: Int64[np.ndarray, "U k"],
    *,
    weights: Weights = "uniform",
) -> Float32[np.ndarray, "U D"]:
    """Return the centre of each user's items minus the centre of their list.

    With item vectors v, history H and list l_1..l_n it is Σ_{i∈H} v_i / |H| − Σ_r w_r v_{l_r} / Σ_r w_r
    (Zhang et al. 2021; Hu 2023, section 4.2).

    Args:
        space: the attacker's item vectors.
        histories: the users' histories.
        lists: the users' lists, best item first; ``-1`` for none.
        weights: how much the item at rank r counts: ``uniform`` w_r = 1; ``rank`` w_r = 1 / log2(r + 1).

    Raises:
        ValueError: where the parts do not fit together, or for other weights.
    """
    _check(space, histories, lists)
    difference = _history_means(histories, space.vectors)
    difference -= _list_centres(space, lists, _list_weights(lists, weights))
    return difference


def rich_features(
    space: ItemSpace, histories: Interactions, lists: Int64[np.ndarray, "U k"]
) -> Float64[np.ndarray, "U F"]:
    """Return the features named ``RICH_NAMES``.

    - ``max cosine`` and ``mean cosine``: the cosine of a listed item's vector with the nearest item of the
      history, and its mean over the history: quantiles over the list, and means with weights 1 / log2(r + 1).
    - ``log popularity``: log(1 + interactions in the attacker's data): quantiles and mean over the list.
    - ``share in top k``, ``2k``, ``10k``: of the list, among that many most popular items of the attacker,
      where k is the lists' length; items that they do not know are in none. ``share unknown``: of the list,
      such items.
    - ``seen items``: number of listed items that stand in the history. ``list constancy``: for each listed
      item the share of the given users whose lists hold it, this user's included; the mean over the list.
    - ``history``: log of its length, and mean log popularity.
    - ``distance`` and ``cosine``: Euclidean distance and cosine of the centres of history and list, the
      list's items weighted alike or by rank.
    - ``difference 1`` and on: leading coordinates of the rank-weighted difference; 0 beyond the vectors' end.

    Raises:
        ValueError: where the parts do not fit together.
    """
    _check(space, histories, lists)
    columns = {
        **_similarity_columns(space, histories, lists),
        **_popularity_columns(space, lists),
        **_centre_columns(space, histories, lists),
        "seen items": _seen_items(histories, lists),
        "list constancy": _constancy(space.n_items, lists),
        "history: log length": np.log(histories.lengths),
        "history: log popularity, mean": _history_means(histories, np.log1p(space.popularity)[:, None])[:, 0],
    }
    return np.column_stack([columns[name] for name in RICH_NAMES]).astype(np.float64)


def blind_features(
    space: ItemSpace, histories: Interactions, lists: Int64[np.ndarray, "U k"]
) -> dict[str, Float64[np.ndarray, "U"]]:
    """Return the features that look at no vector, by the names ``BLIND_NAMES``.

    ``popular share``: share of the list among the attacker's k most popular items, where k is the lists'
    length. ``seen item``: number of listed items that stand in the history. ``history length``: number of
    items. ``list constancy``: as in ``rich_features``, relative to the given users.

    Raises:
        ValueError: where the parts do not fit together.
    """
    _check(space, histories, lists)
    uniform = _list_weights(lists, "uniform")
    features = (
        _weighted_sums(_popular_ranks(space)[lists] < lists.shape[1], uniform),
        _seen_items(histories, lists),
        histories.lengths.astype(np.float64),
        _constancy(space.n_items, lists),
    )
    return dict(zip(BLIND_NAMES, features, strict=True))


def _check(space: ItemSpace, histories: Interactions, lists: np.ndarray) -> None:
    """Raise ValueError where items, histories and lists do not fit together."""
    if histories.n_items != space.n_items:
        raise ValueError(f"histories over {histories.n_items} items for vectors of {space.n_items}")
    if len(lists) != histories.n_users:
        raise ValueError(f"{len(lists)} lists for {histories.n_users} users")
    if lists.size and not (lists.min() >= -1 and lists.max() < space.n_items):
        raise ValueError(f"listed items must lie in 0..{space.n_items - 1}, or be -1 for none")


def _list_weights(lists: np.ndarray, weights: Weights) -> Float64[np.ndarray, "U k"]:
    """Return the weight of each place: 0 where there is no item, and else a sum of 1 over the list."""
    places = np.arange(lists.shape[1])
    if weights == "uniform":
        of_place = np.ones(len(places))
    elif weights == "rank":
        of_place = 1 / np.log2(places + 2)
    else:
        raise ValueError(f"weights are 'uniform' or 'rank', not {weights!r}")
    raw = np.where(lists >= 0, of_place, 0.0)
    sums = raw.sum(axis=1, keepdims=True)
    np.divide(raw, sums, out=raw, where=sums > 0)
    return raw


def _weighted_sums(values: Shaped[np.ndarray, "U k"], weights: np.ndarray) -> Float64[np.ndarray, "U"]:
    """Return Σ_r w_r x_r of each list; weights are 0 where there is no item."""
    sums: np.ndarray = np.einsum("uk,uk->u", values.astype(np.float64), weights)
    return sums


def _history_means(histories: Interactions, table: np.ndarray) -> np.ndarray:
    """Return the mean of the table's (I, X) rows over each user's history, as (U, X) of the table's type."""
    means: np.ndarray = histories.matrix().astype(table.dtype, copy=False) @ table
    means /= histories.lengths[:, None]
    return means


def _list_centres(
    space: ItemSpace, lists: np.ndarray, weights: Float64[np.ndarray, "U k"]
) -> Float32[np.ndarray, "U D"]:
    """Return the weighted mean of each list's vectors; zeros for an empty list."""
    rows = _list_matrix(space.n_items, lists)
    rows.data = weights[lists >= 0].astype(np.float32)
    centres: np.ndarray = rows @ space.vectors
    return centres


def _list_matrix(n_items: int, lists: np.ndarray) -> sparse.csr_array:
    """Return the lists as a binary matrix of users and items, entries in the order of the lists."""
    listed = lists >= 0
    offsets = np.concatenate([[0], np.cumsum(listed.sum(axis=1))])
    items = lists[listed]
    return sparse.csr_array(
        (np.ones(len(items), dtype=np.float32), items, offsets), shape=(len(lists), n_items)
    )


def _seen_items(histories: Interactions, lists: np.ndarray) -> Float64[np.ndarray, "U"]:
    """Return how many of each list's items stand in the history."""
    both = histories.matrix().multiply(_list_matrix(histories.n_items, lists))
    return np.asarray(both.sum(axis=1), dtype=np.float64)


def _constancy(n_items: int, lists: np.ndarray) -> Float64[np.ndarray, "U"]:
    """Return the mean, over each list's items, of the share of all these lists that hold the item."""
    counts = np.bincount(lists[lists >= 0], minlength=n_items)
    shares = counts / max(1, len(lists))
    return _weighted_sums(shares[lists], _list_weights(lists, "uniform"))


def _popular_ranks(space: ItemSpace) -> Int64[np.ndarray, "I"]:
    """Return each item's rank by popularity, 0 the most popular, ties by item number.

    Unknown items have a rank beyond any, so that no top reaches them.
    """
    ranks = np.empty(space.n_items, dtype=np.int64)
    ranks[np.argsort(-space.popularity, kind="stable")] = np.arange(space.n_items)
    ranks[space.popularity == 0] = np.iinfo(np.int64).max
    return ranks


def _popularity_columns(space: ItemSpace, lists: np.ndarray) -> dict[str, np.ndarray]:
    """Return the columns of the listed items' popularity, by name."""
    uniform = _list_weights(lists, "uniform")
    logs, ranks = np.log1p(space.popularity)[lists], _popular_ranks(space)[lists]
    k = lists.shape[1]
    return {
        **_quantile_columns("log popularity", logs, lists >= 0),
        "log popularity, mean": _weighted_sums(logs, uniform),
        **{f"share in {top}": _weighted_sums(ranks < times * k, uniform) for top, times in TOPS.items()},
        "share unknown": _weighted_sums(space.popularity[lists] == 0, uniform),
    }


def _centre_columns(space: ItemSpace, histories: Interactions, lists: np.ndarray) -> dict[str, np.ndarray]:
    """Return the columns of the centres of history and list, by name."""
    centre = _history_means(histories, space.vectors)
    columns: dict[str, np.ndarray] = {}
    difference = np.zeros_like(centre)
    for ending, weights in (
        ("", _list_weights(lists, "uniform")),
        (", rank-weighted", _list_weights(lists, "rank")),
    ):
        listed = _list_centres(space, lists, weights)
        difference = centre - listed
        columns[f"distance{ending}"] = np.linalg.norm(difference, axis=1)
        columns[f"cosine{ending}"] = np.einsum("ud,ud->u", _units(centre), _units(listed))
    leading = np.zeros((len(centre), LEADING))
    leading[:, : centre.shape[1]] = difference[:, :LEADING]
    columns.update({f"difference {d}": leading[:, d - 1] for d in range(1, LEADING + 1)})
    return columns


def _similarity_columns(
    space: ItemSpace, histories: Interactions, lists: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the columns of the cosines of listed items with the history's, by name."""
    by_rank, columns = _list_weights(lists, "rank"), {}
    for name, cosines in zip(("max cosine", "mean cosine"), _cosines(space, histories, lists), strict=True):
        columns.update(_quantile_columns(name, cosines, lists >= 0))
        columns[f"{name}, rank-weighted mean"] = _weighted_sums(cosines, by_rank)
    return columns


def _cosines(
    space: ItemSpace, histories: Interactions, lists: np.ndarray
) -> tuple[Float32[np.ndarray, "U k"], Float32[np.ndarray, "U k"]]:
    """Return the greatest and the mean cosine of each listed item with the items of the history.

    Users with histories of like length are taken together: each history is filled up to the block's longest
    by its last item, which changes no maximum. The mean cosine is the product with the history's mean of unit
    vectors. Where there is no item the values mean nothing.
    """
    units = _units(space.vectors)
    profiles = _history_means(histories, units)
    lengths, k = histories.lengths, lists.shape[1]
    order = np.argsort(-lengths, kind="stable")
    greatest, means = (np.zeros(lists.shape, dtype=np.float32) for _ in range(2))
    start = 0
    while start < len(order) and k:
        longest = lengths[order[start]]
        users = order[start : start + max(1, CELLS // int(k * longest))]
        start += len(users)
        places = np.minimum(np.arange(longest), lengths[users, None] - 1) + histories.offsets[users, None]
        listed = units[lists[users]]
        history = units[histories.items[places]]
        greatest[users] = (history @ listed.transpose(0, 2, 1)).max(axis=1)
        means[users] = (listed @ profiles[users, :, None])[:, :, 0]
    return greatest, means


def _units(vectors: Float32[np.ndarray, "N D"]) -> Float32[np.ndarray, "N D"]:
    """Return the vectors with length 1; zeros stay zeros."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = np.zeros_like(vectors)
    np.divide(vectors, norms, out=units, where=norms > 0)
    return units


def _quantile_columns(
    name: str, values: Shaped[np.ndarray, "U k"], listed: Bool[np.ndarray, "U k"]
) -> dict[str, np.ndarray]:
    """Return quantiles of each user's listed values, linear between neighbours; 0 where there are none."""
    if not values.shape[1]:
        return {f"{name}, {q}": np.zeros(len(values)) for q in QUANTILES}
    ordered = np.sort(np.where(listed, values, np.inf).astype(values.dtype), axis=1)
    last = np.maximum(listed.sum(axis=1) - 1, 0)
    ordered[~listed.any(axis=1)] = 0
    columns = {}
    for title, q in QUANTILES.items():
        place = q * last
        low = place.astype(np.int64)
        ends = np.take_along_axis(ordered, np.stack([low, np.minimum(low + 1, last)], axis=1), axis=1)
        columns[f"{name}, {title}"] = ends[:, 0] + (place - low) * (ends[:, 1] - ends[:, 0])
    return columns
