"""Parsing: whole columns out of text and Parquet files, with Polars."""

from typing import Any

import numpy as np
import polars as pl

from recaudit.data.faults import BLANKS, MISSING, Layout, first_fault, repeat_fault
from recaudit.errors import UsageError

__all__ = ["fault_of_parquet_repeat", "read_parquet", "read_text"]

# The types tried first, in one typed pass; a column that does not fit is read as text and looked at again.
_TYPES = {"user": pl.Int64, "item": pl.Int64, "rating": pl.Float32, "time": pl.Int64}
_SAMPLE = 100


def read_text(layout: Layout) -> dict[str, pl.Series]:
    """Read the columns of a text file.

    Returns:
        The columns ``user``, ``item`` (Int64 or String), and where the file has them ``rating`` (Float32),
        ``time`` (Int64) and ``order`` (Int64, where finer than the time), without nulls.

    Raises:
        UsageError: at the first fault, with its file, line and column.
    """
    try:
        types = _types(_frame(layout, dict.fromkeys(layout.roles, pl.String), _SAMPLE), layout)
        columns = _columns(_frame(layout, types), layout)
    except pl.exceptions.NoDataError:
        columns = {"user": pl.Series(dtype=pl.Int64)}
    except (pl.exceptions.PolarsError, _Unfit):
        columns = _read_as_text(layout)
    if not len(columns["user"]):
        if layout.keep is not None:
            where = f"no row has {layout.keep[1]!r} in {layout.named(layout.keep[0])}"
        else:
            where = "there is a header and no row" if layout.header else "there is no row"
        raise UsageError(f"{layout.path}: {where}")
    return columns


def read_parquet(layout: Layout) -> dict[str, pl.Series]:
    """Read the columns of a Parquet file; what comes back and what is raised is as with ``read_text``."""
    names = {role: layout.fields[place] for role, place in layout.roles.items()}
    frame = pl.scan_parquet(layout.path, glob=False).select(**{role: pl.col(n) for role, n in names.items()})
    try:
        columns = {c.name: c for c in frame.collect(engine="streaming")}
    except pl.exceptions.PolarsError as error:
        raise UsageError(f"{layout.path}: the file cannot be read: {str(error).splitlines()[0]}") from None
    if not len(columns["user"]):
        raise UsageError(f"{layout.path}: there is no row")
    for role in list(columns):
        columns[role] = _fitting(layout, role, columns[role])
    columns.update(_times(columns.pop("time"), None) if "time" in columns else {})
    return columns


def fault_of_parquet_repeat(layout: Layout, user_id: int | str, item_id: int | str) -> UsageError:
    """Return the error that names the two rows, counted from 1, at which a pair stands."""
    columns = read_parquet(layout)
    rows = ((columns["user"] == user_id) & (columns["item"] == item_id)).arg_true()
    return repeat_fault(layout, user_id, item_id, (f"row {rows[0] + 1}", f"row {rows[1] + 1}"))


class _Unfit(Exception):
    """A column does not hold what it must."""


def _frame(layout: Layout, types: dict[str, Any], rows: int | None = None) -> pl.DataFrame:
    """Read the layout's columns as these types, and a column ``bad`` for rows that may lack fields."""
    # Polars separates by one character; fields between doubled separators come out as every second column.
    step = len(layout.separator)
    width = step * (len(layout.fields) - 1) + 1
    schema: dict[str, Any] = {str(place): pl.String for place in range(width)}
    schema.update({str(step * place): types[role] for role, place in layout.roles.items()})
    scan = pl.scan_csv(
        layout.path,
        has_header=False,
        skip_rows=layout.skip,
        schema=schema,
        separator=layout.separator[0],
        quote_char='"' if layout.quoted else None,
        n_rows=rows,
        glob=False,
    )
    bad = pl.any_horizontal(pl.col(str(width - 1)).is_null(), *_between(step, width))
    columns = {role: pl.col(str(step * place)) for role, place in layout.roles.items()}
    if layout.keep is not None:
        place, value, other = layout.keep
        field = pl.col(str(step * place))
        bad |= ~field.is_in([value, other]) | field.is_null()
        scan = scan.filter((field == value) | bad)
    return scan.select(**columns, bad=bad).collect(engine="streaming")


def _between(step: int, width: int) -> list[pl.Expr]:
    return [pl.col(str(place)).is_not_null() for place in range(width) if place % step]


def _types(sample: pl.DataFrame, layout: Layout) -> dict[str, Any]:
    """Return the types that the first rows speak for."""
    types: dict[str, Any] = {role: _TYPES[role] for role in layout.roles}
    for role in ("user", "item"):
        if sample[role].cast(pl.Int64, strict=False).null_count():
            types[role] = pl.String
    if "time" in types and sample["time"].cast(pl.Int64, strict=False).null_count():
        types["time"] = pl.String
    return types


def _columns(frame: pl.DataFrame, layout: Layout) -> dict[str, pl.Series]:
    """Check whole columns and bring them to their types.

    Raises:
        _Unfit: where something is wrong in them.
    """
    if frame["bad"].any():
        raise _Unfit
    columns = {role: frame[role] for role in layout.roles}
    if any(column.null_count() for column in columns.values()):
        raise _Unfit
    for role in ("user", "item"):
        columns[role] = _ids(columns[role])
    if "rating" in columns:
        ratings = columns["rating"]
        if ratings.dtype == pl.String:
            ratings = ratings.str.strip_chars(BLANKS).cast(pl.Float32, strict=False)
        if ratings.null_count() or not ratings.is_finite().all():
            raise _Unfit
        columns["rating"] = ratings
    if "time" in columns:
        columns.update(_times(columns.pop("time"), layout.date))
    return columns


def _ids(column: pl.Series) -> pl.Series:
    """Return ids as integers where all are whole numbers, as text otherwise."""
    if column.dtype == pl.Int64:
        return column
    if not _as_whole(column.head(_SAMPLE)).null_count():
        whole = _as_whole(column)
        if not whole.null_count():
            return whole
    distinct = column.unique()
    bad = distinct.str.strip_chars(BLANKS).str.to_lowercase().is_in(list(MISSING)) | distinct.str.contains(
        r"[\r\n]"
    )
    if bad.any():
        raise _Unfit
    return column


def _as_whole(column: pl.Series) -> pl.Series:
    return column.str.strip_chars(BLANKS).cast(pl.Int64, strict=False)


def _times(column: pl.Series, date: str | None) -> dict[str, pl.Series]:
    """Return ``time`` in whole units (seconds, for dates) and, where that loses the order, ``order``.

    Raises:
        _Unfit: where a time is neither a number nor a date.
    """
    if column.dtype.is_integer():
        return {"time": column.cast(pl.Int64)}
    if column.dtype == pl.String:
        column = _parsed_times(column, date)
        if column.dtype == pl.Int64:
            return {"time": column}
    if column.dtype.is_temporal():
        fine = column.cast(pl.Datetime("us")).to_physical()
        whole = fine // 1_000_000
        return {"time": whole} if (whole * 1_000_000 == fine).all() else {"time": whole, "order": fine}
    values = column.cast(pl.Float64)
    if not (values.is_finite() & (values.abs() < 2.0**62)).all():
        raise _Unfit
    whole = values.floor().cast(pl.Int64)
    if (values == values.floor()).all():
        return {"time": whole}
    return {"time": whole, "order": values.rank("dense").cast(pl.Int64)}


def _parsed_times(column: pl.Series, date: str | None) -> pl.Series:
    column = column.str.strip_chars(BLANKS)
    if date is not None:
        parsed = column.str.to_datetime(date, strict=False, time_unit="us")
        if parsed.null_count():
            raise _Unfit
        return parsed
    plain = column.str.replace("T", " ", literal=True).str.strip_suffix("Z")
    for times in (
        column.cast(pl.Int64, strict=False),
        column.cast(pl.Float64, strict=False),
        plain.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us"),
        plain.str.to_date("%Y-%m-%d", strict=False),
    ):
        if not times.null_count():
            return times
    raise _Unfit


def _read_as_text(layout: Layout) -> dict[str, pl.Series]:
    """Read every column as text first; where that fails too, look for the fault line by line.

    Raises:
        UsageError: at the first fault.
    """
    texts = dict.fromkeys(layout.roles, pl.String)
    try:
        return _columns(_frame(layout, texts), layout)
    except (pl.exceptions.PolarsError, _Unfit):
        fault = first_fault(layout)
    if fault is not None:
        raise fault
    try:
        frame = _frame(layout, texts)
        # The second look found every row in order, so a row without a user is a blank line, and what is
        # ``bad`` is a field that is empty and that nobody reads.
        blank = pl.col("user").fill_null("").str.strip_chars(BLANKS) == ""
        return _columns(frame.filter(~blank).with_columns(bad=pl.lit(value=False)), layout)
    except (pl.exceptions.PolarsError, _Unfit) as error:
        reason = str(error).splitlines()[0] if str(error) else "a column holds values that cannot be read"
        raise UsageError(f"{layout.path}: {_odd_quotes(layout)}the file cannot be read: {reason}") from None


def _odd_quotes(layout: Layout) -> str:
    """Return the first line with an unpaired quotation mark, as the beginning of a message."""
    with layout.path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if layout.quoted and line.count(b'"') % 2:
                return f"line {number}: an unpaired quotation mark; "
    return ""


def _fitting(layout: Layout, role: str, column: pl.Series) -> pl.Series:
    """Check a Parquet column and bring it to its type.

    Raises:
        UsageError: at the first value that does not fit; it names the row, counted from 1.
    """
    expected, bad = "a value", column.is_null()
    if role in ("user", "item"):
        expected = "an id"
        if column.dtype.is_float():
            bad |= ~(column.is_finite() & (column == column.floor())).fill_null(value=False)
        elif column.dtype in (pl.Categorical, pl.Enum):
            column = column.cast(pl.String)
        elif not (column.dtype.is_integer() or column.dtype == pl.String):
            raise UsageError(
                f"{layout.path}, {layout.column(role)}: found {column.dtype}, expected integers or text"
            )
        if column.dtype == pl.String:
            bad |= (
                column.str.strip_chars(BLANKS).str.to_lowercase().is_in(list(MISSING)).fill_null(value=True)
            )
        elif column.dtype == pl.UInt64:
            bad |= column >= 1 << 63
    elif role == "rating":
        expected = "a number"
        numbers = column.cast(pl.Float32, strict=False)
        bad |= ~numbers.is_finite().fill_null(value=False)
    elif column.dtype.is_float():
        expected = "a time"
        bad |= ~(column.is_finite() & (column.abs() < 2.0**62)).fill_null(value=False)
    elif not (column.dtype.is_integer() or column.dtype in (pl.Date, pl.Datetime)):
        raise UsageError(
            f"{layout.path}, {layout.column(role)}: found {column.dtype}, expected numbers or dates"
        )
    if bad.any():
        row = int(np.flatnonzero(bad.to_numpy())[0])
        raise UsageError(
            f"{layout.path}, row {row + 1}, {layout.column(role)}: found {column[row]!r}, expected {expected}"
        )
    kept = {"user": pl.Int64, "item": pl.Int64, "rating": pl.Float32}.get(role)
    return column if kept is None or column.dtype == pl.String else column.cast(kept)
