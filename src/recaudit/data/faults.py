"""Faults: the slow second look at a text file that could not be read, to name the line and the column.

Reading a file that is in order never comes here. The rules for a field (what a missing id is, what a number
is) stand here once, and ``parsing`` uses the same ones on whole columns.
"""

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from recaudit.errors import UsageError

__all__ = [
    "BLANKS",
    "MISSING",
    "Layout",
    "fault_of_repeat",
    "first_fault",
    "first_line",
    "lines_before_rows",
    "repeat_fault",
    "split_line",
]

# How an absent id is written, in any case and with blanks around it.
MISSING = frozenset({"", "nan", "null", "none", "<na>", "n/a"})

# What is blank around a field and on a line. (Python and Polars differ on what else might be.)
BLANKS = " \t\r\n"

_INTEGER = re.compile(r"[ \t]*[+-]?[0-9]{1,19}[ \t]*")
_NUMBER = re.compile(r"[ \t]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t]*")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATE_AND_TIME = re.compile(_DATE.pattern + r"[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z?")
_LARGEST_FLOAT32 = 3.4028235e38
# Compressed files and other text encodings, by their first bytes.
_SIGNATURES = {
    b"\x1f\x8b": "a gzip file; unpack it first",
    b"PK\x03\x04": "a zip file; unpack it first",
    b"\x28\xb5\x2f\xfd": "a Zstandard file; unpack it first",
    b"BZh": "a bzip2 file; unpack it first",
    b"PAR1": "a Parquet file; give it the ending .parquet or the format parquet",
    b"\xff\xfe": "UTF-16 text; convert it to UTF-8",
    b"\xfe\xff": "UTF-16 text; convert it to UTF-8",
}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which field of one file holds what.

    Args:
        path: the file.
        separator: what stands between fields.
        quoted: whether fields may stand in double quotes.
        header: whether the first line names the columns.
        skip: how many lines stand before the first row: the header, and blank lines.
        fields: the columns' names, in the file's order.
        roles: the place in ``fields`` of the user, the item and, where there are any, the time and the
            rating.
        date: how times are written, where they are dates.
        keep: the place of the column that chooses rows, the value to keep, and the other value that may
            stand there.
    """

    path: Path
    separator: str
    quoted: bool
    header: bool
    skip: int
    fields: tuple[str, ...]
    roles: dict[str, int]
    date: str | None
    keep: tuple[int, str, str] | None

    def column(self, role: str) -> str:
        """Return how a message names the column of a role."""
        return self.named(self.roles[role])

    def named(self, place: int) -> str:
        """Return how a message names the column at a place."""
        return (
            f"column {self.fields[place]!r}" if self.header else f"column {place + 1} ({self.fields[place]})"
        )


def _is_missing(text: str) -> bool:
    """Return whether a field says that there is no id."""
    return text.strip(BLANKS).lower() in MISSING


def first_line(path: Path) -> str:
    """Return the first line of a text file, without its end and without a byte order mark.

    Raises:
        UsageError: where the file is empty, packed, or not UTF-8.
    """
    with path.open("rb") as file:
        raw = file.readline(1 << 20)
    for signature, what in _SIGNATURES.items():
        if raw.startswith(signature):
            raise UsageError(f"{path}, line 1: this is {what}")
    line = _decoded(path, 1, raw).rstrip("\r\n")
    if not line.strip(BLANKS):
        blank = not path.read_bytes().strip(b"\xef\xbb\xbf" + BLANKS.encode())
        raise UsageError(f"{path}: the file is empty" if blank else f"{path}, line 1: the line is empty")
    return line


def lines_before_rows(path: Path, *, header: bool) -> int:
    """Return how many lines stand before the first row: the header, and blank lines."""
    before = int(header)
    with path.open("rb") as file:
        for number, line in enumerate(file):
            if number >= before:
                if line.strip(BLANKS.encode()):
                    break
                before += 1
    return before


def split_line(path: Path, line: str, separator: str, *, quoted: bool) -> tuple[str, ...]:
    """Return the fields of a file's first line.

    Raises:
        UsageError: where its quotation marks are out of place, or a field is far too long.
    """
    if not quoted:
        return tuple(line.split(separator))
    try:
        return tuple(next(csv.reader([line], delimiter=separator, strict=True)))
    except csv.Error as error:
        raise _misquoted(path, 1, error) from None


def first_fault(layout: Layout) -> UsageError | None:
    """Read the file field by field and return what is wrong with it first, or ``None`` where nothing is."""
    kinds: set[str] | None = None
    for line, row in _rows(layout):
        found = _fault_of_row(layout, row)
        if found is None and "time" in layout.roles and not _skipped(layout, row):
            text = row[layout.roles["time"]]
            before, kinds = kinds, _time_kinds(text, layout.date) & (kinds or _time_kinds(text, layout.date))
            if not kinds:
                expected = (
                    "a time" if before is None else f"a time written as above ({' or '.join(sorted(before))})"
                )
                found = f"{layout.column('time')}: found {text!r}, expected {expected}"
        if found:
            return UsageError(f"{layout.path}, line {line}, {found}")
    return None


def fault_of_repeat(layout: Layout, user_id: int | str, item_id: int | str) -> UsageError:
    """Return the error that names the two lines on which a pair stands."""
    lines = []
    for line, row in _rows(layout):
        if _skipped(layout, row):
            continue
        if _same(row[layout.roles["user"]], user_id) and _same(row[layout.roles["item"]], item_id):
            lines.append(line)
            if len(lines) == 2:
                break
    return repeat_fault(layout, user_id, item_id, (f"line {lines[0]}", f"line {lines[1]}"))


def repeat_fault(layout: Layout, user_id: int | str, item_id: int | str, at: tuple[str, str]) -> UsageError:
    """Return the error that a pair stands at two places."""
    return UsageError(
        f"{layout.path}, {at[1]}, {layout.column('item')}: user {user_id!r} has item {item_id!r} again "
        f"(first on {at[0]}); to keep one of them, say repeats 'first' or 'last' (--set data.repeats=first)"
    )


def _time_kinds(text: str, date: str | None) -> set[str]:
    """Return the ways in which a time may be written that this text fits."""
    if date is not None:
        return {f"a date as {date}"} if _parses(text.strip(BLANKS), date) else set()
    kinds = set()
    if _INTEGER.fullmatch(text) and -(1 << 63) <= int(text) < 1 << 63:
        kinds.add("whole number")
    if _NUMBER.fullmatch(text) and abs(float(text)) < 1 << 62:
        kinds.add("number")
    text = text.strip(BLANKS)
    if _DATE.fullmatch(text) and _parses(text, "%Y-%m-%d"):
        kinds.add("date")
    if _DATE_AND_TIME.fullmatch(text) and _parses(text[:19].replace("T", " "), "%Y-%m-%d %H:%M:%S"):
        kinds.add("date and time")
    return kinds


def _parses(text: str, date: str) -> bool:
    try:
        datetime.strptime(text, date)
    except ValueError:
        return False
    return True


def _same(text: str, known: int | str) -> bool:
    if isinstance(known, str):
        return text == known
    return _INTEGER.fullmatch(text) is not None and int(text) == known


def _skipped(layout: Layout, row: list[str]) -> bool:
    return layout.keep is not None and row[layout.keep[0]] != layout.keep[1]


def _fault_of_row(layout: Layout, row: list[str]) -> str | None:
    """Return what is wrong with a row, the time apart."""
    names, width = ", ".join(layout.fields), len(layout.fields)
    if len(row) < width:
        return f"{layout.named(len(row))}: the row has {len(row)} of {width} fields ({names})"
    if len(row) > width:
        return f"column {width + 1}: the row has {len(row)} fields, expected {width} ({names})"
    if len(layout.separator) > 1:
        for place, text in enumerate(row):
            if layout.separator[0] in text:
                return (
                    f"{layout.named(place)}: found {text!r}, expected {layout.separator!r} between the fields"
                )
    if layout.keep is not None and row[layout.keep[0]] not in layout.keep[1:]:
        place, *values = layout.keep
        return (
            f"{layout.named(place)}: found {row[place]!r}, expected {' or '.join(map(repr, sorted(values)))}"
        )
    return None if _skipped(layout, row) else _fault_of_fields(layout, row)


def _fault_of_fields(layout: Layout, row: list[str]) -> str | None:
    """Return what is wrong with a row's ids and rating."""
    for role, what in (("user", "a user"), ("item", "an item")):
        text = row[layout.roles[role]]
        if _is_missing(text):
            return f"{layout.column(role)}: found {text!r}, expected the id of {what}"
        if "\n" in text or "\r" in text:
            return (
                f"{layout.column(role)}: the id runs over the end of the line; is a quotation mark missing?"
            )
    if "rating" in layout.roles:
        text = row[layout.roles["rating"]]
        if (
            not _NUMBER.fullmatch(text)
            or not math.isfinite(float(text))
            or abs(float(text)) > _LARGEST_FLOAT32
        ):
            return f"{layout.column('rating')}: found {text!r}, expected a number"
    return None


def _rows(layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the fields of each row that is not blank, the header apart.

    Raises:
        UsageError: where a line is not UTF-8, or a quotation mark is not closed.
    """
    with layout.path.open("rb") as file:
        lines = (_decoded(layout.path, number, raw) for number, raw in enumerate(file, 1))
        if not layout.quoted:
            for number, line in enumerate(lines, 1):
                if line.strip(BLANKS) and not (number == 1 and layout.header):
                    yield number, line.rstrip("\r\n").split(layout.separator)
            return
        reader = csv.reader(lines, delimiter=layout.separator, strict=True)
        begin = 1
        try:
            for row in reader:
                blank = not row or (len(row) == 1 and not row[0].strip(BLANKS))
                if not blank and not (begin == 1 and layout.header):
                    yield begin, row
                begin = reader.line_num + 1
        except csv.Error as error:
            raise _misquoted(layout.path, begin, error) from None


def _misquoted(path: Path, line: int, error: csv.Error) -> UsageError:
    return UsageError(
        f"{path}, line {line}: a quotation mark or a line end is out of place ({error}), "
        'expected fields quoted as "…", a mark inside written twice'
    )


def _decoded(path: Path, number: int, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}, line {number}, byte {error.start + 1}: found {raw[error.start]:#04x}, expected UTF-8 "
            "text; convert the file, for instance with iconv -t UTF-8"
        ) from None
