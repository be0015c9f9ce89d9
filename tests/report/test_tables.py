import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recaudit.report import Result, parse_result, terminal_table, write_figures_csv
from recaudit.report.table import markdown
from recaudit.report.tables import agreement, cost, membership, needs
from recaudit.report.views import COSTS, Stealing, served
from recaudit.vocabulary import metric_of
from shown import printed


def _words(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize("kind", ["values", "membership_values", "both_values", "sequential_values"])
def test_every_figure_and_interval_stands_in_the_terminal_uncut(
    kind: str, width: int, request: pytest.FixtureRequest
) -> None:
    result = parse_result(request.getfixturevalue(kind))
    lines = printed(terminal_table(result), width).splitlines()
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "…" not in text
    for figure in result.figures:
        if figure.threat == "membership" and figure.metric == "seconds":
            continue  # on the page alone
        form = metric_of(figure.metric).form
        assert form.text(figure.value) in text, figure
        if figure.low != figure.high:
            assert f"({form.interval(figure.low, figure.high)})" in text, figure


def test_a_row_an_attack_between_floor_and_ceiling(both_result: Result) -> None:
    lines = [_words(line).strip() for line in printed(terminal_table(both_result), 200).splitlines()]
    start = next(place for place, line in enumerate(lines) if line.startswith("Agreement@50 with the victim"))
    names = ["Popular list", "QSD", "PTD", "PTQ", "PTA", "PTAQ", "Retrained"]
    rows = [line for line in lines[start:] if line.startswith(tuple(names))][: len(names)]
    assert [row.startswith(name) for row, name in zip(rows, names, strict=True)] == [True] * len(names)
    assert rows[5].startswith("PTAQ 64.7 % (62.3–67.1) 72.9 % (71.8–74.0)")
    stack = next(line for line in lines if line.startswith("stack 0.634"))
    assert stack == (
        "stack 0.634 (0.616–0.652) 6.3 % (5.5–7.1) 1.2 % (0.4–2.0) 59.2 % (58.4–60.0) 0.492 (0.474–0.510) "
        "retrains on candidates’ data"
    )
    text = _words(" ".join(lines))
    assert "Note: QSD is beaten by the popular list on unqueried users" in text
    assert text.index("Everyone folded in") < text.index("Popular list for strangers")
    assert "Everyone folded in 0.231 (0.223–0.239) 0.172 (0.164–0.180)" in text


def test_values_without_a_number_say_so(values: dict[str, Any]) -> None:
    for figure in values["figures"]:
        if figure["attack"] == "PTD":
            figure |= {"value": None, "low": None, "high": None}
        if figure["attack"] == "PTQ":
            figure |= {"low": None, "high": None}
    rows = [_words(line).strip() for line in printed(terminal_table(parse_result(values)), 200).splitlines()]
    assert "PTD" + 5 * " not available" in rows
    assert "PTQ 53.4 % 66.8 % 65.3 % 59.1 % 0.430" in rows


def test_names_are_text_and_no_markup(values: dict[str, Any]) -> None:
    values["data"]["name"] = "[red]data[/red]\x1b[2J"
    values["figures"][7]["attack"] = "[bold]QSD[/bold]"
    text = "\n".join(printed(terminal_table(parse_result(values)), 100).splitlines())
    assert "[red]data[/red]\N{REPLACEMENT CHARACTER}[2J" in text
    assert "[bold]QSD[/bold]" in text
    assert "\x1b" not in text


def test_an_audit_without_references_has_a_table(values: dict[str, Any]) -> None:
    keep = ("PTAQ",)
    values["figures"] = [figure for figure in values["figures"] if figure["attack"] in keep]
    rows = [line.split() for line in printed(terminal_table(parse_result(values)), 100).splitlines()]
    assert sum(row[:1] == ["PTAQ"] for row in rows) >= 1
    values["figures"] = []
    assert printed(terminal_table(parse_result(values)), 100).splitlines()


def test_costs_come_from_the_ledger_where_no_figure_has_them(values: dict[str, Any]) -> None:
    values["figures"] = [f for f in values["figures"] if f["metric"] not in COSTS]
    for seed, ledger in enumerate(one for one in values["ledgers"] if one["attack"] == "PTAQ"):
        ledger |= {"lists": 270 + 2 * seed, "budget": 1300}
    for stage in values["stages"]:
        stage["seconds"] = 100.0 + stage["seed"]
    row = next(line for line in cost(Stealing(parse_result(values))).lines if line.cells[0].text == "PTAQ")
    assert [cell.text for cell in row.cells] == ["PTAQ", "274", "272", "2,312", "1,300", "102"]


def test_histories_that_are_shown_are_counted(sequential_values: dict[str, Any]) -> None:
    table = cost(Stealing(parse_result(sequential_values)))
    assert [column.heading for column in table.columns[1:4]] == ["Lists", "Sequences", "Calls"]
    row = next(line for line in table.lines if line.cells[0].text == "QSD30")
    assert [cell.text for cell in row.cells[1:4]] == ["8,640", "432", "20"]


def test_needs_come_from_the_cards(membership_result: Result, membership_values: dict[str, Any]) -> None:
    block = served(membership_result)[0]
    assert {row: needs(block, row) for row in ("difference", "stack", "stack (stranger)")} == {
        "difference": "own data",
        "stack": "retrains on candidates’ data",
        "stack (stranger)": "own data",
    }
    del membership_values["cards"]
    assert needs(served(parse_result(membership_values))[0], "stack") == "not known"


def test_markdown_has_the_same_rows(values: dict[str, Any], membership_result: Result) -> None:
    values["figures"].append(values["figures"][0] | {"attack": "a|b\nc", "users": "unqueried"})
    lines = markdown(agreement(Stealing(parse_result(values)))).splitlines()
    said = "64.7 % (62.3–67.1) | 72.9 % (71.8–74.0) | 72.0 % (71.0–73.0) | 85.3 % (80.3–90.3) | 0.550 (0.530–0.570) |"
    assert f"| **PTAQ** | {said.replace(' %', chr(160) + '%')}" in lines
    assert any(line.startswith("| a\\|b\N{REPLACEMENT CHARACTER}c | 28.0") for line in lines)
    folded, popular = map(markdown, map(membership, served(membership_result)))
    assert "| **stack** | 0.634 (0.616–0.652) |" in folded
    assert "everyone folded in" in folded
    assert "popular list for strangers" in popular


def test_the_csv_has_exactly_the_columns_and_full_precision(values: dict[str, Any], tmp_path: Path) -> None:
    values["figures"][0]["value"] = 1 / 3
    values["figures"][1] |= {"value": None, "low": None, "high": None, "clone": None}
    values["figures"][2] |= {"value": 1e-12, "attack": 'a "quoted", name'}
    result = parse_result(values)
    file = tmp_path / "figures.csv"
    write_figures_csv(result, file)
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "data,victim,clone,attack,users,metric,value,low,high,n,seeds,threat,serving"
    assert lines[1].startswith("ml-1m,bpr,bpr,popularity,unqueried,agreement@50,0.3333333333333333,")
    assert lines[2] == "ml-1m,bpr,,popularity,queried,agreement@50,,,,,5,stealing,"
    read = pl.read_csv(file)
    assert len(read) == len(result.figures)
    assert read["value"].to_list() == [figure.value for figure in result.figures]
    assert read["high"].to_list() == [figure.high for figure in result.figures]
    assert read["attack"][2] == 'a "quoted", name'


def test_an_empty_csv_has_its_header(values: dict[str, Any], tmp_path: Path) -> None:
    values["figures"] = []
    write_figures_csv(parse_result(values), tmp_path / "figures.csv")
    assert (
        tmp_path / "figures.csv"
    ).read_text() == "data,victim,clone,attack,users,metric,value,low,high,n,seeds,threat,serving\n"


def test_the_csv_tells_threat_and_serving(both_result: Result, tmp_path: Path) -> None:
    write_figures_csv(both_result, tmp_path / "figures.csv")
    read = pl.read_csv(tmp_path / "figures.csv")
    assert len(read) == len(both_result.figures)
    assert dict(read.group_by("threat").len().iter_rows()) == {
        threat: sum(figure.threat == threat for figure in both_result.figures)
        for threat in ("stealing", "membership")
    }
    assert read.filter(threat="stealing")["serving"].null_count() == len(read.filter(threat="stealing"))
    stack = read.filter(attack="stack", metric="auc")
    assert dict(stack.select("serving", "value").iter_rows()) == {"everyone-folded": 0.634, "popular": 0.957}
