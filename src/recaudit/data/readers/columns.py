"""Columns: which column of a file holds what, and from read columns to interactions."""

from collections.abc import Collection, Mapping, Sequence

import polars as pl

from recaudit.data.interactions import Interactions
from recaudit.data.numbering import Repeats, assemble
from recaudit.data.readers.names import ROLES, usual_columns
from recaudit.data.readers.values import look_alikes, time_doubts
from recaudit.data.reading import Reading
from recaudit.errors import UsageError, nearest

__all__ = ["checked_columns", "chosen_columns", "finished", "parse_columns", "unread_times"]


def parse_columns(text: str) -> dict[str, str]:
    """Parse a column mapping such as ``user=userId,item=movieId,time=timestamp,rating=rating``.

    Returns:
        The column's name, or its number from 1 on, by role; the roles are ``user``, ``item``, ``time`` and
        ``rating``.

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
    return checked_columns(columns)


def checked_columns(columns: Mapping[str, str]) -> dict[str, str]:
    """Return a column mapping whose roles are known.

    Raises:
        UsageError: where a role is not, or user or item is missing.
    """
    for role in columns:
        if role not in ROLES:
            raise UsageError(f"columns: unknown key {role!r}{nearest(role, ROLES)}")
    for role in ("user", "item"):
        if role not in columns:
            raise UsageError(f"columns: no column is given for {role!r}; add {role}=NAME")
    return dict(columns)


def chosen_columns(
    where: str,
    given: Mapping[str, str] | None,
    fields: Sequence[str],
    *,
    optional: Sequence[str] = (),
    text: bool = True,
) -> dict[str, int]:
    """Return the place of each role's column.

    Args:
        where: how messages name the place of the columns' names.
        given: the column of each role, by name or by number from 1 on; ``None`` takes the usual names.
        fields: the columns' names.
        optional: roles that may be missing.
        text: whether the names stand in a first line, which may be none.

    Raises:
        UsageError: where a column is not there, there twice, or named for two roles.
    """
    if given is None:
        found = usual_columns(fields)
        for role in ("user", "item"):
            if role not in found:
                raise _missing_column(where, role, role, fields, usual=found, text=text)
    else:
        found = {}
        for role, column in given.items():
            if column in fields:
                found[role] = fields.index(column)
            elif column.isdecimal() and 1 <= int(column) <= len(fields):
                found[role] = int(column) - 1
            elif role not in optional:
                raise _missing_column(where, role, column, fields)
    for role, place in found.items():
        if fields.count(fields[place]) > 1 and not (given or {}).get(role, "").isdecimal():
            raise UsageError(f"{where}: the header names column {fields[place]!r} twice")
        others = [other for other, also in found.items() if also == place and other != role]
        if others:
            raise UsageError(
                f"{where}: column {fields[place]!r} is named for {role!r} and for {others[0]!r}; name one for each "
                "with --columns"
            )
    return {role: found[role] for role in ROLES if role in found}


def _missing_column(
    where: str,
    role: str,
    column: str,
    fields: Sequence[str],
    *,
    usual: Mapping[str, int] | None = None,
    text: bool = True,
) -> UsageError:
    if usual is None:
        return UsageError(f"{where}: there is no column {column!r} for {role!r}{nearest(column, fields)}")
    known = [f"{one}={fields[usual[one]]}" if one in usual else f"{one}=…" for one in ("user", "item")]
    names = ", ".join(repr(field) for field in fields[:12]) + (", …" if len(fields) > 12 else "")
    return UsageError(
        f"{where}: there is no column {column!r} for {role!r}, nor one that is usually called so, among {names}; name "
        f"the columns with --columns {','.join(known)}[,rating=…][,time=…]"
        + (", or add --no-header if this line is a row" if text else "")
    )


def unread_times(fields: Sequence[str], roles: Collection[str]) -> tuple[str, ...]:
    """Return what to say of a column that is usually called so as times are, and is not read."""
    usual = usual_columns(fields)
    if "time" in roles or "time" not in usual:
        return ()
    name = fields[usual["time"]]
    return (
        f"Column {name!r} looks like times and is not read; add time={name} to --columns to order by it.",
    )


def finished(name: str, columns: dict[str, pl.Series], repeats: Repeats, reading: Reading) -> Interactions:
    """Return interactions of columns as they were read, with what there is to say of them.

    Raises:
        RepeatedPair: where a pair is repeated and ``repeats`` is ``"error"``.
    """
    rows, doubts, merged = len(columns["user"]), list(reading.doubts), list(reading.merged)
    if "time" in columns:
        doubts += time_doubts(columns["time"])
    data = assemble(name, columns, repeats=repeats)
    left = rows - len(data.items)
    if left:
        how = {
            "first": "the first of a history counts",
            "last": "the last of a history counts",
            "sum": "ratings were summed at the place of the first",
            "count": "their number stands as rating at the place of the first",
        }
        merged.append(f"{left:,} of {rows:,} rows repeat a pair of user and item: {how[repeats]}.")
    for role, ids in (("user", data.user_ids), ("item", data.item_ids)):
        alike, example = look_alikes(ids)
        if alike:
            doubts.append(
                f"{alike:,} {role} id{' is' if alike == 1 else 's are'} written in more than one way, such as "
                f"{example}: each spelling counts as {'an' if role == 'item' else 'a'} {role} of its own."
            )
    told = reading.model_copy(update={"merged": tuple(merged), "doubts": tuple(doubts)})
    return data.with_reading(told)
