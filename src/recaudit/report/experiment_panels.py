"""An experiment as dots for a table and as lines over an axis."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from recaudit.experiments.grid import Cell
from recaudit.report.experiment_rows import Experiment, Group, Point
from recaudit.report.rows import CEILING, FLOOR, VICTIM, printable

__all__ = ["INK", "MUTED", "RULE", "WIDTH", "columns_of", "draw_dots", "draw_lines", "limit_of"]

INK, MUTED, RULE = "#1d232b", "#5b6470", "#d9dce1"
"""Colours of text, of lesser text and of lines, as in the report's page."""
_BLUE, _VERMILION = "#0072b2", "#d55e00"
# Okabe and Ito's colours, each with a marker and dashes of its own, so that a print in grey tells them apart.
# An attack looks the same in every picture.
_LOOKS: dict[str, tuple[str, str, Any]] = {
    "QSD": ("#cc79a7", "v", (0, (1, 1.2))),
    "PTD": ("#56b4e9", "s", (0, (6, 1.5, 1, 1.5))),
    "PTQ": ("#009e73", "D", (0, (3, 1.2))),
    "PTA": (_VERMILION, "^", (0, (7, 1.5))),
    "PTAQ": (_BLUE, "o", "solid"),
    VICTIM: (INK, "o", "solid"),
}
_OTHER_LOOKS = (("#e69f00", "P", (0, (4, 1, 1, 1, 1, 1))), (INK, "X", (0, (2, 2))), (MUTED, "*", "solid"))
_REFERENCE_DASHES: dict[str, Any] = {FLOOR: (0, (1.5, 1.5)), CEILING: (0, (5, 2))}
WIDTH = 7.0
"""Inches: the text of a page with one column, or both columns of a page with two."""


def draw_dots(experiment: Experiment) -> Figure:
    """Return a panel a cell: a row an attack, ours with intervals, published values as hollow diamonds.

    The floor and the ceiling are dashed lines in the light bands of their intervals.
    """
    cells = [cell for group in experiment.groups for cell in group.cells]
    columns = columns_of(len(experiment.groups[0].cells), len(cells))
    rows = math.ceil(len(cells) / columns)
    canvas = Figure(
        figsize=(WIDTH, rows * (0.24 * len(experiment.attacks) + 0.38) + 0.75), layout="constrained"
    )
    panels = canvas.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    limit = limit_of(experiment.find(row, cell) for cell in cells for row in experiment.rows)
    for panel, cell in zip(panels, cells, strict=False):
        _dots_panel(panel, experiment, cell)
        panel.set_title(_title(experiment, cell), color=INK)
        panel.set_xlim(0, limit)
    for panel in panels[len(cells) :]:
        panel.set_axis_off()
    canvas.supxlabel(experiment.measure, fontsize=8)
    handles = [_line("ours, 95 % interval", _BLUE, "o", "solid")]
    if experiment.has_published:
        handles.append(_line("published", _VERMILION, "D", "none", hollow=True))
    handles += _reference_lines(experiment)
    canvas.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return canvas


def draw_lines(experiment: Experiment) -> Figure:
    """Return a panel a group of cells: a line an attack over the last axis, intervals as bands."""
    groups = experiment.groups
    columns = columns_of(len(groups), len(groups))
    rows = math.ceil(len(groups) / columns)
    width = WIDTH if columns > 1 else 5.4
    canvas = Figure(figsize=(width, 2.6 * rows + 0.5 + 0.5 * (columns == 1)), layout="constrained")
    panels = canvas.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    points = (
        experiment.find(row, cell) for group in groups for cell in group.cells for row in experiment.rows
    )
    limit = limit_of(points)
    for panel, group in zip(panels, groups, strict=False):
        _lines_panel(panel, experiment, group)
        panel.set_ylim(0, limit)
        if len(groups) > 1:
            panel.set_title(group.label, color=INK)
    for panel in panels[len(groups) :]:
        panel.set_axis_off()
    canvas.supxlabel(experiment.inner[0].words, fontsize=8)
    for panel in panels[::columns]:
        panel.set_ylabel(experiment.measure)
    handles = [_line(experiment.name_of(row), *_looks(experiment, row)) for row in experiment.attacks]
    handles += _reference_lines(experiment)
    if experiment.has_published:
        handles.append(_line("published", INK, "D", "none", hollow=True))
    if len(handles) > 1:
        across = len(handles) if len(handles) <= 4 else math.ceil(len(handles) / 2)
        by_rows = [handle for column in range(across) for handle in handles[column::across]]
        canvas.legend(handles=by_rows, loc="outside upper center", ncols=across, handlelength=3.2)
    return canvas


def columns_of(wanted: int, panels: int) -> int:
    """Return how many panels stand side by side: all that belong together, or three."""
    return max(1, min(wanted if wanted <= 4 else 3, panels))


def limit_of(points: Iterable[Point]) -> float:
    """Return where an axis of shares ends: above everything drawn, and a little above 1 at most."""
    drawn = [end for point in points for end in (point.value, point.high, point.published) if end is not None]
    return min(1.02, max(0.1, math.ceil(10 * max(drawn, default=0.0) + 0.2) / 10))


def _title(experiment: Experiment, cell: Cell) -> str:
    return ", ".join(axis.said(cell.labels[axis.name]) for axis in experiment.axes)


def _looks(experiment: Experiment, row: str) -> tuple[str, str, Any]:
    """Return colour, marker and dashes of an attack."""
    others = [name for name in experiment.attacks if name not in _LOOKS]
    return _LOOKS[row] if row in _LOOKS else _OTHER_LOOKS[others.index(row) % len(_OTHER_LOOKS)]


def _line(name: str, colour: str, marker: str, dashes: Any, *, hollow: bool = False) -> Line2D:
    return Line2D(
        [],
        [],
        label=printable(name),
        color=colour,
        marker=marker,
        linestyle=dashes,
        markersize=4.5,
        markerfacecolor="white" if hollow else colour,
        linewidth=1.5,
    )


def _reference_lines(experiment: Experiment) -> list[Line2D]:
    shown = (FLOOR, CEILING) if experiment.compared else ()
    names = {FLOOR: "floor: popular list", CEILING: "ceiling: retrained"}
    return [_line(names[row], MUTED, "", _REFERENCE_DASHES[row]) for row in shown]


def _thinned(labels: Sequence[str], most: int) -> list[str]:
    """Return ``labels`` with some left empty where there are more than ``most``; the last one stays."""
    step = math.ceil(len(labels) / most)
    return [label if (len(labels) - 1 - place) % step == 0 else "" for place, label in enumerate(labels)]


def _plain_frame(panel: Axes) -> None:
    for side in ("right", "top"):
        panel.spines[side].set_visible(False)
    panel.tick_params(length=2.5, width=0.8)
    panel.set_axisbelow(True)


def _dots_panel(panel: Axes, experiment: Experiment, cell: Cell) -> None:
    attacks = experiment.attacks
    _plain_frame(panel)
    panel.grid(visible=True, axis="x", color=RULE, linewidth=0.6)
    panel.set_yticks(range(len(attacks)), [experiment.name_of(row) for row in attacks])
    panel.set_ylim(len(attacks) - 0.4, -0.6)
    panel.tick_params(axis="y", length=0)
    for row in (FLOOR, CEILING) if experiment.compared else ():
        point = experiment.find(row, cell)
        if point.value is not None:
            panel.axvline(point.value, color=MUTED, linewidth=1.2, linestyle=_REFERENCE_DASHES[row], zorder=1)
        if point.low is not None and point.high is not None:
            panel.axvspan(point.low, point.high, color=MUTED, alpha=0.13, linewidth=0, zorder=0.5)
    for place, row in enumerate(attacks):
        _dot(panel, place, experiment.find(row, cell))


def _dot(panel: Axes, place: int, point: Point) -> None:
    """Draw ours with its interval, and the published value below it where there is one."""
    y = place - (0.0 if point.published is None else 0.17)
    if point.published is not None:
        _diamonds(panel, [point.published], [place + 0.17], _VERMILION)
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
        panel.hlines(y, point.low, point.high, color=_BLUE, linewidth=1.6, zorder=2)
    panel.plot([point.value], [y], "o", color=_BLUE, markersize=4.5, zorder=3, clip_on=False)


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
    _plain_frame(panel)
    panel.grid(visible=True, axis="y", color=RULE, linewidth=0.6)
    panel.set_xticks(at, _thinned([axis.label(value) for value in values], 6))
    for row in experiment.rows:
        reference = row in _REFERENCE_DASHES
        looks = (MUTED, "", _REFERENCE_DASHES[row]) if reference else _looks(experiment, row)
        _one_line(panel, at, [experiment.find(row, cell) for cell in group.cells], looks)
    if all(experiment.find(row, cell).value is None for row in experiment.rows for cell in group.cells):
        panel.text(
            0.5, 0.5, "not measured", transform=panel.transAxes, ha="center", color=MUTED, style="italic"
        )


def _one_line(panel: Axes, at: Sequence[float], points: Sequence[Point], looks: tuple[str, str, Any]) -> None:
    """Draw a row's line with the band of its intervals; what has no value leaves a gap."""
    colour, marker, dashes = looks
    value, low, high = (
        np.array([getattr(point, end) for point in points], dtype=float) for end in ("value", "low", "high")
    )
    panel.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0, zorder=1)
    panel.plot(
        at,
        value,
        color=colour,
        marker=marker,
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
