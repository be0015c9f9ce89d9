"""The readers by the names of their formats, and one way to read any file."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from recaudit.data.interactions import Interactions
from recaudit.data.numbering import Repeats
from recaudit.data.readers.columns import checked_columns, parse_columns
from recaudit.data.readers.files import TEXT, File, opened
from recaudit.data.readers.protocol import Options, Reader
from recaudit.data.readers.sniffing import has_header, separator_of
from recaudit.data.reading import Reading
from recaudit.errors import UsageError, nearest
from recaudit.plugins import Registry

__all__ = ["FORMATS", "guess_format", "read_interactions"]


def _reader(found: Any) -> Reader | None:
    one = found() if isinstance(found, type) else found
    return one if isinstance(one, Reader) else None


FORMATS: Registry[Reader] = Registry(
    "recaudit.readers", kind="format", taken=_reader, expected="a Reader, or a class of them"
)
"""The readers by the name of their format."""


def guess_format(file: File, options: Options) -> str:
    """Return the name of the format that a file's content and name speak for.

    Raises:
        UsageError: where the file cannot be read or is empty.
    """
    found, refusals = [], []
    for name, reader in FORMATS.items():
        try:
            found.append((reader.likeness(file, options), name))
        except UsageError as error:  # such as a text that is no text
            refusals.append(error)
    sure, best = max(found, default=(0, "csv"), key=lambda one: one[0])
    if not sure and refusals:
        raise refusals[0]
    return best if sure else "csv"


def read_interactions(
    path: str | Path,
    *,
    format: str | None = None,
    columns: Mapping[str, str] | str | None = None,
    header: bool | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    repeats: Repeats | None = None,
    name: str | None = None,
) -> Interactions:
    """Read a file of interactions.

    Histories are ordered by time, the file's order breaking ties; without times they keep the file's order.
    Ids stay integers where every id of the column is a plain whole number and text otherwise; users and items are
    numbered in their ids' order. Ratings and times are kept where the file has them. What was not used, guessed and
    merged is said by ``reading`` of what comes back.

    Args:
        path: the file, packed or not; a folder of parts; or a pattern such as ``part-*.csv``.
        format: a name in ``FORMATS``, or ``None`` to guess it.
        columns: the column of each role, by name or by number from 1 on, as a mapping or as text for
            ``parse_columns``; ``None`` takes the usual names.
        header: whether the first line names the columns; ``None`` looks.
        separator: what stands between fields, itself or by name (``tab``); ``None`` looks.
        encoding: of a text; ``None`` takes UTF-8.
        repeats: what a repeated pair means: ``"error"``; which of it in the history is kept, the ``"first"`` or the
            ``"last"``; or one with the ``"sum"`` of the ratings, or with their ``"count"`` as rating. ``None`` takes
            the format's own (first for Ta-Feng and Steam, an error elsewhere).
        name: what to call the data; the file's name without its ending by default.

    Raises:
        UsageError: where the file cannot be read as the format says; the message names file, line and column.
    """
    path = Path(path)
    if isinstance(columns, str):
        columns = parse_columns(columns)
    elif columns is not None:
        columns = checked_columns(columns)
    if format is not None and format not in FORMATS:
        raise UsageError(f"unknown format {format!r}{nearest(format, FORMATS)}")
    if repeats not in (None, *get_args(Repeats)):
        raise UsageError(f"repeats: found {repeats!r}, expected one of: {', '.join(get_args(Repeats))}")
    options = Options(
        columns=columns,
        header=header,
        separator=None if separator is None else separator_of(separator),
        repeats=repeats,
    )
    with opened(path, encoding=encoding, header=has_header(options)) as file:
        if file.kind != TEXT and encoding is not None:
            raise UsageError(f"{path}: a {file.kind} file says its encoding itself; leave --encoding out")
        chosen = format or guess_format(file, options)
        data = FORMATS[chosen].read(file, options, name or _name(path))
    if data.reading is None:  # a reader of another package need not say anything
        return data.with_reading(Reading(format=chosen))
    return data.with_reading(data.reading.model_copy(update={"format": chosen}))


def _name(path: Path) -> str:
    """Return the name of a file without its endings, in UTF-8 whatever bytes it has."""
    name = path.stem
    for ending in (".csv", ".tsv", ".txt", ".dat", ".json", ".jsonl", ".inter"):
        name = name.removesuffix(ending) if path.suffix in (".gz", ".bz2", ".xz", ".zip") else name
    return os.fsencode(name).decode(errors="replace")
