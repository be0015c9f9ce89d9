"""Typed tables: Parquet, Arrow and JSON files, and frames, whose columns have types of their own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from recaudit.data.interactions import Interactions, RepeatedPair
from recaudit.data.readers.columns import chosen_columns, finished, unread_times
from recaudit.data.readers.faults import RepeatedRows
from recaudit.data.readers.files import File
from recaudit.data.readers.protocol import Options
from recaudit.data.readers.values import BLANKS, Unfit, may_be_two, missing, time_kinds, times_of
from recaudit.data.reading import Reading
from recaudit.errors import UsageError

__all__ = ["Table", "TypedFormat"]


@dataclass(frozen=True, kw_only=True)
class TypedFormat:
    """Reads files whose columns have types of their own, as Polars scans them.

    Args:
        format: the name of the format in messages.
        holds: what such a file holds, for people.
        kind: how its content begins, of :mod:`recaudit.data.readers.files`.
        scan: Polars's scan of such files.
    """

    format: str
    holds: str
    kind: str
    scan: Callable[..., pl.LazyFrame]

    def likeness(self, file: File, options: Options) -> int:
        """Return 40 for what begins as such a file does."""
        return 40 if file.kind == self.kind else 0

    def read(self, file: File, options: Options, name: str) -> Interactions:
        """Return the interactions of a file, or of its parts."""
        frame = self.scan(list(file.paths), glob=False)
        table = Table(format=self.format, shown=str(file.shown), frame=frame, told=file.told)
        return table.read(options, name)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with named and typed columns.

    Args:
        format: the name of its format.
        shown: how messages name it.
        frame: its rows.
        row: how a message names the row of a number from 1 on.
        told: what was guessed so far, a sentence each.
    """

    format: str
    shown: str
    frame: pl.LazyFrame
    row: Callable[[int], str] = "row {}".format
    told: tuple[str, ...] = ()

    def read(self, options: Options, name: str) -> Interactions:
        """Return the interactions.

        Raises:
            UsageError: where the table does not hold them; the message names row and column.
        """
        for option in ("separator", "header"):
            if getattr(options, option) is not None:
                flag = "--no-header" if getattr(options, option) is False else f"--{option}"
                raise UsageError(f"{self.shown}: such a table has no {option} to choose; leave {flag} out")
        try:
            fields = tuple(self.frame.collect_schema().names())
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._unreadable(error) from None
        roles = chosen_columns(self.shown, options.columns, fields, text=False)
        names = {role: fields[place] for role, place in roles.items()}
        columns = self._columns(names)
        told = list(self.told)
        if "time" not in names:
            told.append("There are no times: the rows are taken to be in the order of time.")
        reading = Reading(
            format=self.format,
            columns=names,
            unused=tuple(field for field in fields if field not in names.values()),
            guessed=tuple(told),
            merged=tuple(left for role in ("user", "item") if (left := _padded(columns[role], role))),
            doubts=unread_times(fields, names),
        )
        fitting = {role: self._fitting(role, names[role], column) for role, column in columns.items()}
        try:
            if "time" in fitting:
                fitting.update(times_of(fitting.pop("time"), None))
            return finished(name, fitting, options.repeats or "error", reading)
        except RepeatedPair as repeat:
            raise self._fault_of_repeat(names, repeat) from None

    def _columns(self, names: Mapping[str, str]) -> dict[str, pl.Series]:
        try:
            frame = self.frame.select(**{role: pl.col(name) for role, name in names.items()}).collect(
                engine="streaming"
            )
        except pl.exceptions.PolarsError as error:
            raise self._unreadable(error) from None
        if not len(frame):
            raise UsageError(f"{self.shown}: there is no row")
        return {column.name: column for column in frame}

    def _unreadable(self, error: Exception) -> UsageError:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        return UsageError(f"{self.shown}: is no {self.format} file that can be read: {reason}")

    def _fault_of_repeat(self, names: Mapping[str, str], repeat: RepeatedPair) -> RepeatedRows:
        """Return the error that names the two rows, counted from 1, at which a pair stands."""
        columns = self._columns({role: names[role] for role in ("user", "item")})
        user, item = (self._fitting(role, names[role], columns[role]) for role in ("user", "item"))
        rows = ((user == repeat.user_id) & (item == repeat.item_id)).arg_true()
        return RepeatedRows(
            f"{self.shown}, {self.row(rows[1] + 1)}, column {names['item']!r}: user {repeat.user_id!r} has item "
            f"{repeat.item_id!r} again (first on {self.row(rows[0] + 1)}); say what that means with --repeats first, "
            "last, sum or count (repeats under data in a spec)"
        )

    def _fitting(self, role: str, name: str, column: pl.Series) -> pl.Series:
        """Check a column and bring it to its type.

        Raises:
            UsageError: at the first value that does not fit; it names the row, counted from 1.
        """
        what, kinds, check = _EXPECTED[role]
        column, bad = check(column)
        if bad is None:
            raise UsageError(f"{self.shown}, column {name!r}: found {column.dtype}, expected {kinds}")
        if bad.any():
            row = int(np.flatnonzero(bad.to_numpy())[0])
            raise UsageError(
                f"{self.shown}, {self.row(row + 1)}, column {name!r}: found {column[row]!r}, expected {what}"
            )
        kept = {"user": pl.Int64, "item": pl.Int64, "rating": pl.Float32}.get(role)
        if column.dtype == pl.String and role != "rating":
            return column.str.strip_chars(BLANKS) if kept else column
        return column if kept is None else column.cast(kept)


def _padded(column: pl.Series, role: str) -> str:
    """Return what to say of blanks around text ids."""
    if column.dtype != pl.String:
        return ""
    padded = int((column != column.str.strip_chars(BLANKS)).sum())
    return f"Blanks around {padded:,} {role} ids were left out." if padded else ""


Checked = tuple[pl.Series, pl.Series | None]
"""A column, and which of its values do not fit; ``None`` where none can, for its type."""


def _ids(column: pl.Series) -> Checked:
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype == pl.Null:  # JSON knows no type of a column without a value
        column = column.cast(pl.String)
    bad = column.is_null()
    if column.dtype.is_float():
        return column, bad | ~(column.is_finite() & (column == column.floor())).fill_null(value=False)
    if column.dtype == pl.String:
        return column, bad | (missing(column) | column.str.contains("[\r\n].*[^ \t\r\n]")).fill_null(
            value=True
        )
    if column.dtype == pl.UInt64:
        return column, bad | (column >= 1 << 63)
    return column, bad if column.dtype.is_integer() else None


def _ratings(column: pl.Series) -> Checked:
    return column, column.is_null() | ~column.cast(pl.Float32, strict=False).is_finite().fill_null(
        value=False
    )


def _times(column: pl.Series) -> Checked:
    bad = column.is_null()
    if column.dtype.is_float():
        return column, bad | ~(column.is_finite() & (column.abs() < 2.0**62)).fill_null(value=False)
    if column.dtype == pl.String:
        return column, bad | _unlike_times(column)
    return column, bad if column.dtype.is_integer() or column.dtype in (pl.Date, pl.Datetime) else None


def _unlike_times(column: pl.Series) -> pl.Series:
    """Return which texts are no times, or not written as those above; none where all are."""
    try:
        times_of(column.drop_nulls(), None)
    except Unfit:
        return pl.Series(np.arange(len(column)) == _first_unlike(column))
    return pl.Series(np.zeros(len(column), dtype=np.bool_))


def _first_unlike(column: pl.Series) -> int:
    """Return the row of the first text that is no time as those above, or else that may be two dates."""
    kinds: set[str] | None = None
    for row, text in enumerate(column):
        found = set() if text is None else time_kinds(text, None)
        kinds = found if kinds is None else kinds & found
        if not kinds:
            return row
    return next((row for row, text in enumerate(column) if may_be_two(text)), 0)


_EXPECTED: Mapping[str, tuple[str, str, Callable[[pl.Series], Checked]]] = {
    **dict.fromkeys(("user", "item"), ("an id", "integers or text", _ids)),
    "rating": ("a number", "numbers", _ratings),
    "time": ("a time", "numbers, dates or text", _times),
}
"""What each role expects: of a value, of a type, and its check."""
