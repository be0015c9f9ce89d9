"""Formats: files of interactions, and how each is read.

``FORMATS`` has all that can be read, by entry points. A file's format is guessed where it is not given: each
reader says how sure it is that the file is its own. Reading is Polars' work, streamed; where Polars meets
something wrong, ``faults`` looks a second time and names the line and column.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import polars as pl

from recaudit.data.faults import Layout, fault_of_repeat, first_line, lines_before_rows, split_line
from recaudit.data.interactions import Interactions, RepeatedPair
from recaudit.data.numbering import Repeats, assemble
from recaudit.data.parsing import fault_of_parquet_repeat, read_parquet, read_text
from recaudit.errors import UsageError, nearest
from recaudit.plugins import Registry

__all__ = ["FORMATS", "ROLES", "Format", "Reader", "guess_format", "parse_columns", "read_interactions"]

ROLES = ("user", "item", "time", "rating")


@dataclass(frozen=True, kw_only=True)
class Format:
    """How a kind of file holds interactions.

    Args:
        name: what it is called on the command line and in a spec.
        holds: what it is, in a few words.
        separator: what stands between fields; ``None`` takes the one that the header uses most, of ``, tab ;
            |``.
        quoted: whether fields may stand in double quotes.
        fields: the columns of a file without a header, or none where the first line names them.
        columns: which column holds which of ``ROLES``.
        optional: the roles that a file may lack.
        date: how times are written, where they are dates (``strptime``); ``None`` takes numbers and ISO 8601.
        keep: a column, the value that a row must have there to be read, and the other value that it may have.
        repeats: what a repeated pair means unless the caller says otherwise.
        typed: whether the header gives each column's type after a colon.
        endings: how the names of such files end.
        begins: a pattern of their first line, where it has one.
        sure: how sure these marks are, or else a header with all columns; 0 for a format that is not guessed.
    """

    name: str
    holds: str
    separator: str | None = ","
    quoted: bool = True
    fields: tuple[str, ...] = ()
    columns: Mapping[str, str]
    optional: tuple[str, ...] = ()
    date: str | None = None
    keep: tuple[str, str, str] | None = None
    repeats: Repeats = "error"
    typed: bool = False
    endings: tuple[str, ...] = ()
    begins: str | None = None
    sure: int = 0

    def likeness(self, path: Path, columns: Mapping[str, str] | None) -> int:
        """Return how sure it is that the file has this format; see :class:`Reader`."""
        ending = path.suffix.lower()
        if self.sure and ending in self.endings:
            return self.sure
        if not self.sure or self.name == "parquet" or ending in PARQUET.endings:
            return 0
        line = first_line(path)
        if self.begins is not None:
            return self.sure if re.match(self.begins, line) else 0
        if columns is not None:  # a format that knows its columns is not meant
            return 0
        header = [field.strip() for field in split_line(path, line, ",", quoted=True)]
        if self.fields and self.keep is not None:
            kept, *values = self.keep
            alike = len(header) == len(self.fields) and header[self.fields.index(kept)] in values
        else:
            alike = set(self.columns.values()) <= set(header)
        return self.sure if alike else 0

    def read(
        self, path: Path, *, columns: Mapping[str, str] | None, repeats: Repeats | None, name: str
    ) -> Interactions:
        """Return the interactions of a file; see :class:`Reader`."""
        layout = _layout(path, self, columns)
        parts = read_parquet(layout) if self.name == "parquet" else read_text(layout)
        try:
            return assemble(name, parts, repeats=repeats or self.repeats)
        except RepeatedPair as repeat:
            fault = fault_of_parquet_repeat if self.name == "parquet" else fault_of_repeat
            raise fault(layout, repeat.user_id, repeat.item_id) from None


_PLAIN = {role: role for role in ROLES}
_STEAM = ("user", "game", "behaviour", "hours", "zero")

MOVIELENS_DAT = Format(
    name="movielens-dat",
    holds="MovieLens ratings.dat: user::item::rating::time",
    separator="::",
    quoted=False,
    fields=("user", "item", "rating", "time"),
    columns=_PLAIN,
    endings=(".dat",),
    begins=r"[^:,\t]+::[^:,\t]+::",
    sure=20,
)
MOVIELENS_CSV = Format(
    name="movielens-csv",
    holds="MovieLens ratings.csv: userId,movieId,rating,timestamp",
    columns={"user": "userId", "item": "movieId", "rating": "rating", "time": "timestamp"},
    sure=10,
)
RECBOLE = Format(
    name="recbole",
    holds="RecBole .inter: tabs, and a header such as user_id:token",
    separator="\t",
    quoted=False,
    columns={"user": "user_id", "item": "item_id", "rating": "rating", "time": "timestamp"},
    optional=("rating", "time"),
    typed=True,
    endings=(".inter",),
    begins=r"[^\t:]+:(token|float)(_seq)?(\t|$)",
    sure=30,
)
TA_FENG = Format(
    name="ta-feng",
    holds="Kaggle ta_feng_all_months_merged.csv: a row a product bought, dates as 11/1/2000",
    columns={"user": "CUSTOMER_ID", "item": "PRODUCT_ID", "time": "TRANSACTION_DT"},
    date="%m/%d/%Y",
    repeats="first",
    sure=10,
)
TA_FENG_BASKETS = Format(
    name="ta-feng-baskets",
    holds="Ta-Feng with numbered baskets: customer_id,product_id,basket",
    columns={"user": "customer_id", "item": "product_id", "time": "basket"},
    repeats="first",
    sure=10,
)
STEAM = Format(
    name="steam",
    holds="Kaggle steam-200k.csv, its play rows: user,game,play,hours,0; hours stand as ratings",
    fields=_STEAM,
    columns={"user": "user", "item": "game", "rating": "hours"},
    keep=("behaviour", "play", "purchase"),
    repeats="first",
    sure=5,
)
STEAM_PURCHASES = Format(
    name="steam-purchases",
    holds="Kaggle steam-200k.csv, its purchase rows",
    fields=_STEAM,
    columns={"user": "user", "item": "game"},
    keep=("behaviour", "purchase", "play"),
    repeats="first",
)
CSV = Format(
    name="csv",
    holds="any text file with a header, separated by comma, tab, semicolon or bar",
    separator=None,
    columns=_PLAIN,
    optional=("rating", "time"),
)
PARQUET = Format(
    name="parquet",
    holds="any Parquet file",
    columns=_PLAIN,
    optional=("rating", "time"),
    endings=(".parquet", ".pq"),
    sure=40,
)


@runtime_checkable
class Reader(Protocol):
    """Reads files of one format. What satisfies it can be registered under ``recaudit.readers``."""

    @property
    def holds(self) -> str:
        """What such a file is, in a few words."""

    def likeness(self, path: Path, columns: Mapping[str, str] | None) -> int:
        """Return how sure the reader is that a file is its own: 0 for not at all, and the highest reads it.

        Endings of file names and patterns of a first line give 20 to 40, headers 10 or less.

        Args:
            path: the file.
            columns: a column mapping, if the user gave one.
        """

    def read(
        self, path: Path, *, columns: Mapping[str, str] | None, repeats: Repeats | None, name: str
    ) -> Interactions:
        """Return the interactions of a file.

        Args:
            path: the file, which exists and is not empty.
            columns: the column of each of ``ROLES``, if the user gave them.
            repeats: what a repeated pair means; ``None`` takes the format's own.
            name: what to call the data.

        Raises:
            UsageError: where the file cannot be read; the message names file, line and column.
        """


def _reader(found: Any) -> Reader | None:
    one = found() if isinstance(found, type) else found
    return one if isinstance(one, Reader) else None


FORMATS: Registry[Reader] = Registry(
    "recaudit.readers", kind="format", taken=_reader, expected="a Reader, or a class of them"
)
"""The readers by the name of their format."""


def parse_columns(text: str) -> dict[str, str]:
    """Parse a column mapping such as ``user=userId,item=movieId,time=timestamp,rating=rating``.

    Returns:
        The column's name by role; the roles are ``user``, ``item``, ``time`` and ``rating``.

    Raises:
        UsageError: where a part is no ``role=column``, a role is unknown or given twice, or user or item is
            missing.
    """
    columns: dict[str, str] = {}
    for part in text.split(","):
        role, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column:
            raise UsageError(
                f"columns: found {part.strip()!r}, expected role=column, such as user=userId,item=movieId"
            )
        if role in columns:
            raise UsageError(f"columns: {role!r} is given twice")
        columns[role] = column
    return _checked_columns(columns)


def _checked_columns(columns: Mapping[str, str]) -> dict[str, str]:
    for role in columns:
        if role not in ROLES:
            raise UsageError(f"columns: unknown key {role!r}{nearest(role, ROLES)}")
    for role in ("user", "item"):
        if role not in columns:
            raise UsageError(f"columns: no column is given for {role!r}; add {role}=NAME")
    return dict(columns)


def guess_format(path: Path, columns: Mapping[str, str] | None = None) -> str:
    """Return the name of the format that a file's name and first line speak for.

    Args:
        path: the file.
        columns: a column mapping, if the user gave one; it rules out the formats that know their columns.

    Raises:
        UsageError: where the file cannot be read or is empty.
    """
    found, refusals = [], []
    for name, reader in FORMATS.items():
        try:
            found.append((reader.likeness(path, columns), name))
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
    repeats: Repeats | None = None,
    name: str | None = None,
) -> Interactions:
    """Read a file of interactions.

    Histories are ordered by time, the file's order breaking ties; without times they keep the file's order.
    Ids stay integers where every id of the column is a whole number (so ``007`` is 7) and text otherwise;
    users and items are numbered in their ids' order. Ratings and times are kept where the file has them.

    Args:
        path: the file.
        format: a name in ``FORMATS``, or ``None`` to guess it.
        columns: the column of each of ``ROLES``, as a mapping or as text for ``parse_columns``.
        repeats: what a repeated pair means: ``"error"``, or which of it in the history is kept, the
            ``"first"`` or the ``"last"``; ``None`` takes the format's own (first for Ta-Feng and Steam, an
            error elsewhere).
        name: what to call the data; the file's name without its ending by default.

    Raises:
        UsageError: where the file cannot be read as the format says; the message names file, line and column.
    """
    path = Path(path)
    if isinstance(columns, str):
        columns = parse_columns(columns)
    elif columns is not None:
        columns = _checked_columns(columns)
    if format is not None and format not in FORMATS:
        raise UsageError(f"unknown format {format!r}{nearest(format, FORMATS)}")
    if repeats not in (None, "error", "first", "last"):
        raise UsageError(f"repeats: found {repeats!r}, expected 'error', 'first' or 'last'")
    _check_file(path)
    reader = FORMATS[format or guess_format(path, columns)]
    return reader.read(path, columns=columns, repeats=repeats, name=name or path.stem)


def _check_file(path: Path) -> None:
    try:
        _check_kind(path)
        path.open("rb").close()
    except OSError as error:
        raise UsageError(f"{path}: cannot be opened ({error.strerror})") from None


def _check_kind(path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"{path}: is a directory, expected a file; name the file inside it")
    if not path.exists():
        siblings = [p.name for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else []
        raise UsageError(f"{path}: no such file{nearest(path.name, siblings) if siblings else ''}")
    if not path.is_file():
        raise UsageError(f"{path}: is no regular file")
    if path.stat().st_size == 0:
        raise UsageError(f"{path}: the file is empty")


def _layout(path: Path, chosen: Format, columns: Mapping[str, str] | None) -> Layout:
    """Settle which field of this very file holds what."""
    separator, line = chosen.separator, "" if chosen.name == "parquet" else first_line(path)
    if chosen.name == "parquet":
        fields = _parquet_fields(path)
    elif chosen.fields:
        fields = chosen.fields
    else:
        separator = separator or max(",\t;|", key=line.count)
        fields = tuple(f.strip() for f in split_line(path, line, separator, quoted=chosen.quoted))
        if chosen.typed:
            fields = tuple(f.rpartition(":")[0] or f for f in fields)
    roles = {}
    for role, column in (columns or chosen.columns).items():
        if column in fields:
            if fields.count(column) > 1:
                raise UsageError(f"{path}, line 1: the header names column {column!r} twice")
            roles[role] = fields.index(column)
        elif columns or role not in chosen.optional:
            raise _missing_column(path, role, column, fields, given=columns is not None)
    return Layout(
        path=path,
        separator=separator or ",",
        quoted=chosen.quoted,
        header=not chosen.fields,
        skip=0 if chosen.name == "parquet" else lines_before_rows(path, header=not chosen.fields),
        fields=fields,
        roles=roles,
        date=chosen.date,
        keep=None if chosen.keep is None else (fields.index(chosen.keep[0]), *chosen.keep[1:]),
    )


def _parquet_fields(path: Path) -> tuple[str, ...]:
    try:
        return tuple(pl.scan_parquet(path, glob=False).collect_schema().names())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UsageError(
            f"{path}: is no Parquet file that can be read: {str(error).splitlines()[0]}"
        ) from None


def _missing_column(
    path: Path, role: str, column: str, fields: tuple[str, ...], *, given: bool
) -> UsageError:
    say = nearest(column, fields)
    if not given:
        say += "; name the columns with --columns user=…,item=…[,time=…][,rating=…]"
    return UsageError(f"{path}, line 1: there is no column {column!r} for {role!r}{say}")
