"""Random draws that are fixed for each user or list, whoever is asked about together with it."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float64, Int64

from recaudit.rng import numpy_generator

__all__ = ["drawn", "list_numbers", "user_blocks", "user_numbers"]

BLOCK = 256
"""Users whose random numbers are drawn together. Another number would draw other lists from the same seed."""


def user_blocks(users: Int64[np.ndarray, "Q"]) -> Iterator[Int64[np.ndarray, "B"]]:
    """Yield, for each block of users, the positions in ``users`` of those who belong to it."""
    blocks = users // BLOCK
    order = np.argsort(blocks, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(blocks[order])) + 1):
        if len(rows):
            yield rows


def user_numbers(
    seed: int, *path: str, users: Int64[np.ndarray, "B"], width: int
) -> Float64[np.ndarray, "B w"]:
    """Return each user's ``width`` random numbers in [0, 1).

    Args:
        seed: the run's seed.
        path: names the numbers below it; see :mod:`recaudit.rng`.
        users: users of one block (see :func:`user_blocks`), who share its stream.
        width: numbers a user.
    """
    stream = numpy_generator(seed, *path, int(users[0] // BLOCK))
    numbers: np.ndarray = stream.random((BLOCK, width))[users % BLOCK]
    return numbers


def list_numbers(
    seed: int, *path: str, lists: Int64[np.ndarray, "B k"], width: int
) -> Float64[np.ndarray, "B w"]:
    """Return ``width`` random numbers in [0, 1) for each list, fixed by its items in their order.

    Args:
        seed: the run's seed.
        path: names the numbers below it; see :mod:`recaudit.rng`.
        lists: the B lists, at least one; whose they are does not matter.
        width: numbers a list.
    """
    return np.stack([numpy_generator(seed, *path, "list", *row).random(width) for row in lists.tolist()])


def drawn(
    numbers: Float64[np.ndarray, "B w"], allowed: Bool[np.ndarray, "B w"], count: int
) -> tuple[Int64[np.ndarray, "B c"], Bool[np.ndarray, "B c"]]:
    """Draw ``count`` of the ``allowed`` columns of each row, in random order.

    Args:
        numbers: random numbers, one a column.
        allowed: the columns that may be drawn.
        count: columns to draw; at most w are.

    Returns:
        The columns, and whether each is allowed: where a row allows fewer, the last ones are not.
    """
    order = np.argsort(np.where(allowed, numbers, np.inf), axis=1)[:, :count]
    return order, np.take_along_axis(allowed, order, axis=1)
