"""The table of results: rows that are measured again are replaced, and each says what made it."""

from typing import Any

import polars as pl
import pytest

from recaudit.errors import UsageError
from recaudit.experiments.grid import Grid
from recaudit.experiments.papers import STATISTICS
from recaudit.experiments.table import (
    COLUMNS,
    VERSIONS,
    columns_of,
    counted,
    counts_of,
    made_by,
    read_table,
    replaced,
    replaced_counts,
    rows_of,
    spread,
)

GRID = Grid(
    name="nobody/table1",
    title="",
    source="",
    base={"data": "small.csv", "attacks": ["PTD", "PTQ"]},
    axes={"victim": ["bpr", "lmf"], "victim.stopping.epochs": [4, 20]},
    seeds=5,
    metric="agreement@5",
)
NEWER = dict.fromkeys(VERSIONS, "9.9")


def rows(*, epochs: tuple[int, ...] = (4, 20), **values: Any) -> pl.DataFrame:
    about = {"experiment": GRID.name, "metric": "agreement@5", "users": "unqueried", "seeds": 5, "value": 0.1}
    found = [
        about | {"victim": victim, "epochs": count, "attack": attack} | values
        for victim in ("bpr", "lmf")
        for count in epochs
        for attack in ("PTD", "PTQ")
    ]
    return pl.DataFrame(found, schema=columns_of(GRID), orient="row")


def test_what_is_measured_again_takes_the_place_of_its_rows() -> None:
    new = rows(epochs=(20,), value=0.9, **NEWER).filter(attack="PTQ")
    found = replaced(rows(), new, GRID)
    assert found.drop("value", *VERSIONS).equals(rows().drop("value", *VERSIONS)), "the order stays"
    again = (pl.col("epochs") == 20) & (pl.col("attack") == "PTQ")
    assert found.filter(again).equals(new)
    assert found.filter(~again).equals(rows().filter(~again))


def test_all_rows_of_an_attack_in_a_cell_go_together() -> None:
    old = pl.concat([rows(), rows(metric="rbo@5")])
    found = replaced(old, rows(epochs=(4,), value=0.9), GRID)
    assert set(found.filter(epochs=4)["metric"]) == {"agreement@5"}
    assert found.filter(epochs=20).sort("metric", maintain_order=True).equals(old.filter(epochs=20))


def test_fewer_seeds_replace_nothing() -> None:
    assert replaced(rows(), rows(seeds=1, value=0.9), GRID).equals(rows())
    assert replaced(rows(seeds=1), rows(value=0.9), GRID).equals(rows(value=0.9))


def test_new_cells_come_behind() -> None:
    assert replaced(rows(epochs=(4,)), rows(epochs=(20,)), GRID)["epochs"].to_list() == [4] * 4 + [20] * 4


def test_a_table_gives_a_grids_rows_without_published_ones() -> None:
    table = pl.concat(
        [
            rows().with_columns(pl.lit(0.2).alias("published")),
            rows(seeds=0, value=None).with_columns(pl.lit(0.3).alias("published")),
            rows(experiment="nobody/table2").with_columns(pl.lit(None, pl.Float64).alias("published")),
        ]
    )
    assert rows_of(table, GRID).equals(rows())
    assert rows_of(table.drop(VERSIONS), GRID).equals(rows()), "older tables do not say what made them"


def test_counts_of_data_sets_are_rows_and_back(tmp_path) -> None:
    wide = pl.DataFrame(
        [
            (STATISTICS, "ml-1m", "published", 6040, 3706, 1000209, 0.9553),
            (STATISTICS, "ml-1m", "all", 6040, 3706, 1000209, 0.95532),
            (STATISTICS, "tiny", "5-core, iterative", 0, 0, 0, None),
        ],
        schema=["experiment", "data", "kept", "users", "items", "interactions", "sparsity"],
        orient="row",
    )
    tidy = counted(wide, NEWER)
    assert tidy.schema == {**COLUMNS, "kept": pl.String}
    assert spread(tidy).equals(wide)
    assert tidy.filter(pl.col("kept") == "published")["recaudit"].null_count() == 4
    assert tidy.filter(pl.col("kept") != "published").select(VERSIONS).unique().row(0, named=True) == NEWER
    fewer = counted(wide.filter(pl.col("kept") == "all").with_columns(users=pl.lit(7)), NEWER)
    both = spread(replaced_counts(tidy, fewer))
    assert both["users"].to_list() == [6040, 7, 0]
    assert both.drop("users").equals(wide.drop("users"))
    assert spread(counts_of(rows(), STATISTICS)) is None


def test_it_is_said_which_versions_made_most_rows() -> None:
    torch = {**NEWER, "torch": None}
    said = made_by([rows(**torch), rows(epochs=(4,), **NEWER)])
    assert said == [
        "recaudit 9.9 with torch (not recorded), numpy 9.9, scipy 9.9, polars 9.9",
        "recaudit 9.9 with torch 9.9, numpy 9.9, scipy 9.9, polars 9.9",
    ]
    assert made_by([]) == []


def test_a_file_that_is_no_table_is_one_line(tmp_path) -> None:
    assert len(read_table(tmp_path / "nothing.parquet")) == 0
    (tmp_path / "text.parquet").write_text("no", "utf-8")
    with pytest.raises(UsageError, match="found no Parquet file that can be read"):
        read_table(tmp_path / "text.parquet")
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(UsageError, match="found no column 'experiment', expected a table of results"):
        read_table(tmp_path / "other.parquet")
