"""The grids and published values that come with recaudit, one folder a paper."""

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import polars as pl
import yaml

from recaudit.errors import UsageError, nearest
from recaudit.experiments.grid import Cell, Grid
from recaudit.validation import validated

__all__ = ["grid_names", "load_grid", "published", "with_published"]

COLUMNS = {
    "experiment": pl.String,
    "data": pl.String,
    "victim": pl.String,
    "attack": pl.String,
    "value": pl.Float64,
}

KINDS = ("table", "fig", "lists", "cross", "ladder", "victims", "defences", "privacy")
"""How experiments begin, in order: a paper's tables and figures, what goes beyond them; others come after."""


def grid_names() -> tuple[str, ...]:
    """Return the grids' names: a paper's tables, its figures, then what explains them or goes beyond them."""
    names = [
        f"{paper.name}/{file.name.removesuffix('.yaml')}"
        for paper in _papers()
        for file in paper.iterdir()
        if file.name.endswith(".yaml")
    ]
    return tuple(sorted(names, key=_place))


def load_grid(name: str) -> Grid:
    """Return the grid of that name, such as ``zhu2023/table4``.

    Raises:
        UsageError: where there is none; the message names the nearest.
    """
    names = grid_names()
    if name not in names:
        raise UsageError(f"unknown experiment {name!r}{nearest(name, names)}")
    text = files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return validated(Grid, {"name": name, **yaml.safe_load(text)}, where=name)


def published(name: str) -> pl.DataFrame:
    """Return the values that a paper prints for an experiment, of its grid's metric, as printed.

    Columns are ``experiment``, ``data``, ``victim``, ``attack`` and ``value``; there are no rows where the
    paper has a picture without numbers.

    Raises:
        UsageError: where ``name`` is neither a grid nor among the published values.
    """
    tables = [
        pl.read_csv(paper.joinpath("published.csv").read_bytes(), schema=COLUMNS) for paper in _papers()
    ]
    values = pl.concat(tables)
    known = {*grid_names(), *values["experiment"]}
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


def _papers() -> list[Traversable]:
    """Return the folders that hold published values, by name."""
    folders = (entry for entry in files(__package__).iterdir() if entry.is_dir())
    return sorted(
        (one for one in folders if one.joinpath("published.csv").is_file()), key=lambda one: one.name
    )


def _place(name: str) -> tuple[str, int, int, str]:
    paper, _, experiment = name.partition("/")
    number = re.search(r"\d+", experiment)
    kind = next((place for place, kind in enumerate(KINDS) if experiment.startswith(kind)), len(KINDS))
    return paper, kind, int(number[0]) if number else 0, experiment
