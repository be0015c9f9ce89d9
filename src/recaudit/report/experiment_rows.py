"""The results of an experiment, arranged: the cells of its grid, measured or not, in the grid's order."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from recaudit.errors import UsageError
from recaudit.experiments.grid import Cell, Grid
from recaudit.report.rows import CEILING, FLOOR, VICTIM, number, printable

__all__ = ["Axis", "Experiment", "Group", "Point", "arrange_experiment", "decimals", "interval", "printed"]

_NAMES = ("data", "victim", "clone")
_SHARES = ("known", "auxiliary_share", "common_items")
_HEADINGS = {
    "data": "data",
    "victim": "target",
    "clone": "clone",
    "k": "list length",
    "known": "users known",
    "auxiliary_share": "auxiliary data",
    "common_items": "common items",
    "mixed": "items mixed in",
    "queries": "lists asked",
}
_WORDS = {
    **_HEADINGS,
    "k": "length k of the lists",
    "known": "share of the target’s users known",
    "auxiliary_share": "share of the auxiliary data available",
    "common_items": "share of items common to target and auxiliary data",
    "mixed": "popular items mixed into each list",
    "queries": "lists that the attacker may ask for",
}
_REFERENCES = {FLOOR: "popular list", CEILING: "retrained", VICTIM: "target"}


@dataclass(frozen=True, kw_only=True)
class Point:
    """One figure: ours with its 95 % interval, and the published value where the paper has one.

    Args:
        value: the mean over users and seeds, ``None`` where it is not measured or not available.
        low: lower end of the interval, ``None`` where there is none.
        high: upper end of the interval, likewise.
        seeds: number of seeds behind the value; 0 where nothing was measured.
        published: the paper's value, ``None`` where it has none.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 0
    published: float | None = None

    @property
    def missing(self) -> str:
        """Why there is no value, in words."""
        return "not available" if self.seeds else "not measured"


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of a grid.

    Args:
        name: its short name in the grid, which is its column in the table of results.
        words: what it is called under a picture.
    """

    name: str
    words: str

    @property
    def heading(self) -> str:
        """What it is called at the head of a column."""
        return _HEADINGS.get(self.name, self.name.replace("_", " "))

    def label(self, value: Any) -> str:
        """Return ``value`` as tables and ticks show it; shares are in per cent."""
        if isinstance(value, str):
            return printable(value)
        return f"{100 * value:.6g} %" if self.name in _SHARES else number(value)

    def said(self, value: Any) -> str:
        """Return ``value`` with what it is, where the value alone does not tell."""
        return self.label(value) if self.name in _NAMES else f"{self.heading}: {self.label(value)}"


@dataclass(frozen=True, kw_only=True)
class Group:
    """Cells that stand in one table or one panel.

    Args:
        label: what they share, for instance ``ml-1m``; empty where the grid has nothing to tell apart.
        cells: the cells, in the order of the grid.
    """

    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The results of a grid, cell by cell.

    Args:
        grid: what was to be measured.
        picture: ``none``, ``lines`` (over the last axis) or ``heatmap`` (over the last two axes).
        axes: the axes of the grid.
        attacks: the attacks in the order of the tables; ``victim`` alone where only the target's is shown.
        points: the figures by attack, metric, users and the values of the axes.
    """

    grid: Grid
    picture: str
    axes: tuple[Axis, ...]
    attacks: tuple[str, ...]
    points: Mapping[tuple[Any, ...], Point]

    @property
    def compared(self) -> bool:
        """Whether attacks are shown, with a floor and a ceiling to compare them with."""
        return self.attacks != (VICTIM,)

    @property
    def rows(self) -> tuple[str, ...]:
        """Floor, attacks and ceiling, in this order."""
        return (FLOOR, *self.attacks, CEILING) if self.compared else self.attacks

    @property
    def inner(self) -> tuple[Axis, ...]:
        """The axes that run within a table: all but the data, or those that the picture runs over."""
        if self.picture == "none":
            return tuple(axis for axis in self.axes if axis.name != "data")
        return self.axes[-1 if self.picture == "lines" else -2 :]

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The cells by the values of the axes that are not ``inner``."""
        outer = [axis for axis in self.axes if axis not in self.inner]
        found: dict[str, list[Cell]] = {}
        for cell in self.grid.cells():
            label = ", ".join(axis.said(cell.labels[axis.name]) for axis in outer)
            found.setdefault(label, []).append(cell)
        return tuple(Group(label=label, cells=tuple(cells)) for label, cells in found.items())

    @property
    def measure(self) -> str:
        """The metric in words, for instance ``agreement@50 on unqueried users``."""
        metric, users = self.grid.metric, self.grid.users
        if users == "target":
            return f"{metric} of the target’s own lists"
        return f"{metric} on {users} users"

    @cached_property
    def has_published(self) -> bool:
        """Whether the paper has a value for any of the figures shown."""
        return any(
            self.find(row, cell).published is not None for cell in self.grid.cells() for row in self.rows
        )

    @cached_property
    def has_fewer_seeds(self) -> bool:
        """Whether any cell has figures of fewer seeds than the grid has, or none at all."""
        return any(self.seeds(cell)[0] < self.grid.seeds for cell in self.grid.cells())

    @property
    def recall_heading(self) -> str:
        """What tables call the target's recall."""
        return f"target’s Recall@{self.grid.metric.partition('@')[2]}"

    def labels(self, cell: Cell) -> list[str]:
        """Return the values of the ``inner`` axes as tables show them."""
        return [axis.label(cell.labels[axis.name]) for axis in self.inner]

    def find(self, row: str, cell: Cell) -> Point:
        """Return the figure of a row in a cell, without a value where it was not measured."""
        return self._find(row, cell.metric, self.grid.users, cell)

    def recall(self, cell: Cell) -> Point:
        """Return the target's own recall@k in a cell."""
        return self._find(VICTIM, f"recall@{cell.metric.partition('@')[2]}", "target", cell)

    def seeds(self, cell: Cell) -> tuple[int, int]:
        """Return the least and the greatest number of seeds of what a cell has measured; 0 for nothing."""
        counts = [found.seeds for row in self.rows if (found := self.find(row, cell)).seeds]
        return min(counts, default=0), max(counts, default=0)

    def seeds_label(self, cell: Cell) -> str:
        """Return how many seeds a cell has, with a dagger where any figure has fewer than the grid."""
        low, high = self.seeds(cell)
        dagger = "†" if low < self.grid.seeds else ""
        return f"{low}{dagger}" if low == high else f"{low}–{high}{dagger}"

    def name_of(self, row: str) -> str:
        """Return what tables and pictures call a row."""
        return _REFERENCES.get(row, printable(row))

    def _find(self, row: str, metric: str, users: str, cell: Cell) -> Point:
        keys = (_plain(cell.labels[axis.name]) for axis in self.axes)
        return self.points.get((row, metric, users, *keys), Point())


def arrange_experiment(frame: pl.DataFrame, grid: Grid) -> Experiment:
    """Arrange the results of one experiment.

    Args:
        frame: its rows of the tidy table of results. Of a figure there twice, the one of more seeds counts.
        grid: what was to be measured. Its cells decide what is shown; what the frame lacks is not measured.

    Raises:
        UsageError: where an axis of the grid has no column in the table of results.
    """
    names = [key.rpartition(".")[2] for key in grid.axes]
    for name in names:
        if name not in frame.columns:
            raise UsageError(
                f"{grid.name}: axes: the table of results has no column {name!r} to tell the cells apart; "
                f"it has {', '.join(frame.columns)}"
            )
    words = [_WORDS.get(name, name.replace("_", " ")) for name in names]
    needed = {"lines": 1, "heatmap": 2}.get(grid.picture, 0)
    shown = grid.shown or grid.attacks
    return Experiment(
        grid=grid,
        picture=grid.picture if len(names) >= needed else "none",
        axes=tuple(
            Axis(name=name, words=said)
            for name, said in zip(names, [*words[:-1], grid.across or words[-1]], strict=True)
        ),
        attacks=tuple(row for row in shown if row not in _REFERENCES) or (VICTIM,),
        points=_points(frame, names),
    )


def decimals(value: float) -> str:
    """Return a share of ours from 0 to 1 as tables show it."""
    return number(value, 3)


def printed(point: Point) -> str:
    """Return the published value with the four digits that the papers print, empty where there is none."""
    return "" if point.published is None else number(point.published, 4)


def interval(point: Point) -> str:
    """Return the interval of ``point`` as ``0.571–0.612``, empty where there is none."""
    if point.value is None or point.low is None or point.high is None:
        return ""
    return f"{decimals(point.low)}–{decimals(point.high)}"


def _points(frame: pl.DataFrame, names: list[str]) -> dict[tuple[Any, ...], Point]:
    points: dict[tuple[Any, ...], Point] = {}
    for row in frame.iter_rows(named=True):
        key = (row["attack"], row["metric"], row["users"], *(_plain(row[name]) for name in names))
        value, low, high, published = (_number(row[end]) for end in ("value", "low", "high", "published"))
        point = Point(value=value, low=low, high=high, seeds=row["seeds"] or 0, published=published)
        if key not in points or points[key].seeds < point.seeds:
            points[key] = point
    return points


def _number(value: float | None) -> float | None:
    """Return ``value``, and nothing for what is not a number."""
    return None if value is None or math.isnan(value) else value


def _plain(value: Any) -> Any:
    """Return ``value`` so that 50 and 50.0, and 0.3 and the sum of three tenths, are the same."""
    return value if value is None or isinstance(value, str) else round(float(value), 9)
