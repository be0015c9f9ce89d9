"""Arrow: IPC files, which are also called Feather."""

import polars as pl

from recaudit.data.readers.files import ARROW
from recaudit.data.readers.typed import TypedFormat

__all__ = ["ARROW_FILES"]

ARROW_FILES = TypedFormat(format="Arrow", holds="an Arrow IPC (Feather) file", kind=ARROW, scan=pl.scan_ipc)
