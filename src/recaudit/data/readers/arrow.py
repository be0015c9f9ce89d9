"""Arrow: IPC files, which are also called Feather."""

import polars as pl

from recaudit.data.interactions import Interactions
from recaudit.data.readers.files import ARROW, File
from recaudit.data.readers.protocol import Options
from recaudit.data.readers.typed import Table

__all__ = ["Arrow"]


class Arrow:
    """Reads Arrow IPC files."""

    holds = "an Arrow IPC (Feather) file"

    def likeness(self, file: File, options: Options) -> int:
        """Return 40 for what begins as such a file does."""
        del options
        return 40 if file.kind == ARROW else 0

    def read(self, file: File, options: Options, name: str) -> Interactions:
        """Return the interactions of a file."""
        frame = pl.scan_ipc(list(file.paths), glob=False)
        return Table(format="Arrow", shown=str(file.shown), frame=frame, told=file.told).read(options, name)
