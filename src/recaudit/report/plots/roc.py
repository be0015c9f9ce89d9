"""The ROC curves of membership attacks as SVG for the page: linear, and log-log for the rates that matter."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from recaudit.report.plots.style import (
    BAND,
    FIRST,
    INK,
    MUTED,
    RULE,
    SECOND,
    THIRD,
    WIDE,
    canvas_of,
    svg,
)
from recaudit.report.result import Curve
from recaudit.report.views import Served, non_members
from recaudit.vocabulary import BLIND, DECIMALS, PERCENT, printable

__all__ = ["roc_plot"]

# Below a thousandth even large audits have no stranger left to name.
_FLOOR = 1e-3
_SIDE, _LEFT, _RIGHT, _TOP, _BOTTOM = 290, 46, 22, 26, 48
_KEY_STEP = 17


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """A curve as it is drawn: which attack, and how to tell its line by colour, dashes and width."""

    label: str
    curve: Curve
    auc: float | None = None
    found: float | None = None
    colour: str = MUTED
    dashes: tuple[float, ...] = ()
    width: float = 0.8
    band: bool = False


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
    one = _TOP + _SIDE + _BOTTOM
    height = one if beside else 2 * one + 10
    second = (width - _SIDE - _RIGHT, 0) if beside else (_LEFT, one + 10)
    with canvas_of(width, height) as canvas:
        for log, (left, down) in ((False, (_LEFT, 0)), (True, second)):
            box = (left / width, 1 - (down + _TOP + _SIDE) / height, _SIDE / width, _SIDE / height)
            axes = canvas.add_axes(box)
            _frame(axes, log=log)
            if log and strangers and 1 / strangers > _FLOOR:
                axes.axvspan(_FLOOR, 1 / strangers, color=BAND, linewidth=0, zorder=0)
            for curve in others:
                _line(axes, _Drawn(label="", curve=curve))
            for drawn in named:
                _line(axes, drawn)
            _key(axes, named, log=log, others=bool(others))
        title = f"ROC curves of the membership attacks: {block.title}"
        return svg(canvas, name, title, _in_words(named))


def _chosen(block: Served) -> tuple[list[_Drawn], list[Curve]]:
    """Return the curves that are told apart, and the rest."""
    left = {curve.attack: curve for curve in reversed(block.curves)}
    learned = f"{BLIND}best single feature"
    looks = (
        (block.strongest, FIRST, (), 2.4),
        (block.strongest_without_retraining, THIRD, (7.0, 2.0, 1.5, 2.0), 1.8),
        (next(iter(block.attacks), None), SECOND, (5.0, 2.5), 1.8),
        (learned if learned in left else block.best_blind, INK, (1.5, 1.8), 1.8),
    )
    named = []
    for place, (row, colour, dashes, width) in enumerate(looks):
        if row is not None and row in left:
            named.append(
                _Drawn(
                    label=block.label(row).replace("best single feature", "best feature"),
                    curve=left.pop(row),
                    auc=block.value(row, "auc"),
                    found=block.value(row, "tpr@0.01"),
                    colour=colour,
                    dashes=dashes,
                    width=width,
                    band=place == 0,
                )
            )
    return named, [curve for attack, curve in left.items() if not attack.startswith(BLIND)]


def _frame(axes: Axes, *, log: bool) -> None:
    low = _FLOOR if log else 0.0
    if log:
        axes.set_xscale("log")
        axes.set_yscale("log")
    axes.set_xlim(low, 1)
    axes.set_ylim(low, 1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator([0.001, 0.01, 0.1, 1] if log else [0, 0.25, 0.5, 0.75, 1]))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
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


def _line(axes: Axes, drawn: _Drawn) -> None:
    curve = drawn.curve
    kept = [place for place, value in enumerate(curve.tpr) if value is not None]
    # What lies below a logarithmic axis is drawn just outside of it.
    least = _FLOOR / 10 if axes.get_xscale() == "log" else 0.0
    rates = np.maximum([curve.fpr[place] for place in kept], least)

    def values(ends: Sequence[float | None]) -> np.ndarray:
        return np.clip([ends[place] or 0.0 for place in kept], least, 1)

    if drawn.band and curve.low and curve.high and None not in curve.low:
        low, high = values(curve.low), values(curve.high)
        axes.fill_between(rates, low, high, color=drawn.colour, alpha=0.16, linewidth=0, zorder=2)
    (line,) = axes.plot(
        rates, values(curve.tpr), color=drawn.colour, linewidth=drawn.width, zorder=4 if drawn.label else 3
    )
    if drawn.dashes:
        line.set_dashes(drawn.dashes)


def _key(axes: Axes, named: Sequence[_Drawn], *, log: bool, others: bool) -> None:
    """Name the lines below the diagonal, where no curve that is better than chance comes."""
    entries: list[tuple[str, str, tuple[float, ...], float, float | None]] = [
        (one.label, one.colour, one.dashes, one.width, one.found if log else one.auc)
        for one in sorted(named, key=lambda one: -((one.found if log else one.auc) or 0.0))
    ]
    if others:
        entries.append(("other attacks", MUTED, (), 0.8, None))
    bottom = 12 / _SIDE
    for place, (label, colour, dashes, width, value) in enumerate(reversed(entries)):
        height = bottom + place * _KEY_STEP / _SIDE
        (line,) = axes.plot(
            [0.31, 0.38], [height] * 2, transform=axes.transAxes, color=colour, linewidth=width
        )
        if dashes:
            line.set_dashes(dashes)
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
    """Return what the picture shows as text, for those who do not see it."""
    told = (
        f"{printable(one.label)}: AUC {DECIMALS.text(one.auc)}, {PERCENT.text(one.found)} of members found at 1 %"
        for one in named
    )
    return "; ".join(told) + "."
