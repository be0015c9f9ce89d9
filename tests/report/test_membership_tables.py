from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from recaudit.report import Result, markdown_table, parse_result, terminal_table, write_figures_csv
from recaudit.report.membership_rows import LADDER, arrange_membership


def _printed(result: Result, width: int) -> list[str]:
    console = Console(width=width, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(terminal_table(result))
    return capture.get().splitlines()


def _words(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())


def test_a_row_an_attack_those_that_know_least_first(membership_result: Result) -> None:
    lines = _printed(membership_result, 100)
    first = [line[:22].strip() for line in lines]
    places = [first.index(attack) for attack in LADDER]
    assert places == sorted(places)
    said = {" ".join(line.split()) for line in lines}
    assert "difference 0.514 (0.496–0.532) 0.012 0.002 0.508 own data" in said
    assert "stack 0.634 (0.616–0.652) 0.063 0.012 0.592 retrains on" in said
    assert "blind: popular share 0.951 (0.933–0.969) 0.531 0.237 – no model" in said
    text = _words(lines)
    assert text.index("Everyone folded in (everyone-folded)") < text.index("strangers (popular)")
    assert "the AUCs are 0.492 to 0.508; every interval contains 0.5" in text
    assert "NDCG@10: 0.231 (0.223–0.239) for members, 0.172 (0.164–0.180) for non-members" in text
    assert "Note: TPR at 0.1 % false positives means here: no false positive at all among 102" in text


@pytest.mark.parametrize("width", [100, 80])
@pytest.mark.parametrize("kind", ["membership_result", "both_result"])
def test_it_fits_and_cuts_nothing_off(kind: str, width: int, request: pytest.FixtureRequest) -> None:
    lines = _printed(request.getfixturevalue(kind), width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "…" not in text
    assert sum(line.endswith("candidates’ data") for line in map(str.rstrip, lines)) == 8
    for part in ("lira-items (stranger)", "(0.616–0.652)", "0.063", "0.012", "0.592"):
        assert part in text


def test_each_threat_has_its_table_and_no_other(membership_result: Result, both_result: Result) -> None:
    alone = _words(_printed(membership_result, 100))
    assert alone.startswith("ml-latest-small: lfm victim, 5 seeds Membership inference")
    assert "agreement" not in alone
    assert "popular list, 1 the victim retrained" not in alone
    both = _words(_printed(both_result, 100))
    assert both.index("PTAQ 0.647") < both.index("Membership inference: Everyone folded in")
    assert "other figures" not in both


def test_what_has_no_place_is_shown_all_the_same(membership_values: dict[str, Any]) -> None:
    row = dict(membership_values["figures"][0])
    membership_values["figures"] += [
        row | {"metric": "precision", "value": 0.7777},
        row | {"value": 0.9191},
        row | {"users": "all", "value": 0.8181},
        row | {"attack": "NOVEL", "value": 0.6161, "low": None, "high": None},
        row | {"serving": "by post", "attack": "stack", "value": 0.7171},
    ]
    text = _words(_printed(parse_result(membership_values), 100))
    for value in ("0.778", "0.919", "0.818", "0.616", "0.717", "by post", "not known"):
        assert value in text


def test_every_figure_is_in_one_place(both_values: dict[str, Any]) -> None:
    both_values["figures"].append(dict(both_values["figures"][-5]))
    membership = arrange_membership(parse_result(both_values))
    assert membership is not None
    expected = [figure for figure in both_values["figures"] if figure.get("threat") == "membership"]
    assert len(membership.leftover([])) == len(expected)


def test_names_are_text_and_no_markup(membership_values: dict[str, Any]) -> None:
    for figure in membership_values["figures"]:
        if figure["attack"] == "rich":
            figure["attack"] = "[bold]rich[/bold]\x1b[2J"
        if figure["serving"] == "popular":
            figure["serving"] = "[red]p[/red]"
    text = "\n".join(_printed(parse_result(membership_values), 80))
    assert "[bold]rich[/bold]" in text
    assert "([red]p[/red])" in text
    assert "\x1b" not in text


def test_markdown_has_the_same_rows(membership_result: Result, both_result: Result) -> None:
    lines = markdown_table(membership_result).splitlines()
    assert lines[0] == "ml-latest-small: lfm victim, 5 seeds."
    assert "**Everyone folded in**" in lines
    assert "| attack | AUC | TPR@1% | TPR@0.1% | accuracy | needs |" in lines
    row = "| stack | 0.634 (0.616–0.652) | 0.063 | 0.012 | 0.592 | retrains on candidates’ data |"
    assert row in lines
    both = markdown_table(both_result)
    assert both.index("| PTAQ |") < both.index("**Everyone folded in**")


def test_the_csv_tells_threat_and_serving(both_result: Result, tmp_path: Path) -> None:
    write_figures_csv(both_result, tmp_path / "figures.csv")
    read = pl.read_csv(tmp_path / "figures.csv")
    assert len(read) == len(both_result.figures)
    counted = dict(read.group_by("threat").len().iter_rows())
    assert counted == {
        "stealing": sum(figure.threat == "stealing" for figure in both_result.figures),
        "membership": sum(figure.threat == "membership" for figure in both_result.figures),
    }
    assert read.filter(pl.col("threat") == "stealing")["serving"].null_count() == counted["stealing"]
    stack = read.filter((pl.col("attack") == "stack") & (pl.col("metric") == "auc"))
    assert dict(stack.select("serving", "value").iter_rows()) == {"everyone-folded": 0.634, "popular": 0.957}
