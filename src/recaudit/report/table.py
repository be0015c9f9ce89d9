"""One table, for audits and papers, with three renderers: terminal, Markdown and HTML."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from recaudit.figures import Figure
from recaudit.vocabulary import NOT_MEASURED, Form, metric_of

__all__ = [
    "Cell",
    "Column",
    "Line",
    "Table",
    "cell_of",
    "environment",
    "escaped",
    "html",
    "markdown",
    "shown",
    "table_of",
    "terminal",
    "words",
]

Emphasis = Literal["", "reference", "strongest"]
_STYLES: dict[Emphasis, str] = {"": "", "reference": "italic", "strongest": "bold"}
_WORDS_WIDTH = 16
"""The least width of a column of longer words."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What stands in one place of a table.

    Args:
        text: the value, or words.
        interval: its interval and the number of users behind it, without brackets.
        beside: a second value beside the first, such as a published one.
        below: further lines.
        figure: the figure that the cell shows, where it shows one.
        words: whether the text may break, as numbers may not.
        strong: whether the value stands out from those below.
    """

    text: str
    interval: str = ""
    beside: str = ""
    below: tuple[str, ...] = ()
    figure: Figure | None = None
    words: bool = False
    strong: bool = False


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column.

    Args:
        heading: what it shows.
        align: ``right`` for numbers, ``left`` for words.
        optional: whether a terminal that is too narrow may leave it out.
    """

    heading: str
    align: Literal["left", "right"] = "right"
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row: the cells, of which the first is the row's name.

    Args:
        cells: one a column.
        emphasis: ``reference`` for what attacks are compared with, ``strongest`` for the strongest attack.
    """

    cells: tuple[Cell, ...]
    emphasis: Emphasis = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Args:
        title: what it shows.
        columns: the first one names the rows.
        sections: the rows, those together that belong together.
        notes: what stands below.
    """

    title: str
    columns: tuple[Column, ...]
    sections: tuple[tuple[Line, ...], ...]
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[Line, ...]:
        """The rows of all sections."""
        return tuple(line for section in self.sections for line in section)


def cell_of(figure: Figure | None, form: Form | None = None) -> Cell:
    """Return how a figure stands in a table; ``form`` is the metric's own where it is not given."""
    if figure is None:
        return Cell(text=NOT_MEASURED)
    if figure.value is None:
        return Cell(text=figure.missing, figure=figure)
    text = (form or metric_of(figure.metric).form).text(figure.value)
    return Cell(text=text, interval=figure.between(form), figure=figure)


def table_of(
    title: str,
    headings: Sequence[str],
    *groups: Iterable[Line | tuple[Cell, ...]],
    words_first: int = 1,
    notes: tuple[str, ...] = (),
) -> Table:
    """Return a table whose first columns hold words and the others numbers, a section a group of lines."""
    columns = tuple(
        Column(heading=heading, align="left" if place < words_first else "right")
        for place, heading in enumerate(headings)
    )
    lines = (
        tuple(line if isinstance(line, Line) else Line(cells=line) for line in group) for group in groups
    )
    return Table(title=title, columns=columns, sections=tuple(filter(None, lines)), notes=notes)


def words(text: str) -> Cell:
    """Return a cell of words."""
    return Cell(text=text, words=True)


def shown(tables: Sequence[Table]) -> list[Figure | None]:
    """Return the figures that stand in ``tables``."""
    return [cell.figure for table in tables for line in table.lines for cell in line.cells]


def terminal(table: Table) -> RenderableType:
    """Return the table for a terminal of any width.

    Intervals stand beside their values where all fits, else below them; where that is too wide as well, each
    row becomes a block of lines, one a column. No number is ever cut or broken.
    """
    body = _Body(table=table)
    title = [Text(table.title, style="bold")] if table.title else []
    return Group(*title, body, *(Padding(Text(note), (1, 0, 0, 0)) for note in table.notes))


def markdown(table: Table) -> str:
    """Return the table as Markdown."""
    lines = [f"**{escaped(table.title)}**", ""] if table.title else []
    lines.append(_markdown_line([escaped(column.heading) for column in table.columns]))
    lines.append(
        "|" + "|".join("---:" if column.align == "right" else "---" for column in table.columns) + "|"
    )
    lines += [_markdown_line(list(_markdown_cells(line))) for line in table.lines]
    lines += [text for note in table.notes for text in ("", escaped(note))]
    return "\n".join([*lines, ""])


def html(table: Table, *, cards: bool = True) -> Markup:
    """Return the table as HTML; with ``cards`` each row becomes a card on a narrow page."""
    template = environment().get_template("table.html.j2")
    return Markup(template.render(table=table, cards=cards))


@cache
def environment() -> Environment:
    """Return what renders the templates of this folder."""
    return Environment(
        loader=PackageLoader("recaudit.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def escaped(text: str) -> str:
    """Return ``text`` so that Markdown shows it as it is."""
    return "".join(f"\\{c}" if c in "\\|*_`<[" else c for c in text)


def _markdown_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _markdown_cells(line: Line) -> Iterator[str]:
    mark = {"": "", "reference": "*", "strongest": "**"}[line.emphasis]
    for place, cell in enumerate(line.cells):
        around = "**" if cell.strong else mark if place == 0 and cell.text else ""
        said = f"{around}{escaped(cell.text)}{around}"
        said += f" ({cell.interval})" if cell.interval else ""
        said += f" · *{escaped(cell.beside)}*" if cell.beside else ""
        yield "<br>".join([said, *map(escaped, cell.below)])


def _text(cell: Cell, *, beside: bool) -> Text:
    """Return a cell for a terminal, its interval ``beside`` the value or below it."""
    text = Text().append(cell.text, style="bold" if cell.strong else "")
    if cell.beside:
        text.append(f" {cell.beside}", style="italic cyan")
    if cell.interval:
        text.append(f"{' ' if beside else chr(10)}({cell.interval})", style="dim")
    for line in cell.below:
        text.append(f"\n{line}", style="dim")
    return text


def _width(text: Text | str) -> int:
    return max(map(cell_len, str(text).split("\n")), default=0)


def _widths(table: Table, *, beside: bool) -> list[tuple[int, int]]:
    """Return the least and the greatest width of each column; numbers and words of headings are never broken."""
    found = []
    for place, column in enumerate(table.columns):
        cells = [line.cells[place] for line in table.lines]
        numbers = max((_width(_text(cell, beside=beside)) for cell in cells if not cell.words), default=0)
        texts = max((_width(cell.text) for cell in cells if cell.words), default=0)
        heading = max(map(cell_len, column.heading.split()), default=0)
        least = max(numbers, heading, min(texts, _WORDS_WIDTH))
        found.append((least, max(least, texts, cell_len(column.heading))))
    return found


def _fitted(widths: Sequence[tuple[int, int]], room: int) -> list[int] | None:
    """Return the widths of columns for a terminal with ``room`` for them, ``None`` where they do not fit."""
    spare = room - sum(least for least, _ in widths)
    if spare < 0:
        return None
    found = []
    for least, most in widths:
        found.append(min(most, least + spare))
        spare -= found[-1] - least
    return found


def _without_optional(table: Table) -> Table:
    kept = [place for place, column in enumerate(table.columns) if not column.optional]
    return replace(
        table,
        columns=tuple(table.columns[place] for place in kept),
        sections=tuple(
            tuple(replace(line, cells=tuple(line.cells[place] for place in kept)) for line in section)
            for section in table.sections
        ),
    )


def _grid(table: Table, widths: Sequence[int], *, beside: bool, apart: int) -> RichTable:
    grid = RichTable(box=box.SIMPLE_HEAD, padding=(0, apart, 0, 0), show_edge=False, pad_edge=False)
    for column, width in zip(table.columns, widths, strict=True):
        grid.add_column(Text(column.heading), justify=column.align, width=width, overflow="fold")
    for section in table.sections:
        for line in section:
            grid.add_row(*(_text(cell, beside=beside) for cell in line.cells), style=_STYLES[line.emphasis])
        grid.add_section()
    return grid


@dataclass(frozen=True, kw_only=True)
class _Body:
    """The widest form of a table that a terminal has room for."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        for table in (self.table, _without_optional(self.table)):
            for beside, apart in ((True, 1), (False, 1), (False, 0)):
                room = options.max_width - (len(table.columns) - 1) * (1 + apart)
                if widths := _fitted(_widths(table, beside=beside), room):
                    yield _grid(table, widths, beside=beside, apart=apart)
                    return
        yield _Stacked(table=self.table)


@dataclass(frozen=True, kw_only=True)
class _Stacked:
    """A block of lines a row: its name, then each column's heading and value."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        heading = f"{self.table.columns[0].heading}: "
        for line in self.table.lines:
            yield Text.assemble((heading, "dim"), (line.cells[0].text, "bold"))
            yield Padding(self._block(line, options.max_width - 2), (0, 0, 0, 2))

    def _block(self, line: Line, width: int) -> RichTable:
        columns = list(zip(self.table.columns, line.cells, strict=True))[1:]
        numbers = [cell for _, cell in columns if not cell.words]
        room = (
            width - 2 - max((cell_len(word) for one, _ in columns for word in one.heading.split()), default=0)
        )
        beside = all(_width(_text(cell, beside=True)) <= room for cell in numbers)
        least = max((_width(_text(cell, beside=beside)) for cell in numbers), default=0)
        block = RichTable.grid(padding=(0, 2, 0, 0))
        block.add_column(overflow="fold")
        block.add_column(min_width=min(least, width), overflow="fold")
        for column, cell in columns:
            block.add_row(Text(column.heading, style="dim"), _text(cell, beside=beside))
        return block
