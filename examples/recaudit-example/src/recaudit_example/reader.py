"""A reader of text files with one user a line: ``user: item item item``, oldest first."""

import polars as pl

from recaudit.data.interactions import Interactions, RepeatedPair
from recaudit.data.numbering import assemble
from recaudit.data.readers.files import File
from recaudit.data.readers.protocol import Options
from recaudit.errors import UsageError


class Lines:
    """Reads ``user: item item item``; ids are text."""

    holds = "text with one user a line: user: item item item"

    def likeness(self, file: File, options: Options) -> int:
        """Return 30 for a file whose name ends with ``.lines``; other names are nobody's."""
        return 30 if options.columns is None and file.shown.suffix == ".lines" else 0

    def read(self, file: File, options: Options, name: str) -> Interactions:
        """Return the interactions of a file; the order of items in a line is kept.

        Raises:
            UsageError: where the file is no such text; the message names the line.
        """
        if options.columns is not None:
            raise UsageError(f"{file.shown}: such a file has no columns; leave --columns out")
        users: list[str] = []
        items: list[str] = []
        try:
            text = file.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{file.shown}: cannot be read as UTF-8 text: {error}") from None
        for number, line in enumerate(text.splitlines(), start=1):
            user, colon, listed = line.partition(":")
            if not colon or not user.strip() or not listed.split():
                raise UsageError(f"{file.at(number)}: found {line!r:.60}, expected 'user: item item item'")
            items += listed.split()
            users += [user.strip()] * len(listed.split())
        try:
            return assemble(
                name, {"user": pl.Series(users), "item": pl.Series(items)}, repeats=options.repeats or "error"
            )
        except RepeatedPair as repeat:
            raise UsageError(f"{file.shown}: {repeat}; keep one of them with --repeats first") from None
