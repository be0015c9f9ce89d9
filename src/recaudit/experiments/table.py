"""The tidy table of results: one row a figure, kept beside a paper's page. Loads no torch.

A page is drawn from its table alone. Measuring again replaces rows, and each row says what made it.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from recaudit.errors import UsageError
from recaudit.experiments.grid import Grid

__all__ = [
    "COLUMNS",
    "VERSIONS",
    "columns_of",
    "counted",
    "counts_of",
    "made_by",
    "read_table",
    "replaced",
    "replaced_counts",
    "rows_of",
    "spread",
]

VERSIONS = ("recaudit", "torch", "numpy", "scipy", "polars")
"""The columns that say what made a row: the version of each; null where that was not recorded."""

COLUMNS: Mapping[str, Any] = {
    "experiment": pl.String,
    "data": pl.String,
    "victim": pl.String,
    "clone": pl.String,
    "attack": pl.String,
    "k": pl.Int64,
    "known": pl.Float64,
    "auxiliary_share": pl.Float64,
    "common_items": pl.Float64,
    "mixed": pl.Int64,
    "queries": pl.Int64,
    "threat": pl.String,
    "serving": pl.String,
    "users": pl.String,
    "metric": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "seeds": pl.Int64,
    "fpr": pl.Float64,
    **dict.fromkeys(VERSIONS, pl.String),
}
_COUNTS = ("users", "items", "interactions", "sparsity")
_KIND: Mapping[type, Any] = {str: pl.String, int: pl.Int64, float: pl.Float64}


def columns_of(grid: Grid) -> dict[str, Any]:
    """Return the columns of a grid's rows: ``COLUMNS``, and behind them its axes that are none of those."""
    labels = {name: value for cell in grid.cells() for name, value in cell.labels.items()}
    return {**COLUMNS, **{name: _KIND[type(labels[name])] for name in labels if name not in COLUMNS}}


def read_table(path: Path) -> pl.DataFrame:
    """Return a table of results; where there is no file, one without rows.

    Raises:
        UsageError: where the file is no such table.
    """
    if not path.exists():
        return pl.DataFrame(schema=dict(COLUMNS))
    try:
        found = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UsageError(f"{path}: found no Parquet file that can be read ({error}); remove it") from None
    lacking = [name for name in COLUMNS if name not in found.columns and name not in VERSIONS]
    if lacking:
        raise UsageError(
            f"{path}: found no column {lacking[0]!r}, expected a table of results; remove the file"
        )
    return found


def rows_of(table: pl.DataFrame, grid: Grid) -> pl.DataFrame:
    """Return the rows of a grid's experiment with the grid's columns, null where the table has no such one.

    Rows of published values alone are left out, and so is the column ``published``: the page sets the
    published values beside ours again.
    """
    return _own(table.filter(pl.col("seeds") > 0), grid.name, columns_of(grid))


def counts_of(table: pl.DataFrame, experiment: str) -> pl.DataFrame:
    """Return the rows that count what data sets hold, as :func:`counted` makes them."""
    return _own(table, experiment, {**COLUMNS, "kept": pl.String})


def _own(table: pl.DataFrame, experiment: str, columns: Mapping[str, Any]) -> pl.DataFrame:
    return table.filter(pl.col("experiment") == experiment).select(
        (pl.col(name) if name in table.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in columns.items()
    )


def replaced(old: pl.DataFrame, new: pl.DataFrame, grid: Grid) -> pl.DataFrame:
    """Return the rows of ``old`` with those that ``new`` measured again in their place.

    All rows of one attack in one cell are replaced together, where ``new`` has at least as many seeds: a
    quick look with fewer seeds than the table has replaces nothing.

    Args:
        old: the rows of an experiment, as ``rows_of`` returns them.
        new: others of it, likewise.
        grid: the experiment.
    """
    keys = [*(key.rpartition(".")[2] for key in grid.axes), "attack"]
    keys = [key for key in keys if key in old.columns]
    seeds = [frame.group_by(keys).agg(pl.col("seeds").max()) for frame in (old, new)]
    fewer = seeds[1].join(seeds[0], on=keys, nulls_equal=True).filter(pl.col("seeds") < pl.col("seeds_right"))
    return _laid(old, new.join(fewer, on=keys, how="anti", nulls_equal=True), keys)


def replaced_counts(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Return the counts of data sets in ``old`` with those that ``new`` counted again in their place."""
    return _laid(old, new, ["experiment", "data", "kept"])


def _laid(old: pl.DataFrame, new: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Return the rows of both, of ``new`` where both have the keys, in the places of those that they replace."""
    before, after = (
        frame.with_columns(pl.int_range(pl.len()).over(keys).alias("nth")) for frame in (old, new)
    )
    before = before.with_row_index("place")
    last = before.group_by(keys).agg(pl.col("place").max().alias("last"))
    after = (
        after.with_row_index("own", offset=len(old))
        .join(before.select(*keys, "nth", "place"), on=[*keys, "nth"], how="left", nulls_equal=True)
        .join(last, on=keys, how="left", nulls_equal=True, maintain_order="left")
        .sort("own")
        .with_columns(pl.coalesce("place", "last", "own"))
    )
    kept = before.join(new, on=keys, how="anti", nulls_equal=True)
    both = pl.concat([frame.select(*old.columns, "place") for frame in (kept, after)])
    return both.sort("place", maintain_order=True).drop("place")


def counted(statistics: pl.DataFrame, versions: Mapping[str, str]) -> pl.DataFrame:
    """Return what data sets hold as tidy rows, those that are counted here with the versions that count.

    Args:
        statistics: :func:`recaudit.experiments.papers.statistics.statistics`.
        versions: by name.
    """
    long = statistics.with_columns(pl.col(name).cast(pl.Float64) for name in _COUNTS).unpivot(
        _COUNTS, index=["experiment", "data", "kept"], variable_name="metric"
    )
    order = statistics.select("data", "kept").with_row_index("place")
    long = long.join(order, on=["data", "kept"], maintain_order="left").sort("place", maintain_order=True)
    others = [
        pl.lit(None, dtype=kind).alias(name) for name, kind in COLUMNS.items() if name not in long.columns
    ]
    made = [
        pl.when(pl.col("kept") != "published").then(pl.lit(versions[name])).alias(name) for name in VERSIONS
    ]
    return long.with_columns(others).with_columns(made).select(*COLUMNS, "kept")


def spread(counts: pl.DataFrame) -> pl.DataFrame | None:
    """Return rows of counts as one row a data set and what was kept of it, ``None`` where there are none."""
    if not len(counts):
        return None
    wide = counts.pivot("metric", index=["experiment", "data", "kept"], values="value", maintain_order=True)
    return wide.with_columns(pl.col(_COUNTS[:-1]).cast(pl.Int64))


def made_by(rows: Iterable[pl.DataFrame]) -> list[str]:
    """Return in words which versions made the rows, those of most rows first."""
    kinds = pl.concat([pl.DataFrame(schema=dict(COLUMNS)), *rows], how="diagonal").select(VERSIONS)
    found = kinds.group_by(VERSIONS).len().sort("len", *VERSIONS, descending=True)
    said = []
    for row in found.iter_rows(named=True):
        own, *others = (f"{name} {row[name] or '(not recorded)'}" for name in VERSIONS)
        said.append(f"{own} with {', '.join(others)}")
    return said
