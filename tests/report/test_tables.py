from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from recaudit.report import Result, markdown_table, parse_result, terminal_table, write_figures_csv


def _printed(result: Result, width: int) -> list[str]:
    console = Console(width=width, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(terminal_table(result))
    return capture.get().splitlines()


def test_a_row_an_attack_between_floor_and_ceiling(result: Result) -> None:
    lines = _printed(result, 100)
    rows = [line.split() for line in lines]
    first = [
        row[0]
        for row in rows
        if row and row[0] in {"Popular", "QSD", "PTD", "PTQ", "PTA", "PTAQ", "Retrained"}
    ]
    assert first == ["Popular", "QSD", "PTD", "PTQ", "PTA", "PTAQ", "Retrained"]
    said = {" ".join(row) for row in rows}
    assert "PTAQ 0.647 (0.623–0.671) 0.729 (0.718–0.740) 0.85 0.550 0.405 272 164" in said
    assert "QSD 0.057 (0.033–0.081) 0.731 (0.720–0.742) −0.52 0.040 0.090 272 41" in said
    text = " ".join(" ".join(lines).split())
    assert "ml-1m: bpr victim, bpr clone, 5 seeds" in text
    assert "the victim’s own is 0.436 (0.430–0.442)" in text
    assert "Note: QSD is beaten by the popular list on unqueried users" in text


@pytest.mark.parametrize("width", [100, 80])
def test_it_fits_and_cuts_nothing_off(result: Result, width: int) -> None:
    lines = _printed(result, width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "…" not in text
    for number in ("0.647", "(0.623–0.671)", "0.729", "(0.718–0.740)", "0.550", "0.405", "272", "−0.52"):
        assert number in text


def test_values_without_a_number_say_so(values: dict[str, Any]) -> None:
    for figure in values["figures"]:
        if figure["attack"] == "PTD":
            figure |= {"value": None, "low": None, "high": None}
        if figure["attack"] == "PTQ":
            figure |= {"low": None, "high": None}
    rows = [" ".join(line.split()) for line in _printed(parse_result(values), 100)]
    assert "PTD – – – – – – –" in rows
    assert "PTQ 0.534 0.668 0.59 0.430 0.371 272 64" in rows


def test_unknown_attacks_metrics_and_users_are_shown(values: dict[str, Any]) -> None:
    row = dict(values["figures"][0])
    values["figures"] += [
        row | {"attack": "NOVEL", "users": "unqueried", "value": 0.4321, "low": None, "high": None},
        row | {"attack": "PTA", "metric": "coverage", "value": 0.8765, "low": None, "high": None},
        row | {"attack": "PTA", "users": "newcomers", "value": 0.1357, "low": None, "high": None},
        row | {"attack": "PTA", "metric": "agreement@10", "value": 0.2468, "low": None, "high": None},
        row | {"attack": "PTAQ", "clone": "ncf", "value": 0.5151, "low": None, "high": None},
        row | {"value": 0.9191, "low": None, "high": None},
    ]
    text = "\n".join(_printed(parse_result(values), 100))
    for shown in (
        "NOVEL",
        "0.432",
        "coverage",
        "0.876",
        "newcomers",
        "0.136",
        "0.247",
        "PTAQ (clone ncf)",
        "0.515",
    ):
        assert shown in text
    assert "0.919" in text, "a figure that stands twice must not be lost"
    assert text.index("PTAQ ") < text.index("NOVEL") < text.index("Retrained")


def test_names_are_text_and_no_markup(values: dict[str, Any]) -> None:
    values["data"]["name"] = "[red]data[/red]\x1b[2J"
    values["figures"][7]["attack"] = "[bold]QSD[/bold]"
    text = "\n".join(_printed(parse_result(values), 100))
    assert "[red]data[/red]\N{REPLACEMENT CHARACTER}[2J" in text
    assert "[bold]QSD[/bold]" in text
    assert "\x1b" not in text


def test_an_audit_without_references_has_a_table(values: dict[str, Any]) -> None:
    keep = ("PTAQ",)
    values["figures"] = [figure for figure in values["figures"] if figure["attack"] in keep]
    rows = [line.split() for line in _printed(parse_result(values), 100)]
    assert sum(row[:1] == ["PTAQ"] for row in rows) == 1
    values["figures"] = []
    assert _printed(parse_result(values), 100)


def test_lists_and_seconds_come_from_the_ledger_where_no_figure_has_them(values: dict[str, Any]) -> None:
    values["figures"] = [f for f in values["figures"] if f["metric"] not in {"lists", "seconds"}]
    for seed, ledger in enumerate(one for one in values["ledgers"] if one["attack"] == "PTAQ"):
        ledger["lists"] = 270 + 2 * seed
    for stage in values["stages"]:
        stage["seconds"] = 100.0 + stage["seed"]
    row = next(line.split() for line in _printed(parse_result(values), 100) if line.startswith("PTAQ"))
    assert row[-2:] == ["274", "102"]


def test_markdown_has_the_same_rows(values: dict[str, Any]) -> None:
    values["figures"].append(values["figures"][0] | {"attack": "a|b\nc", "users": "unqueried"})
    lines = markdown_table(parse_result(values)).splitlines()
    assert lines[0] == (
        "| attack | agreement@50 unqueried | agreement@50 queried | place | RBO@50 | recall@50 "
        "| lists | seconds |"
    )
    assert lines[1] == "|---|---:|---:|---:|---:|---:|---:|---:|"
    assert "| PTAQ | 0.647 (0.623–0.671) | 0.729 (0.718–0.740) | 0.85 | 0.550 | 0.405 | 272 | 164 |" in lines
    assert any(line.startswith("| a\\|b\N{REPLACEMENT CHARACTER}c | 0.280 (0.256–0.304) |") for line in lines)
    assert {line.replace("\\|", "").count("|") for line in lines[: lines.index("")]} == {9}


def test_the_csv_has_exactly_the_columns_and_full_precision(values: dict[str, Any], tmp_path: Path) -> None:
    values["figures"][0]["value"] = 1 / 3
    values["figures"][1] |= {"value": None, "low": None, "high": None, "clone": None}
    values["figures"][2] |= {"value": 1e-12, "attack": 'a "quoted", name'}
    result = parse_result(values)
    file = tmp_path / "figures.csv"
    write_figures_csv(result, file)
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "data,victim,clone,attack,users,metric,value,low,high,seeds,threat,serving"
    assert lines[1].startswith("ml-1m,bpr,bpr,popularity,unqueried,agreement@50,0.3333333333333333,")
    assert lines[2] == "ml-1m,bpr,,popularity,queried,agreement@50,,,,5,stealing,"
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
    ).read_text() == "data,victim,clone,attack,users,metric,value,low,high,seeds,threat,serving\n"
