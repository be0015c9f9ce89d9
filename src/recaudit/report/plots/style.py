"""The common style of plots: colours, looks, settings, and SVG for a page."""

import io
import math
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from recaudit.figures import Figure
from recaudit.report.experiment import Experiment
from recaudit.vocabulary import AUXILIARY, BLIND, CEILING, CONSTANT, FEATURES, FLOOR, VICTIM, printable

__all__ = [
    "BAND",
    "BLUE",
    "CHANCE_DASHES",
    "DASHES",
    "GREEN",
    "INK",
    "MUTED",
    "NARROW",
    "OF_PAPER",
    "ORANGE",
    "PAPER",
    "PURPLE",
    "REFERENCE_DASHES",
    "RULE",
    "SKY",
    "VERMILION",
    "WIDE",
    "WIDTH",
    "Look",
    "canvas_of",
    "columns_of",
    "diamonds",
    "dot",
    "legend_line",
    "limit_of",
    "limits_of",
    "look_of",
    "not_measured",
    "plain_frame",
    "reference_lines",
    "rows_first",
    "styled",
    "svg",
    "title_of",
]

WIDE, NARROW = 720, 358
"""Widths in CSS pixels: a page on a desk or on paper, and a phone of 390 pixels between its margins."""
WIDTH = 7.0
"""Inches: the text of a paper with one column, or both columns of one with two."""

INK, MUTED, RULE, BAND, PAPER = "#1d232b", "#5b6470", "#d9dce1", "#eef0f3", "#ffffff"
"""Colours of text, of lesser text, of lines, of bands and of the ground."""
BLUE, VERMILION, GREEN = "#0072b2", "#d55e00", "#009e73"
ORANGE, SKY, PURPLE = "#e69f00", "#56b4e9", "#cc79a7"
"""Okabe and Ito's colours, told apart by every common colour vision."""
# The page's own colours, which follow its light and dark, take the place of the drawn ones.
_OF_PAGE = {
    **{INK: "ink", MUTED: "muted", RULE: "rule", BAND: "band", PAPER: "paper"},
    **{BLUE: "first", VERMILION: "second", GREEN: "third"},
}
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_COMMON: dict[Any, Any] = {
    # In SVG the text stays text.
    "svg.fonttype": "none",
    "svg.hashsalt": "recaudit",
    "text.parse_math": False,
    "path.simplify": False,
}
_OF_AUDIT = _COMMON | {"font.family": "DejaVu Sans", "font.size": 12, "axes.linewidth": 1}
OF_PAPER = _COMMON | {
    "font.family": "sans-serif",
    # Where the first font is missing, the next is nearly as wide.
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "font.size": 8,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.labelsize": 8,
    "axes.linewidth": 0.8,
    "axes.titlesize": 8.5,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
}


class Look(NamedTuple):
    """How a row is drawn, the same in every plot of a paper."""

    colour: str
    marker: str
    dashes: Any
    hollow: bool = False


DASHES: dict[str, Any] = {
    "solid": "solid",
    "dotted": (0, (1, 1.2)),
    "dashed": (0, (3, 1.2)),
    "long": (0, (7, 1.5)),
    "dashdotted": (0, (6, 1.5, 1, 1.5)),
}
_COLOURS = {
    **{"ink": INK, "muted": MUTED, "blue": BLUE, "vermilion": VERMILION, "green": GREEN},
    **{"orange": ORANGE, "sky": SKY, "purple": PURPLE, "grey": "#999999", "brown": "#8c510a"},
}
REFERENCE_DASHES: dict[str, Any] = {FLOOR: (0, (1.5, 1.5)), CEILING: (0, (5, 2))}
CHANCE_DASHES: Any = REFERENCE_DASHES[FLOOR]


def _look(text: str) -> Look:
    """Return the look that a text such as ``blue o solid hollow`` names."""
    colour, marker, dashes, *hollow = text.split()
    return Look(_COLOURS[colour], marker, DASHES[dashes], bool(hollow))


# Each colour has a marker and dashes of its own, so that a print in grey tells them apart.
_REFERENCES = {
    VICTIM: _look("ink o solid"),
    CONSTANT: _look("muted P dotted"),
    AUXILIARY: _look("muted X dashed"),
}
_BLIND = {
    f"{BLIND}{feature}": _look(text)
    for feature, text in zip(
        FEATURES,
        ("ink X dashed", "muted P dashed", "grey p dotted", "brown h dashdotted", "purple * dashdotted"),
        strict=True,
    )
}
_OTHERS = (
    Look(ORANGE, "P", (0, (4, 1, 1, 1, 1, 1))),
    Look(INK, "X", (0, (2, 2))),
    Look(MUTED, "*", "solid"),
)


def look_of(experiment: Experiment, row: str) -> Look:
    """Return how a row is drawn: as its paper says, or else by its place among the other attacks."""
    own = experiment.grid.looks
    if row in own:
        return _look(own[row])
    if (known := {**_REFERENCES, **_BLIND}.get(row)) is not None:
        return known
    others = [name for name in experiment.attacks if name not in own and name not in _BLIND]
    return _OTHERS[others.index(row) % len(_OTHERS)]


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
        markerfacecolor=PAPER if look.hollow else look.colour,
        linewidth=1.5,
    )


def reference_lines(experiment: Experiment) -> list[Line2D]:
    """Return the legend's lines of floor and ceiling, or of chance."""
    if experiment.chance is not None:
        return [legend_line("chance", Look(MUTED, "", CHANCE_DASHES))]
    named = {FLOOR: "floor", CEILING: "ceiling"} if experiment.compared else {}
    return [
        legend_line(f"{name}: {experiment.name_of(row)}", Look(MUTED, "", REFERENCE_DASHES[row]))
        for row, name in named.items()
    ]


def rows_first(handles: Sequence[Line2D], across: int) -> list[Line2D]:
    """Return a legend's lines so that matplotlib, which fills columns, sets them row by row."""
    return [handle for column in range(across) for handle in handles[column::across]]


def columns_of(wanted: int, panels: int) -> int:
    """Return how many panels stand side by side: all that belong together, or three."""
    return max(1, min(wanted if wanted <= 4 else 3, panels))


def limit_of(figures: Iterable[Figure], least: float = 0.0) -> float:
    """Return where an axis of shares ends: above everything drawn, and a little above 1 at most."""
    drawn = [end for one in figures for end in (one.value, one.high, one.published) if end is not None]
    return min(1.02, max(0.1, math.ceil(10 * max([*drawn, least]) + 0.2) / 10))


def limits_of(chance: float | None, figures: Sequence[Figure]) -> tuple[float, float]:
    """Return where an axis begins and ends: at 0, or below ``chance`` and everything drawn."""
    if chance is None:
        return 0.0, limit_of(figures)
    drawn = [end for one in figures for end in (one.value, one.low) if end is not None]
    return max(0.0, math.floor(10 * min([*drawn, chance]) - 0.2) / 10), limit_of(figures, chance)


def title_of(experiment: Experiment, label: str) -> str:
    """Return a panel's title; what strangers are served takes a line of its own."""
    return label.replace(", ", "\n") if experiment.infers else label


def plain_frame(panel: Axes, grid: str = "") -> None:
    """Leave a panel the lines on its left and below, and a ``grid`` over ``x``, ``y`` or ``both``."""
    for side in ("right", "top"):
        panel.spines[side].set_visible(False)
    panel.tick_params(length=2.5, width=0.8)
    panel.set_axisbelow(True)
    if grid:
        panel.grid(visible=True, axis=grid, color=RULE, linewidth=0.6)  # type: ignore[arg-type]


def not_measured(panel: Axes, height: float = 0.5) -> None:
    """Say in a panel that it has nothing to show, at ``height`` of it, where no line of chance is."""
    panel.text(
        0.5, height, "not measured", transform=panel.transAxes, ha="center", color=MUTED, style="italic"
    )


def dot(panel: Axes, figure: Figure, y: float, look: Look, *, size: float, edge: float, width: float) -> None:
    """Draw a figure at the height ``y``, with its interval in a line as wide as ``width``."""
    if figure.low is not None and figure.high is not None:
        panel.hlines(y, figure.low, figure.high, color=look.colour, linewidth=width, zorder=2)
    panel.plot(
        figure.value or 0.0,
        y,
        linestyle="none",
        marker=look.marker,
        color=look.colour,
        markerfacecolor=PAPER if look.hollow else look.colour,
        markersize=size,
        markeredgewidth=edge,
        zorder=3,
        clip_on=False,
    )


def diamonds(panel: Axes, x: Sequence[float], y: Sequence[float], colour: str) -> None:
    """Draw published values."""
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


@contextmanager
def styled(settings: dict[Any, Any]) -> Iterator[None]:
    """Draw with ``settings``, and leave matplotlib's own as they were."""
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # Names in any script: who shows the plot has fonts for them, matplotlib only measures them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


@contextmanager
def canvas_of(width: int, height: int) -> Iterator[Canvas]:
    """Give an empty plot for a page, of that size in CSS pixels."""
    with styled(_OF_AUDIT):
        yield Canvas(figsize=(width / 72, height / 72))


def svg(canvas: Canvas, name: str, title: str, description: str) -> str:
    """Return a plot of ``canvas_of`` as SVG, made fit for the page.

    The page's colours take the place of the drawn ones; ids begin with ``name``; style attributes become
    plain ones, which a strict content security policy lets through; size and fonts follow the page.
    """
    text = io.StringIO()
    canvas.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    root = ET.fromstring(text.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
        element.attrib.update(_declarations(element.attrib.pop("style", "")))
        if (link := element.attrib.pop(f"{{{_XLINK}}}href", None)) is not None:
            element.set("href", f"#{name}-{link[1:]}")
        if "id" in element.attrib:
            element.set("id", f"{name}-{element.attrib['id']}")
        if "clip-path" in element.attrib:
            element.set(
                "clip-path", re.sub(r"url\(#(.*)\)", rf"url(#{name}-\1)", element.attrib["clip-path"])
            )
    _, _, width, height = root.attrib["viewBox"].split()
    root.attrib.clear()
    root.attrib.update(
        {
            "xmlns": _SVG,
            "viewBox": f"0 0 {width} {height}",
            "width": width,
            "height": height,
            "role": "img",
            "aria-labelledby": f"{name}-title {name}-words",
            "stroke-linejoin": "round",
        }
    )
    for place, (tag, id_, words) in enumerate((("title", "title", title), ("desc", "words", description))):
        element = ET.Element(tag, {"id": f"{name}-{id_}"})
        element.text = words
        root.insert(place, element)
    return ET.tostring(root, encoding="unicode")


def _declarations(style: str) -> dict[str, str]:
    """Return the declarations of a style attribute as attributes, with the page's colours."""
    pairs = (part.split(":", 1) for part in style.split(";") if ":" in part)
    found = {key.strip(): value.strip() for key, value in pairs}
    found.pop("font-family", None)
    return {key: _colour(value) for key, value in found.items()}


def _colour(value: str) -> str:
    return f"var(--{_OF_PAGE[value]}, {value})" if value in _OF_PAGE else value
