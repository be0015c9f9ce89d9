import re
from dataclasses import replace
from typing import Any

import pytest

from recaudit.figures import Figure
from recaudit.report.table import (
    Cell,
    Column,
    Line,
    Table,
    cell_of,
    html,
    markdown,
    shown,
    table_of,
    terminal,
    words,
)
from shown import printed

_WIDTHS = (40, 60, 80, 100, 120, 200)


def figure(metric: str, value: float | None, low: float | None = None, high: float | None = None) -> Figure:
    return Figure(
        data="d", victim="v", attack="a", users="all", metric=metric, value=value, low=low, high=high, seeds=3
    )


@pytest.fixture
def table() -> Table:
    """Eight columns of the widest numbers, and one of words that may be left out."""
    cells = (
        cell_of(figure("agreement@50", 0.6471, 0.6231, 0.6712)),
        cell_of(figure("place@50", -0.519, -0.569, -0.469)),
        cell_of(figure("auc", 0.9574, 0.9391, 0.9751)),
        cell_of(figure("lists", 1234567.0, 1234567.0, 1234567.0)),
        cell_of(figure("seconds", 164.5, 156.2, 172.9)),
        cell_of(figure("agreement@50", None)),
        Cell(text="0.647", beside="0.6512", interval="0.623–0.671", below=("TPR 0.063",)),
    )
    headings = ("Agreement@50", "Place", "AUC", "Lists", "Seconds", "Recall", "ours")
    named = words("an attack with a name of many words")
    found = table_of(
        "A table of everything",
        ("Attack", *headings),
        [Line(cells=(words("Popular list"), *cells, words("")), emphasis="reference")],
        [Line(cells=(named, *cells, words("histories and lists")), emphasis="strongest")],
        notes=("A note of several words that any terminal may break.",),
    )
    last = Column(heading="Needs", align="left", optional=True)
    return replace(found, columns=(*found.columns, last))


@pytest.mark.parametrize("width", _WIDTHS)
def test_no_terminal_cuts_or_breaks_a_number(table: Table, width: int) -> None:
    text = printed(terminal(table), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for number in (
        *("64.7\N{NO-BREAK SPACE}%", "(62.3–67.1)", "−51.9\N{NO-BREAK SPACE}%", "(−56.9 to −46.9)"),
        *("0.957", "(0.939–0.975)", "1,234,567", "164", "(156–173)", "0.647 0.6512", "TPR 0.063"),
    ):
        assert text.count(number) == 2, number
    for name in ("Popular list", *["an", "attack", "with", "a", "name", "of", "many", "words"]):
        assert name in text


def test_intervals_stand_beside_values_below_them_or_in_blocks(table: Table) -> None:
    wide, middle, narrow = (printed(terminal(table), width) for width in (200, 112, 60))
    assert "64.7\N{NO-BREAK SPACE}% (62.3–67.1)" in wide
    assert "64.7\N{NO-BREAK SPACE}% (62.3–67.1)" not in middle
    assert "Agreement@50" in middle.splitlines()[1]
    assert re.search(r"^  Agreement@50 +64\.7\N{NO-BREAK SPACE}% \(62\.3–67\.1\)", narrow, re.MULTILINE)


def test_words_are_left_out_before_rows_become_blocks(table: Table) -> None:
    assert "histories" in printed(terminal(table), 200)
    assert "histories" in printed(terminal(table), 40), "blocks have room for words"
    assert "histories" not in printed(terminal(table), 112)


def test_markdown_has_the_same_cells(table: Table) -> None:
    lines = markdown(table).splitlines()
    assert lines[0] == "**A table of everything**"
    assert {line.count("|") for line in lines if line.startswith("|")} == {10}
    assert "| 64.7\N{NO-BREAK SPACE}% (62.3–67.1) |" in lines[4]
    assert lines[4].startswith("| *Popular list* |")
    assert lines[5].startswith("| **an attack with a name of many words** |")
    assert "| 0.647 (0.623–0.671) · *0.6512*<br>TPR 0.063 |" in lines[5]


@pytest.mark.parametrize("name", ["a|b", "[link](x)", "<script>", "*bold*", "`code`"])
def test_names_are_text(table: Table, name: str) -> None:
    named = Table(title=name, columns=table.columns[:1], sections=((Line(cells=(words(name),)),),))
    assert name in printed(terminal(named), 80)
    assert "<script>" not in html(named)
    assert not re.search(r"(?<!\\)[*`\[<]\w", markdown(named).replace(f"**{name}**", "").split("\n", 1)[1])


def test_html_names_its_columns_and_rows(table: Table) -> None:
    text = html(table)
    assert text.count('scope="col"') == len(table.columns)
    assert text.count('scope="row"') == len(table.lines)
    assert 'aria-label="A table of everything"' in text
    assert "A table of everything</p>" in text
    assert text.count('data-heading="Agreement@50"') == 2


def test_a_table_knows_the_figures_that_it_shows(table: Table) -> None:
    values: list[Any] = [one.value for one in shown([table]) if one is not None]
    assert values == [0.6471, -0.519, 0.9574, 1234567.0, 164.5, None] * 2
