"""Values: what an id, a number and a time are, for whole columns and for single fields.

The second look at a file (``faults``) uses the rules for fields, reading those for columns: they agree.
"""

import re
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import polars as pl

__all__ = [
    "BLANKS",
    "INTEGER",
    "MISSING",
    "NUMBER",
    "Unfit",
    "Written",
    "ids_of",
    "is_missing",
    "look_alikes",
    "may_be_two",
    "missing",
    "time_doubts",
    "time_kinds",
    "times_of",
]

Written = Literal["plain", "padded", "exact"]
"""How ids are written; see :func:`ids_of`."""

# How an absent id is written, in any case and with blanks around it.
MISSING = frozenset(
    {"", "nan", "-nan", "null", "none", "nil", "<na>", "n/a", "na", "#n/a", "\\n", "<null>", "(null)"}
)

# What is blank around a field and on a line. (Python and Polars differ on what else might be.)
BLANKS = " \t\r\n"

INTEGER = re.compile(r"[ \t]*[+-]?[0-9]{1,19}[ \t]*")
NUMBER = re.compile(r"[ \t]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t]*")
_DATE = re.compile(r"[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}")
_MOMENT = (
    r"([0-9]{4})[-/]([0-9]{2})[-/]([0-9]{2})[T ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?(\.[0-9]{1,9})?"
    r" ?(Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_DATE_AND_TIME = re.compile(_MOMENT)
# Ways to write a time that leave no doubt which number is the month.
_WRITTEN = {
    "date as Apr 03, 2012": "%b %d, %Y",
    "date as April 03, 2012": "%B %d, %Y",
    "date as 03-Apr-2012": "%d-%b-%Y",
    "date as 04 03, 2012": "%m %d, %Y",
    "date and time as Tue Apr 03 18:00:09 +0000 2012": "%a %b %d %H:%M:%S %z %Y",
    "date and time as Tue, 03 Apr 2012 18:00:09 +0000": "%a, %d %b %Y %H:%M:%S %z",
}
# Ways that leave doubt, unless a number above 12 stands among the values.
_SLASHED = {
    "date as 12/31/2020": "%m/%d/%Y",
    "date as 31/12/2020": "%d/%m/%Y",
    "date and time as 12/31/2020 23:59": "%m/%d/%Y %H:%M",
    "date and time as 31/12/2020 23:59": "%d/%m/%Y %H:%M",
    "date and time as 12/31/2020 23:59:59": "%m/%d/%Y %H:%M:%S",
    "date and time as 31/12/2020 23:59:59": "%d/%m/%Y %H:%M:%S",
}
_SLASH = re.compile("[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}")
_WORDS = re.compile("[A-Za-z]{3}|, ")
_SAMPLE = 100
_LARGEST_TIME = 2.0**62


class Unfit(Exception):
    """A column does not hold what it must."""


def is_missing(text: str) -> bool:
    """Return whether a field says that there is no id."""
    return text.strip(BLANKS).lower() in MISSING


def missing(column: pl.Series) -> pl.Series:
    """Return which texts say that there is no id."""
    return column.str.strip_chars(BLANKS).str.to_lowercase().is_in(list(MISSING))


def ids_of(column: pl.Series, written: Written = "plain") -> pl.Series:
    """Return ids as integers where all are written as whole numbers are, and as text otherwise.

    Args:
        column: the ids, as text.
        written: how: ``plain`` ids leave out blanks around them, and ``007`` or ``+7`` is text, as it would not come
            out of an integer as it went in; ``padded`` numbers may have zeros before them that do not count;
            ``exact`` texts keep blanks around them.

    Raises:
        Unfit: where an id is missing, runs over a line's end or is no UTF-8.
    """
    if column.dtype != pl.String:
        return column
    bare = column.str.strip_chars(BLANKS)
    if not _as_integers(bare.head(_SAMPLE), written).null_count():
        numbers = _as_integers(bare, written)
        if not numbers.null_count():
            return numbers
    column = column if written == "exact" else bare
    distinct = column.unique()
    if (missing(distinct) | distinct.str.contains("[\r\n\ufffd]")).any():
        raise Unfit
    return column


def _as_integers(column: pl.Series, written: Written) -> pl.Series:
    """Return texts as integers, null where one is not written as an integer is."""
    numbers = column.cast(pl.Int64, strict=False)
    return numbers if written == "padded" else numbers.set(numbers.cast(pl.String) != column, None)


def look_alikes(ids: pl.Series) -> tuple[int, str]:
    """Return how many ids are written in more than one way, and an example: ``7`` and ``7.0``, ``u1`` and ``U1``."""
    if ids.dtype != pl.String:
        return 0, ""
    frame = pl.DataFrame({"id": ids}).with_columns(
        alike=pl.col("id")
        .str.normalize("NFKC")
        .str.to_lowercase()
        .str.replace_all(r"\s+", "")
        .str.replace(r"^\+?([0-9]+)\.0*$", "$1")
        .str.replace(r"^\+?0*([0-9])", "$1")
    )
    several = frame.group_by("alike").agg(pl.col("id").sort()).filter(pl.col("id").list.len() > 1)
    if several.is_empty():
        return 0, ""
    return len(several), " and ".join(map(repr, several.sort("alike")["id"][0][:2].to_list()))


def times_of(column: pl.Series, date: str | None) -> dict[str, pl.Series]:
    """Return ``time`` in whole units (seconds, for dates) and, where that loses the order, ``order``.

    Raises:
        Unfit: where a time is neither a number nor a date.
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
    if not (values.is_finite() & (values.abs() < _LARGEST_TIME)).all():
        raise Unfit
    whole = values.floor().cast(pl.Int64)
    if (values == values.floor()).all():
        return {"time": whole}
    return {"time": whole, "order": values.rank("dense").cast(pl.Int64)}


def _parsed_times(column: pl.Series, date: str | None) -> pl.Series:
    column = column.str.strip_chars(BLANKS)
    if date is not None:
        parsed = column.str.to_datetime(date, strict=False, time_unit="us")
        if parsed.null_count():
            raise Unfit
        return parsed
    plain = column.str.replace("T", " ", literal=True).str.strip_suffix("Z")
    for times in (
        column.cast(pl.Int64, strict=False),
        column.cast(pl.Float64, strict=False),
        plain.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us"),
        column.str.replace_all("/", "-", literal=True).str.to_date("%Y-%m-%d", strict=False),
    ):
        if not times.null_count():
            return times
    moments = _moments(column)
    if not moments.null_count():
        return moments
    for written in _WRITTEN.values():
        zoned = "%z" in written
        times = column.str.to_datetime(
            written, strict=False, time_unit="us", time_zone="UTC" if zoned else None
        )
        if not times.null_count():
            return times.dt.replace_time_zone(None)
    return _slashed(column)


def _slashed(column: pl.Series) -> pl.Series:
    fitting = []
    for written in _SLASHED.values():
        times = column.str.to_datetime(written, strict=False, time_unit="us")
        if not times.null_count():
            fitting.append(times)
    if not fitting:
        raise Unfit
    if len(fitting) > 1 and not fitting[0].equals(fitting[1]):
        raise Unfit
    return fitting[0]


def _moments(column: pl.Series) -> pl.Series:
    """Return dates with times as UTC: seconds, fractions and the offset may be missing, which is UTC then."""
    parts = column.str.extract_groups(f"^{_MOMENT}$").struct
    year, month, day, minutes, seconds, fraction, zone = (parts.field(str(place)) for place in range(1, 8))
    text = year + "-" + month + "-" + day + " " + minutes + seconds.fill_null(":00") + fraction.fill_null("")
    local = text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us")
    zone = zone.fill_null("Z").str.replace("^(Z|UTC|GMT)$", "+00").str.replace(":", "", literal=True)
    hours = zone.str.slice(0, 3).cast(pl.Int64, strict=False)
    rest = zone.str.slice(3).replace("", "0").cast(pl.Int64, strict=False)
    offset = hours.abs() * 60 + rest
    signed = offset * (1 - 2 * zone.str.starts_with("-").cast(pl.Int64))
    return (local.to_physical() - signed * 60_000_000).cast(pl.Datetime("us"))


def time_kinds(text: str, date: str | None) -> set[str]:
    """Return the ways in which a time may be written that this text fits."""
    if date is not None:
        return {f"a date as {date}"} if _parses(text.strip(BLANKS), date) else set()
    kinds = set()
    if INTEGER.fullmatch(text) and -(1 << 63) <= int(text) < 1 << 63:
        kinds.add("whole number")
    if NUMBER.fullmatch(text) and abs(float(text)) < _LARGEST_TIME:
        kinds.add("number")
    text = text.strip(BLANKS)
    if _DATE.fullmatch(text) and _parses(text.replace("/", "-"), "%Y-%m-%d"):
        kinds.add("date")
    found = _DATE_AND_TIME.fullmatch(text)
    if found:
        year, month, day, minutes, seconds = found.groups()[:5]
        if _parses(f"{year}-{month}-{day} {minutes}{seconds or ':00'}", "%Y-%m-%d %H:%M:%S"):
            kinds.add("date and time")
    if _SLASH.match(text):
        kinds |= {kind for kind, written in _SLASHED.items() if _parses(text, written)}
    if _WORDS.search(text):
        kinds |= {kind for kind, written in _WRITTEN.items() if _parses(text, written)}
    return kinds


def may_be_two(text: str) -> bool:
    """Return whether a date may be month/day or day/month, and is another one then."""
    written = [written for written in _SLASHED.values() if _parses(text.strip(BLANKS), written)]
    return len({datetime.strptime(text.strip(BLANKS), one) for one in written}) > 1


def _parses(text: str, date: str) -> bool:
    try:
        datetime.strptime(text, date)
    except ValueError:
        return False
    return True


_UNITS = {
    "seconds": (10**8, 1),
    "milliseconds": (10**11, 10**3),
    "microseconds": (10**14, 10**6),
    "nanoseconds": (10**17, 10**9),
}
"""The least number that a time since 1970 in each unit has here, and how many there are in a second."""

_1990 = 631_152_000


def time_doubts(times: pl.Series) -> list[str]:
    """Return what looks wrong with times, a sentence each.

    Numbers up to a hundred million are taken for an order, such as that of baskets, and not looked at.
    """
    (low, high), now = _ends(times), datetime.now(UTC).timestamp()
    if high <= _UNITS["seconds"][0] or _1990 <= low <= high <= now:
        return []
    above = [int((times >= least).sum()) for least, _ in _UNITS.values()]
    counts = {unit: more - less for unit, more, less in zip(_UNITS, above, [*above[1:], 0], strict=True)}
    counts = {unit: count for unit, count in counts.items() if count}
    if len(counts) > 1:
        told = " and ".join(f"{count:,} in {unit}" for unit, count in counts.items())
        return [
            f"Times seem to mix units: {told}. Histories are ordered by the bare numbers, which is wrong then."
        ]
    second = _UNITS[next(iter(counts))][1]
    found = []
    future = int((times > min(int(now + 86_400) * second, 2**63 - 2)).sum())
    if future:
        found.append(
            f"{future:,} time{'' if future == 1 else 's'} in the future, the last in {_year(high / second)}."
        )
    known = times.filter(times != 0)
    years = _year(_ends(known)[0] / second), _year(high / second)
    if years[0] < 1990 or years[1] - years[0] > 50:
        found.append(
            f"Times run from {years[0]} to {years[1]}: are some of them missing, or in another unit?"
        )
    zeros = len(times) - len(known)
    if zeros:
        found.append(f"{zeros:,} time{' is' if zeros == 1 else 's are'} 0, that is unknown.")
    return found


def _ends(numbers: pl.Series) -> tuple[int, int]:
    low, high = numbers.min(), numbers.max()
    assert isinstance(low, int)
    assert isinstance(high, int)
    return low, high


def _year(seconds: float) -> int:
    return 1970 + int(np.datetime64(int(seconds), "s").astype("datetime64[Y]").astype(int))
