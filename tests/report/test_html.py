import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest
import yaml

from recaudit.report import Result, parse_result, render_html
from recaudit.report.rows import arrange, number, share
from recaudit.report.words import caution, verdict

_EMPTY = {"meta", "link", "br", "img", "input", "hr"}


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


def _page(values: dict[str, Any]) -> Page:
    return Page(render_html(parse_result(values)))


def _without(values: dict[str, Any], *attacks: str) -> dict[str, Any]:
    return values | {"figures": [figure for figure in values["figures"] if figure["attack"] not in attacks]}


def test_the_verdict_names_the_strongest_attack_the_floor_and_the_ceiling(result: Result) -> None:
    assert verdict(result, arrange(result)) == (
        "With 272 of the victim’s lists, the histories of 302 of 3,020 users (10 %) and auxiliary data of "
        "3,020 other users, the strongest attack (PTAQ) reproduces 64.7 % (62.3–67.1) of the items that the "
        "victim recommends to users whose lists nobody asked for. Listing the most popular items that a user "
        "has not seen, with no attack at all, gets 28.0 % (25.6–30.4). The victim trained once more with "
        "another seed agrees with itself at 71.0 % (68.6–73.4). PTAQ goes 85 % of the way from the popular "
        "list to that ceiling."
    )


def test_the_verdict_gives_each_attack_only_what_it_had(values: dict[str, Any]) -> None:
    others = ("QSD", "PTQ", "PTA", "PTAQ")
    result = parse_result(_without(values, *others))
    text = verdict(result, arrange(result))
    assert text.startswith(
        "With the histories of 302 of 3,020 users (10 %), the one attack of this audit (PTD) reproduces "
        "48.6 %"
    )
    result = parse_result(_without(values, "PTD", "PTQ", "PTA", "PTAQ"))
    assert verdict(result, arrange(result)).startswith("With 272 of the victim’s lists, the one attack")


def test_everything_stands_in_the_page(values: dict[str, Any]) -> None:
    row = dict(values["figures"][0])
    values["figures"] += [
        row | {"attack": "NOVEL", "users": "unqueried", "value": 0.4321, "low": 0.4, "high": 0.45},
        row | {"attack": "PTA", "metric": "coverage", "value": 0.8765, "low": 0.8, "high": 0.9},
        row | {"attack": "PTA", "users": "newcomers", "value": 0.1357},
        row | {"attack": "PTA", "metric": "agreement@10", "value": 0.2468},
        row | {"attack": "PTA", "metric": "rbo@50", "users": "queried", "value": 0.1212},
        row | {"attack": "PTA", "metric": "ndcg@50", "users": "queried", "value": 0.3434},
        row | {"attack": "victim", "metric": "agreement@50", "users": "all", "value": 0.9898},
        row | {"value": 0.9191},
    ]
    text = _page(values).text
    for figure in parse_result(values).figures:
        shown = {number(figure.value, digits) for digits in (0, 1, 3)} | {share(figure.value)}
        assert any(form in text for form in shown), figure
    for word in (
        "NOVEL",
        "coverage",
        "newcomers",
        "agreement@10",
        "43.2 %",
        "0.876",
        "13.6 %",
        "24.7 %",
        "91.9 %",
    ):
        assert word in text
    assert "An attack that this version of the report does not describe" in text


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


def test_no_word_promises_too_much(values: dict[str, Any]) -> None:
    assert not re.search(r"\b(private|privacy|secure[d]?|security|safe)\b", _page(values).text, re.IGNORECASE)


def test_the_page_loads_nothing(result: Result) -> None:
    raw = render_html(result)
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


def test_ids_are_unique_in_the_page(result: Result) -> None:
    ids = [attributes["id"] for _, attributes in Page(render_html(result)).elements if "id" in attributes]
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
    assert "agrees with itself at not available" not in page.text
    assert page.text.count("not available") > 7
    assert "None" not in page.text
    assert "nan" not in page.text
    assert any(
        "not available" in note for note in caution(parse_result(values), arrange(parse_result(values)))
    )


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
