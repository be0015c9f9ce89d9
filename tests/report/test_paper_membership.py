"""Membership experiments in tables and plots, from planted results: they are no measurement."""

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from statistics import NormalDist
from typing import Any

import polars as pl
import pytest

from recaudit.experiments.grid import Grid, narrowed, parse_only
from recaudit.experiments.papers import grid_names, load_grid, load_paper
from recaudit.experiments.papers.published import with_published
from recaudit.experiments.table import COLUMNS
from recaudit.report.experiment import arranged
from recaudit.report.paper import Part, render_page
from recaudit.report.plots import draw
from recaudit.report.plots.frontier import family, front, label_places
from shown import cells_of, experiment_in_markdown, fitting_text

NAMES = [name for name in grid_names() if name.startswith("hu2023/")]
NORMAL = NormalDist()
RATES = [0.0, 0.001, 0.01, 0.1, 0.5, 1.0]


def planted(
    grid: Grid, seeds: int | None = None, without: Callable[[str, Any], bool] = lambda attack, labels: False
) -> pl.DataFrame:
    """Return results in which an attack's scores are normal with unit spread, members' shifted by a distance.

    Every cell has its own distance, and so have the attacks of a cell; AUC, TPR and ROC follow from it.
    """
    rows: list[dict[str, Any]] = []
    for place, cell in enumerate(grid.cells()):
        about = {"experiment": grid.name, "data": "ml-latest-small", "victim": "lfm", "k": 50} | dict(
            cell.labels
        )
        about |= {"threat": "membership", "seeds": seeds or cell.seeds}
        shown = [attack for attack in grid.shown if not without(attack, cell.labels)]
        for number, attack in enumerate(shown):
            distance = 0.3 * number + 0.7 * (place * 0.6180339887 % 1)
            own = about | {"attack": attack, "users": "candidates"}
            auc, tail = NORMAL.cdf(distance / math.sqrt(2)), NORMAL.cdf(distance + NORMAL.inv_cdf(0.01))
            for metric, value in (("auc", auc), ("accuracy", 0.5), ("tpr@0.01", tail), ("tpr@0.001", 0.001)):
                rows.append(own | {"metric": metric, "value": value, "low": value * 0.9, "high": value * 1.1})
            null = own | {"attack": f"null: {attack}", "metric": "auc"}
            if not attack.startswith("blind: ") and cell.values["membership"].get("null", True):
                rows.append(null | {"value": 0.5 + number / 1000, "low": 0.4, "high": 0.6})
            for fpr in RATES if grid.plot == "roc" else ():
                tpr = fpr if fpr in (0.0, 1.0) else NORMAL.cdf(distance + NORMAL.inv_cdf(fpr))
                rows.append(own | {"metric": "roc", "fpr": fpr, "value": tpr, "low": tpr * 0.9, "high": tpr})
        for users, value in (("members", 0.2 + place / 1000), ("non-members", 0.1 + place / 1000)):
            if shown:
                quality = {"attack": "victim", "users": users, "metric": "ndcg@10"}
                rows.append(about | quality | {"value": value, "low": value - 0.01, "high": value + 0.01})
    kinds = {str: pl.String, int: pl.Int64, float: pl.Float64}
    others = {
        name: kinds[type(value)] for name, value in grid.cells()[0].labels.items() if name not in COLUMNS
    }
    return with_published(pl.DataFrame(rows, schema={**COLUMNS, **others}, orient="row"), grid)


def cell_of(frame: pl.DataFrame, attack: str, **labels: Any) -> str:
    """Return what Markdown must show for an attack in a cell, taken from the frame itself."""

    def figure(mark: str, **wanted: Any) -> str:
        (row,) = frame.filter(**labels, **wanted).rows(named=True)
        return f"{mark}{row['value']:.3f}{mark} ({row['low']:.3f}–{row['high']:.3f})"

    of_grid = frame.filter(attack=attack, metric="auc", **labels).row(0, named=True)
    text = figure("**", attack=attack, metric="auc")
    text += "" if of_grid["published"] is None else f" · *{of_grid['published']:.3f}*"
    text += f"<br>TPR {figure('', attack=attack, metric='tpr@0.01')}"
    null = f"null: {attack}"
    has_null = len(frame.filter(attack=null, **labels)) > 0
    return text + (f"<br>null {figure('', attack=null, metric='auc')}" if has_null else "")


FIG1, LENGTHS, LADDER, DEFENCES, CROSS = (
    load_grid(f"hu2023/{name}") for name in ("fig1", "fig2", "ladder", "defences", "cross")
)


def test_few_cells_stand_beside_each_other_with_auc_published_tpr_and_null() -> None:
    frame = planted(FIG1)
    found = cells_of(experiment_in_markdown(frame, FIG1))
    assert len(found) == 2
    served = ("popular", "fold-in", "everyone-folded")
    for feedback, table in zip(("implicit", "explicit"), found, strict=True):
        titles = ["popular list for strangers", "strangers folded in", "everyone folded in"]
        assert table[0] == ["attack", *titles]
        assert [row[0] for row in table[1:4]] == list(FIG1.shown)
        for row in table[1:4]:
            assert row[1:] == [cell_of(frame, row[0], feedback=feedback, serving=one) for one in served]
        for row, users in zip(table[4:6], ("members", "non-members"), strict=True):
            assert row[0] == f"victim’s NDCG@10, {'members' if users == 'members' else 'strangers'}"
            values = frame.filter(attack="victim", users=users, feedback=feedback)["value"]
            assert [text.split(" ")[0] for text in row[1:]] == [f"{value:.3f}" for value in values]
        assert table[6] == ["seeds", "5", "5", "5"]
    assert "· *0.857*" in found[0][1][1]
    assert "*" not in found[0][2][1].replace("**", ""), "the paper has no value for a blind feature"


def test_many_cells_stand_below_each_other() -> None:
    frame = planted(LENGTHS)
    popular, folded = cells_of(experiment_in_markdown(frame, LENGTHS))
    heads = ["victim’s NDCG@10, members", "victim’s NDCG@10, strangers", "seeds"]
    assert popular[0] == ["vector length", *LENGTHS.shown, *heads]
    for serving, table in (("popular", popular), ("everyone-folded", folded)):
        assert [row[0] for row in table[1:]] == [str(length) for length in range(10, 101, 10)]
        for row in table[1:]:
            where = {"serving": serving, "vectors": int(row[0])}
            assert row[1:3] == [cell_of(frame, attack, **where) for attack in LENGTHS.shown]
    assert "null" not in experiment_in_markdown(frame, LENGTHS)


def test_no_floor_and_no_ceiling_stand_beside_membership_attacks() -> None:
    for name in NAMES:
        text = experiment_in_markdown(planted(load_grid(name)), load_grid(name))
        assert "retrained" not in text
        assert "Recall" not in text
        assert not re.search(
            r"popular list(?! \*\*| \||,|\*\*)", text.replace("popular list for strangers", "")
        )


def test_captions_say_what_stands_in_a_cell() -> None:
    text = experiment_in_markdown(planted(FIG1), FIG1)
    assert (
        "In bold: AUC, members against strangers; in brackets its 95 % interval; in italics: Hu, Figure 1"
        in text
    )
    assert "where 1 % of strangers are taken for members" in text
    assert "null: the figure against a victim trained on none of them" in text
    tail = LENGTHS.model_copy(update={"metric": "tpr@0.01"})
    text = experiment_in_markdown(planted(LENGTHS), tail)
    assert "In bold: TPR@1%, members against strangers" in text
    assert "<br>" not in text, "the figure is not told twice"


def test_values_of_an_axis_are_said_in_words_or_as_numbers() -> None:
    heads = cells_of(experiment_in_markdown(planted(LADDER), LADDER))[0][0]
    assert heads == ["attack", "shadow models: 4", "shadow models: 8", "shadow models: 16"]
    rates = load_grid("hu2023/fig3")
    rows = cells_of(experiment_in_markdown(planted(rates), rates))[0]
    assert [row[0] for row in rows] == [
        "learning rate",
        *("0.0001", "0.0003", "0.001", "0.003", "0.01", "0.03", "0.1"),
    ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [160, 100, 80])
def test_the_terminal_table_fits_and_cuts_no_figure_off(name: str, width: int) -> None:
    grid = load_grid(name)
    frame = planted(grid)
    text = fitting_text(frame, grid, width)
    wanted = (pl.col("metric").is_in(["auc", "ndcg@10"])) & ~pl.col("attack").str.starts_with("null: ")
    for value, low, high in frame.filter(wanted).select("value", "low", "high").iter_rows():
        assert f"{value:.3f}" in text
        assert f"{low:.3f}–{high:.3f}" in text
    for value in frame.filter(metric="tpr@0.01", attack=grid.shown[0])["value"]:
        assert f"{value:.3f}" in text


def test_what_was_not_measured_is_said_and_the_published_value_stays() -> None:
    frame = planted(FIG1, without=lambda attack, labels: labels["serving"] == "fold-in")
    table = cells_of(experiment_in_markdown(frame, FIG1))[0]
    assert [row[2] for row in table[1:]] == ["not measured · *0.857*", *["not measured"] * 4, "0†"]
    assert (
        experiment_in_markdown(planted(FIG1, without=lambda *_: True), FIG1).count("not measured · *0.857*")
        == 6
    )


def test_a_narrowed_grid_shows_the_attack_that_is_left() -> None:
    part = narrowed(FIG1, parse_only("attack=blind: popular share,feedback=implicit"), 1)
    (table,) = cells_of(experiment_in_markdown(planted(FIG1, 1), part))
    assert table[0][:3] == ["strangers served", "blind: popular share", "victim’s NDCG@10, members"]


def read(path: Path) -> list[str]:
    return ["".join(e.itertext()) for e in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")]


def words(frame: pl.DataFrame, grid: Grid, folder: Path) -> list[str]:
    """Return the words of an experiment's picture, which all formats share: one is drawn."""
    return read(draw(frame, grid, folder, formats=("svg",))[0])


SOME = ["", "cells", "none"]


@pytest.mark.parametrize("left_out", SOME)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_pictures_are_drawn_whatever_is_missing(name: str, left_out: str, tmp_path: Path) -> None:
    grid = load_grid(name)
    missing = {
        "": lambda attack, labels: False,
        "cells": lambda attack, labels: len(str(labels)) % 2 == 0,
        "none": lambda attack, labels: True,
    }[left_out]
    # Where some is there and some is not, a picture has all that it is made of.
    kinds = ("svg", "png", "pdf") if left_out == "cells" else ("svg",)
    paths = draw(planted(grid, 1, missing), grid, tmp_path, formats=kinds)
    assert [path.suffix for path in paths] == [f".{kind}" for kind in kinds]
    said = " ".join(read(paths[0]))
    if left_out == "none":
        assert "not" in said
        assert "measured" in said
    elif left_out == "":
        assert "measured" not in said


@pytest.mark.parametrize("name", ["hu2023/fig1", "hu2023/defences"])
@pytest.mark.slow
def test_pictures_are_the_same_each_time(name: str, tmp_path: Path) -> None:
    grid = load_grid(name)
    one, two = (draw(planted(grid), grid, tmp_path / folder) for folder in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


@pytest.mark.parametrize(
    ("grid", "only"),
    [
        (FIG1, "feedback=implicit,serving=popular"),
        (FIG1, "serving=popular+fold-in"),
        (LADDER, "serving=fold-in,shadows=8"),
        (CROSS, "serving=popular,attack=difference,shadow=lfm"),
        (DEFENCES, "variant=none"),
        (DEFENCES, "attack=blind: popular share"),
    ],
)
@pytest.mark.slow
def test_parts_of_pictures_are_drawn(grid: Grid, only: str, tmp_path: Path) -> None:
    part = narrowed(grid, parse_only(only), 1)
    assert words(planted(part), part, tmp_path)


@pytest.mark.slow
def test_roc_curves_stand_twice_with_their_areas_and_the_published_one(tmp_path: Path) -> None:
    frame = planted(FIG1)
    said = words(frame, FIG1, tmp_path)
    assert said.count("published 0.857") == 6
    assert said.count("true positive rate") == 4, "two rows of panels, linear and logarithmic"
    assert said.count("everyone folded in") == 2
    assert said.count("0.001") == 12
    for value in frame.filter(metric="auc", attack="difference")["value"]:
        assert f"{value:.3f}" in said
    assert {"chance", "difference", "blind: best single feature"} <= set(said)


def test_a_curve_has_the_points_of_the_frame() -> None:
    frame = planted(FIG1)
    experiment = arranged(frame.reverse(), FIG1)
    cell = FIG1.cells()[1]
    curve = experiment.curve("difference", cell)
    assert curve is not None
    wanted = frame.filter(metric="roc", attack="difference", feedback="implicit", serving="fold-in")
    assert list(curve.fpr) == RATES
    assert list(curve.tpr) == wanted["value"].to_list()
    assert list(curve.low) == wanted["low"].to_list()
    assert experiment.curve("stack", cell) is None


def test_the_heatmaps_have_their_figures_written_in(tmp_path: Path) -> None:
    frame = planted(CROSS)
    said = words(frame, CROSS, tmp_path)
    for value in frame.filter(metric="auc", attack="blind: popular share")["value"]:
        assert f"{value:.3f}" in said
    assert said.count("popular list for strangers") == 2
    assert said.count("everyone folded in") == 2


def test_the_frontier_numbers_each_variant_in_each_panel_and_names_it_in_its_key(tmp_path: Path) -> None:
    variants = {"none": {}, "lists of 10": {"k": 10}, "reg 0.05": {"victim.optimisation.reg": 0.05}}
    axes = {"data": ("ml-latest-small",), "variant": tuple(variants)}
    grid = DEFENCES.model_copy(update={"axes": axes, "variants": variants})
    frame = planted(grid, without=lambda attack, labels: labels["variant"] == "reg 0.05")
    said = words(frame, grid, tmp_path)
    assert {"1  none", "2  lists of 10", "3  reg 0.05 †"} <= set(said)
    assert [said.count(str(number)) for number in (1, 2, 3)] == [4, 4, 0]
    assert {"NDCG@10 of strangers", "NDCG@10 of members"} <= set(said)
    assert any(text.endswith("† not measured") for text in said)
    assert any("judged by stack;" in text for text in said)


def test_a_front_has_what_no_other_point_beats() -> None:
    points = [(0.3, 0.9), (0.3, 0.8), (0.2, 0.6), (0.25, 0.8), (0.1, 0.5), (0.1, 0.5), (0.05, 0.55)]
    assert front(points) == [1, 2, 4, 5]
    assert front([(0.1, 0.9)]) == [0]


def test_numbers_keep_apart_from_points_and_from_each_other() -> None:
    points = [(50.0 + 3 * (number % 4), 50.0 + 3 * (number // 4)) for number in range(12)]
    at = label_places(points, (0.0, 0.0, 200.0, 200.0), between=8.0)
    for number, one in enumerate(at):
        assert 0 < one[0] < 200
        assert all(math.dist(one, point) >= 7.9 for point in points)
        assert all(math.dist(one, other) >= 7.9 for other in at[:number])
    assert math.dist(label_places([(100.0, 100.0)], (0.0, 0.0, 200.0, 200.0))[0], (100, 100)) < 8.1
    (corner,) = label_places([(1.0, 1.0)], (0.0, 0.0, 200.0, 200.0))
    assert corner[0] > 0
    assert corner[1] > 0


def test_a_family_changes_the_same() -> None:
    assert family({}) == ""
    assert family({"victim.optimisation.reg": 0.1, "k": 5}) == "reg"
    assert family({"k": 5}) == "k"
    assert family({"victim": "item-knn", "k": 5}) == "item-knn"


@pytest.fixture(scope="module")
def page() -> str:
    sections = [
        Part(grid=grid, frame=planted(grid), plot=PurePosixPath(f"m/{grid.name[7:]}.svg"))
        for grid in (FIG1, LADDER, DEFENCES)
    ]
    return render_page(load_paper("hu2023"), sections, statistics=None, table="m/results.parquet")


def test_a_page_of_membership_explains_its_words_and_keeps_the_order(page: str) -> None:
    head, *sections = page.split("\n## ")
    assert [section.splitlines()[0] for section in sections] == [FIG1.title, LADDER.title, DEFENCES.title]
    assert "no leak was found by these attacks" in " ".join(head.split())
    for word in ("members", "strangers", "*blind*", "*(stranger)*", "*null*", "NDCG@10", "TPR", "AUC"):
        assert word in head
    assert 'pl.read_parquet("m/results.parquet").filter(metric="auc"' in head
    assert "`recaudit reproduce page --paper hu2023`" in head
    assert max(map(len, head.splitlines())) <= 110
    for word in ("floor", "ceiling", "agreement", "private", "Table 6"):
        assert word not in page


def test_sections_that_go_beyond_the_paper_do_not_blame_it(page: str) -> None:
    first, ladder, defences = page.split("\n## ")[1:]
    assert "What the paper leaves unsaid, and what was chosen:" in first
    for section in (ladder, defences):
        assert "What was chosen:" in section
        assert "leaves unsaid" not in section
