"""The page's tables as values: what stands in each cell, and which figure that is."""

from collections.abc import Sequence
from dataclasses import dataclass

from recaudit.report.result import Figure
from recaudit.report.rows import ends, number, printable, share

__all__ = ["Cell", "Grid", "Line", "cell_of", "other_figures"]

_COUNTS = {"lists", "users", "items", "sequences", "calls"}
_SHARES = ("agreement@", "place@", "recall@", "tpr@", "accuracy", "diversity@", "coverage@")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell of a table in the page.

    Args:
        text: the value.
        interval: what stands below it.
        figure: the figure that they show.
        words: whether the text may break, as numbers may not.
    """

    text: str
    interval: str = ""
    figure: Figure | None = None
    words: bool = False


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of a table in the page; ``kind`` is ``reference``, ``strongest`` or empty."""

    label: str
    cells: tuple[Cell, ...]
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table of the page."""

    headings: tuple[str, ...]
    lines: tuple[Line, ...]


def cell_of(figure: Figure | None) -> Cell:
    """Return how ``figure`` stands in a table: shares in per cent, indices from 0 to 1, counts whole."""
    if figure is None:
        return Cell(text="–")
    if figure.value is None:
        return Cell(text="not available", figure=figure, words=True)
    if figure.metric.startswith(_SHARES):
        return Cell(text=share(figure.value), interval=ends(figure, 1, 100), figure=figure)
    if figure.metric == "seconds" or figure.metric in _COUNTS:
        digits = 1 if figure.metric == "seconds" and figure.value < 10 else 0
        low, high = number(figure.low, digits), number(figure.high, digits)
        spread = ends(figure, digits) if low != high else ""
        return Cell(text=number(figure.value, digits), interval=spread, figure=figure)
    return Cell(text=number(figure.value, 3), interval=ends(figure, 3), figure=figure)


def other_figures(figures: Sequence[Figure]) -> Grid:
    """Return a table of figures that no other table has a column for."""
    lines = tuple(
        Line(
            label=printable(figure.attack),
            cells=(_whose(figure), Cell(text=printable(figure.metric)), cell_of(figure)),
        )
        for figure in figures
    )
    return Grid(headings=("Users", "Metric", "Value"), lines=lines)


def _whose(figure: Figure) -> Cell:
    if figure.serving is None:
        return Cell(text=printable(figure.users))
    return Cell(text=printable(f"{figure.users}, {figure.serving}"), words=True)
