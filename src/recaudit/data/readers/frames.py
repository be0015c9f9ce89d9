"""Frames: interactions that are in memory already, as a Polars or pandas frame or a list of tuples."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from recaudit.data.interactions import Interactions
from recaudit.data.numbering import Repeats
from recaudit.data.readers.columns import checked_columns, parse_columns
from recaudit.data.readers.names import ROLES
from recaudit.data.readers.protocol import Options
from recaudit.data.readers.typed import Table
from recaudit.errors import UsageError

__all__ = ["interactions_of"]


def interactions_of(
    rows: Any,
    *,
    columns: Mapping[str, str] | str | None = None,
    repeats: Repeats | None = None,
    name: str = "frame",
) -> Interactions:
    """Return the interactions of a frame or of rows.

    Args:
        rows: a Polars frame, lazy or not; a pandas frame; or tuples of user and item, or of user, item, rating and
            time.
        columns: the column of each role, as in :func:`~recaudit.data.readers.registry.read_interactions`; the usual
            names by default.
        repeats: what a repeated pair means; an error by default.
        name: what to call the data.

    Raises:
        UsageError: where they do not hold interactions; the message names row and column.
    """
    if columns is not None:
        columns = parse_columns(columns) if isinstance(columns, str) else checked_columns(columns)
    table = Table(format="frame", shown=name, frame=_frame(rows, name))
    return table.read(Options(columns=columns, repeats=repeats), name)


def _frame(rows: Any, name: str) -> pl.LazyFrame:
    if isinstance(rows, pl.DataFrame | pl.LazyFrame):
        return rows.lazy()
    if hasattr(rows, "columns") and hasattr(rows, "to_numpy"):  # a pandas frame; pandas itself is not needed
        return pl.LazyFrame([_series(str(column), rows[column].to_numpy()) for column in rows.columns])
    if not isinstance(rows, Iterable) or isinstance(rows, str | bytes | Mapping):
        raise UsageError(f"{name}: found {type(rows).__name__}, expected a frame or rows of user and item")
    found = [
        tuple(row) if isinstance(row, Sequence) and not isinstance(row, str | bytes) else () for row in rows
    ]
    widths = {len(row) for row in found}
    if len(widths) != 1 or not widths <= {2, 3, 4}:
        raise UsageError(
            f"{name}: found rows of {', '.join(map(str, sorted(widths))) or 'no'} values, expected 2 (user, item), "
            f"3 (with a rating) or 4 ({', '.join(ROLES)}) in each"
        )
    return pl.LazyFrame(
        [_series(role, list(column)) for role, column in zip(ROLES, zip(*found, strict=True), strict=False)]
    )


def _series(name: str, values: Any) -> pl.Series:
    """Return a column; values of several types, such as ids that are numbers or text, become text."""
    plain = list(values) if isinstance(values, np.ndarray) and values.dtype.hasobject else values
    try:
        return pl.Series(name, plain)
    except (TypeError, pl.exceptions.PolarsError):
        return pl.Series(name, [None if value is None else str(value) for value in plain], dtype=pl.String)
