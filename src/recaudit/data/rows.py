"""Picking rows of compressed sparse rows."""

import numpy as np
from jaxtyping import Int64

__all__ = ["picked_rows"]


def picked_rows(
    offsets: Int64[np.ndarray, "U1"], rows: Int64[np.ndarray, "V"]
) -> tuple[Int64[np.ndarray, "V1"], Int64[np.ndarray, "N"]]:
    """Return the offsets of the picked rows laid end to end, and the places that their entries stand at."""
    lengths = offsets[rows + 1] - offsets[rows]
    new_offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    places = np.repeat(offsets[rows] - new_offsets[:-1], lengths) + np.arange(new_offsets[-1])
    return new_offsets, places
