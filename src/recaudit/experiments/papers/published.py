"""The values that papers print, and an experiment's tidy table beside them."""

from typing import Any

import polars as pl

from recaudit.errors import UsageError, nearest
from recaudit.experiments.grid import Cell, Grid
from recaudit.experiments.papers import catalogue

__all__ = ["published", "with_published"]

COLUMNS = {
    "experiment": pl.String,
    "data": pl.String,
    "victim": pl.String,
    "attack": pl.String,
    "value": pl.Float64,
}


def published(name: str) -> pl.DataFrame:
    """Return the values that a paper prints for an experiment, of its grid's metric, as printed.

    Columns are ``experiment``, ``data``, ``victim``, ``attack`` and ``value``; there are no rows where the
    paper has a plot without numbers.

    Raises:
        UsageError: where ``name`` is neither a grid nor among the published values.
    """
    tables = [
        pl.read_csv(paper.joinpath("published.csv").read_bytes(), schema=COLUMNS)
        for paper in catalogue.paper_folders()
    ]
    values = pl.concat(tables)
    known = {*catalogue.grid_names(), *values["experiment"]}
    if name not in known:
        raise UsageError(f"unknown experiment {name!r}{nearest(name, known)}")
    return values.filter(pl.col("experiment") == name)


def with_published(results: pl.DataFrame, grid: Grid) -> pl.DataFrame:
    """Return an experiment's tidy table with a column ``published``, null where the paper prints nothing.

    The paper's figure is set beside ours of the grid's metric and users, in every cell of the same data, or
    of data that stand for them, and the same target. A published value of a cell that has no figure of ours
    stands in a row without one, with 0 seeds.
    """
    stand_ins = {theirs: ours for ours, theirs in grid.stands_for.items()}
    values = (
        published(grid.name)
        .with_columns(pl.col("data").replace(stand_ins))
        .rename({"value": "published"})
        .with_columns(pl.lit(grid.metric).alias("metric"), pl.lit(grid.users).alias("users"))
    )
    keys = ["experiment", "data", "victim", "attack", "metric", "users"]
    beside = results.join(values, on=keys, how="left", maintain_order="left")
    cells = _cells(grid, results)
    asked = values.filter(pl.col("attack").is_in(grid.attacks)).join(
        cells, on=["data", "victim"], maintain_order="left_right"
    )
    missing = asked.join(results, on=list(dict.fromkeys([*keys, *cells.columns])), how="anti")
    return pl.concat([beside, missing.with_columns(pl.lit(0, dtype=pl.Int64).alias("seeds"))], how="diagonal")


def _cells(grid: Grid, results: pl.DataFrame) -> pl.DataFrame:
    """Return the cells' values on those axes that the results have, and each one's data and target."""
    axes = [key.rpartition(".")[2] for key in grid.axes]
    kept = {name: results.schema[name] for name in axes if name in results.columns}
    rows = [
        {
            "data": _alone(cell, "data", "source"),
            "victim": _alone(cell, "victim", "model"),
            **{name: cell.labels[name] for name in kept},
        }
        for cell in grid.cells()
    ]
    return pl.DataFrame(rows, schema={"data": pl.String, "victim": pl.String, **kept}, orient="row")


def _alone(cell: Cell, key: str, part: str) -> Any:
    return cell.values.get(key, {}).get(part)
