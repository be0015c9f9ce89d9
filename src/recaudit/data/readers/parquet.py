"""Parquet: a file, or the parts of one that Spark wrote."""

import polars as pl

from recaudit.data.interactions import Interactions
from recaudit.data.readers.files import PARQUET, File
from recaudit.data.readers.protocol import Options
from recaudit.data.readers.typed import Table

__all__ = ["Parquet"]


class Parquet:
    """Reads Parquet."""

    holds = "any Parquet file"

    def likeness(self, file: File, options: Options) -> int:
        """Return 40 for what begins as Parquet does."""
        del options
        return 40 if file.kind == PARQUET else 0

    def read(self, file: File, options: Options, name: str) -> Interactions:
        """Return the interactions of a file."""
        frame = pl.scan_parquet(list(file.paths), glob=False)
        return Table(format="Parquet", shown=str(file.shown), frame=frame, told=file.told).read(options, name)
