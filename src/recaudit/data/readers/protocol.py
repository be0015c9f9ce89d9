"""What a reader is: it says whether a file is its own, and reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from recaudit.data.interactions import Interactions
from recaudit.data.numbering import Repeats
from recaudit.data.readers.files import File

__all__ = ["Options", "Reader"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user says of a file; ``None`` leaves it to the reader.

    Args:
        columns: the column of each role, by name or by number from 1 on.
        header: whether the first line names the columns.
        separator: what stands between fields.
        repeats: what a repeated pair means.
    """

    columns: Mapping[str, str] | None = None
    header: bool | None = None
    separator: str | None = None
    repeats: Repeats | None = None


@runtime_checkable
class Reader(Protocol):
    """Reads files of one format. What satisfies it can be registered under ``recaudit.readers``."""

    @property
    def holds(self) -> str:
        """What such a file is, in a few words."""

    def likeness(self, file: File, options: Options) -> int:
        """Return how sure the reader is that a file is its own: 0 for not at all, and the highest reads it.

        A file's first bytes give 40, endings of file names and patterns of a first line 20 to 30, headers 10 or
        less.
        """

    def read(self, file: File, options: Options, name: str) -> Interactions:
        """Return the interactions of a file, under this name.

        Raises:
            UsageError: where the file cannot be read; the message names file, line and column.
        """
