import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest
import yaml

from recaudit.report import Result, html, parse_result
from recaudit.report.sentences import notes
from recaudit.vocabulary import metric_of

_PAGES: dict[str, str] = {}
_EMPTY = {"meta", "link", "br", "img", "input", "hr"}


def render_html(result: Result) -> str:
    """Return the page of a result; the same result is rendered once for all tests."""
    key = result.to_json()
    if key not in _PAGES:
        _PAGES[key] = html.render_html(result)
    return _PAGES[key]


class Page(HTMLParser):
    """The page's elements, its text, and whether every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "desc", "title"}:
            self.text += data


def _text(page: str) -> str:
    """Return what the page shows: no styles, no plots, no tags."""
    page = re.sub(r"<(style|title|svg)[^>]*>.*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r"[ \n]+", " ", re.sub(r"<[^>]*>", " ", page))


def _headings(page: str) -> list[str]:
    return [_text(heading).strip() for heading in re.findall(r"<h[12]>(.*?)</h[12]>", page)]


def _page(values: dict[str, Any]) -> Page:
    return Page(render_html(parse_result(values)))


def _without(values: dict[str, Any], *attacks: str) -> dict[str, Any]:
    return values | {"figures": [figure for figure in values["figures"] if figure["attack"] not in attacks]}


@pytest.mark.parametrize("kind", ["values", "membership_values", "both_values", "sequential_values"])
def test_every_figure_and_interval_stands_in_the_page(kind: str, request: pytest.FixtureRequest) -> None:
    result = parse_result(request.getfixturevalue(kind))
    text = _text(render_html(result))
    for figure in result.figures:
        form = metric_of(figure.metric).form
        if figure.low == figure.high:
            assert form.text(figure.value) in text, figure
        else:
            assert f"{form.text(figure.value)} {form.interval(figure.low, figure.high)}" in text, figure
    assert ("Other figures" in text) is (kind == "sequential_values"), (
        "the victim's figures on all of its users"
    )


def test_what_has_no_column_stands_among_the_others(both_values: dict[str, Any]) -> None:
    row = dict(both_values["figures"][0])
    leak = next(dict(figure) for figure in both_values["figures"] if figure["metric"] == "auc")
    both_values["figures"] += [
        row | {"attack": "NOVEL", "users": "unqueried", "value": 0.4321},
        row | {"attack": "PTA", "metric": "novelty", "value": 0.8765},
        row | {"attack": "PTA", "users": "newcomers", "value": 0.1357},
        row | {"attack": "PTA", "metric": "agreement@10", "value": 0.2468},
        row | {"value": 0.9191},
        leak | {"metric": "precision", "value": 0.7777},
        leak | {"attack": "null: NOVEL", "value": 0.5151},
        leak | {"attack": "lists asked", "serving": None, "users": "all", "metric": "lists", "value": 4242},
    ]
    text = _text(render_html(parse_result(both_values)))
    own, others = text.split("Figures that the tables above have no column for")
    for shown in ("novelty", "0.876", "newcomers", "13.6", "agreement@10", "24.7", "91.9", "0.778", "0.515"):
        assert shown in others
    assert "NOVEL" in own
    assert "43.2" in own
    assert "4,242" in own
    assert "This attack came without a description." in own


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
    assert "Audit of model stealing and membership inference" in both
    for page, count in ((stealing, 1), (membership, 2), (both, 3)):
        assert page.count('<p class="verdict">') == count


def test_floor_and_ceiling_stand_beside_the_attacks(result: Result) -> None:
    table = render_html(result).split("What each attack is given")[0]
    rows = re.findall(r'<tr(?: class="(\w+)")?>\s*<th scope="row">([^<]*)</th>', table)
    assert rows == [
        ("reference", "Popular list"),
        *[("", name) for name in ("QSD", "PTD", "PTQ", "PTA")],
        ("strongest", "PTAQ"),
        ("reference", "Retrained"),
    ]


def test_what_attacks_do_comes_from_their_cards(both_result: Result) -> None:
    text = _text(render_html(both_result))
    for card in (*both_result.cards.attacks, *both_result.cards.membership_attacks):
        assert card.sentence in text


def test_a_little_membership_has_a_page(membership_values: dict[str, Any]) -> None:
    keep = [f for f in membership_values["figures"] if (f["attack"], f["metric"]) == ("stack", "auc")]
    values = membership_values | {"figures": keep, "curves": [], "blind": [], "stages": []}
    page = render_html(parse_result(values))
    assert "the one attack, stack, tells members from strangers with an AUC of 0.634" in _text(page)
    for absent in ("blind:", "What members and strangers get", "Where the time went", "<figure>"):
        assert absent not in page
    costs = [figure for figure in membership_values["figures"] if figure["metric"] == "seconds"]
    assert "there is no headline to give" in _text(render_html(parse_result(values | {"figures": costs})))


def test_the_page_tells_data_settings_versions_and_hash(values: dict[str, Any]) -> None:
    raw = render_html(parse_result(values))
    text = Page(raw).text
    for word in (
        "6,040",
        "1,000,209",
        "4.47 %",
        "2.13.0",
        "3.11.7",
        "9f2c" * 16,
        "21 November 2026, 22:00 UTC",
    ):
        assert word in text
    assert "recaudit audit SPEC.yaml" in text
    spec = re.search(r"<pre[^>]*>(.*?)</pre>", raw, re.DOTALL)
    assert spec
    assert yaml.safe_load(spec[1]) == values["spec"]


def test_no_word_promises_too_much(both_values: dict[str, Any]) -> None:
    assert not re.search(
        r"\b(private|privacy|secure[d]?|security|safe)\b", _page(both_values).text, re.IGNORECASE
    )


def test_the_page_loads_nothing(both_result: Result) -> None:
    raw = render_html(both_result)
    page = Page(raw)
    tags = {tag for tag, _ in page.elements}
    assert tags.isdisjoint(
        {"script", "link", "img", "iframe", "object", "embed", "form", "a", "base", "image"}
    )
    for tag, attributes in page.elements:
        assert not {"src", "srcset", "data", "action", "style"} & set(attributes), tag
        assert not any(name.startswith("on") for name in attributes), tag
        assert (attributes.get("href") or "#").startswith("#"), tag
    assert set(re.findall(r"https?://[^\"' <]*", raw)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|url\((?!#)", raw)


def test_the_policy_lets_through_its_own_style_alone(result: Result) -> None:
    raw = render_html(result)
    policy = next(a for tag, a in Page(raw).elements if a.get("http-equiv") == "Content-Security-Policy")[
        "content"
    ]
    style = re.search(r"<style>(.*?)</style>", raw, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_ids_are_unique_in_the_page(both_result: Result) -> None:
    ids = [
        attributes["id"] for _, attributes in Page(render_html(both_result)).elements if "id" in attributes
    ]
    assert ids
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '"><img src=x onerror=y>', "</style><svg onload=z>"]
)
def test_hostile_names_are_escaped(values: dict[str, Any], name: str) -> None:
    values["data"]["name"] = name
    values["spec"] |= {name: name}
    values["spec_hash"] = name
    values["versions"][name] = name
    for stage in values["stages"]:
        stage["stage"] += name
    for figure in values["figures"]:
        figure |= {"data": name, "victim": name, "clone": name}
        if figure["attack"] == "PTA":
            figure |= {"attack": name, "users": name}
    values["figures"].append(values["figures"][0] | {"metric": name})
    page = _page(values)
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "img"})
    assert all("onload" not in attributes for _, attributes in page.elements)
    assert name in page.text


def test_what_is_not_available_is_said_in_words(values: dict[str, Any]) -> None:
    for figure in values["figures"]:
        if figure["attack"] == "PTD":
            figure |= {"value": None, "low": None, "high": None}
        if figure["attack"] == "retrained":
            figure |= {"value": None, "low": None, "high": None}
    values["data"] = {"name": "lists.csv"}
    page = _page(values)
    assert page.text.count("not available") > 7
    assert "None" not in page.text
    assert "nan" not in page.text
    assert any("not available" in str(note) for note in notes(parse_result(values)))


def test_one_seed_says_what_the_intervals_leave_out(values: dict[str, Any]) -> None:
    assert "One seed" not in _page(values).text
    for figure in values["figures"]:
        figure["seeds"] = 1
    text = _page(values).text
    assert "One seed: the intervals cover the choice of users only" in text
    assert "bpr clone, 1 seed " in text


def test_generated_data_are_never_read_as_real(values: dict[str, Any]) -> None:
    assert "generated" not in _page(values).text
    values["spec"]["data"]["source"] = "synthetic"
    assert "never read them as the leak of a real recommender" in _page(values).text


def test_an_attack_below_the_floor_is_called_so(values: dict[str, Any]) -> None:
    assert "QSD is beaten by the popular list" in _page(values).text
    assert "beaten by the popular list" not in _page(_without(values, "QSD")).text
    for figure in values["figures"]:
        if (figure["attack"], figure["metric"], figure["users"]) == ("PTD", "agreement@50", "unqueried"):
            figure["value"] = 0.28
    assert "QSD, PTD are beaten by the popular list" in _page(values).text


def test_a_narrow_gap_between_floor_and_ceiling_is_called_so(values: dict[str, Any]) -> None:
    assert "lie close together" not in _page(values).text
    for figure in values["figures"]:
        if figure["attack"] == "popularity" and figure["metric"] == "agreement@50":
            figure["value"] = 0.62
    assert "The popular list and the retrained victim lie close together" in _page(values).text


def test_an_audit_of_little_has_a_page(values: dict[str, Any]) -> None:
    text = _page(values | {"figures": [], "ledgers": [], "stages": [], "versions": {}}).text
    assert "there is no headline to give" in text
    assert "PTAQ" in _page(_without(values, "popularity", "retrained", "victim")).text


def test_another_list_length_is_the_headline(values: dict[str, Any]) -> None:
    for figure in values["figures"]:
        figure["metric"] = figure["metric"].replace("@50", "@10")
    values["spec"]["k"] = 10
    text = _page(values).text
    assert "@50" not in text
    assert "reproduces 64.7 % (62.3–67.1)" in text
    assert "Other figures" not in text
