"""ROC curves, linear and log-log for the rates that matter: of an audit for its page, and of an experiment."""

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from recaudit.experiments.grid import Cell
from recaudit.report.experiment import Experiment
from recaudit.report.plots.style import (
    BAND,
    BLUE,
    CHANCE_DASHES,
    GREEN,
    INK,
    MUTED,
    RULE,
    VERMILION,
    WIDE,
    WIDTH,
    Look,
    canvas_of,
    legend_line,
    look_of,
    not_measured,
    plain_frame,
    reference_lines,
    rows_first,
    svg,
)
from recaudit.report.result import Curve
from recaudit.report.views import Served, non_members
from recaudit.vocabulary import BEST_FEATURE, BLIND, DECIMALS, PERCENT, TAIL, metric_of, number, printable

__all__ = ["draw_roc", "roc_plot"]

_LEAST = 1e-3
"""Where logarithmic axes begin: below, even large audits have no stranger left to name."""
_SIDE, _LEFT, _RIGHT, _TOP, _BOTTOM = 290, 46, 22, 26, 48
_KEY_STEP = 17
_HEIGHT = 2.05
_MOST_NAMED = 6
"""AUCs that fit below a curve."""


def _scaled(panel: Axes, label: Callable[[float], str], *, log: bool) -> float:
    """Give both axes rates from 0, or from the least rate on a logarithmic scale; return where they begin."""
    least = _LEAST if log else 0.0
    if log:
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.minorticks_off()
    ticks = [0.001, 0.01, 0.1, 1.0] if log else [0.0, 0.25, 0.5, 0.75, 1.0]
    panel.set_xlim(least, 1)
    panel.set_ylim(least, 1)
    panel.set_xticks(ticks, [label(tick) for tick in ticks])
    panel.set_yticks(ticks, [label(tick) for tick in ticks])
    return least


def _curve(panel: Axes, curve: Curve, look: Look, *, width: float, band: float) -> None:
    """Draw a curve in the band of its intervals, which ``band`` says the opacity of."""
    kept = [place for place, value in enumerate(curve.tpr) if value is not None]
    fpr = np.array(curve.fpr)[kept]
    value, low, high = (
        np.array(ends if ends else curve.tpr, dtype=float)[kept]
        for ends in (curve.tpr, curve.low, curve.high)
    )
    if panel.get_xscale() == "log":
        shown = fpr >= _LEAST
        fpr = fpr[shown]
        value, low, high = (np.maximum(one[shown], _LEAST) for one in (value, low, high))
    if band:
        panel.fill_between(fpr, low, high, color=look.colour, alpha=band, linewidth=0, zorder=1)
    panel.plot(fpr, value, color=look.colour, linestyle=look.dashes, linewidth=width, zorder=3, clip_on=False)


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """A curve that is told apart, with what its key says."""

    label: str
    curve: Curve
    auc: float | None
    found: float | None
    look: Look
    width: float
    band: float


def roc_plot(block: Served, width: int, name: str) -> str:
    """Return the ROC curves under one way of serving: two panels side by side, or one above the other.

    Told apart are the strongest attack with its band, the strongest one without retraining, the first attack
    in order and the best blind detector; thin lines are the other attacks.

    Args:
        block: the figures and curves; in the log-log panel less than one stranger is shaded.
        width: width in pixels, ``WIDE`` or ``NARROW``.
        name: what the ids in the plot begin with; unique in the page.
    """
    named, others = _chosen(block)
    strangers = non_members(block.result)
    beside = width >= WIDE
    tall = _TOP + _SIDE + _BOTTOM
    height = tall if beside else 2 * tall + 10
    second = (width - _SIDE - _RIGHT, 0) if beside else (_LEFT, tall + 10)
    with canvas_of(width, height) as canvas:
        for log, (left, down) in ((False, (_LEFT, 0)), (True, second)):
            box = (left / width, 1 - (down + _TOP + _SIDE) / height, _SIDE / width, _SIDE / height)
            axes = canvas.add_axes(box)
            _frame(axes, log=log)
            if log and strangers and 1 / strangers > _LEAST:
                axes.axvspan(_LEAST, 1 / strangers, color=BAND, linewidth=0, zorder=0)
            for curve in others:
                _curve(axes, curve, Look(MUTED, "", "solid"), width=0.8, band=0.0)
            for one in named:
                _curve(axes, one.curve, one.look, width=one.width, band=one.band)
            _key(axes, named, log=log, others=bool(others))
        title = f"ROC curves of the membership attacks: {block.title}"
        return svg(canvas, name, title, _in_words(named))


def _chosen(block: Served) -> tuple[list[_Drawn], list[Curve]]:
    """Return the curves that are told apart, and the rest."""
    left = {curve.attack: curve for curve in reversed(block.curves)}
    learned = f"{BLIND}{BEST_FEATURE}"
    looks = (
        (block.strongest, Look(BLUE, "", "solid"), 2.4, 0.16),
        (block.strongest_without_retraining, Look(GREEN, "", (0, (7.0, 2.0, 1.5, 2.0))), 1.8, 0.0),
        (next(iter(block.attacks), None), Look(VERMILION, "", (0, (5.0, 2.5))), 1.8, 0.0),
        (learned if learned in left else block.best_blind, Look(INK, "", (0, (1.5, 1.8))), 1.8, 0.0),
    )
    named = []
    for row, look, width, band in looks:
        if row is not None and row in left:
            named.append(
                _Drawn(
                    label=block.label(row).replace(BEST_FEATURE, "best feature"),
                    curve=left.pop(row),
                    auc=block.value(row, "auc"),
                    found=block.value(row, TAIL),
                    look=look,
                    width=width,
                    band=band,
                )
            )
    return named, [curve for attack, curve in left.items() if not attack.startswith(BLIND)]


def _frame(axes: Axes, *, log: bool) -> None:
    low = _scaled(axes, lambda rate: f"{100 * rate:g} %", log=log)
    axes.tick_params(axis="both", length=0, pad=6, labelcolor=MUTED, labelsize=11)
    axes.grid(visible=True, color=RULE, linewidth=1)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_color(RULE)
    axes.plot([low, 1], [low, 1], color=MUTED, linewidth=1, dashes=(4, 3), zorder=1)
    axes.text(
        *(0.7, 0.655, "chance"),
        transform=axes.transAxes,
        rotation=45,
        color=MUTED,
        fontsize=11,
        ha="center",
        va="center",
    )
    scale = ", logarithmic" if log else ""
    axes.text(0, 1 + 10 / _SIDE, f"members found{scale}", transform=axes.transAxes, color=MUTED, fontsize=12)
    axes.set_xlabel(f"strangers wrongly named{scale}", color=MUTED, labelpad=6, fontsize=12)


def _key(axes: Axes, named: Sequence[_Drawn], *, log: bool, others: bool) -> None:
    """Name the lines below the diagonal, where no curve that is better than chance comes."""
    entries = [(one.label, one.look, one.width, one.found if log else one.auc) for one in named]
    entries.sort(key=lambda one: -(one[-1] or 0.0))
    if others:
        entries.append(("other attacks", Look(MUTED, "", "solid"), 0.8, None))
    bottom = 12 / _SIDE
    for place, (label, look, width, value) in enumerate(reversed(entries)):
        height = bottom + place * _KEY_STEP / _SIDE
        line = {"color": look.colour, "linestyle": look.dashes, "linewidth": width}
        axes.plot([0.31, 0.38], [height] * 2, transform=axes.transAxes, **line)
        _say(axes, 0.4, height, textwrap.shorten(label, 22, placeholder="…") or "…", INK)
        if value is not None:
            _say(axes, 0.98, height, (PERCENT if log else DECIMALS).text(value), INK, right=True)
    top = bottom + len(entries) * _KEY_STEP / _SIDE
    _say(axes, 0.98, top, "found at 1 %" if log else "AUC", MUTED, right=True)


def _say(axes: Axes, x: float, y: float, words: str, colour: str, *, right: bool = False) -> None:
    side = "right" if right else "left"
    axes.text(
        *(x, y, words), transform=axes.transAxes, color=colour, fontsize=11, ha=side, va="center_baseline"
    )


def _in_words(named: Sequence[_Drawn]) -> str:
    """Return what the plot shows as text, for those who do not see it."""
    told = (
        f"{printable(one.label)}: AUC {DECIMALS.text(one.auc)}, {PERCENT.text(one.found)} of members found at 1 %"
        for one in named
    )
    return "; ".join(told) + "."


def draw_roc(experiment: Experiment) -> Canvas:
    """Return a panel a cell, one row of them linear and one below it logarithmic, with the AUCs beside.

    Curves are means over seeds at the same false positive rates, their intervals bands.
    """
    rows = [cells for group in experiment.groups for cells in _rows(group.cells)]
    columns = max(map(len, rows))
    width = {1: 3.2, 2: 5.0}.get(columns, WIDTH)
    canvas = Canvas(figsize=(width, 2 * _HEIGHT * len(rows) + 0.9), layout="constrained")
    panels = canvas.subplots(2 * len(rows), columns, squeeze=False)
    for place, cells in enumerate(rows):
        above, below = panels[2 * place], panels[2 * place + 1]
        for column in range(columns):
            if column >= len(cells):
                above[column].set_axis_off()
                below[column].set_axis_off()
                continue
            _panel(above[column], experiment, cells[column], log=False)
            _panel(below[column], experiment, cells[column], log=True)
            said = [axis.said(cells[column].labels[axis.name]) for axis in experiment.axes]
            above[column].set_title("\n".join(said), color=INK, fontsize=8)
        above[0].set_ylabel("true positive rate")
        below[0].set_ylabel("true positive rate")
    canvas.supxlabel("false positive rate", fontsize=8)
    handles = [
        legend_line(experiment.name_of(row), look_of(experiment, row)._replace(marker=""))
        for row in experiment.rows
    ]
    handles += reference_lines(experiment)
    across = min(len(handles), 4 if columns > 2 else columns + 1 if columns > 1 else 1)
    by_rows = rows_first(handles, across)
    canvas.legend(handles=by_rows, loc="outside upper center", ncols=across, handlelength=3.2)
    return canvas


def _rows(cells: Sequence[Cell]) -> list[Sequence[Cell]]:
    """Return the cells in rows of four at most, as even as can be."""
    columns = math.ceil(len(cells) / math.ceil(len(cells) / 4))
    return [cells[first : first + columns] for first in range(0, len(cells), columns)]


def _panel(panel: Axes, experiment: Experiment, cell: Cell, *, log: bool) -> None:
    plain_frame(panel, "both")
    panel.set_box_aspect(1)
    ends = (_scaled(panel, lambda rate: f"{rate:g}", log=log), 1.0)
    panel.plot(ends, ends, color=MUTED, linewidth=1.2, linestyle=CHANCE_DASHES, zorder=1)
    curves = {row: curve for row in experiment.rows if (curve := experiment.curve(row, cell)) is not None}
    for row, curve in curves.items():
        _curve(panel, curve, look_of(experiment, row), width=1.4, band=0.15)
    if not curves:
        not_measured(panel, 0.8)
    if not log:
        _areas(panel, experiment, cell)


def _areas(panel: Axes, experiment: Experiment, cell: Cell) -> None:
    """Write the curves' figures where no curve is, below on the right, in their order; the published last."""
    shown = [(row, experiment.find(row, cell)) for row in experiment.rows[:_MOST_NAMED]]
    lines = [
        (DECIMALS.text(figure.value), look_of(experiment, row).colour)
        for row, figure in shown
        if figure.value is not None
    ]
    lines += [
        (f"published {number(figure.published, experiment.digits)}", INK)
        for _, figure in shown
        if figure.published is not None
    ]
    if lines:
        lines.insert(0, (metric_of(experiment.grid.metric).label, MUTED))
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
