"""An experiment as a frontier: what each defence leaves an attack over what it leaves the users."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from recaudit.experiments.grid import VARIANT, Cell
from recaudit.figures import Figure
from recaudit.report.experiment import Experiment
from recaudit.report.plots.style import (
    BLUE,
    CHANCE_DASHES,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    WIDTH,
    limits_of,
    not_measured,
    plain_frame,
    rows_first,
)
from recaudit.vocabulary import GROUPS, JUDGED, TAIL, metric_of

__all__ = ["Place", "draw_frontier", "family", "front", "label_places"]

# Each colour has a marker of its own; no defence is black.
_LOOKS = (
    (INK, "*"),
    (BLUE, "o"),
    (VERMILION, "^"),
    (GREEN, "s"),
    (ORANGE, "D"),
    (SKY, "v"),
    (PURPLE, "P"),
    (MUTED, "X"),
    ("#8c510a", "h"),
    ("#7f3c8d", "p"),
)
_KEY_COLUMNS = 4
_BETWEEN = 8.0
"""Points from one number to what it must not cover."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A defence in a panel.

    Args:
        number: what stands for it.
        colour: of its family.
        marker: likewise.
        across: the quality that it leaves.
        up: what it leaves the attack.
    """

    number: int
    colour: str
    marker: str
    across: Figure
    up: Figure

    @property
    def at(self) -> tuple[float, float]:
        """Where it is drawn."""
        assert self.across.value is not None
        assert self.up.value is not None
        return self.across.value, self.up.value


def draw_frontier(experiment: Experiment) -> Canvas:
    """Return panels of the first attack's figure over NDCG@10: of strangers and members, AUC and TPR.

    Each point is a value of the last axis, numbered, in the colour of its family. Ringed points are those
    that no other one beats in both: none has less leakage at as much quality, or more quality at as little.
    """
    cells = experiment.cells
    looks = _family_looks(experiment)
    metrics = [cells[0].metric, *([TAIL] if experiment.has_tail else [])]
    users = JUDGED[::-1]
    key = math.ceil(len(cells) / _KEY_COLUMNS)
    canvas = Canvas(figsize=(WIDTH, 2.5 * len(metrics) + 0.17 * key + 0.7), layout="constrained")
    panels = canvas.subplots(len(metrics), len(users), sharex="col", sharey="row", squeeze=False)
    shown: dict[Axes, list[Place]] = {}
    for metric, row in zip(metrics, panels, strict=True):
        for group, panel in zip(users, row, strict=True):
            shown[panel] = list(_places(experiment, looks, metric, group))
            _panel(panel, shown[panel], metric)
        row[0].set_ylabel(f"{metric_of(metric).label} of {experiment.judge}")
    for group, panel in zip(users, panels[-1], strict=True):
        panel.set_xlabel(f"NDCG@10 of {GROUPS[group].label.lower()}")
    measured = [experiment.find(experiment.judge, cell).value is not None for cell in cells]
    handles = [
        _key_line(f"{place + 1}  {_said(experiment, cell)}", looks[place], measured=measured[place])
        for place, cell in enumerate(cells)
    ]
    canvas.legend(
        handles=rows_first(handles, _KEY_COLUMNS),
        loc="outside lower center",
        ncols=min(_KEY_COLUMNS, len(handles)),
        handletextpad=0.2,
        columnspacing=1.2,
        fontsize=7,
    )
    said = f"judged by {experiment.judge}; ringed: no other point has both less leakage and more quality"
    canvas.suptitle(said + ("" if all(measured) else "; † not measured"), fontsize=7.5, color=MUTED)
    _number(canvas, shown)
    return canvas


def family(variant: Mapping[str, Any]) -> str:
    """Return what the defences of a family change: the key of the first value, or another victim."""
    first = next(iter(variant), "")
    return str(variant[first]) if first == "victim" else first.rpartition(".")[2]


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return which points no other one beats: as much across and as little up, and one of them better."""
    return [
        place
        for place, (across, up) in enumerate(points)
        if not any(
            other >= across and another <= up and (other, another) != (across, up)
            for other, another in points
        )
    ]


def label_places(
    points: Sequence[tuple[float, float]], box: tuple[float, float, float, float], between: float = _BETWEEN
) -> list[tuple[float, float]]:
    """Return where the number of each point stands, all in the same units of a page.

    Each number takes the nearest of the places around its point, on wider and wider circles, that lies in
    ``box`` (left, bottom, right, top) and is at least ``between`` from all points and numbers; where there is
    none, the nearest one of all.
    """
    taken: list[tuple[float, float]] = []
    for x, y in points:
        ring = [
            (x + radius * math.cos(turn * math.pi / 8), y + radius * math.sin(turn * math.pi / 8))
            for radius in (between, 1.5 * between, 2 * between, 3 * between, 4 * between)
            for turn in (2, 6, 14, 10, 4, 0, 12, 8, 1, 3, 5, 7, 9, 11, 13, 15)
        ]
        inside = [(a, b) for a, b in ring if box[0] < a < box[2] and box[1] < b < box[3]]
        free = (
            place
            for place in inside
            if all(math.dist(place, other) >= 0.99 * between for other in (*points, *taken))
        )
        taken.append(next(free, ring[0]))
    return taken


def _family_looks(experiment: Experiment) -> list[tuple[str, str]]:
    """Return colour and marker of each cell, the same for all defences of a family."""
    variants = experiment.grid.variants
    families = [family(variants.get(str(cell.labels.get(VARIANT)), {})) for cell in experiment.cells]
    order = list(dict.fromkeys(["", *families]))
    return [_LOOKS[order.index(name) % len(_LOOKS)] for name in families]


def _said(experiment: Experiment, cell: Cell) -> str:
    """Return what tells a cell from the others."""
    values = {axis: {one.labels[axis.name] for one in experiment.cells} for axis in experiment.axes}
    telling = [axis for axis in experiment.axes if len(values[axis]) > 1] or experiment.axes[-1:]
    return ", ".join(axis.said(cell.labels[axis.name]) for axis in telling)


def _places(
    experiment: Experiment, looks: Sequence[tuple[str, str]], metric: str, group: str
) -> Iterator[Place]:
    for number, (cell, (colour, marker)) in enumerate(zip(experiment.cells, looks, strict=True), start=1):
        across, up = experiment.quality(group, cell), experiment.find(experiment.judge, cell, metric)
        if across.value is not None and up.value is not None:
            yield Place(number=number, colour=colour, marker=marker, across=across, up=up)


def _panel(panel: Axes, places: Sequence[Place], metric: str) -> None:
    plain_frame(panel, "both")
    level = metric_of(metric).chance
    if level is not None:
        panel.axhline(level, color=MUTED, linewidth=1.2, linestyle=CHANCE_DASHES, zorder=1)
    panel.set_ylim(*limits_of(level, [place.up for place in places]))
    if not places:
        not_measured(panel, 0.7)
        return
    at = [place.at for place in places]
    ringed = front(at)
    line = sorted(at[place] for place in ringed)
    panel.plot([x for x, _ in line], [y for _, y in line], color=MUTED, alpha=0.4, linewidth=1.0, zorder=1.5)
    for place, one in enumerate(places):
        _point(panel, one, ringed=place in ringed)


def _point(panel: Axes, place: Place, *, ringed: bool) -> None:
    x, y = place.at
    for figure, other, draw in ((place.up, x, panel.vlines), (place.across, y, panel.hlines)):
        if figure.low is not None and figure.high is not None:
            draw(other, figure.low, figure.high, color=place.colour, alpha=0.45, linewidth=1.0, zorder=2)
    panel.plot(
        [x],
        [y],
        place.marker,
        color=place.colour,
        markersize=7.5 if place.marker == "*" else 5.5,
        markeredgecolor=INK if ringed else "white",
        markeredgewidth=1.3 if ringed else 0.4,
        zorder=4 + (place.marker == "*"),
    )


def _number(canvas: Canvas, panels: Mapping[Axes, Sequence[Place]]) -> None:
    """Write its number beside each point, once the layout has put the panels where they stay."""
    canvas.draw_without_rendering()
    points = 72 / canvas.dpi
    for panel, places in panels.items():
        at = [tuple(points * panel.transData.transform(place.at)) for place in places]
        box = panel.get_window_extent()
        inside = (points * box.x0 + 3, points * box.y0 + 3, points * box.x1, points * box.y1)
        for place, (x, y), (a, b) in zip(places, at, label_places(at, inside), strict=True):
            text = panel.annotate(
                str(place.number),
                place.at,
                (a - x, b - y),
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=6.5,
                color=INK,
                zorder=6,
                arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.5, "shrinkA": 2, "shrinkB": 2}
                if math.dist((a, b), (x, y)) > 1.2 * _BETWEEN
                else None,
            )
            text.set_in_layout(False)


def _key_line(name: str, look: tuple[str, str], *, measured: bool) -> Line2D:
    colour, marker = look
    return Line2D(
        [],
        [],
        label=name if measured else f"{name} †",
        color=colour,
        marker=marker,
        linestyle="none",
        markersize=6.5 if marker == "*" else 5,
        markeredgewidth=0,
    )
