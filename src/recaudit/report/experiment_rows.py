"""The results of an experiment, arranged: the cells of its grid, measured or not, in the grid's order."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import polars as pl

from recaudit.errors import UsageError
from recaudit.experiments.grid import Cell, Grid
from recaudit.report.experiment_words import Axis, axis_words, chance, measure_words
from recaudit.report.rows import AUXILIARY, CEILING, CONSTANT, FLOOR, VICTIM, number, printable

__all__ = ["Curve", "Experiment", "Group", "Point", "arrange_experiment", "decimals", "interval", "printed"]

BLIND, NULL, TAIL, ROC = "blind: ", "null: ", "tpr@0.01", "roc"
GROUPS = {"members": "members", "non-members": "strangers"}
"""Whose recommendation quality stands beside membership attacks, and what those users are called."""


_REFERENCES = {
    FLOOR: "popular list",
    CONSTANT: "constant list",
    AUXILIARY: "auxiliary alone",
    CEILING: "retrained",
    VICTIM: "target",
}


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
class Curve:
    """An ROC curve, mean over seeds, at the same false positive rates for all.

    Args:
        fpr: false positive rates, from 0 to 1, rising.
        value: true positive rates there.
        low: lower ends of their 95 % intervals, nan where there is none.
        high: upper ends, likewise.
    """

    fpr: Sequence[float]
    value: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


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
        picture: ``none``, ``lines`` (over the last axis), ``heatmap`` (over the last two axes), ``roc`` (the
            last axis side by side) or ``frontier`` (a point a value of the last axis).
        axes: the axes of the grid.
        attacks: the attacks in the order of the tables; ``victim`` alone where only the target's is shown.
        beside: what is shown beside the floor and is no attack: ``constant``, ``auxiliary``.
        points: the figures by attack, metric, users and the values of the axes.
        curves: the ROC curves by attack and the values of the axes.
    """

    grid: Grid
    picture: str
    axes: tuple[Axis, ...]
    attacks: tuple[str, ...]
    beside: tuple[str, ...]
    points: Mapping[tuple[Any, ...], Point]
    curves: Mapping[tuple[Any, ...], Curve]

    @property
    def infers(self) -> bool:
        """Whether the attacks tell members from strangers."""
        return self.grid.infers

    @property
    def compared(self) -> bool:
        """Whether attacks are shown, with a floor and a ceiling to compare them with."""
        return not self.infers and self.attacks != (VICTIM,)

    @property
    def by_attack(self) -> bool:
        """Whether tables have a row an attack and a column a cell, and not the other way round."""
        if self.infers:
            return len(self.attacks) >= max(len(group.cells) for group in self.groups)
        return self.picture == "none"

    @property
    def chance(self) -> float | None:
        """What an attack gets that knows nothing, ``None`` where a floor is measured for that."""
        return chance(self.grid.metric) if self.infers else None

    @property
    def rows(self) -> tuple[str, ...]:
        """Floor and what stands beside it, attacks and ceiling, in this order."""
        return (FLOOR, *self.beside, *self.attacks, CEILING) if self.compared else self.attacks

    @property
    def inner(self) -> tuple[Axis, ...]:
        """The axes that run within a table: all but the data, or those that the picture runs over."""
        if self.picture == "none":
            return tuple(axis for axis in self.axes if axis.name != "data")
        return self.axes[-2 if self.picture == "heatmap" else -1 :]

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
        if self.infers:
            return f"{measure_words(metric)}, members against strangers"
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
    def digits(self) -> int:
        """How many digits the paper prints."""
        return 3 if self.infers else 4

    @property
    def own(self) -> tuple[tuple[str, Callable[[Cell], Point]], ...]:
        """What tables show of the target itself: what to call it, and its figure in a cell."""
        if self.infers:
            return tuple(
                (f"target’s NDCG@10, {called}", partial(self.quality, users))
                for users, called in GROUPS.items()
            )
        return ((self.recall_heading, self.recall),) if self.compared else ()

    @cached_property
    def has_null(self) -> bool:
        """Whether any attack shown was tried on a target that was trained on none of the candidates."""
        return self.infers and any(
            self.null(row, cell).seeds for cell in self.grid.cells() for row in self.rows
        )

    @property
    def has_tail(self) -> bool:
        """Whether tables set beside each figure what is found at 1 % false positives."""
        return self.infers and self.grid.metric != TAIL

    @property
    def recall_heading(self) -> str:
        """What tables call the target's recall."""
        return f"target’s Recall@{self.grid.metric.partition('@')[2]}"

    def labels(self, cell: Cell) -> list[str]:
        """Return the values of the ``inner`` axes as tables show them."""
        return [axis.label(cell.labels[axis.name]) for axis in self.inner]

    def heading(self, cell: Cell) -> str:
        """Return what a column of that cell is called, its ``inner`` axes by name where they need one."""
        say = Axis.said if self.infers else Axis.label
        return ", ".join(say(axis, cell.labels[axis.name]) for axis in self.inner) or "ours"

    def find(self, row: str, cell: Cell) -> Point:
        """Return the figure of a row in a cell, without a value where it was not measured."""
        return self._find(row, cell.metric, self.grid.users, cell)

    def other(self, row: str, metric: str, users: str, cell: Cell) -> Point:
        """Return another figure of a row in a cell than the experiment's own."""
        return self._find(row, metric, users, cell)

    def recall(self, cell: Cell) -> Point:
        """Return the target's own recall@k in a cell."""
        return self._find(VICTIM, f"recall@{cell.metric.partition('@')[2]}", "target", cell)

    def quality(self, users: str, cell: Cell) -> Point:
        """Return the target's NDCG@10 for ``members`` or for ``non-members``."""
        return self._find(VICTIM, "ndcg@10", users, cell)

    def tail(self, row: str, cell: Cell) -> Point:
        """Return the share of members that an attack finds at 1 % false positives."""
        return self._find(row, TAIL, self.grid.users, cell)

    def null(self, row: str, cell: Cell) -> Point:
        """Return an attack's figure against a target that was trained on none of the candidates."""
        return self._find(NULL + row, cell.metric, self.grid.users, cell)

    def curve(self, row: str, cell: Cell) -> Curve | None:
        """Return an attack's ROC curve in a cell, ``None`` where it was not measured."""
        return self.curves.get((row, *self._at(cell)))

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
        return self.points.get((row, metric, users, *self._at(cell)), Point())

    def _at(self, cell: Cell) -> tuple[Any, ...]:
        return tuple(_plain(cell.labels[axis.name]) for axis in self.axes)


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
    words = [axis_words(name) for name in names]
    needed = {"lines": 1, "heatmap": 2}.get(grid.picture, 0)
    shown = grid.shown or grid.attacks
    # Under ROC curves and a frontier there is no axis of the grid.
    across = "" if grid.picture in ("roc", "frontier") else grid.across
    return Experiment(
        grid=grid,
        picture=grid.picture if len(names) >= needed else "none",
        axes=tuple(
            Axis(name=name, words=said)
            for name, said in zip(names, [*words[:-1], across or words[-1]], strict=True)
        ),
        attacks=tuple(row for row in shown if row not in _REFERENCES) or (VICTIM,),
        beside=tuple(row for row in (CONSTANT, AUXILIARY) if row in shown),
        points=_points(frame, names),
        curves=_curves(frame, names) if grid.infers and "fpr" in frame.columns else {},
    )


def decimals(value: float) -> str:
    """Return a share of ours from 0 to 1 as tables show it."""
    return number(value, 3)


def printed(point: Point, digits: int = 4) -> str:
    """Return the published value with the digits that the paper prints, empty where there is none."""
    return "" if point.published is None else number(point.published, digits)


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


def _curves(frame: pl.DataFrame, names: list[str]) -> dict[tuple[Any, ...], Curve]:
    found = {}
    rows = frame.filter(pl.col("metric") == ROC).sort("fpr")
    for key, curve in rows.group_by("attack", *names, maintain_order=True):
        ends = curve.select("fpr", "value", "low", "high").cast(pl.Float64).fill_null(math.nan)
        found[key[0], *map(_plain, key[1:])] = Curve(**ends.to_dict(as_series=False))
    return found


def _number(value: float | None) -> float | None:
    """Return ``value``, and nothing for what is not a number."""
    return None if value is None or math.isnan(value) else value


def _plain(value: Any) -> Any:
    """Return ``value`` so that 50 and 50.0, and 0.3 and the sum of three tenths, are the same."""
    return value if value is None or isinstance(value, str) else round(float(value), 9)
