"""The figures of an experiment, cell by cell of its grid, measured or not, in the grid's order."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from recaudit.errors import UsageError
from recaudit.experiments.grid import Cell, Grid
from recaudit.figures import Figure, Figures
from recaudit.report.result import Curve
from recaudit.vocabulary import (
    AUXILIARY,
    AXES,
    BLIND,
    CEILING,
    CONSTANT,
    DECIMALS,
    FLOOR,
    GROUPS,
    JUDGED,
    NULL,
    REFERENCES,
    SERVINGS,
    TAIL,
    VICTIM,
    metric_of,
    number,
    printable,
    row_card,
)

__all__ = ["Axis", "Experiment", "Group", "arranged", "interval"]

ROC = "roc"
_NAMES = ("data", "victim", "clone", "serving", "feedback", "variant")
"""Axes whose values say by themselves what they are."""
_SHARES = ("known", "auxiliary_share", "common_items")


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of a grid.

    Args:
        name: its short name in the grid, which is its column in the table of results.
        words: what it is called in a plot.
    """

    name: str
    words: str

    @property
    def heading(self) -> str:
        """What it is called at the head of a column."""
        return AXES.get(self.name, self.name.replace("_", " "))

    def label(self, value: Any) -> str:
        """Return ``value`` as tables and ticks show it; shares are in per cent."""
        if isinstance(value, str):
            if self.name == "serving" and value in SERVINGS:
                return SERVINGS[value].label.lower()
            return printable(f"{value} feedback" if self.name == "feedback" else value)
        if self.name in _SHARES:
            return f"{100 * value:.6g} %"
        return number(value) if float(value).is_integer() else f"{value:.6g}"

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
    """The figures of a grid.

    Args:
        grid: what was to be measured.
        plot: ``none``, ``lines`` (over the last axis), ``heatmap`` (over the last two axes), ``roc`` (the
            last axis side by side) or ``frontier`` (a point a value of the last axis).
        axes: the axes of the grid.
        attacks: the attacks in the order of the tables; ``victim`` alone where only its figures are shown.
        beside: what is shown beside the floor and is no attack: ``constant``, ``auxiliary``.
        figures: the figures of a cell by its values on the axes.
        curves: the ROC curves of a cell by attack, likewise.
    """

    grid: Grid
    plot: str
    axes: tuple[Axis, ...]
    attacks: tuple[str, ...]
    beside: tuple[str, ...]
    figures: Mapping[tuple[Any, ...], Figures]
    curves: Mapping[tuple[Any, ...], Mapping[str, Curve]]

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
        return self.plot == "none"

    @property
    def chance(self) -> float | None:
        """The figure of an attack that knows nothing, ``None`` where a floor is measured for that."""
        return metric_of(self.grid.metric).chance

    @property
    def rows(self) -> tuple[str, ...]:
        """Floor and what stands beside it, attacks and ceiling, in this order."""
        return (FLOOR, *self.beside, *self.attacks, CEILING) if self.compared else self.attacks

    @property
    def judge(self) -> str:
        """The first attack that is no blind detector: the one that judges defences."""
        return next((row for row in self.attacks if not row.startswith(BLIND)), self.attacks[0])

    @property
    def inner(self) -> tuple[Axis, ...]:
        """The axes that run within a table: all but the data, or those that the plot runs over."""
        if self.plot == "none":
            return tuple(axis for axis in self.axes if axis.name != "data")
        return self.axes[-2 if self.plot == "heatmap" else -1 :]

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The cells by the values of the axes that are not ``inner``."""
        outer = [axis for axis in self.axes if axis not in self.inner]
        found: dict[str, list[Cell]] = {}
        for cell in self.grid.cells():
            found.setdefault(_told(outer, cell), []).append(cell)
        return tuple(Group(label=label, cells=tuple(cells)) for label, cells in found.items())

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The cells, group by group."""
        return tuple(cell for group in self.groups for cell in group.cells)

    @property
    def measure(self) -> str:
        """The metric in words, for instance ``agreement@50 on unqueried users``."""
        metric, users = self.grid.metric, self.grid.users
        if self.infers:
            return f"{metric_of(metric).label}, members against strangers"
        return f"{metric} of the victim’s own lists" if users == "target" else f"{metric} on {users} users"

    @property
    def digits(self) -> int:
        """How many digits the paper prints."""
        return 3 if self.infers else 4

    @cached_property
    def shown(self) -> tuple[Figure, ...]:
        """The figures of all rows in all cells."""
        return tuple(self.find(row, cell) for cell in self.cells for row in self.rows)

    @property
    def has_published(self) -> bool:
        """Whether the paper has a value for any of the figures shown."""
        return any(figure.published is not None for figure in self.shown)

    @property
    def has_null(self) -> bool:
        """Whether any attack shown was tried on a victim that was trained on none of the candidates."""
        return self.infers and any(self.null(row, cell).seeds for cell in self.cells for row in self.rows)

    @property
    def has_tail(self) -> bool:
        """Whether tables set beside each figure what is found at 1 % false positives."""
        return self.infers and self.grid.metric != TAIL

    def own(self, cell: Cell) -> dict[str, Figure]:
        """Return what tables show of the victim itself, by what they call it."""
        if self.infers:
            named = {f"victim’s NDCG@10, {GROUPS[users].label.lower()}": users for users in JUDGED}
            return {name: self.quality(users, cell) for name, users in named.items()}
        k = self.grid.metric.partition("@")[2]
        recall = self.find(VICTIM, cell, f"recall@{cell.metric.partition('@')[2]}", "target")
        return {f"victim’s Recall@{k}": recall} if self.compared else {}

    def labels(self, cell: Cell) -> list[str]:
        """Return the values of the ``inner`` axes as tables show them."""
        return [axis.label(cell.labels[axis.name]) for axis in self.inner]

    def heading(self, cell: Cell) -> str:
        """Return what a column of that cell is called, its ``inner`` axes by name where they need one."""
        return (_told(self.inner, cell) if self.infers else ", ".join(self.labels(cell))) or "ours"

    def said(self, cell: Cell) -> str:
        """Return the values of all axes."""
        return _told(self.axes, cell)

    def find(self, row: str, cell: Cell, metric: str = "", users: str = "") -> Figure:
        """Return the figure of a row in a cell, by default the experiment's own.

        Where it was not measured, the figure has no value and no seed.
        """
        metric, users = metric or cell.metric, users or self.grid.users
        figures = self.figures.get(self._at(cell))
        found = None if figures is None else figures.find(row, metric, users)
        missing = {"data": "", "victim": "", "value": None, "seeds": 0}
        return found or Figure(attack=row, metric=metric, users=users, **missing)

    def quality(self, users: str, cell: Cell) -> Figure:
        """Return the victim's NDCG@10 for ``members`` or for ``non-members``."""
        return self.find(VICTIM, cell, "ndcg@10", users)

    def null(self, row: str, cell: Cell) -> Figure:
        """Return an attack's figure against a victim that was trained on none of the candidates."""
        return self.find(f"{NULL}{row}", cell)

    def curve(self, row: str, cell: Cell) -> Curve | None:
        """Return an attack's ROC curve in a cell, ``None`` where it was not measured."""
        return self.curves.get(self._at(cell), {}).get(row)

    def seeds(self, cell: Cell) -> tuple[int, int]:
        """Return the least and the greatest number of seeds of what a cell has measured; 0 for nothing."""
        counts = [found.seeds for row in self.rows if (found := self.find(row, cell)).seeds]
        return min(counts, default=0), max(counts, default=0)

    def name_of(self, row: str) -> str:
        """Return what tables and plots call a row."""
        label = row_card(row, {}).label
        return label.lower() if row in REFERENCES else label

    def _at(self, cell: Cell) -> tuple[Any, ...]:
        return _plain(cell.labels[axis.name] for axis in self.axes)


def arranged(frame: pl.DataFrame, grid: Grid) -> Experiment:
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
    needed = {"lines": 1, "heatmap": 2}.get(grid.plot, 0)
    shown = grid.shown or grid.attacks
    axes = [Axis(name=name, words=Axis(name=name, words="").heading) for name in names]
    if grid.across and grid.plot not in ("roc", "frontier"):  # below those there is no axis of the grid
        axes[-1] = Axis(name=names[-1], words=grid.across)
    order = pl.col("seeds").fill_null(0)
    cells = frame.with_columns(order).sort(order, descending=True, maintain_order=True)
    return Experiment(
        grid=grid,
        plot=grid.plot if len(names) >= needed else "none",
        axes=tuple(axes),
        attacks=tuple(row for row in shown if row not in REFERENCES) or (VICTIM,),
        beside=tuple(row for row in (CONSTANT, AUXILIARY) if row in shown),
        figures={at: _figures(rows) for at, rows in _by_cell(cells.filter(pl.col("metric") != ROC), names)},
        curves={at: _curves(rows) for at, rows in _by_cell(frame.filter(metric=ROC), names)},
    )


def interval(figure: Figure) -> str:
    """Return the interval of a share as ``0.571–0.612``, empty where there is none."""
    return "" if figure.value is None else DECIMALS.interval(figure.low, figure.high)


def _told(axes: Sequence[Axis], cell: Cell) -> str:
    return ", ".join(axis.said(cell.labels[axis.name]) for axis in axes)


def _by_cell(frame: pl.DataFrame, names: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], pl.DataFrame]]:
    for at, rows in frame.group_by(names, maintain_order=True):
        yield _plain(at), rows


def _figures(rows: pl.DataFrame) -> Figures:
    """Return the figures of a cell, in which nothing else than the cell says what strangers are served."""
    named = [name for name in Figure.model_fields if name in rows.columns and name != "serving"]
    return Figures(rows.select(named))


def _curves(rows: pl.DataFrame) -> dict[str, Curve]:
    ends = rows.sort("fpr").with_columns(pl.col("value", "low", "high").cast(pl.Float64).fill_null(math.nan))
    return {
        name: Curve(
            serving="",
            attack=name,
            **own.select("fpr", "low", "high", tpr="value").to_dict(as_series=False),
        )
        for (name,), own in ends.group_by("attack", maintain_order=True)
    }


def _plain(values: Any) -> tuple[Any, ...]:
    """Return ``values`` so that 50 and 50.0, and 0.3 and the sum of three tenths, are the same."""
    return tuple(
        value if value is None or isinstance(value, str) else round(float(value), 9) for value in values
    )
