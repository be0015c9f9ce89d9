import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import matplotlib
import pytest

from recaudit.report import Result, parse_result
from recaudit.report.plots import NARROW, WIDE, agreement_plot, recall_plot, roc_plot
from recaudit.report.views import Stealing, served
from recaudit.vocabulary import DECIMALS, PERCENT

_SVG = "{http://www.w3.org/2000/svg}"
both = pytest.mark.parametrize("draw", [agreement_plot, recall_plot])
Draw = Callable[[Stealing, int, str], str]


@both
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_it_is_well_formed_sized_and_named(result: Result, draw: Draw, width: int) -> None:
    root = ET.fromstring(draw(Stealing(result), width, "here"))
    assert root.tag == f"{_SVG}svg"
    assert float(root.attrib["viewBox"].split()[2]) == width
    title, words = root[0], root[1]
    assert (title.tag, words.tag) == (f"{_SVG}title", f"{_SVG}desc")
    assert root.attrib["aria-labelledby"].split() == [title.attrib["id"], words.attrib["id"]]
    assert root.attrib["role"] == "img"


@both
def test_all_its_ids_carry_its_name_and_all_its_links_lead_to_them(result: Result, draw: Draw) -> None:
    text = draw(Stealing(result), WIDE, "here")
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert all(name.startswith("here-") for name in ids)
    assert len(ids) == len(set(ids))
    links = [*re.findall(r'href="#([^"]*)"', text), *re.findall(r"url\(#([^)]*)\)", text)]
    assert links
    assert set(links) <= set(ids)


@both
def test_it_is_the_same_each_time(result: Result, draw: Draw) -> None:
    assert draw(Stealing(result), WIDE, "a") == draw(Stealing(result), WIDE, "a")
    assert draw(Stealing(result), WIDE, "a").replace("a-", "") != draw(Stealing(result), NARROW, "a").replace(
        "a-", ""
    )


@both
def test_colours_are_the_pages_and_styles_are_plain_attributes(result: Result, draw: Draw) -> None:
    text = draw(Stealing(result), WIDE, "here")
    painted = set(re.findall(r'(?:fill|stroke)="([^"]*)"', text)) - {"none"}
    assert painted
    assert all(colour.startswith("var(--") for colour in painted)
    assert "style=" not in text
    assert "<style" not in text
    assert "font-family" not in text


def test_labels_are_text_and_values_are_told_in_words(result: Result) -> None:
    root = ET.fromstring(agreement_plot(Stealing(result), WIDE, "here"))
    texts = {"".join(element.itertext()) for element in root.iter(f"{_SVG}text")}
    assert {"Popular list", "QSD", "PTD", "PTQ", "PTA", "PTAQ", "Retrained", "80 %"} <= texts
    assert "PTAQ: 64.7\N{NO-BREAK SPACE}% for unqueried, 72.9\N{NO-BREAK SPACE}% for queried;" in (
        root[1].text or ""
    )


def test_markers_differ_in_shape_and_not_in_colour_alone(result: Result) -> None:
    root = ET.fromstring(agreement_plot(Stealing(result), WIDE, "here"))
    shapes = {e.attrib["id"]: e.attrib["d"] for e in root.iter(f"{_SVG}path") if "id" in e.attrib}
    by_colour: dict[str, set[str]] = {}
    for use in root.iter(f"{_SVG}use"):
        for kind in ("first", "second"):
            if f"--{kind}" in use.attrib.get("stroke", "") + use.attrib.get("fill", ""):
                by_colour.setdefault(kind, set()).add(shapes[use.attrib["href"][1:]])
    assert set(by_colour) == {"first", "second"}
    assert not by_colour["first"] & by_colour["second"]


@pytest.mark.parametrize(
    "name",
    ["<script>alert(1)</script>", "$\\frac{1$", "a\x00b\x1b[2J", "推薦", "x" * 300, "", "]]>", "&amp;"],
)
def test_hostile_names_stay_names(values: dict[str, Any], name: str) -> None:
    for figure in values["figures"]:
        if figure["attack"] == "PTA":
            figure["attack"] = name
    root = ET.fromstring(agreement_plot(Stealing(parse_result(values)), NARROW, "here"))
    assert {element.tag for element in root.iter()}.isdisjoint({f"{_SVG}script", "script"})


def test_what_is_not_available_leaves_a_gap(values: dict[str, Any]) -> None:
    for figure in values["figures"]:
        figure |= {"low": None, "high": None}
        if figure["attack"] == "PTD":
            figure["value"] = None
    root = ET.fromstring(agreement_plot(Stealing(parse_result(values)), WIDE, "here"))
    assert "PTD: not available for unqueried" in (root[1].text or "")
    values["figures"] = []
    assert ET.fromstring(agreement_plot(Stealing(parse_result(values)), WIDE, "here")) is not None


def test_drawing_leaves_matplotlib_as_it_was(result: Result) -> None:
    before = dict(matplotlib.rcParams)
    agreement_plot(Stealing(result), WIDE, "here")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_unseen_users_are_a_third_series_that_fits(sequential_values: dict[str, Any], width: int) -> None:
    root = ET.fromstring(agreement_plot(Stealing(parse_result(sequential_values)), width, "here"))
    assert "PTAQ: 61.3\N{NO-BREAK SPACE}% for unqueried, 62.3\N{NO-BREAK SPACE}% for queried" in (
        root[1].text or ""
    )
    texts = {"".join(one.itertext()) for one in root.iter(f"{_SVG}text")}
    assert {"Constant list", "Auxiliary", "QSD5(random)", "unseen: unknown to the attacker"} <= texts


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("place", [0, 1])
def test_roc_curves_are_well_formed_and_name_their_lines(
    membership_result: Result, width: int, place: int
) -> None:
    block = served(membership_result)[place]
    plot = roc_plot(block, width, "here")
    root = ET.fromstring(plot)
    assert float(root.attrib["viewBox"].split()[2]) == width
    texts = ["".join(element.itertext()) for element in root.iter(f"{_SVG}text")]
    for name in ("stack", "stack (stranger)", "difference", "blind: best feature", "other attacks", "chance"):
        assert texts.count(name) == 2, "in each of the two panels"
    assert not any("popular share" in text for text in texts), "one blind detector of the panel is drawn"
    assert block.strongest == "stack"
    assert DECIMALS.text(block.value("stack", "auc")) in texts
    assert PERCENT.text(block.value("stack", "tpr@0.01")) in texts
    assert "stack: AUC 0." in (root[1].text or "")
    painted = set(re.findall(r'(?:fill|stroke)="([^"]*)"', plot)) - {"none"}
    assert all(colour.startswith("var(--") for colour in painted)
    assert roc_plot(block, width, "here") == plot


def test_curves_differ_by_more_than_colour(membership_result: Result) -> None:
    root = ET.fromstring(roc_plot(served(membership_result)[0], WIDE, "here"))
    dashes: dict[str, set[str | None]] = {}
    for path in root.iter(f"{_SVG}path"):
        for colour in ("first", "second", "third", "ink"):
            if f"--{colour}," in path.attrib.get("stroke", ""):
                dashes.setdefault(colour, set()).add(path.attrib.get("stroke-dasharray"))
    assert set(dashes) == {"first", "second", "third", "ink"}
    assert len({frozenset(found) for found in dashes.values()}) == 4


def test_curves_with_gaps_and_without_band_are_drawn(membership_values: dict[str, Any]) -> None:
    for curve in membership_values["curves"]:
        curve["low"], curve["high"] = [], []
        curve["tpr"][3] = None
    membership_values["data"] |= {"member_users": None}
    assert ET.fromstring(roc_plot(served(parse_result(membership_values))[0], NARROW, "here"))
