"""A paper's experiments, ours beside the published values: tables, and the page with all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from textwrap import fill

import polars as pl
from rich.console import Group as Parts
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from recaudit.experiments.grid import Cell, Further, Grid
from recaudit.experiments.papers import Paper
from recaudit.experiments.table import made_by
from recaudit.figures import Figure
from recaudit.report.comparison import one_list_for_all, without_attack
from recaudit.report.experiment import Experiment, Group, arranged, interval
from recaudit.report.table import Cell as Place
from recaudit.report.table import Table, cell_of, markdown, table_of, terminal, words
from recaudit.vocabulary import (
    AUXILIARY,
    CEILING,
    CONSTANT,
    DECIMALS,
    PERCENT,
    REFERENCES,
    TAIL,
    VICTIM,
    metric_of,
    number,
)

__all__ = [
    "Part",
    "counts_table",
    "further_tables",
    "markdown_of",
    "render_page",
    "tables",
    "terminal_of",
    "warnings_of",
]

HEAD = """\
<!-- Written by `recaudit reproduce page`; change the grids in experiments/papers, not this page. -->

# Reproduction of {paper.title}

{paper.opening}\
All figures of this page are rows of [one table]({table}):

```python
import polars as pl

pl.read_parquet("{table}").filter({paper.example})
```

{made}
Each section names the command that measures it and draws its plot in SVG, PNG and PDF;
{again}
"""
WIDTH = 110
"""Characters of a line of the page's head."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One experiment of a page.

    Args:
        grid: what was to be measured.
        frame: its rows of the tidy table of results.
        plot: where its plot is, seen from the page.
    """

    grid: Grid
    frame: pl.DataFrame
    plot: PurePosixPath


def tables(frame: pl.DataFrame, grid: Grid) -> list[Table]:
    """Return the tables of an experiment, one a group of cells; every cell of the grid has its place.

    There is a row an attack and a column a cell, or the other way round where there are more cells.

    Args:
        frame: the experiment's rows of the tidy table of results.
        grid: what was to be measured; what the frame lacks is not measured.

    Raises:
        UsageError: where an axis of the grid has no column in the table of results.
    """
    experiment = arranged(frame, grid)
    groups = experiment.groups
    return [
        _own_table(experiment, group, notes=(_caption(experiment),) if group == groups[-1] else ())
        for group in groups
    ]


def further_tables(frame: pl.DataFrame, grid: Grid) -> list[Table]:
    """Return the further tables of a grid, one a group of cells; arguments and errors as in ``tables``.

    A table of one row has a line a metric, others a line a row and a column for each metric of a cell.
    """
    experiment = arranged(frame, grid)
    return [_further(experiment, table, group) for table in grid.further for group in experiment.groups]


def markdown_of(found: Sequence[Table]) -> str:
    """Return tables as Markdown."""
    return "\n".join(map(markdown, found))


def terminal_of(found: Sequence[Table], title: str = "") -> RenderableType:
    """Return tables for a terminal of any width, below a title."""
    heading = [Text(title, style="bold")] if title else []
    return Parts(*heading, *(Padding(terminal(table), (1, 0, 0, 0)) for table in found))


def warnings_of(frame: pl.DataFrame, grid: Grid) -> list[str]:
    """Return what must be borne in mind of each victim, a text each, where the grid shows what is no attack.

    Which victim serves nearly the same list to everybody, and which attacks are no better than the constant
    list or the auxiliary model alone; arguments and errors as in ``tables``.
    """
    experiment = arranged(frame, grid)
    if not experiment.beside:
        return []
    return [
        f"{', '.join(filter(None, (group.label, experiment.heading(cell))))}: {' '.join(texts)}"
        for group in experiment.groups
        for cell in group.cells
        if (texts := list(_of_cell(experiment, cell)))
    ]


def counts_table(frame: pl.DataFrame) -> Table:
    """Return what data sets hold as a table, one row a data set and what was kept of it."""
    names = ("users", "items", "interactions")
    lines = [
        (
            *(words(row[name]) for name in ("data", "kept")),
            *(Place(text=number(row[name])) for name in names),
            Place(text="" if row["sparsity"] is None else f"{row['sparsity']:.4f}"),
        )
        for row in frame.iter_rows(named=True)
    ]
    return table_of("", ("data", "kept", *names, "sparsity"), lines, words_first=2)


def render_page(
    paper: Paper, parts: Sequence[Part], *, statistics: pl.DataFrame | None = None, table: str
) -> str:
    """Return the page as Markdown: the paper's tables, what explains the differences, and its figures.

    Experiments of membership inference stand in the order in which they are given.

    Args:
        paper: what the page reproduces.
        parts: its experiments, in order.
        statistics: what the data sets hold, one row a data set and what was kept of it, where the paper says
            what they held for it.
        table: where the tidy table is, seen from the page.
    """
    kinds = made_by(part.frame.filter(pl.col("seeds") > 0) for part in parts)
    made = f"Made by {'; and by '.join(kinds)}." if kinds else "Nothing is measured."
    again = f"`{paper.command}` then replaces its rows of the table, which say what made them, and draws this page."
    made, again = (
        fill(text, WIDTH, break_long_words=False, break_on_hyphens=False) for text in (made, again)
    )
    found = [HEAD.format(paper=paper, table=table, made=made, again=again)]
    if any(part.grid.infers for part in parts):
        return "\n".join([*found, *map(_section, parts)])
    places: dict[str, list[Part]] = {"table": [], "figure": [], "": []}
    for part in parts:
        name = part.grid.name.rpartition("/")[2]
        places[next(kind for kind in places if name.startswith(kind))].append(part)
    found += map(_section, places["table"])
    if statistics is not None:
        found.append(f"## What the data sets hold\n\n{paper.counts}\n\n{markdown(counts_table(statistics))}")
    if places[""]:
        found.append("## What explains the differences\n")
        found += [_section(part, level=3) for part in places[""]]
    return "\n".join([*found, *map(_section, places["figure"])])


def _own_table(experiment: Experiment, group: Group, notes: tuple[str, ...]) -> Table:
    by_attack = experiment.by_attack
    inner = ["attack"] if by_attack else [axis.heading for axis in experiment.inner]
    own = experiment.own(group.cells[0])
    matrix = [tuple(map(words, (*inner, *map(experiment.name_of, experiment.rows), *own, "seeds")))]
    for cell in group.cells:
        labels = [experiment.heading(cell)] if by_attack else experiment.labels(cell)
        shown = [_place(experiment, row, cell) for row in experiment.rows]
        quality = [_figure(figure) for figure in experiment.own(cell).values()]
        matrix.append((*map(words, labels), *shown, *quality, Place(text=_seeds(experiment, cell))))
    if by_attack:
        matrix = list(zip(*matrix, strict=True))
    headings = [place.text for place in matrix[0]]
    return table_of(group.label, headings, matrix[1:], words_first=len(inner), notes=notes)


def _further(experiment: Experiment, table: Further, group: Group) -> Table:
    rows, cells = table.rows or experiment.rows, group.cells
    title = f"{table.title} ({group.label})" if group.label else table.title
    if len(rows) == 1:
        named = [(metric, [(rows[0], metric, cell) for cell in cells]) for metric in table.metrics]
        headings = [experiment.name_of(rows[0]), *map(experiment.heading, cells)]
    else:
        columns = [(cell, metric) for cell in cells for metric in table.metrics]
        named = [(experiment.name_of(row), [(row, metric, cell) for cell, metric in columns]) for row in rows]
        headings = ["attack", *(_heading(experiment, table, group, *column) for column in columns)]
    lines = [
        (
            words(name),
            *(_figure(experiment.find(row, cell, metric, table.users)) for row, metric, cell in line),
        )
        for name, line in named
    ]
    return table_of(title, headings, lines)


def _heading(experiment: Experiment, table: Further, group: Group, cell: Cell, metric: str) -> str:
    if len(table.metrics) == 1:
        return experiment.heading(cell)
    return metric if len(group.cells) == 1 else f"{experiment.heading(cell)}: {metric}"


def _place(experiment: Experiment, row: str, cell: Cell) -> Place:
    """Return a figure beside the published one, and below it what else is told of the attack."""
    figure = experiment.find(row, cell)
    below = {"TPR": experiment.find(row, cell, TAIL)} if experiment.has_tail else {}
    below |= {"null": experiment.null(row, cell)} if experiment.infers else {}
    return replace(
        _figure(figure),
        beside="" if figure.published is None else number(figure.published, experiment.digits),
        below=tuple(f"{name} {_said(other)}" for name, other in below.items() if other.value is not None),
        strong=figure.value is not None,
    )


def _figure(figure: Figure) -> Place:
    """Return how a figure stands in a table: shares as papers print them, and not in per cent."""
    form = metric_of(figure.metric).form
    return cell_of(figure, DECIMALS if form == PERCENT else form)


def _said(figure: Figure) -> str:
    """Return a share with its interval."""
    between = interval(figure)
    return DECIMALS.text(figure.value) + (f" ({between})" if between else "")


def _seeds(experiment: Experiment, cell: Cell) -> str:
    """Return how many seeds a cell has, with a dagger where any figure has fewer than the grid."""
    low, high = experiment.seeds(cell)
    dagger = "†" if low < experiment.grid.seeds else ""
    return f"{low}{dagger}" if low == high else f"{low}–{high}{dagger}"


def _caption(experiment: Experiment) -> str:
    """Return how to read a table, and the footnote of the dagger where one stands."""
    said = f"In bold: {experiment.measure}; in brackets its 95 % interval"
    if experiment.has_published:
        said += f"; in italics: {experiment.grid.source}"
    if experiment.has_tail:
        said += "; TPR: the share of members found where 1 % of strangers are taken for members"
    if experiment.has_null:
        said += "; null: the figure against a victim trained on none of them, where chance is expected"
    if any(experiment.seeds(cell)[0] < experiment.grid.seeds for cell in experiment.cells):
        said += f". † fewer seeds than the grid’s {experiment.grid.seeds}"
    beside = (REFERENCES[row] for row in experiment.beside)
    return " ".join(
        [f"{said}.", *(f"{card.label} – {card.sentence[0].lower()}{card.sentence[1:]}" for card in beside)]
    )


def _of_cell(experiment: Experiment, cell: Cell) -> Iterator[str]:
    """Yield what must be borne in mind of one victim."""
    own = {row: experiment.find(row, cell) for row in experiment.rows}
    k = cell.metric.partition("@")[2]
    diversity = experiment.find(VICTIM, cell, f"diversity@{k}", "target")
    alike = one_list_for_all(own.get(CONSTANT), own.get(CEILING), diversity, _said)
    if alike is not None:
        yield alike
    attacks = {experiment.name_of(row): own[row] for row in experiment.attacks}
    yield from without_attack(attacks, own.get(CONSTANT), own.get(AUXILIARY), _said)


def _section(part: Part, *, level: int = 2) -> str:
    grid, frame = part.grid, part.frame
    source = grid.source[:1].upper() + grid.source[1:]
    lines = [
        f"{'#' * level} {grid.title}",
        "",
        f"{source}. `recaudit reproduce {grid.name}`{_hours(grid.core_hours)}.",
        "",
        f"![{grid.title}]({part.plot})",
        "",
        markdown_of(tables(frame, grid)),
        *(f"{text.strip()}\n" for text in (*warnings_of(frame, grid), *grid.found)),
    ]
    if grid.further:
        lines += [markdown_of(further_tables(frame, grid)), ""]
    measured = frame.filter(pl.col("value").is_not_null(), users="queried")
    if grid.plot == "none" and grid.users == "unqueried" and len(measured):
        queried = grid.model_copy(update={"users": "queried"})
        lines += ["<details><summary>On queried users, whose lists the attacker may ask for</summary>", ""]
        lines += [markdown_of(tables(frame, queried)), "</details>", ""]
    if grid.remarks:
        own = grid.infers and grid.source.startswith("not in the paper")
        lines += ["What was chosen:" if own else "What the paper leaves unsaid, and what was chosen:", ""]
        lines += [f"- {' '.join(text.split())}" for text in grid.remarks]
    return "\n".join([*lines, ""])


def _hours(hours: float | None) -> str:
    if hours is None:
        return ""
    spent = f"{hours:.1f} core hours" if hours >= 1 else f"{60 * hours:.0f} core minutes"
    return f"; its nodes took {spent}, those that it shares with other sections among them"
