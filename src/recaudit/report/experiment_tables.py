"""An experiment as tables, ours beside published: for a terminal and in Markdown."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl
from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from recaudit.experiments.grid import Cell, Grid
from recaudit.report.experiment_rows import Experiment, Point, arrange_experiment, decimals, interval, printed
from recaudit.report.experiment_rows import Group as Cells

__all__ = ["markdown_table", "terminal_table"]

_PUBLISHED = "italic cyan"
# How each form tells ours and published values apart.
_MARKDOWN = ("In bold: {}; in brackets its 95 % interval", "; in italics: {}")
_BESIDE = ("Each figure: {}, above its 95 % interval", "; beside it: {}")
_IN_COLUMNS = ("Ours: {}", "; published: {}")


def terminal_table(frame: pl.DataFrame, grid: Grid) -> RenderableType:
    """Return the table of an experiment for a terminal, in the widest form that fits it.

    A table 4 has one row an attack and one column a cell, a table for each data set; a figure has one row a
    cell and one column an attack. Where that is wider than the terminal, there is one row a figure. Each
    figure stands above its interval and beside the published value; what was not measured says so.

    Args:
        frame: the experiment's rows of the tidy table of results.
        grid: what was to be measured.

    Raises:
        UsageError: where an axis of the grid has no column in the table of results.
    """
    experiment = arrange_experiment(frame, grid)
    wide = _attack_rows if experiment.picture == "none" else _cell_rows
    forms = [_whole(experiment, wide, _BESIDE), _whole(experiment, _figure_rows, _IN_COLUMNS)]
    return _Fitting(forms=forms)


def markdown_table(frame: pl.DataFrame, grid: Grid) -> str:
    """Return the tables of an experiment in Markdown; arguments and errors as in ``terminal_table``.

    A table 4 has one row an attack and one column a cell, a table for each data set; a figure has one row a
    cell and one column an attack. Every cell of the grid has its place, measured or not.
    """
    experiment = arrange_experiment(frame, grid)
    lines: list[str] = []
    for group in experiment.groups:
        lines += [f"**{_escaped(group.label)}**", ""] if group.label else []
        rows = _markdown_rows(experiment, group)
        if experiment.picture == "none":
            rows = [list(column) for column in zip(*rows, strict=True)]
        names = len(experiment.inner) if experiment.picture != "none" else 1
        lines += [_line(rows[0]), "|" + "---|" * names + "---:|" * (len(rows[0]) - names)]
        lines += [*map(_line, rows[1:]), ""]
    return "\n".join([*lines, _escaped(_caption(experiment, *_MARKDOWN)), ""])


def _markdown_rows(experiment: Experiment, group: Cells) -> list[list[str]]:
    """Return one row a cell, the headings first."""
    headings = [axis.heading for axis in experiment.inner]
    if experiment.picture == "none":
        headings = ["attack"]
    names = [_escaped(experiment.name_of(row)) for row in experiment.rows]
    recall = [experiment.recall_heading] if experiment.compared else []
    rows = [[*headings, *names, *recall, "seeds"]]
    for cell in group.cells:
        labels = [_escaped(label) for label in experiment.labels(cell)]
        if experiment.picture == "none":
            labels = [", ".join(labels) or "ours"]
        points = [_markdown_cell(experiment.find(row, cell)) for row in experiment.rows]
        own = [_markdown_cell(experiment.recall(cell), bold=False)] if experiment.compared else []
        rows.append([*labels, *points, *own, experiment.seeds_label(cell)])
    return rows


def _markdown_cell(point: Point, *, bold: bool = True) -> str:
    mark = "**" if bold else ""
    ours = point.missing if point.value is None else f"{mark}{decimals(point.value)}{mark}"
    between = f" ({ends})" if (ends := interval(point)) else ""
    return f"{ours}{between}" + (f" · *{published}*" if (published := printed(point)) else "")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escaped(text: str) -> str:
    """Return ``text`` so that Markdown shows it as it is."""
    return "".join(f"\\{c}" if c in "\\|*_`<[" else c for c in text)


def _caption(experiment: Experiment, ours: str, published: str) -> str:
    """Return how to read a table, and the footnote of the dagger where one stands."""
    said = ours.format(experiment.measure)
    if experiment.has_published:
        said += published.format(experiment.grid.source)
    if experiment.has_fewer_seeds:
        said += f". † fewer seeds than the grid’s {experiment.grid.seeds}"
    return f"{said}."


@dataclass(frozen=True, kw_only=True)
class _Fitting:
    """The first of ``forms`` that the console is wide enough for, and the last where it is for none."""

    forms: Sequence[RenderableType]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        # A table's least width would wrap its numbers, so that its greatest has to fit.
        unbounded = options.update(max_width=10_000)
        fitting = (
            form
            for form in self.forms
            if Measurement.get(console, unbounded, form).maximum <= options.max_width
        )
        yield next(fitting, self.forms[-1])


def _whole(
    experiment: Experiment, form: Callable[[Experiment, Cells], Table], words: tuple[str, str]
) -> RenderableType:
    tables = [form(experiment, group) for group in experiment.groups]
    return _Titled(title=experiment.grid.name, tables=tables, caption=_caption(experiment, *words))


@dataclass(frozen=True, kw_only=True)
class _Titled:
    """Tables with a title and a caption that do not count when it is asked how wide the tables are."""

    title: str
    tables: Sequence[Table]
    caption: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        yield Text(self.title, style="bold")
        for table in self.tables:
            yield Padding(table, (1, 0, 0, 0))
        yield Padding(Text(self.caption), (1, 0, 0, 0))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, Group(*self.tables))


def _table(group: Cells) -> Table:
    return Table(
        title=Text(group.label) if group.label else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        pad_edge=False,
    )


def _attack_rows(experiment: Experiment, group: Cells) -> Table:
    """Return one row an attack and one column a cell."""
    table = _table(group)
    table.add_column("attack", no_wrap=True)
    for cell in group.cells:
        label = ", ".join(experiment.labels(cell)) or "ours"
        table.add_column(Text(f"{label}\n{_seeds(experiment, cell)}"), no_wrap=True)
    for row in experiment.rows:
        cells = [_cell(experiment.find(row, cell)) for cell in group.cells]
        _add(table, experiment, row, Text(experiment.name_of(row)), *cells)
    if experiment.compared:
        table.add_section()
        recall = [_cell(experiment.recall(cell)) for cell in group.cells]
        table.add_row(Text(experiment.recall_heading.replace(" ", "\n")), *recall)
    return table


def _cell_rows(experiment: Experiment, group: Cells) -> Table:
    """Return one row a cell and one column an attack, the intervals without brackets to save room."""
    table = _table(group)
    table.padding = (0, 0, 0, 0)
    for axis in experiment.inner:
        table.add_column(axis.heading.replace(" ", "\n", 1), justify="right", no_wrap=True)
    for row in experiment.rows:
        table.add_column(Text(experiment.name_of(row).replace(" ", "\n", 1)), no_wrap=True)
    table.add_column("seeds", justify="right", no_wrap=True)
    for cell in group.cells:
        cells = [_cell(experiment.find(row, cell), brackets=False) for row in experiment.rows]
        labels = [Text(label) for label in experiment.labels(cell)]
        table.add_row(*labels, *cells, experiment.seeds_label(cell))
    return table


def _figure_rows(experiment: Experiment, group: Cells) -> Table:
    """Return one row a figure, a section a cell."""
    table = _table(group)
    for axis in experiment.inner:
        table.add_column(axis.heading, overflow="fold")
    table.add_column("attack", overflow="fold")
    table.add_column("ours", justify="right", no_wrap=True)
    table.add_column("95 % interval", no_wrap=True)
    if experiment.has_published:
        table.add_column("published", justify="right", no_wrap=True)
    table.add_column("seeds", justify="right", no_wrap=True)
    for cell in group.cells:
        table.add_section()
        labels = [Text(label) for label in experiment.labels(cell)]
        for place, row in enumerate(experiment.rows):
            point = experiment.find(row, cell)
            ours = Text(point.missing, style="dim") if point.value is None else Text(decimals(point.value))
            cells = [ours, Text(interval(point), style="dim")]
            cells += [Text(printed(point), style=_PUBLISHED)] if experiment.has_published else []
            few = "†" if point.seeds < experiment.grid.seeds else ""
            said = labels if place == 0 else [Text("") for _ in labels]
            table.add_row(*said, Text(experiment.name_of(row)), *cells, f"{point.seeds}{few}")
    return table


def _add(table: Table, experiment: Experiment, row: str, *cells: Text) -> None:
    """Add the row of an attack, the floor and the ceiling set apart from the others."""
    reference = experiment.compared and row not in experiment.attacks
    last = bool(experiment.attacks) and row == experiment.attacks[-1]
    table.add_row(*cells, style="italic" if reference else "", end_section=row == experiment.rows[0] or last)


def _cell(point: Point, *, brackets: bool = True) -> Text:
    """Return ours and the published value side by side, and the interval below."""
    text = Text("–" if point.value is None else decimals(point.value))
    if point.published is not None:
        text.append(" " * (6 - len(text)) + printed(point), style=_PUBLISHED)
    between = interval(point)
    below = point.missing if point.value is None else f"({between})" if brackets and between else between
    return text.append(f"\n{below}" if below else "", style="dim")


def _seeds(experiment: Experiment, cell: Cell) -> str:
    label = experiment.seeds_label(cell)
    return f"{label} seed{'' if label.rstrip('†') == '1' else 's'}"
