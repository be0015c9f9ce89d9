"""What an experiment's pictures have in common: colours, markers, lines of a legend, frames, axes."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from recaudit.report.experiment_rows import BLIND, Experiment, Point
from recaudit.report.rows import AUXILIARY, CEILING, CONSTANT, FLOOR, VICTIM, printable

__all__ = [
    "BLUE",
    "CHANCE_DASHES",
    "INK",
    "MUTED",
    "REFERENCE_DASHES",
    "RULE",
    "VERMILION",
    "WIDTH",
    "Look",
    "columns_of",
    "legend_line",
    "limit_of",
    "limits_of",
    "look_of",
    "not_measured",
    "plain_frame",
    "reference_lines",
    "rows_first",
    "title_of",
]

INK, MUTED, RULE = "#1d232b", "#5b6470", "#d9dce1"
"""Colours of text, of lesser text and of lines, as in the report's page."""
BLUE, VERMILION = "#0072b2", "#d55e00"
_ORANGE, _SKY, _GREEN, _PURPLE = "#e69f00", "#56b4e9", "#009e73", "#cc79a7"
WIDTH = 7.0
"""Inches: the text of a page with one column, or both columns of a page with two."""
REFERENCE_DASHES: dict[str, Any] = {FLOOR: (0, (1.5, 1.5)), CEILING: (0, (5, 2))}
CHANCE_DASHES: Any = (0, (1.5, 1.5))


class Look(NamedTuple):
    """How an attack is drawn, the same in every picture."""

    colour: str
    marker: str
    dashes: Any
    hollow: bool = False


# Okabe and Ito's colours, each with a marker and dashes of its own, so that a print in grey tells them apart.
_LOOKS = {
    "QSD": Look(_PURPLE, "v", (0, (1, 1.2))),
    "PTD": Look(_SKY, "s", (0, (6, 1.5, 1, 1.5))),
    "PTQ": Look(_GREEN, "D", (0, (3, 1.2))),
    "PTA": Look(VERMILION, "^", (0, (7, 1.5))),
    "PTAQ": Look(BLUE, "o", "solid"),
    VICTIM: Look(INK, "o", "solid"),
    CONSTANT: Look(MUTED, "P", (0, (1, 1.2))),
    AUXILIARY: Look(MUTED, "X", (0, (3, 1.2))),
    "difference": Look(VERMILION, "^", "solid"),
    "rich": Look(_ORANGE, "v", "solid"),
    "lira-items": Look(_SKY, "s", "solid"),
    "lira-lists": Look(_GREEN, "D", "solid"),
    "stack": Look(BLUE, "o", "solid"),
    f"{BLIND}popular share": Look(INK, "X", (0, (3, 1.2))),
    f"{BLIND}best single feature": Look(_PURPLE, "*", (0, (6, 1.5, 1, 1.5))),
    f"{BLIND}seen item": Look(MUTED, "P", (0, (3, 1.2))),
    f"{BLIND}history length": Look("#999999", "p", (0, (1, 1.2))),
    f"{BLIND}list constancy": Look("#8c510a", "h", (0, (6, 1.5, 1, 1.5))),
}
_OTHER_LOOKS = (
    Look(_ORANGE, "P", (0, (4, 1, 1, 1, 1, 1))),
    Look(INK, "X", (0, (2, 2))),
    Look(MUTED, "*", "solid"),
)
_STRANGER = " (stranger)"


def look_of(experiment: Experiment, row: str) -> Look:
    """Return how a row is drawn; what an attack without the candidates' data gets is dashed and hollow."""
    if row in _LOOKS:
        return _LOOKS[row]
    rung = row.removesuffix(_STRANGER)
    if rung in _LOOKS:
        return _LOOKS[rung]._replace(dashes=(0, (3, 1.2)), hollow=True)
    others = [name for name in experiment.attacks if name not in _LOOKS and _STRANGER not in name]
    return _OTHER_LOOKS[others.index(row) % len(_OTHER_LOOKS)] if row in others else _OTHER_LOOKS[0]


def legend_line(name: str, look: Look) -> Line2D:
    """Return a line of a legend."""
    return Line2D(
        [],
        [],
        label=printable(name),
        color=look.colour,
        marker=look.marker,
        linestyle=look.dashes,
        markersize=4.5,
        markerfacecolor="white" if look.hollow else look.colour,
        linewidth=1.5,
    )


def reference_lines(experiment: Experiment) -> list[Line2D]:
    """Return the legend's lines of floor and ceiling, or of chance."""
    if experiment.chance is not None:
        return [legend_line("chance", Look(MUTED, "", CHANCE_DASHES))]
    shown = (FLOOR, CEILING) if experiment.compared else ()
    names = {FLOOR: "floor: popular list", CEILING: "ceiling: retrained"}
    return [legend_line(names[row], Look(MUTED, "", REFERENCE_DASHES[row])) for row in shown]


def rows_first(handles: Sequence[Line2D], across: int) -> list[Line2D]:
    """Return a legend's lines so that matplotlib, which fills columns, sets them row by row."""
    return [handle for column in range(across) for handle in handles[column::across]]


def columns_of(wanted: int, panels: int) -> int:
    """Return how many panels stand side by side: all that belong together, or three."""
    return max(1, min(wanted if wanted <= 4 else 3, panels))


def limit_of(points: Iterable[Point]) -> float:
    """Return where an axis of shares ends: above everything drawn, and a little above 1 at most."""
    drawn = [end for point in points for end in (point.value, point.high, point.published) if end is not None]
    return min(1.02, max(0.1, math.ceil(10 * max(drawn, default=0.0) + 0.2) / 10))


def limits_of(chance: float | None, points: Sequence[Point]) -> tuple[float, float]:
    """Return where an axis begins and ends: at 0, or below ``chance`` and everything drawn."""
    if chance is None:
        return 0.0, limit_of(points)
    drawn = [end for point in points for end in (point.value, point.low) if end is not None]
    lowest = min([*drawn, chance])
    return max(0.0, math.floor(10 * lowest - 0.2) / 10), limit_of([*points, Point(value=chance)])


def title_of(experiment: Experiment, label: str) -> str:
    """Return a panel's title; what strangers are served takes a line of its own."""
    return label.replace(", ", "\n") if experiment.infers else label


def plain_frame(panel: Axes) -> None:
    """Leave a panel the lines on its left and below."""
    for side in ("right", "top"):
        panel.spines[side].set_visible(False)
    panel.tick_params(length=2.5, width=0.8)
    panel.set_axisbelow(True)


def not_measured(panel: Axes, height: float = 0.5) -> None:
    """Say in a panel that it has nothing to show, at ``height`` of it, where no line of chance is."""
    panel.text(
        0.5, height, "not measured", transform=panel.transAxes, ha="center", color=MUTED, style="italic"
    )
