"""Top-k lists from scores: seen items excluded, ties broken by item number."""

import math

import numpy as np
import torch
from jaxtyping import Float32, Int64

from recaudit.data.interactions import Interactions
from recaudit.data.rows import picked_rows
from recaudit.errors import UsageError
from recaudit.models.protocol import Recommender, TopK

__all__ = ["best_items", "top_k"]

CHUNK_SCORES = 1 << 21
"""Scores held at a time: 8 MiB of float32, small enough for caches and for the allocator to use again."""

FEWEST_ROWS = 8
"""Products of fewer rows may round differently; no list may depend on who is asked about with it."""


def top_k(recommender: Recommender, users: Int64[np.ndarray, "U"], seen: Interactions, k: int) -> TopK:
    """Return each user's k best items among those that ``seen`` does not hold for them.

    Works in chunks of users, so that memory stays bounded whatever their number. Equal scores are ranked by
    item number, lowest first. A list of a user with fewer than k unseen items ends in ``-1``.

    Args:
        recommender: scores the items.
        users: numbers of users that both ``recommender`` and ``seen`` know.
        seen: the histories to exclude, over the same users and items as the recommender.
        k: length of the lists, at least 1.

    Raises:
        UsageError: where a score is not a number, as those of a training that diverged.
    """
    items = np.full((len(users), k), -1, dtype=np.int64)
    scores = np.full((len(users), k), -np.inf, dtype=np.float32)
    rows = max(FEWEST_ROWS, CHUNK_SCORES // recommender.n_items)
    width = min(k, recommender.n_items)
    for start in range(0, len(users), rows):
        chunk = users[start : start + rows]
        with torch.no_grad():
            padded = np.concatenate([chunk, chunk[-1:].repeat(max(0, FEWEST_ROWS - len(chunk)))])
            table = recommender.score(padded)[: len(chunk)]
            excluded_rows, excluded_items = _positions(seen, chunk)
            table[excluded_rows.to(table.device), excluded_items.to(table.device)] = -torch.inf
            best, order = best_items(table, width)
        found = torch.where(best == -torch.inf, -1, order)
        items[start : start + rows, :width] = found.cpu().numpy()
        scores[start : start + rows, :width] = best.cpu().numpy()
    return TopK(items=items, scores=scores)


def _positions(seen: Interactions, users: Int64[np.ndarray, "B"]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return row and item of every seen pair of ``users``, rows counted from 0."""
    offsets, places = picked_rows(seen.offsets, users)
    rows = np.repeat(np.arange(len(users)), np.diff(offsets))
    return torch.from_numpy(rows), torch.from_numpy(seen.items[places].astype(np.int64))


def best_items(
    scores: Float32[torch.Tensor, "B I"], k: int
) -> tuple[Float32[torch.Tensor, "B k"], Int64[torch.Tensor, "B k"]]:
    """Return the k best scores of each row, best first, and their items; equal scores by item number.

    The k best items lie in the k groups of items with the highest maxima, so a cheap maximum over groups
    narrows the search before anything is sorted. Rows in which a tie might cross the edge of what was looked
    at (the next group or the next item scores as high as the k-th) are sorted in full.
    """
    n_items = scores.shape[1]
    group = 1 << max(0, round((math.log2(max(1.0, n_items / (k + 1))) - 1) / 2))
    if group == 1:
        values, items = _largest(scores, min(k + 1, n_items))
        unsure = torch.zeros_like(values[:, 0], dtype=torch.bool)
        if n_items > k:
            unsure = values[:, k - 1] == values[:, k]
    else:
        values, items, unsure = _narrowed(scores, k, group)
    values, items = values[:, :k], items[:, :k]
    tied = (values[:, 1:] == values[:, :-1]).any(dim=1)
    if tied.any():
        values[tied], items[tied] = _by_score_then_item(values[tied], items[tied])
    for row in torch.nonzero(unsure).flatten().tolist():
        order = torch.sort(scores[row], descending=True, stable=True).indices[:k]
        items[row] = order
        values[row] = scores[row, order]
    return values, items


def _narrowed(scores: torch.Tensor, k: int, group: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the k best values and items of each row by way of groups, and the rows where a tie leaves doubt.

    Group ``g`` holds the items ``g, g + n_groups, g + 2 n_groups, …``, so that its maximum is taken along
    contiguous memory. The last few items, which fill no group, are always looked at.
    """
    n_rows, n_items = scores.shape
    n_groups = n_items // group
    grouped = group * n_groups
    table = scores[:, :grouped].reshape(n_rows, group, n_groups)
    heads, groups = _largest(table.amax(dim=1), k + 1)
    candidates = table.gather(2, groups[:, None, :k].expand(-1, group, -1)).view(n_rows, -1)
    values, places = _largest(torch.cat([candidates, scores[:, grouped:]], dim=1), k + 1)
    in_group = places < k * group
    chosen = groups.gather(1, places % k) + places // k * n_groups
    items = torch.where(in_group, chosen, places - k * group + grouped)
    edge = values[:, k - 1]
    return values, items, (edge == values[:, k]) | (edge == heads[:, k])


def _largest(values: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the k largest values of each row, largest first, and their places; ties in any order.

    On the CPU NumPy's vectorised partition does it in less than half the time of ``torch.topk``. To both, nan
    is larger than any number, so none goes unnoticed.
    """
    if values.device.type != "cpu":
        largest = torch.topk(values, k, dim=1)
        _refuse_nan(largest.values)
        return largest.values, largest.indices
    table = values.numpy()
    rest = table.shape[1] - k
    places = np.argpartition(table, rest, axis=1)[:, rest:] if rest else np.argsort(table, axis=1)
    found = np.take_along_axis(table, places, axis=1)
    _refuse_nan(torch.from_numpy(found))
    order = np.argsort(-found, axis=1)
    best, places = np.take_along_axis(found, order, axis=1), np.take_along_axis(places, order, axis=1)
    return torch.from_numpy(best), torch.from_numpy(places)


def _refuse_nan(best: torch.Tensor) -> None:
    if best.isnan().any():
        raise UsageError("scores are not numbers (nan): the training diverged; lower the learning rate")


def _by_score_then_item(values: torch.Tensor, items: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sort each row by score, best first, and by item where scores are equal."""
    by_item = items.argsort(dim=1)
    values, items = values.gather(1, by_item), items.gather(1, by_item)
    by_score = values.argsort(dim=1, descending=True, stable=True)
    return values.gather(1, by_score), items.gather(1, by_score)
