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
    REFERENCE_DASHES,
    RULE,
    VERMILION,
    WIDTH,
    Look,
    canvas_of,
    columns_of,
    diamonds,
    dot,
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

_LOOKS = {
    "unqueried": Look(BLUE, "o", "none"),
    "queried": Look(VERMILION, "D", "none", hollow=True),
    "unseen": Look(GREEN, "s", "none"),
}
_WORDS = {
    "unqueried": "unqueried: lists nobody asked for",
    "queried": "queried: lists asked for",
    "unseen": "unseen: unknown to the attacker",
}


@dataclass(frozen=True, kw_only=True)
class _Series:
    """One kind of marker: its figures, one a row, from 0 to 1."""

    name: str
    look: Look
    figures: tuple[Figure | None, ...]


def agreement_plot(stealing: Stealing, width: int, name: str) -> str:
    """Return agreement@k as SVG, one line an attack, for unqueried, for queried and for unseen users.

    Args:
        stealing: the figures.
        width: width in pixels, for instance ``WIDE`` or ``NARROW``.
        name: what the ids in the plot begin with; unique in the page.
    """
    rows = stealing.rows
    series = [
        _Series(
            name=_WORDS[users],
            look=look,
            figures=tuple(stealing.find(row, "agreement", users) for row in rows),
        )
        for users, look in _LOOKS.items()
    ]
    return _dots(
        stealing,
        rows,
        [one for one in series if any(one.figures)],
        title=f"Agreement of each clone’s top {stealing.k} with the victim’s",
        axis=f"share of the victim’s top {stealing.k} reproduced",
        references=[stealing.value(row, "agreement", "unqueried") for row in (FLOOR, CEILING)],
        width=width,
        name=name,
    )


def recall_plot(stealing: Stealing, width: int, name: str) -> str:
    """Return recall@k of the clones and of the victim as SVG; arguments as in ``agreement_plot``."""
    rows = (*stealing.rows, *((VICTIM,) if VICTIM in stealing.figures.attacks else ()))
    figures = tuple(stealing.find(row, "recall", "all") for row in rows)
    return _dots(
        stealing,
        rows,
        [_Series(name="all users", look=_LOOKS["unqueried"], figures=figures)],
        title=f"Recall@{stealing.k} of each clone and of the victim on held-out interactions",
        axis=f"share of held-out interactions in the top {stealing.k}",
        references=[stealing.value(VICTIM, "recall", "all")],
        width=width,
        name=name,
    )


def _dots(
    stealing: Stealing,
    rows: Sequence[str],
    series: Sequence[_Series],
    *,
    title: str,
    axis: str,
    references: Sequence[float | None],
    width: int,
    name: str,
) -> str:
    """Return a chart of dots with intervals: a line a row, a marker a series; no attack's line is shaded."""
    names = [stealing.label(row) for row in rows]
    labels = [textwrap.shorten(one, 22 if width >= 600 else 13, placeholder="…") or "…" for one in names]
    left = 24 + 7 * max(map(len, labels), default=0)
    top, bottom, step = 12 + 20 * len(series) * (len(series) > 1), 48, 34 if len(series) < 3 else 44
    height = top + bottom + step * max(len(rows), 1)
    with canvas_of(width, height) as canvas:
        axes = canvas.add_axes(
            (left / width, bottom / height, (width - left - 20) / width, step * max(len(rows), 1) / height)
        )
        _frame(axes, labels, min(1.0, limit_of(one for each in series for one in each.figures if one)), axis)
        for place, row in enumerate(rows):
            if row in REFERENCES:
                axes.axhspan(place - 0.5, place + 0.5, color=BAND, linewidth=0, zorder=0)
        for value in references:
            if value is not None:
                axes.axvline(value, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        apart = 0.34 if len(series) < 3 else 0.28
        for place, one in enumerate(series):
            offset = (place - (len(series) - 1) / 2) * apart
            size, edge = (7.5, 2.0) if one.look.hollow else (9.0, 0.0)
            for y, figure in enumerate(one.figures):
                if figure is not None and figure.value is not None:
                    dot(axes, figure, y + offset, one.look, size=size, edge=edge, width=2.0)
        if len(series) > 1:
            canvas.legend(
                handles=[legend_line(one.name, one.look) for one in series],
                loc="upper left",
                bbox_to_anchor=(left / width, 1),
                labelcolor=INK,
                frameon=False,
                fontsize=12,
                borderpad=0.2,
            )
        return svg(canvas, name, title, _in_words(names, series))


def _frame(axes: Axes, labels: Sequence[str], limit: float, axis: str) -> None:
    axes.set_xlim(-0.01 * limit, 1.01 * limit)
    axes.set_ylim(max(len(labels), 1) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), labels)
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


def _in_words(names: Sequence[str], series: Sequence[_Series]) -> str:
    """Return what the plot shows as text, for those who do not see it."""
    lines = []
    for place, row in enumerate(names):
        values = [(one.name.partition(":")[0], one.figures[place]) for one in series]
        said = [f"{PERCENT.text(figure.value)} for {name}" for name, figure in values if figure is not None]
        lines.append(f"{row}: {', '.join(said) or 'not available'}")
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
    dot(panel, figure, y, Look(colour, "o", "none"), size=4.5, edge=1.0, width=1.6)
