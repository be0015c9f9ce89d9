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
from recaudit.report.rows import AUXILIARY, CONSTANT

__all__ = ["markdown_table", "terminal_table"]

_PUBLISHED = "italic cyan"
# How each form tells ours and published values apart.
_MARKDOWN = ("In bold: {}; in brackets its 95 % interval", "; in italics: {}")
_BESIDE = ("Each figure: {}, above its 95 % interval", "; beside it: {}")
_IN_COLUMNS = ("Ours: {}", "; published: {}")
_BESIDE_FLOOR = {
    CONSTANT: "one list for everybody but for what a user has seen, of the items that are served to most of"
    " those who have not seen them, and chosen in hindsight",
    AUXILIARY: "a model of the auxiliary data, which asks the target nothing and saw none of its users",
}


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
    wide = _attack_rows if experiment.by_attack else _cell_rows
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
        if experiment.by_attack:
            rows = [list(column) for column in zip(*rows, strict=True)]
        names = 1 if experiment.by_attack else len(experiment.inner)
        lines += [_line(rows[0]), "|" + "---|" * names + "---:|" * (len(rows[0]) - names)]
        lines += [*map(_line, rows[1:]), ""]
    return "\n".join([*lines, _escaped(_caption(experiment, *_MARKDOWN)), ""])


def _markdown_rows(experiment: Experiment, group: Cells) -> list[list[str]]:
    """Return one row a cell, the headings first."""
    headings = ["attack"] if experiment.by_attack else [axis.heading for axis in experiment.inner]
    names = [_escaped(experiment.name_of(row)) for row in experiment.rows]
    rows = [[*headings, *names, *(heading for heading, _ in experiment.own), "seeds"]]
    for cell in group.cells:
        labels = [experiment.heading(cell)] if experiment.by_attack else experiment.labels(cell)
        labels = [_escaped(label) for label in labels]
        points = [_markdown_cell(experiment, row, cell) for row in experiment.rows]
        own = [_markdown_figure(find(cell)) for _, find in experiment.own]
        rows.append([*labels, *points, *own, experiment.seeds_label(cell)])
    return rows


def _markdown_cell(experiment: Experiment, row: str, cell: Cell) -> str:
    """Return a figure beside the published one, and below it what else is told of the attack."""
    point = experiment.find(row, cell)
    published = printed(point, experiment.digits)
    lines = [_markdown_figure(point, mark="**") + (f" · *{published}*" if published else "")]
    lines += [f"{name} {_markdown_figure(other)}" for name, other in _below(experiment, row, cell)]
    return "<br>".join(lines)


def _markdown_figure(point: Point, *, mark: str = "") -> str:
    ours = point.missing if point.value is None else f"{mark}{decimals(point.value)}{mark}"
    return ours + (f" ({ends})" if (ends := interval(point)) else "")


def _below(experiment: Experiment, row: str, cell: Cell) -> Iterator[tuple[str, Point]]:
    """Yield what stands below an attack's figure, where it was measured."""
    if experiment.has_tail and (tail := experiment.tail(row, cell)).value is not None:
        yield "TPR", tail
    if experiment.infers and (null := experiment.null(row, cell)).value is not None:
        yield "null", null


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
    if experiment.has_tail:
        said += "; TPR: the share of members found where 1 % of strangers are taken for members"
    if experiment.has_null:
        said += "; null: the figure against a target trained on none of them, where chance is expected"
    said += "".join(f"; {experiment.name_of(row)}: {_BESIDE_FLOOR[row]}" for row in experiment.beside)
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
        table.add_column(Text(f"{experiment.heading(cell)}\n{_seeds(experiment, cell)}"), no_wrap=True)
    for row in experiment.rows:
        cells = [_cell(experiment, row, cell) for cell in group.cells]
        _add(table, experiment, row, Text(experiment.name_of(row)), *cells)
    if experiment.own:
        table.add_section()
    for heading, find in experiment.own:
        own = [_figure(find(cell)) for cell in group.cells]
        table.add_row(Text(heading.replace(" ", "\n", 1)), *own)
    return table


def _cell_rows(experiment: Experiment, group: Cells) -> Table:
    """Return one row a cell and one column an attack, the intervals without brackets to save room."""
    table = _table(group)
    table.padding = (0, 0, 0, 0)
    for axis in experiment.inner:
        table.add_column(axis.heading.replace(" ", "\n", 1), justify="right", no_wrap=True)
    for row in experiment.rows:
        table.add_column(Text(experiment.name_of(row).replace(" ", "\n", 1)), no_wrap=True)
    own = experiment.own if experiment.infers else ()
    for heading, _ in own:
        table.add_column(heading.replace(" ", "\n"), no_wrap=True)
    table.add_column("seeds", justify="right", no_wrap=True)
    for cell in group.cells:
        cells = [_cell(experiment, row, cell, brackets=False) for row in experiment.rows]
        cells += [_figure(find(cell), brackets=False) for _, find in own]
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
    beside = [name for name, has in (("TPR", experiment.has_tail), ("null", experiment.has_null)) if has]
    for name in beside:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("seeds", justify="right", no_wrap=True)
    for cell in group.cells:
        table.add_section()
        labels = [Text(label) for label in experiment.labels(cell)]
        shown = [(row, experiment.name_of(row), experiment.find(row, cell)) for row in experiment.rows]
        if experiment.infers:
            shown += [("", heading, find(cell)) for heading, find in experiment.own]
        for place, (row, name, point) in enumerate(shown):
            ours = Text(point.missing, style="dim") if point.value is None else Text(decimals(point.value))
            cells = [ours, Text(interval(point), style="dim")]
            if experiment.has_published:
                cells.append(Text(printed(point, experiment.digits), style=_PUBLISHED))
            others = dict(_below(experiment, row, cell)) if row else {}
            cells += [Text(decimals(others[one].value or 0.0) if one in others else "") for one in beside]
            few = "†" if point.seeds < experiment.grid.seeds else ""
            said = labels if place == 0 else [Text("") for _ in labels]
            table.add_row(*said, Text(name), *cells, f"{point.seeds}{few}")
    return table


def _add(table: Table, experiment: Experiment, row: str, *cells: Text) -> None:
    """Add the row of an attack, the floor and the ceiling set apart from the others."""
    reference = experiment.compared and row not in experiment.attacks
    last = bool(experiment.attacks) and row == experiment.attacks[-1]
    first = (*experiment.rows[:1], *experiment.beside)[-1]
    ends = last or (row == first and not experiment.infers)
    table.add_row(*cells, style="italic" if reference else "", end_section=ends)


def _cell(experiment: Experiment, row: str, cell: Cell, *, brackets: bool = True) -> Text:
    """Return a figure beside the published one, and below it what else is told of the attack."""
    text = _figure(experiment.find(row, cell), experiment.digits, brackets=brackets)
    for name, other in _below(experiment, row, cell):
        text.append(f"\n{name} {decimals(other.value or 0.0)}", style="dim")
        if name == "TPR" and (between := interval(other)):
            text.append(f"\n({between})" if brackets else f"\n{between}", style="dim")
    return text


def _figure(point: Point, digits: int = 4, *, brackets: bool = True) -> Text:
    """Return ours and the published value side by side, and the interval below."""
    text = Text("–" if point.value is None else decimals(point.value))
    if point.published is not None:
        text.append(" " * (6 - len(text)) + printed(point, digits), style=_PUBLISHED)
    between = interval(point)
    below = point.missing if point.value is None else f"({between})" if brackets and between else between
    return text.append(f"\n{below}" if below else "", style="dim")


def _seeds(experiment: Experiment, cell: Cell) -> str:
    label = experiment.seeds_label(cell)
    return f"{label} seed{'' if label.rstrip('†') == '1' else 's'}"
