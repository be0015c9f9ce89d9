"""An experiment's tables and plots, from invented results: they are no measurement of anything."""

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import polars as pl
import pytest

from recaudit.errors import UsageError
from recaudit.experiments.grid import Grid, narrowed
from recaudit.experiments.papers import grid_names, load_grid
from recaudit.report.plots import draw
from shown import cells_of, experiment_in_markdown, experiment_printed, fitting_text

_SETTING = {
    "data": "ml-1m",
    "victim": "bpr",
    "clone": "bpr",
    "k": 50,
    "known": 0.1,
    "auxiliary_share": 1.0,
    "common_items": 1.0,
    "mixed": 0,
    "queries": None,
}
_SCHEMA = {
    "experiment": pl.String,
    "attack": pl.String,
    "metric": pl.String,
    "users": pl.String,
    **dict.fromkeys(("data", "victim", "clone"), pl.String),
    **dict.fromkeys(("k", "mixed", "queries", "seeds"), pl.Int64),
    **dict.fromkeys(("known", "auxiliary_share", "common_items"), pl.Float64),
    **dict.fromkeys(("value", "low", "high", "published"), pl.Float64),
}


def results(grid: Grid, without: Callable[[str, Any], bool] = lambda attack, labels: False) -> pl.DataFrame:
    """Return a row for each figure of the grid's cells, all values distinct, but for those ``without``."""
    rows: list[dict[str, Any]] = []

    def add(cell: Any, attack: str, metric: str, users: str) -> None:
        value = 0.1 + 0.8 * (len(rows) * 0.6180339887 % 1)  # spread evenly, none twice
        row = _SETTING | dict(cell.labels) | {"k": int(cell.metric.partition("@")[2])}
        row["clone"] = row["clone"] if "clone" in cell.labels else row["victim"]
        paper = value - 0.0321 if "table" in grid.name and attack in grid.attacks else None
        row |= {"value": value, "low": value - 0.03, "high": value + 0.02, "published": paper}
        rows.append(
            row
            | {
                "experiment": grid.name,
                "attack": attack,
                "metric": metric,
                "users": users,
                "seeds": cell.seeds,
            }
        )

    for cell in grid.cells():
        for attack in ("popularity", *grid.attacks, "retrained"):
            if not without(attack, cell.labels):
                agreement = f"agreement@{cell.metric.partition('@')[2]}"
                add(cell, attack, agreement, "unqueried")
                add(cell, attack, agreement, "queried")
        add(cell, "victim", f"recall@{cell.metric.partition('@')[2]}", "target")
    own = {name: pl.Int64 for name in grid.cells()[0].labels if name not in _SCHEMA}
    return pl.DataFrame(rows, schema=_SCHEMA | own)


def figure(frame: pl.DataFrame, attack: str, **labels: Any) -> str:
    """Return what Markdown must show for one figure, taken from the frame itself."""
    wanted = {"attack": attack, "users": "target" if attack == "victim" else "unqueried", **labels}
    row = frame.filter(**wanted).row(0, named=True)
    mark = "" if attack == "victim" else "**"
    text = f"{mark}{row['value']:.3f}{mark} ({row['low']:.3f}–{row['high']:.3f})"
    return text if row["published"] is None else f"{text} · *{row['published']:.4f}*"


STEALING = [name for name in grid_names() if name.startswith("zhu2023/")]
TABLE, LENGTHS, MODELS = (load_grid(f"zhu2023/{name}") for name in ("table4", "figure2", "figure6"))


def test_a_table_shows_every_figure_of_the_frame_in_its_place() -> None:
    frame = results(TABLE)
    found = cells_of(experiment_in_markdown(frame, TABLE))
    names = {"popular list": "popularity", "victim’s Recall@50": "victim"}
    assert len(found) == 3
    for data, table in zip(("ml-1m", "ta-feng", "steam"), found, strict=True):
        assert table[0] == ["attack", "bpr", "ncf", "lmf"]
        expected = ["popular list", *TABLE.attacks, "retrained", "victim’s Recall@50"]
        assert [row[0] for row in table[1:-1]] == expected
        for row in table[1:-1]:
            attack = names.get(row[0], row[0])
            assert row[1:] == [figure(frame, attack, data=data, victim=v) for v in ("bpr", "ncf", "lmf")]


def test_a_figure_has_a_row_a_value_and_a_column_an_attack() -> None:
    frame = results(LENGTHS)
    found = cells_of(experiment_in_markdown(frame, LENGTHS))
    for victim, table in zip(("bpr", "ncf", "lmf"), found, strict=True):
        assert [row[0] for row in table] == ["list length", *(str(k) for k in range(10, 101, 10))]
        rows = ["popularity", *LENGTHS.attacks, "retrained", "victim"]
        for k, row in zip(range(10, 101, 10), table[1:], strict=True):
            assert row[1:-1] == [figure(frame, attack, victim=victim, k=k) for attack in rows]
            assert row[-1] == "2"


def test_a_heatmaps_floor_stands_beside_every_clone() -> None:
    frame = results(MODELS)
    (table,) = cells_of(experiment_in_markdown(frame, MODELS))
    assert table[0][:3] == ["victim", "clone", "popular list"]
    assert len(table) == 10
    for target, clone, floor, *rest in table[1:]:
        assert floor == figure(frame, "popularity", victim=target, clone=clone)
        assert rest[0] == figure(frame, "QSD", victim=target, clone=clone)


def test_what_was_not_measured_is_said() -> None:
    missing = lambda attack, labels: labels["data"] == "steam" or (attack, labels["victim"]) == ("PTA", "ncf")  # noqa: E731
    frame = results(TABLE, missing)
    ml_1m, _, steam = cells_of(experiment_in_markdown(frame, TABLE))
    assert next(row for row in ml_1m if row[0] == "PTA")[2] == "not measured"
    assert ml_1m[-1] == ["seeds", "5", "5", "5"]
    assert all(row[1:] == ["not measured"] * 3 for row in steam[1:-2])
    assert steam[-1] == ["seeds", "0†", "0†", "0†"]
    text = "\n".join(experiment_printed(frame, TABLE))
    assert text.count("not measured") == 2 + 7 * 3
    empty = experiment_in_markdown(frame.clear(), TABLE)
    assert empty.count("not measured") == 3 * 8 * 3


def test_published_values_stay_where_ours_is_missing_or_not_available() -> None:
    grid = narrowed(TABLE, {"data": ["ml-1m"], "victim": ["bpr"]}, None)
    none = pl.lit(None, pl.Float64)
    ptd, ptq = pl.col("attack") == "PTD", pl.col("attack") == "PTQ"
    frame = results(grid).with_columns(
        *(
            pl.when(ptd | ptq).then(none).otherwise(pl.col(end)).alias(end)
            for end in ("value", "low", "high")
        ),
        seeds=pl.when(ptd).then(0).otherwise("seeds"),
        published=pl.when(ptd | ptq).then(0.4987).otherwise("published"),
    )
    (table,) = cells_of(experiment_in_markdown(frame, grid))
    said = {row[0]: row[1] for row in table}
    assert said["PTD"] == "not measured · *0.4987*"
    assert said["PTQ"] == "not available · *0.4987*"


def test_fewer_seeds_have_a_dagger_and_a_footnote() -> None:
    text = experiment_in_markdown(results(TABLE), TABLE)
    ml_1m, ta_feng, _ = cells_of(text)
    assert ml_1m[-1] == ["seeds", "5", "5", "5"]
    assert ta_feng[-1] == ["seeds", "5", "2†", "2†"]
    assert "† fewer seeds than the grid’s 5." in text
    all_same = narrowed(TABLE, {}, 2)
    assert "†" not in experiment_in_markdown(results(all_same), all_same)
    part = results(TABLE).with_columns(
        seeds=pl.when(pl.col("attack") == "PTA").then(3).otherwise(pl.col("seeds"))
    )
    assert cells_of(experiment_in_markdown(part, TABLE))[0][-1] == ["seeds", "3–5†", "3–5†", "3–5†"]


@pytest.mark.parametrize("name", STEALING)
@pytest.mark.parametrize("width", [100, 80])
def test_the_terminal_table_fits_and_cuts_nothing_off(name: str, width: int) -> None:
    grid = load_grid(name)
    frame = results(grid)
    text = fitting_text(frame, grid, width)
    users = pl.col("users") == grid.users
    shown = frame.filter(users & pl.col("metric").str.starts_with(grid.metric.partition("@")[0]))
    for value, low, high in shown.select("value", "low", "high").iter_rows():
        assert f"{value:.3f}" in text
        assert f"{low:.3f}–{high:.3f}" in text


def test_many_cells_turn_into_blocks_where_columns_do_not_fit() -> None:
    frame = results(LENGTHS)
    wide = [" ".join(line.split()) for line in experiment_printed(frame, LENGTHS, 150)]
    assert (
        sum(line.startswith("list length popular list QSD PTD PTQ PTA PTAQ retrained") for line in wide) == 3
    )
    narrow = [" ".join(line.split()) for line in experiment_printed(frame, LENGTHS, 80)]
    assert sum(line.startswith("PTAQ 0.") for line in narrow) == 30
    assert narrow.count("list length: 10") == 3


def test_ours_stands_beside_published_with_its_interval() -> None:
    grid = narrowed(TABLE, {"data": ["ml-1m"], "victim": ["bpr"]}, 2)
    frame = results(grid)
    lines = [" ".join(line.split()) for line in experiment_printed(frame, grid)]
    row = frame.filter(attack="PTAQ", users="unqueried").row(0, named=True)
    interval = f"({row['low']:.3f}–{row['high']:.3f})"
    assert f"PTAQ {row['value']:.3f} {row['published']:.4f} {interval}" in lines
    assert "seeds 2" in lines


def test_names_stay_names() -> None:
    base = {"attacks": ["[red]a|b*c_"], "settings": {}}
    grid = Grid(
        name="a/b",
        title="",
        source="So_u*rce",
        base=base,
        axes={"data": ("d|1\x1b",)},
        seeds=1,
        metric="agreement@50",
    )
    frame = results(grid)
    assert "\\[red]a\\|b\\*c\\_" in experiment_in_markdown(frame, grid)
    assert "**d\\|1\N{REPLACEMENT CHARACTER}**" in experiment_in_markdown(frame, grid)
    assert "[red]a|b*c_" in "\n".join(experiment_printed(frame, grid))


def test_an_axis_without_a_column_is_a_users_mistake() -> None:
    grid = Grid(
        name="a/b",
        title="",
        source="",
        base={"attacks": ["PTD"]},
        axes={"victim.epochs": (1, 2)},
        seeds=1,
        metric="agreement@50",
    )
    with pytest.raises(UsageError, match=r"a/b: axes: .* no column 'epochs'"):
        experiment_in_markdown(results(TABLE), grid)


@pytest.mark.parametrize("name", [f"zhu2023/{name}" for name in ("table5", "figure2", "figure6", "figure8")])
@pytest.mark.slow
def test_pictures_are_whole_and_the_same_each_time(name: str, tmp_path: Path) -> None:
    grid = load_grid(name)
    frame = results(grid)
    before = dict(matplotlib.rcParams)
    paths = draw(frame, grid, tmp_path / "new" / "one")
    stem = name.replace("/", "-")
    assert [path.name for path in paths] == [f"{stem}.svg", f"{stem}.png", f"{stem}.pdf"]
    assert sorted(paths) == sorted((tmp_path / "new" / "one").iterdir())
    ET.parse(paths[0])
    assert paths[1].read_bytes().startswith(b"\x89PNG")
    assert paths[1].read_bytes().endswith(b"IEND\xaeB`\x82")
    assert paths[2].read_bytes().startswith(b"%PDF")
    assert paths[2].read_bytes().rstrip().endswith(b"%%EOF")
    again = draw(frame, grid, tmp_path / "two")
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]
    assert not any(
        word in path.read_bytes() for path in paths for word in (b"CreationDate", b"Software", b"dc:date")
    )
    assert dict(matplotlib.rcParams) == before


def words(frame: pl.DataFrame, grid: Grid, folder: Path) -> list[str]:
    """Return the words of an experiment's picture, which all formats share: one is drawn."""
    (path,) = draw(frame, grid, folder, formats=("svg",))
    return ["".join(e.itertext()) for e in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.slow
def test_pictures_name_what_they_show(tmp_path: Path) -> None:
    table = words(results(TABLE), TABLE, tmp_path)
    assert {"ours, 95 % interval", "published", "floor: popular list", "ceiling: retrained"} <= set(table)
    assert {"agreement@50 on unqueried users", "steam, lmf", "QSD", "PTAQ"} <= set(table)
    lines = words(results(LENGTHS), LENGTHS, tmp_path)
    assert {"agreement@k on unqueried users", "length of the lists (k)", "ml-1m, ncf", "100"} <= set(lines)
    assert "published" not in lines
    frame = results(MODELS)
    heat = words(frame, MODELS, tmp_path)
    for row in frame.filter(users="unqueried", attack="PTAQ").iter_rows(named=True):
        assert f"{row['value']:.3f}" in heat
        assert f"{row['low']:.3f}–{row['high']:.3f}" in heat


@pytest.mark.parametrize("name", ["table4", "figure2", "figure6"])
@pytest.mark.slow
def test_pictures_say_what_was_not_measured(name: str, tmp_path: Path) -> None:
    grid = load_grid(f"zhu2023/{name}")
    frame = results(grid, lambda attack, labels: labels["victim"] == "lmf")
    assert any("not measured" in text or text == "measured" for text in words(frame, grid, tmp_path))
    assert len(draw(frame.clear(), grid, tmp_path / "empty")) == 3


@pytest.mark.slow
def test_a_heatmaps_floor_is_of_a_clone_that_was_measured(tmp_path: Path) -> None:
    whole = results(MODELS)
    part = whole.filter(pl.col("clone") == "ncf")
    assert words(part.clear(), MODELS, tmp_path).count("not") == 9 * 5 + 6
    heat = words(part, MODELS, tmp_path)
    assert heat.count("not") == 6 * 5, "floor and ceiling are known of all targets"
    for row in part.filter(users="unqueried", attack="popularity").iter_rows(named=True):
        assert f"{row['value']:.3f}" in heat


def test_published_values_have_the_digits_of_the_paper() -> None:
    grid = narrowed(TABLE, {"data": ["ml-1m"], "victim": ["bpr"], "attack": ["PTA"]}, None)
    frame = results(grid).with_columns(published=pl.when(attack="PTA").then(0.4845))
    assert " · *0.4845* |" in experiment_in_markdown(frame, grid)
    assert sum("0.4845" in line for line in experiment_printed(frame, grid)) == 1
    all_of_it = results(TABLE).with_columns(published=pl.when(attack="PTA", data="steam").then(0.4845))
    lines = [line.split() for line in experiment_printed(all_of_it, TABLE, 55)]
    assert sum("0.4845" in line for line in lines) == 3
    frame = frame.with_columns(published=pl.when(attack="PTA").then(0.5))
    assert " · *0.5000* |" in experiment_in_markdown(frame, grid), "a zero that is printed is shown"


def test_a_failure_leaves_the_earlier_picture(tmp_path: Path) -> None:
    grid = load_grid("zhu2023/figure8")
    earlier = draw(results(grid), grid, tmp_path)
    kept = earlier[0].read_bytes()
    earlier[2].unlink()
    earlier[2].mkdir()  # the PDF cannot take its place
    with pytest.raises(UsageError, match="cannot write the plot"):
        draw(results(grid).with_columns(value=pl.lit(0.5)), grid, tmp_path)
    assert earlier[0].read_bytes() == kept
    assert not list(tmp_path.glob(".*"))
