"""Parquet: a file, or the parts of one that Spark wrote."""

import polars as pl

from recaudit.data.readers.files import PARQUET
from recaudit.data.readers.typed import TypedFormat

__all__ = ["PARQUET_FILES"]

PARQUET_FILES = TypedFormat(format="Parquet", holds="any Parquet file", kind=PARQUET, scan=pl.scan_parquet)
