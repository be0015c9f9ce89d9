"""An experiment's tidy table beside the published values."""

from typing import Any

import polars as pl
import pytest

from recaudit.experiments.grid import Grid, narrowed
from recaudit.experiments.papers import load_grid
from recaudit.experiments.papers.published import published, with_published
from recaudit.experiments.table import COLUMNS

TABLES = ("zhu2023/table4", "zhu2023/table5", "zhu2023/table7")


def row(grid: Grid, **values: Any) -> dict[str, Any]:
    """Return a figure of ours, agreement@50 on unqueried users of BPR on ml-1m unless told otherwise."""
    about = {"experiment": grid.name, "data": "ml-1m", "victim": "bpr", "clone": "bpr", "attack": "PTD"}
    figure = {"users": "unqueried", "metric": "agreement@50", "value": 0.4, "seeds": 5}
    return about | figure | {"k": 50} | values


def table(*rows: dict[str, Any], **others: Any) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={**COLUMNS, **others}, orient="row")


@pytest.mark.parametrize("name", TABLES)
def test_without_figures_of_ours_every_published_value_has_a_row(name: str) -> None:
    grid = load_grid(name)
    found = with_published(table(), grid)
    assert dict(found.schema) == {**COLUMNS, "published": pl.Float64}
    keys = ["data", "victim", "attack"]
    expected = published(name).rename({"value": "published"})
    assert len(found) == len(expected) > 0
    assert found.select(*keys, "published").sort(keys).equals(expected.select(*keys, "published").sort(keys))
    assert set(found["seeds"]) == {0}
    assert found["value"].null_count() == len(found)
    assert set(found["metric"]) == {"agreement@50"}
    assert set(found["users"]) == {"unqueried"}


def test_the_papers_value_stands_beside_ours_once() -> None:
    grid = load_grid("zhu2023/table4")
    found = with_published(table(row(grid)), grid)
    ours = found.filter(pl.col("value").is_not_null())
    assert ours.select("value", "published", "seeds").rows() == [(0.4, 0.4987, 5)], "Table 4, ml-1m, BPR, PTD"
    assert len(found) == len(published(grid.name)), "no second row for what is measured"
    assert not found.select("data", "victim", "attack").is_duplicated().any()


@pytest.mark.parametrize(
    "other",
    [
        {"users": "queried"},
        {"users": "all"},
        {"metric": "recall@50"},
        {"attack": "popularity"},
        {"attack": "retrained"},
        {"attack": "victim", "users": "target", "metric": "recall@50"},
    ],
)
def test_no_published_value_stands_beside_another_figure(other) -> None:
    grid = load_grid("zhu2023/table4")
    found = with_published(table(row(grid, **other)), grid)
    ours = found.filter(pl.col("value").is_not_null())
    assert ours["published"].to_list() == [None]
    assert len(found) == 1 + len(published(grid.name))


def test_our_rows_stay_as_they_were_and_come_first() -> None:
    grid = load_grid("zhu2023/table4")
    ours = table(*(row(grid, attack=attack, value=0.1) for attack in ("PTAQ", "popularity", "QSD")))
    found = with_published(ours, grid)
    assert found.head(3).drop("published").equals(ours)


def test_a_data_set_that_stands_for_the_papers_has_its_values_beside() -> None:
    grid = load_grid("zhu2023/table8")
    ours = row(grid, data="ml-1m-timed", victim="stamp", clone="stamp", attack="PTAQ")
    found = with_published(table(ours), grid)
    assert set(found["data"]) == {"ml-1m-timed"}
    assert found.filter(pl.col("value").is_not_null())["published"].to_list() == [0.4705]
    assert len(found) == len(published(grid.name)) == 27


def test_of_a_part_only_its_published_values_are_shown() -> None:
    grid = narrowed(load_grid("zhu2023/table4"), {"data": ("ml-1m",), "attack": ("PTA", "PTAQ")}, 1)
    found = with_published(table(), grid)
    assert set(found["data"]) == {"ml-1m"}
    assert set(found["attack"]) == {"PTA", "PTAQ"}
    assert set(found["victim"]) == {"bpr", "ncf", "lmf"}
    assert len(found) == 6


def test_a_figure_without_numbers_gets_an_empty_column() -> None:
    grid = load_grid("zhu2023/figure9")
    ours = table(row(grid, queries=100))
    found = with_published(ours, grid)
    assert found.drop("published").equals(ours)
    assert found["published"].to_list() == [None]


def test_a_column_of_an_own_axis_stays() -> None:
    grid = load_grid("zhu2023/table4")
    found = with_published(table(row(grid, epochs=20), epochs=pl.Int64), grid)
    assert dict(found.schema) == {**COLUMNS, "epochs": pl.Int64, "published": pl.Float64}
    assert found["epochs"][0] == 20
    assert found["epochs"].null_count() == len(found) - 1
