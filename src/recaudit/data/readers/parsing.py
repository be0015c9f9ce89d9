"""Parsing: whole columns out of text files, with Polars.

Where Polars meets something wrong, ``faults`` looks a second time and names the line and column.
"""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from recaudit.data.blocks import in_threads, row_blocks
from recaudit.data.readers.faults import Layout, first_fault
from recaudit.data.readers.values import BLANKS, Unfit, ids_of, times_of
from recaudit.errors import UsageError

__all__ = ["read_text"]

# The types tried first, in one typed pass; a column that does not fit is read as text and looked at again.
_TYPES = {"user": pl.Int64, "item": pl.Int64, "rating": pl.Float32, "time": pl.Int64}
_SAMPLE = 100
_BLOCK, _PIECE = 1 << 22, 1 << 16


def read_text(layout: Layout) -> tuple[dict[str, pl.Series], list[str]]:
    """Read the columns of a text file.

    Returns:
        The columns ``user``, ``item`` (Int64 or String), and where the file has them ``rating`` (Float32),
        ``time`` (Int64) and ``order`` (Int64, where finer than the time), without nulls; and what was left out, a
        sentence each.

    Raises:
        UsageError: at the first fault, with its file, line and column.
    """
    left: list[str] = []
    try:
        types = _types(_frame(layout, dict.fromkeys(layout.roles, pl.String), _SAMPLE), layout)
        columns = _columns(_frame(layout, types), layout, left)
    except pl.exceptions.NoDataError:
        columns = {"user": pl.Series(dtype=pl.Int64)}
    except (pl.exceptions.PolarsError, Unfit):
        left = []
        columns = _read_as_text(layout, left)
    if not len(columns["user"]):
        if layout.keep is not None:
            where = f"no row has {layout.keep[1]!r} in {layout.named(layout.keep[0])}"
        else:
            where = "there is a header and no row" if layout.header else "there is no row"
        raise UsageError(f"{layout.file.shown}: {where}")
    return columns, left


def _frame(layout: Layout, types: dict[str, Any], rows: int | None = None) -> pl.DataFrame:
    """Read the layout's columns as these types, and a column ``bad`` for rows that may lack fields."""
    # Polars separates by one character; fields between doubled separators come out as every second column.
    step = len(layout.separator)
    width = step * (len(layout.fields) - 1) + 1
    schema: dict[str, Any] = {str(place): pl.String for place in range(width)}
    schema.update({str(step * place): types[role] for role, place in layout.roles.items()})
    scan = pl.scan_csv(
        layout.file.path,
        has_header=False,
        skip_rows=layout.skip,
        schema=schema,
        separator=layout.separator[0],
        quote_char='"' if layout.quoted else None,
        encoding="utf8-lossy",  # an id that is no UTF-8 is found below, and nobody minds another column
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
    ids = ("user", "item")
    for role in ids:
        if sample[role].cast(pl.Int64, strict=False).null_count():
            types[role] = pl.String
    if layout.ids != "padded" and pl.Int64 in (types[role] for role in ids) and _padded(layout):
        types.update(dict.fromkeys(ids, pl.String))
    if "time" in types and sample["time"].cast(pl.Int64, strict=False).null_count():
        types["time"] = pl.String
    return types


def _padded(layout: Layout) -> bool:
    """Return whether the file may have whole numbers that are not written as such: ``007``, ``+7`` or ``-0``.

    A typed column of integers would lose that in silence. Whole blocks of bytes are looked at, of any column.
    """
    zero, begins = ord("0"), [ord("\n"), ord(layout.separator[-1]), *([ord('"')] if layout.quoted else [])]
    size = layout.file.path.stat().st_size

    def look(begin: int, end: int) -> bool:
        whole = np.frombuffer(os.pread(file.fileno(), end - begin + 2, begin), dtype=np.uint8)
        # Pieces that stay in a processor's cache: the passes below are several times as fast there.
        for piece in range(0, len(whole) - 2, _PIECE):
            block = whole[piece : piece + _PIECE + 2]
            first, second, third = block[:-2], block[1:-1], block[2:]
            odd = (third - np.uint8(zero) < 10) & (second == zero)
            odd |= (third == zero) & (second == ord("-"))
            odd |= second == ord("+")
            begun = first == begins[0]
            for mark in begins[1:]:
                begun |= first == mark
            if (odd & begun).any():
                return True
        return False

    with layout.file.path.open("rb") as file:
        return file.read(1) in (b"0", b"+", b"-") or any(in_threads(look, row_blocks(size, _BLOCK)))


def _columns(frame: pl.DataFrame, layout: Layout, left: list[str]) -> dict[str, pl.Series]:
    """Check whole columns and bring them to their types.

    Raises:
        Unfit: where something is wrong in them.
    """
    if frame["bad"].any():
        raise Unfit
    columns = {role: frame[role] for role in layout.roles}
    if any(column.null_count() for column in columns.values()):
        raise Unfit
    if layout.header is not None and columns["user"].dtype == pl.String and _header_again(columns, layout):
        raise Unfit
    for role in ("user", "item"):
        texts = columns[role]
        columns[role] = ids_of(texts, layout.ids)
        if columns[role].dtype == pl.String:
            padded = int((texts != columns[role]).sum())
            if padded:
                left.append(f"Blanks around {padded:,} {role} ids were left out.")
    if "rating" in columns:
        ratings = columns["rating"]
        if ratings.dtype == pl.String:
            ratings = ratings.str.strip_chars(BLANKS).cast(pl.Float32, strict=False)
        if ratings.null_count() or not ratings.is_finite().all():
            raise Unfit
        columns["rating"] = ratings
    if "time" in columns:
        columns.update(times_of(columns.pop("time"), layout.date))
    return columns


def _header_again(columns: Mapping[str, pl.Series], layout: Layout) -> bool:
    """Return whether a row repeats the header, as where files were joined."""
    names = {role: (layout.header or ())[layout.roles[role]].strip(BLANKS) for role in ("user", "item")}
    texts = {role: columns[role].cast(pl.String).str.strip_chars(BLANKS) for role in names}
    return bool(((texts["user"] == names["user"]) & (texts["item"] == names["item"])).any())


def _read_as_text(layout: Layout, left: list[str]) -> dict[str, pl.Series]:
    """Read every column as text first; where that fails too, look for the fault line by line.

    Raises:
        UsageError: at the first fault.
    """
    texts = dict.fromkeys(layout.roles, pl.String)
    try:
        return _columns(_frame(layout, texts), layout, left)
    except (pl.exceptions.PolarsError, Unfit):
        left.clear()
        fault = first_fault(layout)
    if fault is not None:
        raise fault
    try:
        frame = _frame(layout, texts)
        # The second look found every row in order, so a row without a user is a blank line, and what is
        # ``bad`` is a field that is empty and that nobody reads.
        blank = pl.col("user").fill_null("").str.strip_chars(BLANKS) == ""
        return _columns(frame.filter(~blank).with_columns(bad=pl.lit(value=False)), layout, left)
    except (pl.exceptions.PolarsError, Unfit) as error:
        reason = str(error).splitlines()[0] if str(error) else "a column holds values that cannot be read"
        raise UsageError(
            f"{layout.file.shown}: {_odd_quotes(layout)}the file cannot be read: {reason}"
        ) from None


def _odd_quotes(layout: Layout) -> str:
    """Return the first line with an unpaired quotation mark, as the beginning of a message."""
    with layout.file.path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if layout.quoted and line.count(b'"') % 2:
                return f"line {number}: an unpaired quotation mark; "
    return ""
