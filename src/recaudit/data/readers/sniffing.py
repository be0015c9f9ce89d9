"""Sniffing: what a text file's first lines say of its separator, its header and its columns."""

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from recaudit.data.readers.files import File
from recaudit.data.readers.names import usual_columns
from recaudit.data.readers.protocol import Options
from recaudit.data.readers.values import BLANKS, NUMBER, is_missing, time_kinds
from recaudit.errors import UsageError

__all__ = [
    "SEPARATORS",
    "Shape",
    "columns_by_content",
    "has_header",
    "separator_name",
    "separator_of",
    "split",
]

SEPARATORS: Mapping[str, str] = {
    "comma": ",",
    "tab": "\t",
    "semicolon": ";",
    "bar": "|",
    "double colon": "::",
    "space": " ",
}
"""The separators that have names; the first five are looked for."""
_LOOKED_FOR = tuple(SEPARATORS.values())[:5]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What the first lines of a text say of it.

    Args:
        separator: what stands between fields.
        header: whether the first line names the columns.
        rows: the fields of the first lines, blank lines apart.
    """

    separator: str
    header: bool
    rows: tuple[tuple[str, ...], ...]


def separator_name(separator: str) -> str:
    """Return how a message names a separator."""
    return next((name for name, known in SEPARATORS.items() if known == separator), repr(separator))


def separator_of(text: str) -> str:
    r"""Return the separator that a user names: itself, ``\t``, or a name of ``SEPARATORS``.

    Raises:
        UsageError: where it is longer than one character, and no character twice.
    """
    named = {**SEPARATORS, "\\t": "\t", "blank": " ", "pipe": "|", "colon": ":"}
    separator = named.get(text.lower(), text)
    if not separator or len(set(separator)) != 1 or len(separator) > 2 or separator in '"\r\n':
        raise UsageError(
            f"separator: found {text!r}, expected one character or one twice, such as ';', tab or '::'"
        )
    return separator


def split(line: str, separator: str, *, quoted: bool = True) -> tuple[str, ...]:
    """Return the fields of a line, leniently: what is wrong with them is found when the file is read."""
    if len(separator) > 1 or not quoted or '"' not in line:
        return tuple(line.split(separator))
    try:
        return tuple(next(csv.reader([line], delimiter=separator)))
    except (csv.Error, StopIteration):
        return tuple(line.split(separator))


def shape_of(file: File, options: Options, *, quoted: bool = True) -> Shape:
    """Return what the first lines and the user's options say of a text."""
    lines = [line for line in file.lines if line.strip(BLANKS)]
    separator = options.separator or _separator(lines)
    rows = tuple(split(line, separator, quoted=quoted) for line in lines)
    rows = tuple(tuple(field.strip(BLANKS) for field in row) for row in rows)
    header = options.header if options.header is not None else _header(rows, options.columns)
    return Shape(separator=separator, header=header, rows=rows)


def has_header(options: Options) -> Callable[[File], bool]:
    """Return what says whether a text begins with a header."""
    return lambda file: shape_of(file, options).header


def _separator(lines: Sequence[str]) -> str:
    """Return the separator that cuts every line into as many fields, and else the header's most frequent."""
    widths = {one: {len(split(line, one)) for line in lines} for one in _LOOKED_FOR}
    even = {one: min(found) for one, found in widths.items() if len(found) == 1 and found != {1}}
    if even:
        return max(even, key=even.__getitem__)
    return max(_LOOKED_FOR, key=lambda one: len(split(lines[0], one)) if lines else 0)


def _header(rows: Sequence[Sequence[str]], columns: Mapping[str, str] | None) -> bool:
    """Return whether the first row names the columns."""
    if not rows:
        return True
    first, below = rows[0], rows[1:]
    if columns is not None and {*columns.values()} & {*first} - {str(n + 1) for n in range(len(first))}:
        return True
    if {"user", "item"} <= usual_columns(first).keys():
        return True
    if any(_is_value(field) for field in first):
        return False
    # Words above numbers are names; a value that comes again below, or that is shaped as those below, is none.
    for place, field in enumerate(first):
        column = [row[place] for row in below if place < len(row)]
        if field in column or (
            column and _shape(field) != "a" and {_shape(one) for one in column} == {_shape(field)}
        ):
            return False
    return True


def _is_value(field: str) -> bool:
    return bool(NUMBER.fullmatch(field)) or bool(time_kinds(field, None))


def _shape(field: str) -> str:
    """Return the kinds of a field's characters, ``a9`` of ``user17``."""
    return re.sub(r"9+", "9", re.sub(r"a+", "a", re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", field))))


def columns_by_content(rows: Sequence[Sequence[str]]) -> dict[str, int]:
    """Return the columns that rows without a header speak for: user before item, then rating and time.

    Fewer than two where that cannot be told.
    """
    if not rows:
        return {}
    columns = [[row[place] for row in rows if place < len(row)] for place in range(len(rows[0]))]
    found: dict[str, int] = {}
    times = [place for place, column in enumerate(columns) if all(map(_is_time, column))]
    if times:
        found["time"] = times[0]
    ids = [
        place
        for place, column in enumerate(columns)
        if place not in times and all(map(_is_id, column)) and (len(set(column)) > 1 or place < 2)
    ]
    if len(ids) < 2:
        return {}
    user, item = ids[:2]
    # Amazon's later files put the product first.
    if all(map(_ASIN.fullmatch, columns[user])) and not any(map(_ASIN.fullmatch, columns[item])):
        user, item = item, user
    found |= {"user": user, "item": item}
    ratings = [
        place for place, column in enumerate(columns) if place not in found.values() and _rates(column)
    ]
    return {**found, **({"rating": ratings[0]} if ratings else {})}


_ASIN = re.compile(r"B[0-9A-Z]{9}|[0-9]{9}[0-9X]")


def _is_time(field: str) -> bool:
    dates = time_kinds(field, None) - {"whole number", "number"}
    number = NUMBER.fullmatch(field) is not None and len(field) > 8 and 1e8 < float(field) < 1e17
    return bool(dates) or number


def _is_id(field: str) -> bool:
    return not is_missing(field) and not re.fullmatch(r"[+-]?[0-9]*\.[0-9]+", field)


def _rates(column: Sequence[str]) -> bool:
    """Return whether a column holds few small numbers, whole or halves."""
    if not all(map(NUMBER.fullmatch, column)):
        return False
    values = {float(field) for field in column}
    return all(0 <= value <= 100 and (2 * value).is_integer() for value in values) and len(values) <= 21
