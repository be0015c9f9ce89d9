"""The report's pictures: SVG whose colours are the page's, so that they follow its light and dark."""

import io
import math
import re
import textwrap
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, MultipleLocator

from recaudit.report.result import Figure, Result
from recaudit.report.rows import Arranged, Row, arrange, share

__all__ = ["NARROW", "SETTINGS", "WIDE", "agreement_picture", "recall_picture", "themed"]

WIDE, NARROW = 720, 358
"""Widths in CSS pixels: a page on a desk or on paper, and a phone of 390 pixels between its margins."""

# matplotlib draws in these colours; the page's own colours take their place. The fallbacks show the picture
# outside the page: Okabe and Ito's blue, vermilion and green, told apart by every common colour vision.
_COLOURS = {
    "#010101": ("ink", "#1d232b"),
    "#020202": ("muted", "#5b6470"),
    "#030303": ("rule", "#d9dce1"),
    "#040404": ("band", "#eef0f3"),
    "#050505": ("paper", "#ffffff"),
    "#060606": ("first", "#0072b2"),
    "#070707": ("second", "#d55e00"),
    "#080808": ("third", "#009e73"),
}
INK, MUTED, RULE, BAND, PAPER, FIRST, SECOND, THIRD = _COLOURS
# Marker, colour and whether it is filled, by users; others are filled circles of the first colour.
_LOOKS = {"queried": ("D", SECOND, False), "unseen": ("s", THIRD, True)}
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "recaudit",
    "font.family": "DejaVu Sans",
    "font.size": 12,
    "text.parse_math": False,
    "path.simplify": False,
    "axes.linewidth": 1,
}


@dataclass(frozen=True, kw_only=True)
class _Series:
    """One kind of marker: its figures, one a row, from 0 to 1."""

    name: str
    marker: str
    colour: str
    filled: bool
    figures: tuple[Figure | None, ...]


def agreement_picture(result: Result, width: int, name: str) -> str:
    """Return agreement@k as SVG, one line an attack, for unqueried, for queried and for unseen users.

    Args:
        result: the audit.
        width: width in pixels, for instance ``WIDE`` or ``NARROW``.
        name: what the ids in the picture begin with; unique in the page.
    """
    arranged = arrange(result)
    metric = arranged.metric("agreement")
    series = [
        _of_users(arranged.rows, metric, "unqueried", "unqueried: lists nobody asked for"),
        _of_users(arranged.rows, metric, "queried", "queried: lists asked for"),
        _of_users(arranged.rows, metric, "unseen", "unseen: unknown to the attacker"),
    ]
    return _dots(
        arranged.rows,
        [one for one in series if any(figure is not None for figure in one.figures)],
        title=f"Agreement of each clone’s top {arranged.k} with the victim’s",
        axis=f"share of the victim’s top {arranged.k} reproduced",
        references=_references(arranged, metric, "unqueried"),
        width=width,
        name=name,
    )


def recall_picture(result: Result, width: int, name: str) -> str:
    """Return recall@k of the clones and of the victim as SVG; arguments as in ``agreement_picture``."""
    arranged = arrange(result)
    metric = arranged.metric("recall")
    rows = (*arranged.rows, *((arranged.victim,) if arranged.victim else ()))
    own = arranged.victim.value(metric, "all") if arranged.victim else None
    return _dots(
        rows,
        [_of_users(rows, metric, "all", "all users")],
        title=f"Recall@{arranged.k} of each clone and of the victim on held-out interactions",
        axis=f"share of held-out interactions in the top {arranged.k}",
        references=[] if own is None else [own],
        width=width,
        name=name,
    )


def _of_users(rows: Sequence[Row], metric: str, users: str, name: str) -> _Series:
    marker, colour, filled = _LOOKS.get(users, ("o", FIRST, True))
    return _Series(
        name=name,
        marker=marker,
        colour=colour,
        filled=filled,
        figures=tuple(row.find(metric, users) for row in rows),
    )


def _references(arranged: Arranged, metric: str, users: str) -> list[float]:
    ends = (row.value(metric, users) for row in (arranged.floor, arranged.ceiling) if row is not None)
    return [value for value in ends if value is not None]


def _dots(
    rows: Sequence[Row],
    series: Sequence[_Series],
    *,
    title: str,
    axis: str,
    references: Sequence[float],
    width: int,
    name: str,
) -> str:
    """Return a chart of dots with intervals: a line a row, a marker a series."""
    labels = [textwrap.shorten(row.label, 22 if width >= 600 else 13, placeholder="…") or "…" for row in rows]
    left = 24 + 7 * max(map(len, labels), default=0)
    top, bottom, step = 12 + 20 * len(series) * (len(series) > 1), 48, 34 if len(series) < 3 else 44
    height = top + bottom + step * max(len(rows), 1)
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        # Names in any script: the page's fonts draw them, matplotlib's only measures them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        canvas = Canvas(figsize=(width / 72, height / 72))
        axes = canvas.add_axes(
            (left / width, bottom / height, (width - left - 20) / width, step * max(len(rows), 1) / height)
        )
        _frame(axes, rows, labels, _limit(series), axis)
        for value in references:
            axes.axvline(value, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        for place, one in enumerate(series):
            apart = 0.34 if len(series) < 3 else 0.28
            offset = 0.0 if len(series) == 1 else (place - (len(series) - 1) / 2) * apart
            _draw(axes, one, offset)
            if len(series) > 1:
                _legend(canvas, one, (left, height - 14 - 20 * place), (width, height))
        text = io.StringIO()
        canvas.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return themed(text.getvalue(), name, title, _in_words(rows, series))


def _limit(series: Sequence[_Series]) -> float:
    """Return where the axis ends: the next tenth above everything drawn, and never above 1."""
    drawn = [
        figure for one in series for figure in one.figures if figure is not None and figure.value is not None
    ]
    highest = max((max(f.value or 0.0, f.high or 0.0) for f in drawn), default=0.0)
    return min(1.0, max(0.1, math.ceil(10 * highest + 0.2) / 10))


def _frame(axes: Axes, rows: Sequence[Row], labels: Sequence[str], limit: float, axis: str) -> None:
    axes.set_xlim(-0.01 * limit, 1.01 * limit)
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    for place, row in enumerate(rows):
        if row.is_reference:
            axes.axhspan(place - 0.5, place + 0.5, color=BAND, linewidth=0, zorder=0)
    axes.set_yticks(range(len(rows)), labels)
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


def _draw(axes: Axes, series: _Series, offset: float) -> None:
    for place, figure in enumerate(series.figures):
        if figure is None or figure.value is None:
            continue
        if figure.low is not None and figure.high is not None:
            axes.hlines(place + offset, figure.low, figure.high, color=series.colour, linewidth=2, zorder=2)
        _marker(axes, figure.value, place + offset, series)


def _marker(axes: Axes, x: float, y: float, series: _Series) -> None:
    axes.plot(
        [x],
        [y],
        linestyle="none",
        marker=series.marker,
        markersize=9 if series.filled else 7.5,
        color=series.colour,
        markerfacecolor=series.colour if series.filled else PAPER,
        markeredgewidth=2 if not series.filled else 0,
        zorder=3,
        clip_on=False,
    )


def _legend(canvas: Canvas, series: _Series, at: tuple[int, int], size: tuple[int, int]) -> None:
    (x, y), (width, height) = at, size
    axes = canvas.add_axes((x / width, (y - 8) / height, 16 / width, 16 / height))
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    _marker(axes, 0.5, 0.5, series)
    canvas.text((x + 24) / width, y / height, series.name, color=INK, va="center_baseline", fontsize=12)


def _in_words(rows: Sequence[Row], series: Sequence[_Series]) -> str:
    """Return what the picture shows as text, for those who do not see it."""
    lines = []
    for place, row in enumerate(rows):
        values = [(one.name.partition(":")[0], one.figures[place]) for one in series]
        said = [f"{share(figure.value)} for {name}" for name, figure in values if figure is not None]
        lines.append(f"{row.label}: {', '.join(said) or 'not available'}")
    return "; ".join(lines) + "."


def themed(text: str, name: str, title: str, description: str) -> str:
    """Return matplotlib's SVG, drawn with ``SETTINGS`` and the colours above, made fit for the page.

    The page's colours take the place of the drawn ones; ids begin with ``name``; style attributes become
    plain ones, which a strict content security policy lets through; size and fonts follow the page.
    """
    root = ET.fromstring(text)
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
    variable, fallback = _COLOURS.get(value, ("", ""))
    return f"var(--{variable}, {fallback})" if variable else value
