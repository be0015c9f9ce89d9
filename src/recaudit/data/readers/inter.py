"""RecBole: atomic ``.inter`` files, a row an interaction or a row a sequence."""

import re
from dataclasses import dataclass, replace

import polars as pl

from recaudit.data.interactions import Interactions, RepeatedPair
from recaudit.data.readers.columns import finished
from recaudit.data.readers.faults import Layout, RepeatedRows, first_line
from recaudit.data.readers.files import File
from recaudit.data.readers.names import USUAL, plain_name
from recaudit.data.readers.protocol import Options
from recaudit.data.readers.text import TextFormat
from recaudit.data.readers.values import BLANKS, ids_of, is_missing
from recaudit.errors import UsageError

__all__ = ["RECBOLE", "Inter"]

_ROWS = TextFormat(
    name="recbole",
    holds="RecBole .inter: tabs, and a header such as user_id:token",
    separator="\t",
    quoted=False,
    optional=("rating", "time"),
    typed=True,
    begins=r"[^\t:]+:(token|float)(_seq)?([\t ]|$)",
    sure=30,
)


@dataclass(frozen=True)
class Inter:
    """Reads RecBole's ``.inter`` files.

    Where a field of type ``token_seq`` holds items (``item_id_list``), each row tells a history, and the item
    of the row comes after it, as in RecBole's files of benchmarks. The rows of a user must go on from one another.
    """

    holds: str = _ROWS.holds

    def likeness(self, file: File, options: Options) -> int:
        """Return how sure it is that the file is RecBole's, by its header."""
        return _ROWS.likeness(file, options)

    def read(self, file: File, options: Options, name: str) -> Interactions:
        """Return the interactions of a file."""
        sequence = _sequence(file)
        if sequence is None or options.columns is not None:
            return _ROWS.read(file, options, name)
        return _read_sequences(file, options, name, sequence)


RECBOLE = Inter()


def _sequence(file: File) -> int | None:
    """Return the place of the field that holds sequences of items."""
    if not _ROWS.likeness(file, Options()):
        return None
    for place, field in enumerate(first_line(file).split("\t")):
        column, _, kind = field.strip(BLANKS).rpartition(":")
        if (
            kind == "token_seq"
            and plain_name(re.sub("_?(list|seq|sequence|history)$", "", column)) in USUAL["item"]
        ):
            return place
    return None


def _read_sequences(file: File, options: Options, name: str, sequence: int) -> Interactions:
    header = first_line(file).split("\t")
    fields = [field.strip(BLANKS).rpartition(":")[0] for field in header]
    alone = not any(
        plain_name(field) in USUAL["item"] for place, field in enumerate(fields) if place != sequence
    )
    if alone:
        # The sequence itself is the item of the layout; there is none after it.
        given = {"user": _user(file, fields), "item": fields[sequence]}
        layout, reading = _ROWS.layout(file, replace(options, columns=given))
    else:
        layout, reading = _ROWS.layout(file, options)
    histories = _histories(layout, sequence, alone=alone)
    users = [user for user, history in histories.items() for _ in history]
    items = [item for history in histories.values() for item in history]
    used = {layout.fields[sequence], layout.fields[layout.roles["user"]], layout.fields[layout.roles["item"]]}
    told = [sentence for sentence in reading.guessed if "no times" not in sentence]
    told.append(
        f"Each row tells a history: {layout.fields[sequence]!r} holds items in order, the row's item comes last."
    )
    columns = {"user": pl.Series(users, dtype=pl.String), "item": pl.Series(items, dtype=pl.String)}
    reading = reading.model_copy(
        update={
            "columns": {
                "user": reading.columns["user"],
                "item": " and ".join(dict.fromkeys((layout.fields[sequence], reading.columns["item"]))),
            },
            "unused": tuple(field for field in layout.fields if field not in used),
            "guessed": tuple(told),
            "doubts": (),
        }
    )
    try:
        return finished(
            name,
            {role: ids_of(column) for role, column in columns.items()},
            options.repeats or "error",
            reading,
        )
    except RepeatedPair as repeat:
        raise RepeatedRows(
            f"{file.shown}: the history of user {repeat.user_id!r} has item {repeat.item_id!r} twice; say what that "
            "means with --repeats first, last or count (repeats under data in a spec)"
        ) from None


def _user(file: File, fields: list[str]) -> str:
    for field in fields:
        if plain_name(field) in USUAL["user"]:
            return field
    raise UsageError(
        f"{file.at(1)}: there is no column of users; name the columns with --columns user=…,item=…"
    )


def _histories(layout: Layout, sequence: int, *, alone: bool) -> dict[str, list[str]]:
    """Return the items of each user, oldest first.

    Raises:
        UsageError: where a row has a field too few, an id is missing, or a row does not go on from the user's rows
            before.
    """
    found: dict[str, list[str]] = {}
    with layout.file.path.open(encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            row = line.rstrip("\r\n").split("\t")
            if number == 1 or not line.strip(BLANKS):
                continue
            where = layout.file.at(number)
            if len(row) != len(layout.fields):
                raise UsageError(f"{where}: the row has {len(row)} fields, expected {len(layout.fields)}")
            user = row[layout.roles["user"]].strip(BLANKS)
            told = row[sequence].split() + ([] if alone else [row[layout.roles["item"]].strip(BLANKS)])
            if is_missing(user) or any(map(is_missing, told)) or not told:
                raise UsageError(
                    f"{where}: found {line.strip(BLANKS)!r:.60}, expected the ids of a user and of items"
                )
            found[user] = _gone_on(found.get(user, []), told, where, user)
    if not found:
        raise UsageError(f"{layout.file.shown}: there is a header and no row")
    return found


def _gone_on(before: list[str], told: list[str], where: str, user: str) -> list[str]:
    """Return a history that goes on with what a row tells: a longer one, or the last items and one more."""
    if told[: len(before)] == before:
        return told
    if before[: len(told)] == told:
        return before
    *shown, item = told
    if shown and before[-len(shown) :] == shown:
        return [*before, item]
    raise UsageError(
        f"{where}: this row of user {user!r} does not go on from the rows before, so that no history can be read; name "
        "the columns of rows with --columns user=…,item=…"
    )
