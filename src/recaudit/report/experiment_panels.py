"""An experiment as dots for a table and as lines over an axis."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recaudit.experiments.grid import Cell
from recaudit.report.experiment_looks import (
    BLUE,
    CHANCE_DASHES,
    INK,
    MUTED,
    REFERENCE_DASHES,
    RULE,
    VERMILION,
    WIDTH,
    Look,
    columns_of,
    legend_line,
    limit_of,
    limits_of,
    look_of,
    not_measured,
    plain_frame,
    reference_lines,
    rows_first,
    title_of,
)
from recaudit.report.experiment_rows import Experiment, Group, Point
from recaudit.report.rows import CEILING, FLOOR

__all__ = ["draw_dots", "draw_lines"]


def draw_dots(experiment: Experiment) -> Figure:
    """Return a panel a cell: a row an attack, ours with intervals, published values as hollow diamonds.

    The floor and the ceiling are dashed lines in the light bands of their intervals.
    """
    cells = [cell for group in experiment.groups for cell in group.cells]
    columns = columns_of(len(experiment.groups[0].cells), len(cells))
    rows = math.ceil(len(cells) / columns)
    canvas = Figure(
        figsize=(WIDTH, rows * (0.24 * len(_dotted(experiment)) + 0.38) + 0.75), layout="constrained"
    )
    panels = canvas.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    limit = limit_of(experiment.find(row, cell) for cell in cells for row in experiment.rows)
    for panel, cell in zip(panels, cells, strict=False):
        _dots_panel(panel, experiment, cell)
        said = ", ".join(axis.said(cell.labels[axis.name]) for axis in experiment.axes)
        panel.set_title(title_of(experiment, said), color=INK)
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


def draw_lines(experiment: Experiment) -> Figure:
    """Return a panel a group of cells: a line an attack over the last axis, intervals as bands."""
    groups = experiment.groups
    columns = columns_of(len(groups), len(groups))
    rows = math.ceil(len(groups) / columns)
    width = WIDTH if columns > 1 or (experiment.infers and len(experiment.rows) > 4) else 5.4
    canvas = Figure(figsize=(width, 2.6 * rows + 0.5 + 0.5 * (columns == 1)), layout="constrained")
    panels = canvas.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    points = [
        experiment.find(row, cell) for group in groups for cell in group.cells for row in experiment.rows
    ]
    limits = limits_of(experiment.chance, points)
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
    handles = [legend_line(experiment.name_of(row), look_of(experiment, row)) for row in _dotted(experiment)]
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


def _dots_panel(panel: Axes, experiment: Experiment, cell: Cell) -> None:
    attacks = _dotted(experiment)
    plain_frame(panel)
    panel.grid(visible=True, axis="x", color=RULE, linewidth=0.6)
    panel.set_yticks(range(len(attacks)), [experiment.name_of(row) for row in attacks])
    panel.set_ylim(len(attacks) - 0.4, -0.6)
    panel.tick_params(axis="y", length=0)
    for row in (FLOOR, CEILING) if experiment.compared else ():
        point = experiment.find(row, cell)
        if point.value is not None:
            panel.axvline(point.value, color=MUTED, linewidth=1.2, linestyle=REFERENCE_DASHES[row], zorder=1)
        if point.low is not None and point.high is not None:
            panel.axvspan(point.low, point.high, color=MUTED, alpha=0.13, linewidth=0, zorder=0.5)
    if experiment.chance is not None:
        panel.axvline(experiment.chance, color=MUTED, linewidth=1.2, linestyle=CHANCE_DASHES, zorder=1)
    for place, row in enumerate(attacks):
        colour = BLUE if row in experiment.attacks else MUTED
        _dot(panel, place, experiment.find(row, cell), colour)


def _dotted(experiment: Experiment) -> tuple[str, ...]:
    """Return the rows that are dots: the attacks below what is no attack, but for the floor."""
    return (*experiment.beside, *experiment.attacks)


def _dot(panel: Axes, place: int, point: Point, colour: str) -> None:
    """Draw ours with its interval, and the published value below it where there is one."""
    y = place - (0.0 if point.published is None else 0.17)
    if point.published is not None:
        _diamonds(panel, [point.published], [place + 0.17], VERMILION)
    if point.value is None:
        panel.annotate(
            point.missing,
            (0.02, y),
            xycoords=("axes fraction", "data"),
            va="center",
            color=MUTED,
            fontsize=7,
            style="italic",
            bbox={"facecolor": "white", "linewidth": 0, "pad": 0.8},
        )
        return
    if point.low is not None and point.high is not None:
        panel.hlines(y, point.low, point.high, color=colour, linewidth=1.6, zorder=2)
    panel.plot([point.value], [y], "o", color=colour, markersize=4.5, zorder=3, clip_on=False)


def _diamonds(panel: Axes, x: Sequence[float], y: Sequence[float], colour: str) -> None:
    panel.plot(
        x,
        y,
        "D",
        color=colour,
        markerfacecolor="white",
        markeredgewidth=1.1,
        markersize=4,
        zorder=4,
        clip_on=False,
    )


def _lines_panel(panel: Axes, experiment: Experiment, group: Group) -> None:
    axis = experiment.inner[0]
    values = [cell.labels[axis.name] for cell in group.cells]
    # Names have no distances, so that they stand side by side.
    numbers = [float(value) for value in values if not isinstance(value, str)]
    at = numbers if len(numbers) == len(values) else [float(place) for place in range(len(values))]
    plain_frame(panel)
    panel.grid(visible=True, axis="y", color=RULE, linewidth=0.6)
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
        points = [experiment.find(row, cell) for cell in group.cells]
        _one_line(panel, at, points, look, alpha)
        if experiment.infers:
            _alone(panel, at, points, look.colour)
    if all(experiment.find(row, cell).value is None for row in experiment.rows for cell in group.cells):
        not_measured(panel, 0.7 if experiment.infers else 0.5)


def _alone(panel: Axes, at: Sequence[float], points: Sequence[Point], colour: str) -> None:
    """Draw the intervals of those points beside which there is none: they have no band."""
    known = [False, *(point.value is not None for point in points), False]
    for place, point in enumerate(points, start=1):
        alone = known[place] and not known[place - 1] and not known[place + 1]
        if alone and point.low is not None and point.high is not None:
            panel.vlines(at[place - 1], point.low, point.high, color=colour, linewidth=1.2, zorder=2)


def _one_line(panel: Axes, at: Sequence[float], points: Sequence[Point], look: Look, alpha: float) -> None:
    """Draw a row's line with the band of its intervals; what has no value leaves a gap."""
    colour, marker, dashes, hollow = look
    value, low, high = (
        np.array([getattr(point, end) for point in points], dtype=float) for end in ("value", "low", "high")
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
    published = [
        (x, point.published) for x, point in zip(at, points, strict=True) if point.published is not None
    ]
    if published:
        _diamonds(panel, [x for x, _ in published], [y for _, y in published], colour)
