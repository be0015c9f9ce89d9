"""A reader of text files with one user a line: ``user: item item item``, oldest first."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from recaudit.data.interactions import Interactions, RepeatedPair
from recaudit.data.numbering import Repeats, assemble
from recaudit.errors import UsageError


class Lines:
    """Reads ``user: item item item``; ids are text."""

    holds = "text with one user a line: user: item item item"

    def likeness(self, path: Path, columns: Mapping[str, str] | None) -> int:
        """Return 30 for a file whose name ends with ``.lines``; other names are nobody's."""
        return 30 if columns is None and path.suffix == ".lines" else 0

    def read(
        self, path: Path, *, columns: Mapping[str, str] | None, repeats: Repeats | None, name: str
    ) -> Interactions:
        """Return the interactions of a file; the order of items in a line is kept.

        Raises:
            UsageError: where the file is no such text; the message names the line.
        """
        if columns is not None:
            raise UsageError(
                f"{path}: columns: found {dict(columns)}, but such a file has none; leave them out"
            )
        users: list[str] = []
        items: list[str] = []
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: cannot be read as UTF-8 text: {error}") from None
        for number, line in enumerate(text.splitlines(), start=1):
            user, colon, listed = line.partition(":")
            if not colon or not user.strip() or not listed.split():
                raise UsageError(
                    f"{path}, line {number}: found {line!r:.60}, expected 'user: item item item'"
                )
            items += listed.split()
            users += [user.strip()] * len(listed.split())
        try:
            return assemble(
                name, {"user": pl.Series(users), "item": pl.Series(items)}, repeats=repeats or "error"
            )
        except RepeatedPair as repeat:
            raise UsageError(f"{path}: {repeat}; keep one of them with repeats: first") from None
