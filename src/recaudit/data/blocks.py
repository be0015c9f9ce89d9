"""Blocks: whole users by whole users, and rows by rows, several at once.

NumPy sorts and gathers outside Python's lock, so threads share the work. The blocks do not depend on the
number of threads, and neither does any result.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import polars as pl
from jaxtyping import Int64

__all__ = ["in_threads", "row_blocks", "user_blocks"]

T = TypeVar("T")


def user_blocks(offsets: Int64[np.ndarray, "U1"], size: int) -> Int64[np.ndarray, "B 2"]:
    """Return the first user, and the user after the last, of blocks with at most ``size`` rows.

    A user with more rows than that is a block alone.
    """
    ends, last = [0], 0
    while last < len(offsets) - 1:
        last = max(int(np.searchsorted(offsets, offsets[last] + size, side="right")) - 1, last + 1)
        ends.append(last)
    return _between(ends)


def row_blocks(rows: int, size: int) -> Int64[np.ndarray, "B 2"]:
    """Return the first row, and the row after the last, of blocks of ``size`` rows."""
    return _between([*range(0, rows, size), rows])


def in_threads(work: Callable[[int, int], T], blocks: Int64[np.ndarray, "B 2"]) -> list[T]:
    """Run ``work`` on each block, as many at once as Polars has threads, and return the results in order."""
    begins, ends = blocks.T.tolist()
    threads = min(pl.thread_pool_size(), len(blocks))
    if threads <= 1:
        return list(map(work, begins, ends))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, begins, ends))


def _between(ends: Sequence[Any]) -> Int64[np.ndarray, "B 2"]:
    return np.stack([ends[:-1], ends[1:]], axis=1).astype(np.int64)
