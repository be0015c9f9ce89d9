"""What tables look like: on a terminal without colours, and as the cells of Markdown."""

import polars as pl
from rich.console import Console, RenderableType

from recaudit.experiments.grid import Grid
from recaudit.report.paper import markdown_of, tables, terminal_of


def printed(part: RenderableType, width: int) -> str:
    """Return what a terminal of that width shows."""
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(part)
    return capture.get()


def cells_of(text: str) -> list[list[list[str]]]:
    """Return a Markdown text's tables as rows of cells."""
    return [
        [line.strip("| ").split(" | ") for line in block.splitlines() if not line.startswith("|---")]
        for block in text.split("\n\n")
        if block.startswith("|")
    ]


def experiment_in_markdown(frame: pl.DataFrame, grid: Grid) -> str:
    """Return an experiment's own tables in Markdown."""
    return markdown_of(tables(frame, grid))


def experiment_printed(frame: pl.DataFrame, grid: Grid, width: int = 100) -> list[str]:
    """Return the lines of an experiment's own tables on a terminal."""
    lines = printed(terminal_of(tables(frame, grid)), width).splitlines()
    return [line.rstrip() for line in lines]


def fitting_text(frame: pl.DataFrame, grid: Grid, width: int) -> str:
    """Return an experiment's own tables on a terminal, and see that they fit it with nothing left out."""
    lines = experiment_printed(frame, grid, width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "…" not in text
    return text
