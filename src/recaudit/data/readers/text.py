"""Text: formats of files with a row an interaction and something between the fields.

A format settles which field holds what; ``parsing`` reads the columns.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from recaudit.data.interactions import Interactions, RepeatedPair
from recaudit.data.numbering import Repeats
from recaudit.data.readers.columns import chosen_columns, finished, unread_times
from recaudit.data.readers.faults import (
    Layout,
    fault_of_repeat,
    first_line,
    lines_before_rows,
    split_line,
)
from recaudit.data.readers.files import TEXT, File
from recaudit.data.readers.names import ROLES, usual_columns
from recaudit.data.readers.parsing import read_text
from recaudit.data.readers.protocol import Options
from recaudit.data.readers.sniffing import SEPARATORS, columns_by_content, separator_name, shape_of, split
from recaudit.data.readers.values import BLANKS, Written
from recaudit.data.reading import Reading
from recaudit.errors import UsageError

__all__ = ["TextFormat"]


@dataclass(frozen=True, kw_only=True)
class TextFormat:
    """How a kind of text file holds interactions.

    Args:
        name: what it is called on the command line and in a spec.
        holds: what it is, in a few words.
        separator: what stands between fields; ``None`` looks at the first lines.
        quoted: whether fields may stand in double quotes.
        fields: the columns of a file without a header; none where the first line names them, or the first lines
            say whether it does.
        columns: which column holds which role; none for those of the usual names.
        optional: the roles that a file may lack.
        date: how times are written, where they are dates (``strptime``); ``None`` takes numbers and dates that
            leave no doubt.
        ids: how ids are written; see :func:`~recaudit.data.readers.values.ids_of`.
        keep: a column, the value that a row must have there to be read, and the other value that it may have.
        repeats: what a repeated pair means unless the caller says otherwise.
        typed: whether the header gives each column's type after a colon.
        begins: a pattern of the first line, where it has one.
        sure: how sure this pattern is, or else a header with all columns; 0 for a format that is not guessed.
    """

    name: str
    holds: str
    separator: str | None = ","
    quoted: bool = True
    fields: tuple[str, ...] = ()
    columns: Mapping[str, str] | None = None
    optional: tuple[str, ...] = ()
    date: str | None = None
    ids: Written = "plain"
    keep: tuple[str, str, str] | None = None
    repeats: Repeats = "error"
    typed: bool = False
    begins: str | None = None
    sure: int = 0

    def likeness(self, file: File, options: Options) -> int:
        """Return how sure it is that the file has this format; see :class:`~recaudit.data.readers.protocol.Reader`."""
        if not self.sure or file.kind != TEXT:
            return 0
        line = first_line(file)
        if self.begins is not None:
            return self.sure if re.match(self.begins, line) and self._fits(file, line) else 0
        if options.columns is not None or options.header is not None or options.separator is not None:
            return 0  # a format that knows its columns is not meant
        header = [field.strip() for field in split(line, ",")]
        if self.fields and self.keep is not None:
            kept, *values = self.keep
            alike = len(header) == len(self.fields) and header[self.fields.index(kept)] in values
        else:
            alike = self.columns is not None and {*self.columns.values()} <= {*header}
        return self.sure if alike else 0

    def _fits(self, file: File, line: str) -> bool:
        """Return whether a file may have the fields of this format: not as many others in each line, or names."""
        if not self.fields or self.separator is None:
            return True
        widths = {len(one.split(self.separator)) for one in file.lines if one.strip(BLANKS)}
        named = {"user", "item"} <= usual_columns(line.split(self.separator)).keys()
        return (len(widths) > 1 or len(self.fields) in widths) and not named

    def read(self, file: File, options: Options, name: str) -> Interactions:
        """Return the interactions of a file; see :class:`~recaudit.data.readers.protocol.Reader`."""
        if file.kind != TEXT:
            raise UsageError(f"{file.at(1)}: this is a {file.kind} file; leave --format {self.name} out")
        layout, reading = self.layout(file, options)
        columns, left = read_text(layout)
        reading = reading.model_copy(update={"merged": (*reading.merged, *left)})
        try:
            return finished(name, columns, options.repeats or self.repeats, reading)
        except RepeatedPair as repeat:
            raise fault_of_repeat(layout, repeat.user_id, repeat.item_id) from None

    def layout(self, file: File, options: Options) -> tuple[Layout, Reading]:
        """Settle which field of this very file holds what, and say what of that was guessed."""
        line = first_line(file)
        told = list(file.told)
        if self.fields:
            given = options.separator or self.separator or ","
            header, separator, named = bool(options.header), given, self.fields
        else:
            options = replace(options, separator=options.separator or self.separator)
            shape = shape_of(
                file, replace(options, header=True) if self.typed else options, quoted=self.quoted
            )
            header, separator = shape.header, shape.separator
            if options.separator is None and separator != ",":
                told.append(f"The separator is a {separator_name(separator)}.")
            named = tuple(field.strip() for field in split_line(file, line, separator, quoted=self.quoted))
            _check_separated(file, named, options)
            if self.typed:
                named = tuple(field.rpartition(":")[0] or field for field in named)
            if not header:
                named = tuple(str(number) for number in range(1, len(named) + 1))
                if options.header is None:
                    told.append("There is no header: the first line is a row.")
        roles = self._roles(file, options, named, header=header, told=told)
        if "time" not in roles:
            told.append("There are no times: the rows are taken to be in the order of time.")
        where = {role: named[place] for role, place in roles.items()}
        layout = Layout(
            file=file,
            separator=separator,
            quoted=self.quoted and len(separator) == 1,
            header=tuple(split(line, separator, quoted=self.quoted)) if header else None,
            skip=lines_before_rows(file.path, header=header),
            fields=named,
            roles=roles,
            date=self.date,
            ids=self.ids,
            keep=None if self.keep is None else (named.index(self.keep[0]), *self.keep[1:]),
        )
        rest = tuple(
            field or f"column {place + 1} (no name)"
            for place, field in enumerate(named)
            if place not in roles.values()
        )
        used = set() if self.keep is None else {self.keep[0]}
        reading = Reading(
            format=self.name,
            columns=where,
            unused=tuple(field for field in rest if field not in used),
            guessed=tuple(told),
            doubts=unread_times(named, roles) if header else (),
        )
        return layout, reading

    def _roles(
        self, file: File, options: Options, named: tuple[str, ...], *, header: bool, told: list[str]
    ) -> dict[str, int]:
        """Return the place of each role's column."""
        where = file.at(1)
        if options.columns is not None:
            return chosen_columns(where, options.columns, named)
        if self.columns is not None:
            return chosen_columns(where, self.columns, named, optional=self.optional)
        if not header:
            rows = shape_of(file, replace(options, header=False), quoted=self.quoted).rows
            found = columns_by_content(rows)
            found = {role: found[role] for role in ROLES if role in found}
            if not found:
                raise UsageError(
                    f"{where}: there is no header, and the values do not say which column holds what; say it by "
                    "number, such as --columns user=1,item=2"
                )
            told.append(
                "The columns were guessed from their values: "
                + ", ".join(
                    f"{role}={place + 1}" for role, place in sorted(found.items(), key=lambda one: one[1])
                )
                + "."
            )
            return found
        return chosen_columns(where, None, named, optional=self.optional)


def _check_separated(file: File, named: tuple[str, ...], options: Options) -> None:
    """Refuse a text of a single column.

    Raises:
        UsageError: which says what stands between the fields, where that can be seen.
    """
    if len(named) > 1:
        return
    lines = [line.strip(BLANKS) for line in file.lines if line.strip(BLANKS)]
    blanks = {len(line.split(" ")) for line in lines}
    if options.separator != " " and len(blanks) == 1 and blanks != {1}:
        raise UsageError(
            f"{file.at(1)}: the fields are separated by blanks, expected tabs or commas; add --separator space "
            "(separator under data in a spec)"
        )
    if 1 not in blanks and all(field.isdigit() for line in lines for field in line.split()):
        raise UsageError(
            f"{file.at(1)}: the lines hold more or fewer numbers, as files with a user and all items in a line do; "
            "write one line an interaction, user and item separated by a comma"
        )
    if options.separator is not None or any(
        len(split(line, one)) > 1 for line in lines for one in SEPARATORS.values() if one != " "
    ):
        raise UsageError(
            f"{file.at(1)}: found {lines[0]!r:.60}, expected a header or a row with several fields; take the line out, "
            "or name what separates fields with --separator"
        )
