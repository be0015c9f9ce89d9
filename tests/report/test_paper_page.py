"""The page of a paper's experiments, from invented results: they are no measurement of anything."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

import polars as pl
import pytest

from recaudit.experiments.grid import Grid
from recaudit.experiments.papers import grid_names, load_grid, load_paper
from recaudit.experiments.table import COLUMNS, columns_of
from recaudit.report.experiment import arranged
from recaudit.report.paper import Part, render_page
from recaudit.report.plots.style import look_of

VERSIONS = {"recaudit": "1.2.3", "torch": "2.0", "numpy": "2.4.6", "scipy": "1.17.1", "polars": "2.1.0"}
PAPER = load_paper("zhu2023")
STATISTICS = pl.DataFrame(
    {
        "data": ["ml-1m", "ml-1m"],
        "kept": ["published", "5-core, iterative"],
        "users": [6040, 0],
        "items": [3706, 0],
        "interactions": [1000209, 0],
        "sparsity": [0.9553, None],
    }
)


def grid(name: str, **changes: object) -> Grid:
    return Grid(
        name=f"zhu2023/{name}",
        title=f"What {name} asks",
        source=f"Zhu et al. (2023), {name}",
        remarks=("The seed\n  is not said: 0.", "Nor is the device."),
        found=("It was found.",),
        base={"data": "ml-1m", "attacks": ["PTD", "PTA"]},
        axes={"victim": ["bpr", "lmf"]},
        seeds=2,
        metric="agreement@50",
        **changes,
    )


def section(of: Grid, *, measured: bool = True, versions: Mapping[str, str] = VERSIONS) -> Part:
    rows = [
        {
            "experiment": of.name,
            "data": "ml-1m",
            "victim": victim,
            "attack": attack,
            "k": 50,
            "users": users,
            "metric": "agreement@50",
            "value": value,
            "low": value - 0.01,
            "high": value + 0.01,
            "seeds": 2,
            **versions,
        }
        for victim, base in (("bpr", 0.1), ("lmf", 0.5))
        for attack, more in (("PTD", 0.01), ("PTA", 0.02))
        for users, value in (("unqueried", base + more), ("queried", base + more + 0.2))
    ]
    frame = pl.DataFrame(rows if measured else [], schema={**COLUMNS, "published": pl.Float64}, orient="row")
    return Part(grid=of, frame=frame, plot=PurePosixPath(f"plots/{of.name[8:]}.svg"))


def page(*sections: Part) -> str:
    return render_page(PAPER, sections, statistics=STATISTICS, table="t/all.parquet")


@pytest.fixture(scope="module")
def whole() -> str:
    return page(section(grid("figure2", core_hours=0.5)), section(grid("table4", core_hours=12.34)))


def test_tables_come_before_figures_and_table_6_between(whole) -> None:
    found = re.findall(r"^## (.*)$", whole, re.MULTILINE)
    assert found == ["What table4 asks", "What the data sets hold", "What figure2 asks"]


def test_what_explains_the_differences_stands_between_tables_and_figures() -> None:
    behind = grid("patience").model_copy(update={"source": "not in the paper; behind Table 4"})
    text = page(section(grid("figure2")), section(behind), section(grid("table4")), section(grid("epochs")))
    assert re.findall(r"^(##+ .*)$", text, re.MULTILINE) == [
        "## What table4 asks",
        "## What the data sets hold",
        "## What explains the differences",
        "### What patience asks",
        "### What epochs asks",
        "## What figure2 asks",
    ]
    assert "\nNot in the paper; behind Table 4. `recaudit" in text


def test_the_head_says_what_an_interval_of_few_seeds_covers(whole) -> None:
    head = " ".join(whole.partition("```")[0].split())
    assert "With one seed the interval covers the choice of users only; with two it is too narrow" in head


def test_the_heads_lines_are_short_whatever_the_versions() -> None:
    others = VERSIONS | {"recaudit": "1.3.0", "torch": "2.13.0+cpu-and-more"}
    text = page(section(grid("table4")), section(grid("table5"), versions=others))
    head = text.partition("## ")[0].splitlines()
    assert max(map(len, head)) <= 110
    said = " ".join(line.strip() for line in head)
    one, other = (
        f"recaudit {kind['recaudit']} with torch {kind['torch']}, numpy 2.4.6, scipy 1.17.1, polars 2.1.0"
        for kind in (VERSIONS, others)
    )
    assert f"Made by {other}; and by {one}. Each section names" in said


def test_the_head_says_what_made_it_and_where_the_figures_are(whole) -> None:
    assert whole.startswith("<!-- Written by `recaudit reproduce page`;")
    assert f"# Reproduction of {PAPER.title}\n" in whole
    assert "Made by recaudit 1.2.3 with torch 2.0, numpy 2.4.6," in whole
    assert "[one table](t/all.parquet)" in whole
    assert 'pl.read_parquet("t/all.parquet")' in whole


def test_a_section_says_its_source_its_command_and_its_cost(whole) -> None:
    said = "Zhu et al. (2023), table4. `recaudit reproduce zhu2023/table4`; its nodes took 12.3 core hours"
    assert said in whole
    assert "`recaudit reproduce zhu2023/figure2`; its nodes took 30 core minutes" in whole
    assert "![What table4 asks](plots/table4.svg)" in whole
    assert "It was found.\n" in whole
    assert "- The seed is not said: 0.\n- Nor is the device.\n" in whole


def test_every_figure_is_there_on_both_kinds_of_users(whole) -> None:
    before, _, after = whole.partition("<details>")
    unqueried, queried = before, after.partition("</details>")[0]
    for base in (0.1, 0.5):
        for more in (0.01, 0.02):
            assert f"**{base + more:.3f}**" in unqueried
            assert f"**{base + more + 0.2:.3f}**" in queried
    assert "**0.310**" not in unqueried


def test_what_is_shown_on_other_users_is_not_shown_twice() -> None:
    assert "<details>" not in page(section(grid("table4", users="queried")))
    assert "<details>" not in page(section(grid("figure2", plot="lines")))
    assert "<details>" not in page(section(grid("table4"), measured=False))


def test_without_results_all_is_not_measured() -> None:
    text = page(section(grid("table4"), measured=False))
    rows = [line for line in text.splitlines() if re.match(r"\| (PTD|PTA|retrained|popular list) ", line)]
    assert len(rows) == 4
    for line in rows:
        assert [cell.strip() for cell in line.split("|")[2:-1]] == ["not measured"] * 2
    assert "Nothing is measured." in text
    assert "nodes took" not in text, "what it takes is not known"


def test_every_table_is_whole(whole) -> None:
    for block in re.findall(r"(?:^\|.*\n)+", whole, re.MULTILINE):
        lines = block.splitlines()
        assert len({line.count("|") for line in lines}) == 1
        assert set(lines[1]) <= set("|-:")


def test_table_6_shows_a_core_of_nobody(whole) -> None:
    assert "| ml-1m | published | 6,040 | 3,706 | 1,000,209 | 0.9553 |" in whole
    assert "| ml-1m | 5-core, iterative | 0 | 0 | 0 |  |" in whole


@pytest.mark.parametrize("paper", ["zhu2023", "hu2023"])
def test_a_paper_says_how_rows_of_its_grids_look_and_no_two_alike(paper) -> None:
    looks = load_paper(paper).looks
    grids = [load_grid(name) for name in grid_names() if name.startswith(f"{paper}/")]
    nothing = {one.name: arranged(pl.DataFrame(schema=columns_of(one)), one) for one in grids}
    drawn = {row: look_of(nothing[one.name], row) for one in grids for row in one.attacks if row in looks}
    assert set(drawn) == set(looks)
    assert len(set(drawn.values())) == len(looks)
