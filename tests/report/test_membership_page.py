import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from recaudit.errors import UsageError
from recaudit.report import Result, parse_result, render_html
from recaudit.report.figures import NARROW, WIDE
from recaudit.report.membership_figures import roc_picture
from recaudit.report.membership_rows import Block, arrange_membership
from recaudit.report.rows import number, share

_SVG = "{http://www.w3.org/2000/svg}"
_KINDS = ("membership_result", "both_result")


def _text(page: str) -> str:
    """Return what the page shows: no styles, no pictures' descriptions, no tags."""
    page = re.sub(r"<(style|desc|title)[^>]*>.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", page).replace("\N{NO-BREAK SPACE}", " ").split())


def _headings(page: str) -> list[str]:
    return [_text(heading) for heading in re.findall(r"<h[12]>(.*?)</h[12]>", page)]


def _block(result: Result, place: int = 0) -> Block:
    membership = arrange_membership(result)
    assert membership is not None
    return membership.blocks[place]


@pytest.mark.parametrize("kind", _KINDS)
def test_every_figure_stands_in_the_page(kind: str, request: pytest.FixtureRequest) -> None:
    result = request.getfixturevalue(kind)
    page = render_html(result)
    text = _text(page)
    for figure in result.figures:
        forms = {number(figure.value, digits) for digits in (0, 1, 3)} | {share(figure.value)}
        assert any(form in text for form in forms), figure
    assert "Other figures" not in text


def test_what_has_no_column_stands_among_the_others(membership_values: dict[str, Any]) -> None:
    row = dict(membership_values["figures"][0])
    membership_values["figures"] += [
        row | {"metric": "precision", "value": 0.7777},
        row | {"value": 0.9191},
        row | {"attack": "null: NOVEL", "value": 0.5151},
        row | {"attack": "victim", "users": "all", "metric": "ndcg@10", "value": 0.3131},
        row | {"attack": "lists asked", "serving": None, "users": "all", "metric": "lists", "value": 4242},
    ]
    text = _text(render_html(parse_result(membership_values)))
    others = text[text.index("Other figures") :]
    for value in ("0.778", "0.919", "0.515", "0.313", "candidates, everyone-folded"):
        assert value in others
    assert "4,242" in text[: text.index("Other figures")]


def test_each_threat_has_its_sections_and_no_empty_one(
    result: Result, membership_result: Result, both_result: Result
) -> None:
    stealing, membership, both = (render_html(one) for one in (result, membership_result, both_result))
    assert _headings(stealing)[0] == "How well can a stranger clone the recommender on ml-1m ?"
    assert "members" not in _text(stealing)
    assert _headings(membership) == [
        "Do the lists of the recommender on ml-latest-small tell who was in its training data?",
        "Who was in the training data",
        "What each membership attack knows",
        "What members and strangers get",
        "Where the time went",
        "Data",
        "Settings, and how to run it again",
    ]
    assert "clone" not in _text(membership)
    assert "Auxiliary" not in _text(membership)
    assert {*_headings(stealing)[1:], *_headings(membership)[1:]} == set(_headings(both)[1:])
    for page, count in ((stealing, 1), (membership, 2), (both, 3)):
        assert page.count('<p class="verdict">') == count


def test_a_little_membership_has_a_page(membership_values: dict[str, Any]) -> None:
    keep = [f for f in membership_values["figures"] if (f["attack"], f["metric"]) == ("stack", "auc")]
    values = membership_values | {"figures": keep, "curves": [], "blind": [], "stages": []}
    page = render_html(parse_result(values))
    text = _text(page)
    assert "the one attack, stack, tells members from strangers with an AUC of 0.634" in text
    for absent in ("blind panel:", "What members and strangers get", "Where the time went", "Null control’s"):
        assert absent not in text
    assert "<figure>" not in page
    costs = [figure for figure in membership_values["figures"] if figure["metric"] == "seconds"]
    text = _text(render_html(parse_result(values | {"figures": costs})))
    assert "No membership attack in this audit has a figure" in text


@pytest.mark.parametrize("kind", _KINDS)
def test_the_page_stays_self_contained(kind: str, request: pytest.FixtureRequest) -> None:
    page = render_html(request.getfixturevalue(kind))
    assert not re.search(r"<(script|link|img|iframe|object|form)\b|\sstyle=|@import|url\((?!#)", page)
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', page)) <= set(ids)
    assert not re.search(r"\b(private|privacy|secured?|security|safe)\b", _text(page), re.IGNORECASE)


def test_hostile_names_are_escaped(membership_values: dict[str, Any]) -> None:
    name = "<script>alert(1)</script>"
    for figure in membership_values["figures"]:
        if figure["attack"] == "stack":
            figure["attack"] = name
        if figure["serving"] == "popular":
            figure["serving"] = name
    for curve in membership_values["curves"]:
        curve["attack"] = curve["attack"].replace("stack", name)
        curve["serving"] = curve["serving"].replace("popular", name)
    membership_values["blind"][0]["best"] = name
    page = render_html(parse_result(membership_values))
    assert "<script" not in page
    assert page.count("&lt;script") > 10


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("place", [0, 1])
def test_the_picture_is_well_formed_and_names_its_lines(
    membership_result: Result, width: int, place: int
) -> None:
    block = _block(membership_result, place)
    picture = roc_picture(block, 102, width, "here")
    root = ET.fromstring(picture)
    assert float(root.attrib["viewBox"].split()[2]) == width
    texts = ["".join(element.itertext()) for element in root.iter(f"{_SVG}text")]
    for name in ("stack", "stack (stranger)", "difference", "blind: best feature", "other attacks", "chance"):
        assert texts.count(name) == 2, "in each of the two panels"
    assert not any("popular share" in text for text in texts), "one blind detector of the panel is drawn"
    best = block.strongest
    assert best is not None
    assert number(best.value("auc", "candidates"), 3) in texts
    assert share(best.value("tpr@0.01", "candidates")) in texts
    assert "stack: AUC 0." in (root[1].text or "")
    painted = set(re.findall(r'(?:fill|stroke)="([^"]*)"', picture)) - {"none"}
    assert all(colour.startswith("var(--") for colour in painted)
    assert roc_picture(block, 102, width, "here") == picture


def test_lines_differ_by_more_than_colour(membership_result: Result) -> None:
    root = ET.fromstring(roc_picture(_block(membership_result), 102, WIDE, "here"))
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
    assert ET.fromstring(roc_picture(_block(parse_result(membership_values)), None, NARROW, "here"))


def test_a_curve_that_is_not_even_is_refused(membership_values: dict[str, Any]) -> None:
    membership_values["curves"][2]["tpr"].pop()
    with pytest.raises(UsageError, match=r"damaged at 'curves\.2'.*equally long"):
        parse_result(membership_values)


def test_older_results_are_of_stealing(result: Result, values: dict[str, Any]) -> None:
    assert {(figure.threat, figure.serving) for figure in result.figures} == {("stealing", None)}
    assert (result.curves, result.blind, result.data.candidate_users) == ((), (), None)
    assert arrange_membership(result) is None
