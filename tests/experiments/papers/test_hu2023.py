"""The grids that reproduce Hu's membership inference, and the one value that the paper prints."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recaudit.audit.spec import audit_spec
from recaudit.cli.spec_file import read_yaml
from recaudit.experiments.grid import narrowed, parse_only
from recaudit.experiments.papers import grid_names, load_grid
from recaudit.experiments.papers.published import published, with_published
from recaudit.experiments.table import COLUMNS

NAMES = tuple(name for name in grid_names() if name.startswith("hu2023/"))


def test_the_papers_figures_come_first_then_what_goes_beyond_them() -> None:
    names = [name.removeprefix("hu2023/") for name in NAMES]
    ours = ["lists", "cross", "ladder", "victims", "defences", "privacy"]
    assert names == ["fig1", "fig2", "fig3", "fig3-target", *ours]


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_is_a_valid_audit_of_membership_alone(name: str) -> None:
    grid = load_grid(name)
    assert grid.infers
    assert grid.remarks
    assert (grid.metric, grid.users) == ("auc", "candidates")
    cells = grid.cells()
    specs = [audit_spec(cell.values) for cell in cells]
    assert len({spec.digest for spec in specs}) == len(specs)
    for cell, spec in zip(cells, specs, strict=True):
        assert spec.threats == ("membership",)
        assert len(spec.seeds) == cell.seeds == 5
        assert spec.data.source == cell.labels["data"]
        assert len(spec.membership.serving) == 1, "a cell has one way of serving"
        assert cell.labels.get("serving", spec.membership.serving[0]) == spec.membership.serving[0]
        measured = {name for name in grid.shown if not name.startswith("blind: ")}
        assert measured <= set(spec.membership.attacks)


@pytest.mark.parametrize("name", NAMES)
def test_no_key_stands_twice_in_a_grids_file(name: str) -> None:
    source = read_yaml(Path(str(files("recaudit.experiments.papers"))) / f"{name}.yaml")["source"]
    assert source.startswith(("Hu, ", "not in the paper"))


def test_the_plots_are_those_of_the_paper() -> None:
    drawn = {name.removeprefix("hu2023/"): load_grid(name).plot for name in NAMES}
    assert drawn == {
        "fig1": "roc",
        "fig2": "lines",
        "fig3": "lines",
        "fig3-target": "lines",
        "lists": "lines",
        "privacy": "frontier",
        "cross": "heatmap",
        "ladder": "lines",
        "victims": "none",
        "defences": "frontier",
    }


def test_the_target_and_its_shadow_are_each_of_three_models() -> None:
    specs = [audit_spec(cell.values) for cell in load_grid("hu2023/cross").cells()]
    pairs = {(s.victim_model.model, s.membership.shadow.model) for s in specs}
    models = ("item-knn", "lfm", "ncf")
    assert pairs == {(target, shadow) for target in models for shadow in models}


def test_the_paper_prints_one_value() -> None:
    assert [row for name in NAMES for row in published(name).rows()] == [
        ("hu2023/fig1", "ml-latest-small", "lfm", "difference", 0.857)
    ]


def row(**values: Any) -> dict[str, Any]:
    about = {"experiment": "hu2023/fig1", "data": "ml-latest-small", "victim": "lfm"}
    figure = {"attack": "difference", "users": "candidates", "metric": "auc", "value": 0.8, "seeds": 5}
    return about | figure | {"serving": "popular", "feedback": "implicit"} | values


def test_the_published_value_stands_in_every_cell_as_the_paper_does_not_say_how_it_serves() -> None:
    grid = load_grid("hu2023/fig1")
    rows = [
        row(),
        row(metric="roc", fpr=0.5),
        row(metric="accuracy"),
        row(attack="blind: popular share"),
        row(serving="fold-in", value=None),
    ]
    ours = pl.DataFrame(rows, schema={**COLUMNS, "feedback": pl.String}, orient="row")
    found = with_published(ours, grid)
    assert found.head(5)["published"].to_list() == [0.857, None, None, None, 0.857]
    missing = found.tail(-5)
    assert missing.select("feedback", "serving").rows() == [
        ("implicit", "everyone-folded"),
        ("explicit", "popular"),
        ("explicit", "fold-in"),
        ("explicit", "everyone-folded"),
    ]
    assert set(missing["published"]) == {0.857}
    assert set(missing["seeds"]) == {0}
    part = narrowed(grid, parse_only("feedback=implicit,serving=popular"), None)
    assert len(with_published(ours.head(1), part)) == 1
    blind = narrowed(grid, parse_only("attack=blind: popular share"), None)
    assert len(with_published(ours, blind)) == 5
