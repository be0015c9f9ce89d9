"""Dots with intervals, a line a row: an audit's figures by group of users, and an experiment's by cell."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, MultipleLocator

from recaudit.experiments.grid import Cell
from recaudit.figures import Figure
from recaudit.report.experiment import Experiment
from recaudit.report.plots.style import (
    BAND,
    BLUE,
    CHANCE_DASHES,
    GREEN,
    INK,
    MUTED,
    PAPER,
    REFERENCE_DASHES,
    RULE,
    VERMILION,
    WIDTH,
    Look,
    canvas_of,
    columns_of,
    diamonds,
    legend_line,
    limit_of,
    plain_frame,
    reference_lines,
    svg,
    title_of,
)
from recaudit.report.views import Stealing
from recaudit.vocabulary import CEILING, FLOOR, PERCENT, REFERENCES, VICTIM

__all__ = ["agreement_plot", "draw_dots", "recall_plot"]

# Marker, colour and whether it is filled, by users; others are filled circles of the first colour.
_LOOKS = {"queried": ("D", VERMILION, False), "unseen": ("s", GREEN, True)}


@dataclass(frozen=True, kw_only=True)
class _Series:
    """One kind of marker: its figures, one a row, from 0 to 1."""

    name: str
    marker: str
    colour: str
    filled: bool
    figures: tuple[Figure | None, ...]


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A line of the chart; what is no attack is shaded."""

    label: str
    reference: bool


def agreement_plot(stealing: Stealing, width: int, name: str) -> str:
    """Return agreement@k as SVG, one line an attack, for unqueried, for queried and for unseen users.

    Args:
        stealing: the figures.
        width: width in pixels, for instance ``WIDE`` or ``NARROW``.
        name: what the ids in the plot begin with; unique in the page.
    """
    rows = stealing.rows
    series = [
        _of_users(stealing, rows, "agreement", "unqueried", "unqueried: lists nobody asked for"),
        _of_users(stealing, rows, "agreement", "queried", "queried: lists asked for"),
        _of_users(stealing, rows, "agreement", "unseen", "unseen: unknown to the attacker"),
    ]
    ends = (stealing.value(row, "agreement", "unqueried") for row in (FLOOR, CEILING))
    return _dots(
        _rows(stealing, rows),
        [one for one in series if any(figure is not None for figure in one.figures)],
        title=f"Agreement of each clone’s top {stealing.k} with the victim’s",
        axis=f"share of the victim’s top {stealing.k} reproduced",
        references=[value for value in ends if value is not None],
        width=width,
        name=name,
    )


def recall_plot(stealing: Stealing, width: int, name: str) -> str:
    """Return recall@k of the clones and of the victim as SVG; arguments as in ``agreement_plot``."""
    rows = (*stealing.rows, *((VICTIM,) if VICTIM in stealing.figures.attacks else ()))
    own = stealing.value(VICTIM, "recall", "all")
    return _dots(
        _rows(stealing, rows),
        [_of_users(stealing, rows, "recall", "all", "all users")],
        title=f"Recall@{stealing.k} of each clone and of the victim on held-out interactions",
        axis=f"share of held-out interactions in the top {stealing.k}",
        references=[] if own is None else [own],
        width=width,
        name=name,
    )


def _rows(stealing: Stealing, rows: Sequence[str]) -> list[_Row]:
    return [_Row(label=stealing.label(row), reference=row in REFERENCES) for row in rows]


def _of_users(stealing: Stealing, rows: Sequence[str], metric: str, users: str, name: str) -> _Series:
    marker, colour, filled = _LOOKS.get(users, ("o", BLUE, True))
    figures = tuple(stealing.find(row, metric, users) for row in rows)
    return _Series(name=name, marker=marker, colour=colour, filled=filled, figures=figures)


def _dots(
    rows: Sequence[_Row],
    series: Sequence[_Series],
    *,
    title: str,
    axis: str,
    references: Sequence[float],
    width: int,
    name: str,
) -> str:
    """Return a chart of dots with intervals: a line a row, a marker a series."""
    labels = [textwrap.shorten(row.label, 22 if width >= 600 else 13, placeholder="…") or "…" for row in rows]
    left = 24 + 7 * max(map(len, labels), default=0)
    top, bottom, step = 12 + 20 * len(series) * (len(series) > 1), 48, 34 if len(series) < 3 else 44
    height = top + bottom + step * max(len(rows), 1)
    with canvas_of(width, height) as canvas:
        axes = canvas.add_axes(
            (left / width, bottom / height, (width - left - 20) / width, step * max(len(rows), 1) / height)
        )
        _frame(axes, rows, labels, _limit(series), axis)
        for value in references:
            axes.axvline(value, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        for place, one in enumerate(series):
            apart = 0.34 if len(series) < 3 else 0.28
            offset = 0.0 if len(series) == 1 else (place - (len(series) - 1) / 2) * apart
            _draw(axes, one, offset)
            if len(series) > 1:
                _legend(canvas, one, (left, height - 14 - 20 * place), (width, height))
        return svg(canvas, name, title, _in_words(rows, series))


def _limit(series: Sequence[_Series]) -> float:
    """Return where the axis ends: the next tenth above everything drawn, and never above 1."""
    drawn = [
        figure for one in series for figure in one.figures if figure is not None and figure.value is not None
    ]
    highest = max((max(f.value or 0.0, f.high or 0.0) for f in drawn), default=0.0)
    return min(1.0, max(0.1, math.ceil(10 * highest + 0.2) / 10))


def _frame(axes: Axes, rows: Sequence[_Row], labels: Sequence[str], limit: float, axis: str) -> None:
    axes.set_xlim(-0.01 * limit, 1.01 * limit)
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    for place, row in enumerate(rows):
        if row.reference:
            axes.axhspan(place - 0.5, place + 0.5, color=BAND, linewidth=0, zorder=0)
    axes.set_yticks(range(len(rows)), labels)
    axes.xaxis.set_major_locator(MultipleLocator(0.2 if limit > 0.5 else 0.1 if limit > 0.2 else 0.05))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    axes.tick_params(axis="both", length=0, pad=8)
    axes.tick_params(axis="x", labelcolor=MUTED)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.grid(visible=True, axis="x", color=RULE, linewidth=1)
    axes.set_axisbelow(True)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.set_xlabel(axis, color=MUTED, labelpad=6)


def _draw(axes: Axes, series: _Series, offset: float) -> None:
    for place, figure in enumerate(series.figures):
        if figure is None or figure.value is None:
            continue
        if figure.low is not None and figure.high is not None:
            axes.hlines(place + offset, figure.low, figure.high, color=series.colour, linewidth=2, zorder=2)
        _marker(axes, figure.value, place + offset, series)


def _marker(axes: Axes, x: float, y: float, series: _Series) -> None:
    axes.plot(
        [x],
        [y],
        linestyle="none",
        marker=series.marker,
        markersize=9 if series.filled else 7.5,
        color=series.colour,
        markerfacecolor=series.colour if series.filled else PAPER,
        markeredgewidth=2 if not series.filled else 0,
        zorder=3,
        clip_on=False,
    )


def _legend(canvas: Canvas, series: _Series, at: tuple[int, int], size: tuple[int, int]) -> None:
    (x, y), (width, height) = at, size
    axes = canvas.add_axes((x / width, (y - 8) / height, 16 / width, 16 / height))
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    _marker(axes, 0.5, 0.5, series)
    canvas.text((x + 24) / width, y / height, series.name, color=INK, va="center_baseline", fontsize=12)


def _in_words(rows: Sequence[_Row], series: Sequence[_Series]) -> str:
    """Return what the plot shows as text, for those who do not see it."""
    lines = []
    for place, row in enumerate(rows):
        values = [(one.name.partition(":")[0], one.figures[place]) for one in series]
        said = [f"{PERCENT.text(figure.value)} for {name}" for name, figure in values if figure is not None]
        lines.append(f"{row.label}: {', '.join(said) or 'not available'}")
    return "; ".join(lines) + "."


def draw_dots(experiment: Experiment) -> Canvas:
    """Return a panel a cell: a row an attack, ours with intervals, published values as hollow diamonds.

    The floor and the ceiling are dashed lines in the light bands of their intervals.
    """
    cells, attacks = experiment.cells, (*experiment.beside, *experiment.attacks)
    columns = columns_of(len(experiment.groups[0].cells), len(cells))
    rows = math.ceil(len(cells) / columns)
    canvas = Canvas(figsize=(WIDTH, rows * (0.24 * len(attacks) + 0.38) + 0.75), layout="constrained")
    panels = canvas.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    limit = limit_of(experiment.shown)
    for panel, cell in zip(panels, cells, strict=False):
        _dots_panel(panel, experiment, cell)
        panel.set_title(title_of(experiment, experiment.said(cell)), color=INK)
        panel.set_xlim(0, limit)
    for panel in panels[len(cells) :]:
        panel.set_axis_off()
    canvas.supxlabel(experiment.measure, fontsize=8)
    handles = [legend_line("ours, 95 % interval", Look(BLUE, "o", "solid"))]
    if experiment.has_published:
        handles.append(legend_line("published", Look(VERMILION, "D", "none", hollow=True)))
    handles += reference_lines(experiment)
    canvas.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return canvas


def _dots_panel(panel: Axes, experiment: Experiment, cell: Cell) -> None:
    attacks = (*experiment.beside, *experiment.attacks)
    plain_frame(panel, "x")
    panel.set_yticks(range(len(attacks)), [experiment.name_of(row) for row in attacks])
    panel.set_ylim(len(attacks) - 0.4, -0.6)
    panel.tick_params(axis="y", length=0)
    for row in (FLOOR, CEILING) if experiment.compared else ():
        figure = experiment.find(row, cell)
        if figure.value is not None:
            panel.axvline(figure.value, color=MUTED, linewidth=1.2, linestyle=REFERENCE_DASHES[row], zorder=1)
        if figure.low is not None and figure.high is not None:
            panel.axvspan(figure.low, figure.high, color=MUTED, alpha=0.13, linewidth=0, zorder=0.5)
    if experiment.chance is not None:
        panel.axvline(experiment.chance, color=MUTED, linewidth=1.2, linestyle=CHANCE_DASHES, zorder=1)
    for place, row in enumerate(attacks):
        colour = BLUE if row in experiment.attacks else MUTED
        _dot(panel, place, experiment.find(row, cell), colour)


def _dot(panel: Axes, place: int, figure: Figure, colour: str) -> None:
    """Draw ours with its interval, and the published value below it where there is one."""
    y = place - (0.0 if figure.published is None else 0.17)
    if figure.published is not None:
        diamonds(panel, [figure.published], [place + 0.17], VERMILION)
    if figure.value is None:
        panel.annotate(
            figure.missing,
            (0.02, y),
            xycoords=("axes fraction", "data"),
            va="center",
            color=MUTED,
            fontsize=7,
            style="italic",
            bbox={"facecolor": "white", "linewidth": 0, "pad": 0.8},
        )
        return
    if figure.low is not None and figure.high is not None:
        panel.hlines(y, figure.low, figure.high, color=colour, linewidth=1.6, zorder=2)
    panel.plot([figure.value], [y], "o", color=colour, markersize=4.5, zorder=3, clip_on=False)
