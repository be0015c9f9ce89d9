"""An experiment as lines: one a row over an axis of its grid, a panel a group of cells."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from recaudit.figures import Figure
from recaudit.report.experiment import Experiment, Group
from recaudit.report.plots.style import (
    CHANCE_DASHES,
    INK,
    MUTED,
    REFERENCE_DASHES,
    WIDTH,
    Look,
    columns_of,
    diamonds,
    legend_line,
    limits_of,
    look_of,
    not_measured,
    plain_frame,
    reference_lines,
    rows_first,
    title_of,
)

__all__ = ["draw_lines"]


def draw_lines(experiment: Experiment) -> Canvas:
    """Return a panel a group of cells: a line an attack over the last axis, intervals as bands."""
    groups = experiment.groups
    columns = columns_of(len(groups), len(groups))
    rows = math.ceil(len(groups) / columns)
    width = WIDTH if columns > 1 or (experiment.infers and len(experiment.rows) > 4) else 5.4
    canvas = Canvas(figsize=(width, 2.6 * rows + 0.5 + 0.5 * (columns == 1)), layout="constrained")
    panels = canvas.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    limits = limits_of(experiment.chance, experiment.shown)
    for panel, group in zip(panels, groups, strict=False):
        _lines_panel(panel, experiment, group)
        panel.set_ylim(*limits)
        if len(groups) > 1 or experiment.infers:
            panel.set_title(title_of(experiment, group.label), color=INK)
    for panel in panels[len(groups) :]:
        panel.set_axis_off()
    canvas.supxlabel(experiment.inner[0].words, fontsize=8)
    for panel in panels[::columns]:
        panel.set_ylabel(experiment.measure)
    handles = [
        legend_line(experiment.name_of(row), look_of(experiment, row))
        for row in (*experiment.beside, *experiment.attacks)
    ]
    handles += reference_lines(experiment)
    if experiment.has_published:
        handles.append(legend_line("published", Look(INK, "D", "none", hollow=True)))
    if len(handles) > 1:
        across = len(handles) if len(handles) <= 4 else min(4, math.ceil(len(handles) / 2))
        by_rows = rows_first(handles, across)
        canvas.legend(handles=by_rows, loc="outside upper center", ncols=across, handlelength=3.2)
    return canvas


def _thinned(labels: Sequence[str], most: int) -> list[str]:
    """Return ``labels`` with some left empty where there are more than ``most``; the last one stays."""
    step = math.ceil(len(labels) / most)
    return [label if (len(labels) - 1 - place) % step == 0 else "" for place, label in enumerate(labels)]


def _lines_panel(panel: Axes, experiment: Experiment, group: Group) -> None:
    axis = experiment.inner[0]
    values = [cell.labels[axis.name] for cell in group.cells]
    # Names have no distances, so that they stand side by side.
    numbers = [float(value) for value in values if not isinstance(value, str)]
    at = numbers if len(numbers) == len(values) else [float(place) for place in range(len(values))]
    plain_frame(panel, "y")
    if experiment.infers and min(at) > 0 and max(at) >= 20 * min(at):
        panel.set_xscale("log")
        panel.minorticks_off()
    panel.set_xticks(at, _thinned([axis.label(value) for value in values], 6))
    if experiment.chance is not None:
        panel.axhline(experiment.chance, color=MUTED, linewidth=1.2, linestyle=CHANCE_DASHES, zorder=1)
    alpha = 0.15 if len(experiment.rows) <= 7 else 0.07
    for row in experiment.rows:
        reference = row in REFERENCE_DASHES
        look = Look(MUTED, "", REFERENCE_DASHES[row]) if reference else look_of(experiment, row)
        figures = [experiment.find(row, cell) for cell in group.cells]
        _one_line(panel, at, figures, look, alpha)
        if experiment.infers:
            _alone(panel, at, figures, look.colour)
    if all(experiment.find(row, cell).value is None for row in experiment.rows for cell in group.cells):
        not_measured(panel, 0.7 if experiment.infers else 0.5)


def _alone(panel: Axes, at: Sequence[float], figures: Sequence[Figure], colour: str) -> None:
    """Draw the intervals of figures that have no neighbour, and so no band."""
    known = [False, *(figure.value is not None for figure in figures), False]
    for place, figure in enumerate(figures, start=1):
        alone = known[place] and not known[place - 1] and not known[place + 1]
        if alone and figure.low is not None and figure.high is not None:
            panel.vlines(at[place - 1], figure.low, figure.high, color=colour, linewidth=1.2, zorder=2)


def _one_line(panel: Axes, at: Sequence[float], figures: Sequence[Figure], look: Look, alpha: float) -> None:
    """Draw a row's line with the band of its intervals; what has no value leaves a gap."""
    colour, marker, dashes, hollow = look
    value, low, high = (
        np.array([getattr(figure, end) for figure in figures], dtype=float)
        for end in ("value", "low", "high")
    )
    panel.fill_between(at, low, high, color=colour, alpha=alpha, linewidth=0, zorder=1)
    panel.plot(
        at,
        value,
        color=colour,
        marker=marker,
        markerfacecolor="white" if hollow else colour,
        linestyle=dashes,
        markersize=4,
        linewidth=1.4 if marker else 1.2,
        zorder=3 if marker else 2,
        clip_on=False,
    )
    published = [(x, one.published) for x, one in zip(at, figures, strict=True) if one.published is not None]
    if published:
        diamonds(panel, [x for x, _ in published], [y for _, y in published], colour)
