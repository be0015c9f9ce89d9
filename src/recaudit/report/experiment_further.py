"""What stands beside an experiment's own table: further tables, and what each target's figures are worth."""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from recaudit.experiments.grid import Cell, Further, Grid
from recaudit.report.comparison import one_list_for_all, without_attack
from recaudit.report.experiment_rows import Experiment, Point, arrange_experiment, decimals, interval
from recaudit.report.experiment_rows import Group as Cells
from recaudit.report.rows import AUXILIARY, CEILING, CONSTANT, VICTIM, number

__all__ = ["further_markdown", "further_tables", "warnings_of"]

_COUNTS = ("lists", "users", "items", "sequences", "calls")


@dataclass(frozen=True, kw_only=True)
class _Plain:
    """A table as texts: a title, the headings and the rows, each row with its name first."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def further_markdown(frame: pl.DataFrame, grid: Grid) -> str:
    """Return the further tables of a grid in Markdown, empty where it has none.

    A table of one row has a line a metric, others a line a row and a column for each metric of a cell.

    Args:
        frame: the experiment's rows of the tidy table of results.
        grid: what was to be measured; what the frame lacks is not measured.

    Raises:
        UsageError: where an axis of the grid has no column in the table of results.
    """
    lines = []
    for table in _tables(arrange_experiment(frame, grid)):
        lines += [f"**{table.title}**", "", _line(table.headings)]
        lines += ["|---|" + "---:|" * (len(table.headings) - 1), *map(_line, table.rows), ""]
    return "\n".join([*lines, ""]) if lines else ""


def further_tables(frame: pl.DataFrame, grid: Grid) -> RenderableType:
    """Return the further tables of a grid for a terminal; arguments and errors as in ``further_markdown``."""
    parts = []
    for plain in _tables(arrange_experiment(frame, grid), narrow=True):
        table = Table(
            title=Text(plain.title),
            title_justify="left",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            show_edge=False,
            pad_edge=False,
        )
        for place, heading in enumerate(plain.headings):
            table.add_column(Text(heading), justify="right" if place else "left", overflow="fold")
        for row in plain.rows:
            table.add_row(*map(Text, row))
        parts.append(Padding(table, (1, 0, 0, 0)))
    return Group(*parts)


def warnings_of(frame: pl.DataFrame, grid: Grid) -> list[str]:
    """Return what must be borne in mind of each target, a text each, where the grid shows what is no attack.

    Which target serves nearly the same list to everybody, and which attacks are no better than the constant
    list or the auxiliary model alone; arguments and errors as in ``further_markdown``.
    """
    experiment = arrange_experiment(frame, grid)
    if not experiment.beside:
        return []
    found = []
    for group in experiment.groups:
        for cell in group.cells:
            name = ", ".join(text for text in (group.label, experiment.heading(cell)) if text)
            if texts := list(_of_cell(experiment, cell)):
                found.append(f"{name}: {' '.join(texts)}")
    return found


def _of_cell(experiment: Experiment, cell: Cell) -> Iterator[str]:
    own = {row: experiment.find(row, cell) for row in experiment.rows}
    k = cell.metric.partition("@")[2]
    diversity = experiment.other(VICTIM, f"diversity@{k}", "target", cell)
    alike = one_list_for_all(own.get(CONSTANT), own.get(CEILING), diversity, _said, whose="target")
    if alike is not None:
        yield alike
    attacks = {experiment.name_of(row): own[row] for row in experiment.attacks}
    yield from without_attack(attacks, own.get(CONSTANT), own.get(AUXILIARY), _said, whose="target")


def _tables(experiment: Experiment, *, narrow: bool = False) -> Iterator[_Plain]:
    """Yield a table a group of cells; ``narrow`` ones of several metrics have one cell each."""
    for table in experiment.grid.further:
        rows = table.rows or experiment.rows
        for group in experiment.groups:
            if len(rows) == 1:
                yield _by_metric(experiment, table, group)
            elif narrow and len(table.metrics) > 1:
                for cell in group.cells:
                    label = ", ".join(text for text in (group.label, experiment.heading(cell)) if text)
                    yield _by_row(experiment, table, Cells(label=label, cells=(cell,)))
            else:
                yield _by_row(experiment, table, group)


def _by_metric(experiment: Experiment, table: Further, group: Cells) -> _Plain:
    (row,) = table.rows or experiment.rows
    lines = [
        (metric, *(_text(experiment, row, metric, table, cell) for cell in group.cells))
        for metric in table.metrics
    ]
    headings = (experiment.name_of(row), *map(experiment.heading, group.cells))
    return _Plain(title=_title(table, group), headings=headings, rows=tuple(lines))


def _by_row(experiment: Experiment, table: Further, group: Cells) -> _Plain:
    columns = [(cell, metric) for cell in group.cells for metric in table.metrics]
    lines = [
        (
            experiment.name_of(row),
            *(_text(experiment, row, metric, table, cell) for cell, metric in columns),
        )
        for row in table.rows or experiment.rows
    ]
    names = [experiment.heading(cell) for cell, _ in columns]
    if len(group.cells) == 1 and len(table.metrics) > 1:
        names = list(table.metrics)
    elif len(table.metrics) > 1:
        names = [f"{name}: {metric}" for name, (_, metric) in zip(names, columns, strict=True)]
    return _Plain(title=_title(table, group), headings=("attack", *names), rows=tuple(lines))


def _title(table: Further, group: Cells) -> str:
    return f"{table.title} ({group.label})" if group.label else table.title


def _text(experiment: Experiment, row: str, metric: str, table: Further, cell: Cell) -> str:
    point = experiment.other(row, metric, table.users, cell)
    if point.value is None:
        return point.missing
    return number(point.value) if metric in _COUNTS else _said(point)


def _said(point: Point) -> str:
    between = interval(point)
    return f"{decimals(point.value or 0.0)} ({between})" if between else decimals(point.value or 0.0)


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"
