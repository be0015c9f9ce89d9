"""JSON: one object a line, or one array of objects."""

import json
from collections.abc import Callable

import polars as pl

from recaudit.data.interactions import Interactions
from recaudit.data.readers.files import JSON, File
from recaudit.data.readers.protocol import Options
from recaudit.data.readers.typed import Table
from recaudit.data.readers.values import BLANKS
from recaudit.errors import UsageError

__all__ = ["JsonLines"]


class JsonLines:
    """Reads JSON lines, and JSON arrays of objects."""

    holds = "JSON with an object an interaction: one a line, or an array"

    def likeness(self, file: File, options: Options) -> int:
        """Return 40 for what begins as such a file does."""
        return 40 if file.kind == JSON else 0

    def read(self, file: File, options: Options, name: str) -> Interactions:
        """Return the interactions of a file."""
        array = any(line.strip(BLANKS).startswith("[") for line in file.lines[:1])
        try:
            # Whole: a field may be first met, or change from number to text, in the last line.
            frame = (
                pl.read_json(file.path, infer_schema_length=None)
                if array
                else pl.read_ndjson(file.path, infer_schema_length=None)
            )
        except (pl.exceptions.PolarsError, OSError) as error:
            raise _fault(file, array, error) from None
        row: Callable[[int], str] = "object {}".format if array else (lambda number: _line(file, number))
        table = Table(format="JSON", shown=str(file.shown), frame=frame.lazy(), row=row, told=file.told)
        return table.read(options, name)


def _line(file: File, number: int) -> str:
    """Return the line of the object of a number from 1 on: blank lines do not count."""
    with file.path.open("rb") as opened:
        for line, text in enumerate(opened, 1):
            number -= bool(text.strip())
            if not number:
                return file.at(line).removeprefix(f"{file.shown}, ")
    return f"object {number}"


def _fault(file: File, array: bool, error: Exception) -> UsageError:
    """Return the error that names the first line that is no JSON object."""
    reason = (str(error).splitlines() or [""])[0]
    if not array:
        with file.path.open("rb") as opened:
            for line, text in enumerate(opened, 1):
                if not text.strip():
                    continue
                try:
                    found = json.loads(text)
                except ValueError as wrong:
                    return UsageError(f"{file.at(line)}: is no JSON ({wrong}), expected one object a line")
                if not isinstance(found, dict):
                    return UsageError(f"{file.at(line)}: found {found!r:.40}, expected a JSON object")
    return UsageError(f"{file.at(1)}: is no JSON that can be read: {reason}")
