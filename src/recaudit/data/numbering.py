"""Numbering: from columns of ids to users and items counted from zero, and from rows to ordered histories.

Users and items are numbered by their ids' order: integers ascending, text by its code points. The numbers
depend on the data alone, never on the order of the rows, on threads or on a hash.
"""

from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Int32, Int64
from scipy import sparse

from recaudit.data.blocks import in_threads, row_blocks, user_blocks
from recaudit.data.interactions import Interactions, RepeatedPair
from recaudit.errors import UsageError

__all__ = ["Repeats", "assemble", "dense"]

Repeats = Literal["error", "first", "last", "sum", "count"]

# Rows that are put into the order of time at once, where their sort keys fit into one integer with the row's
# place.
BLOCK = 1 << 16


def dense(ids: pl.Series) -> tuple[Int32[np.ndarray, "N"], pl.Series]:
    """Give each distinct id a number, in the ids' order.

    Args:
        ids: integers or text, without nulls.

    Returns:
        The number of each row's id, and the ids in the order of their numbers.
    """
    if ids.dtype == pl.String:
        distinct = ids.unique().sort()
        return ids.cast(pl.Enum(distinct)).to_physical().cast(pl.Int32).to_numpy(writable=True), distinct
    low, high = (int(end) for end in (ids.min(), ids.max()) if isinstance(end, int))
    chunks = _chunks(ids)
    numbers = np.empty(len(ids), dtype=np.int32)
    if high - low > 2 * len(ids) + (1 << 20):
        distinct = ids.unique().sort()
        searched = distinct.to_numpy()

        def search(chunk: int, _: int) -> None:
            begin, values = chunks[chunk]
            numbers[begin : begin + len(values)] = np.searchsorted(searched, values)

        in_threads(search, row_blocks(len(chunks), 1))
        return numbers, distinct
    # A table of the whole range is quicker than any search, and integer ids are mostly close to dense.
    present = np.zeros(high - low + 1, dtype=np.bool_)
    for _, values in chunks:
        present[values - low] = True
    table = np.cumsum(present, dtype=np.int32) - np.int32(1)

    def look_up(chunk: int, _: int) -> None:
        begin, values = chunks[chunk]
        np.take(table, values - low, out=numbers[begin : begin + len(values)], mode="clip")

    in_threads(look_up, row_blocks(len(chunks), 1))
    return numbers, pl.Series(ids.name, np.flatnonzero(present) + low)


def assemble(name: str, columns: dict[str, pl.Series], *, repeats: Repeats = "error") -> Interactions:
    """Put rows together as interactions: histories in the order of time, the rows' order breaking ties.

    Args:
        name: what to call the data.
        columns: ``user`` and ``item`` (integers or text), and, where known, ``rating`` (Float32), ``time``
            (whole numbers) and ``order`` (what to order by where it is finer than ``time``), one value a
            row. The dict is emptied on the way, so that each column's memory goes back as soon as the column
            is used.
        repeats: what a repeated pair means: an error; the first or the last of it in the history is kept; or the
            first is, with the sum of the ratings or with the number of rows as rating.

    Raises:
        RepeatedPair: where a pair is repeated and ``repeats`` is ``"error"``.
        UsageError: where ratings are to be summed and there are none.
    """
    if repeats == "sum" and "rating" not in columns:
        raise UsageError(
            f"{name}: repeats 'sum' needs ratings, and there are none; say 'count', 'first' or 'last'"
        )
    users, user_ids = dense(columns.pop("user"))
    numbers, item_ids = dense(columns.pop("item"))
    parts: dict[str, np.ndarray] = {"items": numbers}
    for role, part in (("rating", "ratings"), ("time", "times"), ("order", "order")):
        if role in columns:
            parts[part] = np.concatenate([values for _, values in _chunks(columns.pop(role))])
    offsets = np.concatenate([[0], np.cumsum(np.bincount(users, minlength=len(user_ids)))]).astype(np.int64)
    rows = _by_user(users, len(user_ids))
    del users, numbers
    if rows is not None:
        parts = _taken(parts, rows)
        del rows
    _sort_by_time(offsets, parts)
    parts.pop("order", None)
    if repeats == "count":
        parts["ratings"] = np.ones(len(parts["items"]), dtype=np.float32)
    try:
        return _interactions(name, offsets, parts, user_ids, item_ids)
    except RepeatedPair:
        if repeats == "error":
            raise
    offsets, parts = _without_repeats(offsets, parts, len(item_ids), repeats)
    return _interactions(name, offsets, parts, user_ids, item_ids)


def _interactions(
    name: str, offsets: np.ndarray, parts: dict[str, np.ndarray], user_ids: pl.Series, item_ids: pl.Series
) -> Interactions:
    return Interactions(
        name=name,
        offsets=offsets,
        items=parts["items"],
        user_ids=user_ids,
        item_ids=item_ids,
        ratings=parts.get("ratings"),
        times=parts.get("times"),
    )


def _chunks(ids: pl.Series) -> list[tuple[int, np.ndarray]]:
    """Return the series' pieces as arrays, without a copy, each with the row that it begins at."""
    arrays = [chunk.to_numpy() for chunk in ids.get_chunks()]
    begins = np.cumsum([0, *(len(a) for a in arrays)])
    return [(int(begin), array) for begin, array in zip(begins, arrays, strict=False)]


def _taken(parts: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Take these rows of each part, one part after the other to keep the peak of memory low."""
    for name, part in parts.items():
        taken = np.empty(len(rows), dtype=part.dtype)

        def take(begin: int, end: int, part: np.ndarray = part, taken: np.ndarray = taken) -> None:
            np.take(part, rows[begin:end], out=taken[begin:end], mode="clip")

        in_threads(take, row_blocks(len(rows), BLOCK))
        parts[name] = taken
    return parts


def _by_user(users: Int32[np.ndarray, "N"], n_users: int) -> np.ndarray | None:
    """Return the rows, user by user and else as they stand, or ``None`` where they are so already."""
    if bool((users[1:] >= users[:-1]).all()):
        return None
    # Each row a column with one entry, its user: turning columns into rows is a stable sort in linear time.
    columns = np.arange(len(users) + 1, dtype=np.int32)
    ones = np.ones(len(users), dtype=np.int8)
    rows: np.ndarray = sparse.csc_array((ones, users, columns), shape=(n_users, len(users))).tocsr().indices
    return rows


def _sort_by_time(offsets: Int64[np.ndarray, "U1"], parts: dict[str, np.ndarray]) -> None:
    """Bring each user's rows into the order of ``order`` or ``times``, in place; ties stay as they are."""
    times = parts.get("order", parts.get("times"))
    if times is None or _ordered(offsets, times):
        return

    def sort(first: int, last: int) -> None:
        begin, end = int(offsets[first]), int(offsets[last])
        users = np.repeat(np.arange(last - first), np.diff(offsets[first : last + 1]))
        order = _block_order(users, times[begin:end])
        for part in parts.values():
            part[begin:end] = part[begin:end][order]

    in_threads(sort, user_blocks(offsets, BLOCK))


def _ordered(offsets: Int64[np.ndarray, "U1"], times: Int64[np.ndarray, "N"]) -> bool:
    """Return whether times fall nowhere but between users."""
    falls = np.flatnonzero(times[1:] < times[:-1]) + 1
    return bool(np.isin(falls, offsets, assume_unique=True).all()) if len(falls) < len(offsets) else False


def _block_order(users: Int64[np.ndarray, "N"], times: Int64[np.ndarray, "N"]) -> Int64[np.ndarray, "N"]:
    """Return the stable order by user, then time, of a block of rows."""
    low = int(times.min())
    span = int(times.max()) - low + 1
    bits = len(times).bit_length()
    if (int(users[-1]) + 1) * span << bits >= 1 << 63:
        return np.lexsort((times, users))
    # User, time and row in one integer: sorting plain integers is several times faster than sorting indices.
    keys = ((users * span + (times - low)) << bits) | np.arange(len(times))
    keys.sort()
    order: np.ndarray = keys & ((1 << bits) - 1)
    return order


def _without_repeats(
    offsets: Int64[np.ndarray, "U1"], parts: dict[str, np.ndarray], n_items: int, repeats: Repeats
) -> tuple[Int64[np.ndarray, "U1"], dict[str, np.ndarray]]:
    """Keep one of each repeated pair, and rate it as ``repeats`` says."""
    users = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    keys = users * n_items + parts["items"]
    if repeats in ("sum", "count"):
        _, pairs = np.unique(keys, return_inverse=True)
        weights = parts["ratings"] if repeats == "sum" else None
        parts["ratings"] = np.bincount(pairs, weights)[pairs].astype(np.float32)
    if repeats == "last":
        rows = np.sort(len(keys) - 1 - np.unique(keys[::-1], return_index=True)[1])
    else:
        rows = np.sort(np.unique(keys, return_index=True)[1])
    lengths = np.bincount(users[rows], minlength=len(offsets) - 1)
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), _taken(parts, rows)
