"""An experiment as ROC curves: a panel a cell, and below each the same on logarithmic axes."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recaudit.experiments.grid import Cell
from recaudit.report.experiment_looks import (
    CHANCE_DASHES,
    INK,
    MUTED,
    RULE,
    WIDTH,
    legend_line,
    look_of,
    not_measured,
    plain_frame,
    reference_lines,
    rows_first,
)
from recaudit.report.experiment_rows import Curve, Experiment, decimals, printed
from recaudit.report.experiment_words import measure_words

__all__ = ["draw_roc"]

LEAST = 1e-3
"""Where logarithmic axes begin; what is below is drawn there."""
_HEIGHT = 2.05
_MOST_NAMED = 6
"""AUCs that fit below a curve."""


def draw_roc(experiment: Experiment) -> Figure:
    """Return a panel a cell, one row of them linear and one below it logarithmic, with the AUCs beside.

    Curves are means over seeds at the same false positive rates, their intervals bands.
    """
    rows = [cells for group in experiment.groups for cells in _rows(group.cells)]
    columns = max(map(len, rows))
    width = {1: 3.2, 2: 5.0}.get(columns, WIDTH)
    canvas = Figure(figsize=(width, 2 * _HEIGHT * len(rows) + 0.9), layout="constrained")
    panels = canvas.subplots(2 * len(rows), columns, squeeze=False)
    for place, cells in enumerate(rows):
        above, below = panels[2 * place], panels[2 * place + 1]
        for column in range(columns):
            if column >= len(cells):
                above[column].set_axis_off()
                below[column].set_axis_off()
                continue
            _panel(above[column], experiment, cells[column], logarithmic=False)
            _panel(below[column], experiment, cells[column], logarithmic=True)
            said = [axis.said(cells[column].labels[axis.name]) for axis in experiment.axes]
            above[column].set_title("\n".join(said), color=INK, fontsize=8)
        above[0].set_ylabel("true positive rate")
        below[0].set_ylabel("true positive rate")
    canvas.supxlabel("false positive rate", fontsize=8)
    handles = [legend_line(experiment.name_of(row), _unmarked(experiment, row)) for row in experiment.rows]
    handles += reference_lines(experiment)
    across = min(len(handles), 4 if columns > 2 else columns + 1 if columns > 1 else 1)
    by_rows = rows_first(handles, across)
    canvas.legend(handles=by_rows, loc="outside upper center", ncols=across, handlelength=3.2)
    return canvas


def _rows(cells: Sequence[Cell]) -> list[Sequence[Cell]]:
    """Return the cells in rows of four at most, as even as can be."""
    columns = math.ceil(len(cells) / math.ceil(len(cells) / 4))
    return [cells[first : first + columns] for first in range(0, len(cells), columns)]


def _unmarked(experiment: Experiment, row: str) -> Any:
    return look_of(experiment, row)._replace(marker="")


def _panel(panel: Axes, experiment: Experiment, cell: Cell, *, logarithmic: bool) -> None:
    plain_frame(panel)
    panel.grid(visible=True, color=RULE, linewidth=0.6)
    panel.set_box_aspect(1)
    ends = (LEAST, 1.0) if logarithmic else (0.0, 1.0)
    if logarithmic:
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.minorticks_off()
        ticks = [0.001, 0.01, 0.1, 1.0]
    else:
        ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    panel.set_xlim(*ends)
    panel.set_ylim(*ends)
    panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.plot(ends, ends, color=MUTED, linewidth=1.2, linestyle=CHANCE_DASHES, zorder=1)
    curves = {row: curve for row in experiment.rows if (curve := experiment.curve(row, cell)) is not None}
    for row, curve in curves.items():
        _curve(panel, experiment, row, curve)
    if not curves:
        not_measured(panel, 0.8)
    if not logarithmic:
        _areas(panel, experiment, cell)


def _curve(panel: Axes, experiment: Experiment, row: str, curve: Curve) -> None:
    look = look_of(experiment, row)
    fpr, value, low, high = (np.array(one) for one in (curve.fpr, curve.value, curve.low, curve.high))
    if panel.get_xscale() == "log":
        shown = fpr >= LEAST
        fpr = fpr[shown]
        value, low, high = (np.maximum(one[shown], LEAST) for one in (value, low, high))
    panel.fill_between(fpr, low, high, color=look.colour, alpha=0.15, linewidth=0, zorder=1)
    panel.plot(fpr, value, color=look.colour, linestyle=look.dashes, linewidth=1.4, zorder=3, clip_on=False)


def _areas(panel: Axes, experiment: Experiment, cell: Cell) -> None:
    """Write the curves' figures where no curve is, below on the right, in their order; the published last."""
    shown = [(row, experiment.find(row, cell)) for row in experiment.rows[:_MOST_NAMED]]
    lines = [
        (decimals(point.value), look_of(experiment, row).colour)
        for row, point in shown
        if point.value is not None
    ]
    lines += [
        (f"published {printed(point, experiment.digits)}", INK)
        for _, point in shown
        if point.published is not None
    ]
    if lines:
        lines.insert(0, (measure_words(experiment.grid.metric), MUTED))
    for place, (text, colour) in enumerate(reversed(lines)):
        panel.annotate(
            text,
            (0.97, 0.03 + 0.085 * place),
            xycoords="axes fraction",
            ha="right",
            fontsize=6.5,
            color=colour,
            zorder=4,
        )
