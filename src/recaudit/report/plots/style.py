"""The common style of plots: SVG whose colours are the page's, so that they follow its light and dark."""

import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.figure import Figure as Canvas

__all__ = [
    "BAND",
    "FIRST",
    "INK",
    "MUTED",
    "NARROW",
    "PAPER",
    "RULE",
    "SECOND",
    "SETTINGS",
    "THIRD",
    "WIDE",
    "canvas_of",
    "svg",
]

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


@contextmanager
def canvas_of(width: int, height: int) -> Iterator[Canvas]:
    """Give an empty plot of that size in CSS pixels, drawn with ``SETTINGS``."""
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        # Names in any script: the page's fonts draw them, matplotlib's only measures them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield Canvas(figsize=(width / 72, height / 72))


def svg(canvas: Canvas, name: str, title: str, description: str) -> str:
    """Return a plot drawn with ``SETTINGS`` and the colours above as SVG, made fit for the page.

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
    variable, fallback = _COLOURS.get(value, ("", ""))
    return f"var(--{variable}, {fallback})" if variable else value
