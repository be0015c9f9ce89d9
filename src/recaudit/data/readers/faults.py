"""Faults: the slow second look at a text file that could not be read, to name the line and the column.

Reading a file that is in order never comes here. The rules for a field (what a missing id is, what a number
is) stand in ``values``, beside those for whole columns.
"""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recaudit.data.readers.files import File
from recaudit.data.readers.values import BLANKS, INTEGER, NUMBER, Written, is_missing, may_be_two, time_kinds
from recaudit.errors import UsageError

__all__ = [
    "Layout",
    "RepeatedRows",
    "fault_of_repeat",
    "first_fault",
    "first_line",
    "lines_before_rows",
    "repeat_fault",
    "split_line",
]

_LARGEST_FLOAT32 = 3.4028235e38


class RepeatedRows(UsageError):
    """A file has a pair twice, and nobody said what that means."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which field of one file holds what.

    Args:
        file: the file.
        separator: what stands between fields.
        quoted: whether fields may stand in double quotes.
        header: the fields of the first line, where it names the columns.
        skip: how many lines stand before the first row: the header, and blank lines.
        fields: the columns' names, in the file's order.
        roles: the place in ``fields`` of the user, the item and, where there are any, the time and the
            rating.
        date: how times are written, where they are dates.
        ids: how ids are written; see :func:`~recaudit.data.readers.values.ids_of`.
        keep: the place of the column that chooses rows, the value to keep, and the other value that may
            stand there.
    """

    file: File
    separator: str
    quoted: bool
    header: tuple[str, ...] | None
    skip: int
    fields: tuple[str, ...]
    roles: dict[str, int]
    date: str | None
    keep: tuple[int, str, str] | None
    ids: Written = "plain"

    def column(self, role: str) -> str:
        """Return how a message names the column of a role."""
        return self.named(self.roles[role])

    def named(self, place: int) -> str:
        """Return how a message names the column at a place."""
        return (
            f"column {self.fields[place]!r}" if self.header else f"column {place + 1} ({self.fields[place]})"
        )


def first_line(file: File) -> str:
    """Return the first line of a text file, without its end and without a byte order mark.

    Raises:
        UsageError: where the file is empty, or the line is not UTF-8.
    """
    with file.path.open("rb") as opened:
        raw = opened.readline(1 << 20)
    line = _decoded(1, raw).rstrip("\r\n")
    _check_decoded(file, 1, raw, line)
    if not line.strip(BLANKS):
        blank = not file.path.read_bytes().strip(b"\xef\xbb\xbf" + BLANKS.encode())
        raise UsageError(f"{file.shown}: the file is empty" if blank else f"{file.at(1)}: the line is empty")
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


def split_line(file: File, line: str, separator: str, *, quoted: bool) -> tuple[str, ...]:
    """Return the fields of a file's first line.

    Raises:
        UsageError: where its quotation marks are out of place, or a field is far too long.
    """
    if not quoted or len(separator) > 1:
        return tuple(line.split(separator))
    try:
        return tuple(next(csv.reader([line], delimiter=separator, strict=True)))
    except csv.Error as error:
        raise _misquoted(file, 1, error) from None


def first_fault(layout: Layout) -> UsageError | None:
    """Read the file field by field and return what is wrong with it first, or ``None`` where nothing is."""
    kinds: set[str] | None = None
    two = None
    for line, row, raw in _rows(layout):
        found = _fault_of_row(layout, row, line, raw)
        if found is None and "time" in layout.roles and not _skipped(layout, row):
            text = row[layout.roles["time"]]
            before, kinds = kinds, time_kinds(text, layout.date) & (kinds or time_kinds(text, layout.date))
            if not kinds:
                expected = (
                    "a time" if before is None else f"a time written as above ({' or '.join(sorted(before))})"
                )
                found = f"{layout.column('time')}: found {text!r}, expected {expected}{_without(layout)}"
            elif two is None and may_be_two(text):
                two = (
                    f"{layout.file.at(line)}, {layout.column('time')}: found {text!r}, which may be month/day or "
                    f"day/month; write dates as 2020-12-31{_without(layout)}"
                )
        if found:
            return UsageError(f"{layout.file.at(line)}, {found}")
    return UsageError(two) if two is not None and len(kinds or ()) > 1 else None


def fault_of_repeat(layout: Layout, user_id: int | str, item_id: int | str) -> RepeatedRows:
    """Return the error that names the two lines on which a pair stands."""
    lines = []
    for line, row, _ in _rows(layout):
        if _skipped(layout, row):
            continue
        if _same(layout, row, "user", user_id) and _same(layout, row, "item", item_id):
            lines.append(line)
            if len(lines) == 2:
                break
    return repeat_fault(layout, user_id, item_id, _at_lines(layout.file, *lines))


def _without(layout: Layout) -> str:
    """Return how a column that need not be read is left out."""
    names = (f"{role}={layout.fields[layout.roles[role]]}" for role in ("user", "item"))
    return f"; to read the file without it, add --columns {','.join(names)}"


def _at_lines(file: File, first: int, again: int) -> tuple[str, str]:
    return (file.at(first) if file.pieces else f"line {first}"), file.at(again)


def repeat_fault(layout: Layout, user_id: int | str, item_id: int | str, at: tuple[str, str]) -> RepeatedRows:
    """Return the error that a pair stands at two places, the second named in full."""
    return RepeatedRows(
        f"{at[1]}, {layout.column('item')}: user {user_id!r} has item {item_id!r} again (first on {at[0]}); say what "
        "that means with --repeats first, last, sum or count (repeats under data in a spec)"
    )


def _same(layout: Layout, row: list[str], role: str, known: int | str) -> bool:
    text = row[layout.roles[role]]
    if isinstance(known, str):
        return (text if layout.ids == "exact" else text.strip(BLANKS)) == known
    return INTEGER.fullmatch(text) is not None and int(text) == known


def _skipped(layout: Layout, row: list[str]) -> bool:
    return layout.keep is not None and row[layout.keep[0]] != layout.keep[1]


def _fault_of_row(layout: Layout, row: list[str], line: int, raw: bytes) -> str | None:
    """Return what is wrong with a row, the time apart."""
    found = _fault_of_width(layout, row)
    if found is not None:
        return found
    if layout.keep is not None and row[layout.keep[0]] not in layout.keep[1:]:
        place, *values = layout.keep
        return (
            f"{layout.named(place)}: found {row[place]!r}, expected {' or '.join(map(repr, sorted(values)))}"
        )
    if _skipped(layout, row):
        return None
    for place in layout.roles.values():
        _check_decoded(layout.file, line, raw, row[place])
    used = layout.roles.values()
    if layout.header and all(
        row[place].strip(BLANKS) == layout.header[place].strip(BLANKS) for place in used
    ):
        return "column 1: the header stands here again; take the line out"
    return _fault_of_fields(layout, row)


def _fault_of_width(layout: Layout, row: list[str]) -> str | None:
    """Return what is wrong with the number of a row's fields, and with what separates them."""
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
    return None


def _fault_of_fields(layout: Layout, row: list[str]) -> str | None:
    """Return what is wrong with a row's ids and rating."""
    for role, what in (("user", "a user"), ("item", "an item")):
        text = row[layout.roles[role]]
        if is_missing(text):
            return f"{layout.column(role)}: found {text!r}, expected the id of {what}"
        if "\n" in text or "\r" in text:
            return (
                f"{layout.column(role)}: the id runs over the end of the line; is a quotation mark missing?"
            )
    if "rating" in layout.roles:
        text = row[layout.roles["rating"]]
        if (
            not NUMBER.fullmatch(text)
            or not math.isfinite(float(text))
            or abs(float(text)) > _LARGEST_FLOAT32
        ):
            return f"{layout.column('rating')}: found {text!r}, expected a number{_without(layout)}"
    return None


def _rows(layout: Layout) -> Iterator[tuple[int, list[str], bytes]]:
    """Yield the line number, the fields and the bytes of each row that is not blank, the header apart.

    A byte that is not UTF-8 comes as a lone surrogate. The bytes are those of the row's last line.

    Raises:
        UsageError: where a quotation mark is not closed.
    """
    raw = b""

    def lines() -> Iterator[str]:
        nonlocal raw
        with layout.file.path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                yield _decoded(number, raw)

    header = layout.header is not None
    if not layout.quoted or len(layout.separator) > 1:
        for number, line in enumerate(lines(), 1):
            if line.strip(BLANKS) and not (number == 1 and header):
                yield number, line.rstrip("\r\n").split(layout.separator), raw
        return
    reader = csv.reader(lines(), delimiter=layout.separator, strict=True)
    begin = 1
    try:
        for row in reader:
            blank = not row or (len(row) == 1 and not row[0].strip(BLANKS))
            if not blank and not (begin == 1 and header):
                yield begin, row, raw
            begin = reader.line_num + 1
    except csv.Error as error:
        raise _misquoted(layout.file, begin, error) from None


def _misquoted(file: File, line: int, error: csv.Error) -> UsageError:
    return UsageError(
        f"{file.at(line)}: a quotation mark or a line end is out of place ({error}), "
        'expected fields quoted as "…", a mark inside written twice'
    )


def _decoded(number: int, raw: bytes) -> str:
    return raw.decode("utf-8-sig" if number == 1 else "utf-8", errors="surrogateescape")


def _check_decoded(file: File, number: int, raw: bytes, text: str) -> None:
    """Refuse a text that was no UTF-8.

    Raises:
        UsageError: which names the line and, in it, the first such byte.
    """
    if text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text):
        return
    try:
        raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        found = f"byte {error.start + 1}: found {raw[error.start]:#04x}"
    else:
        found = f"found {text!r}"
    raise UsageError(
        f"{file.at(number)}, {found}, expected UTF-8 text; if the file is Western European, add --encoding latin-1 "
        "(encoding under data in a spec)"
    )
