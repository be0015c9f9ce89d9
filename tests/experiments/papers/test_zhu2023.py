"""The grids of Zhu et al. (2023) and the values that they print."""

import math
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import polars as pl
import pytest

from recaudit.attacks.registry import STEALING_ATTACKS as ATTACKS
from recaudit.audit.spec import audit_spec
from recaudit.cli.spec_file import read_yaml
from recaudit.data.split import SplitSpec
from recaudit.errors import UsageError
from recaudit.experiments.grid import narrowed, parse_only
from recaudit.experiments.papers import STATISTICS, grid_names, load_grid
from recaudit.experiments.papers.published import published
from recaudit.experiments.papers.statistics import statistics

NAMES = tuple(name for name in grid_names() if name.startswith("zhu2023/"))
PICTURES = {f"zhu2023/figure{number}" for number in range(2, 10)}

OWN = {f"zhu2023/{name}" for name in ("epochs", "patience", "undefended")}


def test_every_table_with_attacks_and_every_figure_has_a_grid_tables_first() -> None:
    tables = ("zhu2023/table4", "zhu2023/table5", "zhu2023/table7", "zhu2023/table8")
    assert NAMES[:4] == tables
    assert NAMES[4:-3] == tuple(sorted(PICTURES))
    assert NAMES[-3:] == tuple(sorted(OWN))


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_is_a_valid_audit(name: str) -> None:
    grid = load_grid(name)
    assert grid.name == name
    assert grid.remarks
    specs = [audit_spec(cell.values) for cell in grid.cells()]
    assert len({spec.digest for spec in specs}) == len(specs)
    for cell, spec in zip(grid.cells(), specs, strict=True):
        assert len(spec.seeds) == cell.seeds
        assert spec.data.source == cell.labels["data"]
        assert spec.victim_model.model == cell.labels["victim"]
        assert spec.attacks == grid.attacks
        assert cell.metric.endswith(f"@{spec.k}")


@pytest.mark.parametrize("name", NAMES)
def test_every_attack_alone_is_a_valid_audit(name: str) -> None:
    grid = load_grid(name)
    for attack in grid.attacks:
        alone = narrowed(grid, {"attack": (attack,)}, 1).cells()[0]
        assert audit_spec(alone.values).attacks == (attack,)


@pytest.mark.parametrize("name", NAMES)
def test_no_key_stands_twice_in_a_grids_file(name: str) -> None:
    path = Path(str(files("recaudit.experiments.papers"))) / f"{name}.yaml"
    source = "not in the paper; behind " if name in OWN else "Zhu et al. (2023), "
    assert read_yaml(path)["source"].startswith(source)


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_figures_have_a_plot_two_seeds_and_no_printed_values(name: str) -> None:
    grid = load_grid(name)
    assert grid.plot == ("heatmap" if name == "zhu2023/figure6" else "lines")
    assert grid.across
    assert all(cell.seeds >= 2 for cell in grid.cells())
    assert published(name).is_empty()
    assert published(name).schema == published("zhu2023/table4").schema


@pytest.mark.parametrize(
    ("name", "seeds"),
    [
        (
            "zhu2023/table4",
            {("ml-1m", 5): 3, ("ta-feng", 5): 1, ("steam", 5): 1, ("ta-feng", 2): 2, ("steam", 2): 2},
        ),
        ("zhu2023/table7", {("ml-1m", 5): 2, ("ml-1m", 2): 1}),
        ("zhu2023/table8", {("ml-1m-timed", 2): 3}),
    ],
)
def test_cells_have_the_seeds_that_are_promised(name: str, seeds: dict[tuple[str, int], int]) -> None:
    cells = load_grid(name).cells()
    assert Counter((cell.labels["data"], cell.seeds) for cell in cells) == seeds


# Copied by hand from the paper's tables.
@pytest.mark.parametrize(
    ("name", "data", "victim", "attack", "value"),
    [
        ("table4", "ml-1m", "bpr", "QSD", 0.0533),
        ("table4", "ml-1m", "lmf", "PTAQ", 0.5627),
        ("table4", "ta-feng", "ncf", "PTA", 0.6545),
        ("table4", "steam", "lmf", "PTD", 0.0181),
        ("table5", "ml-1m", "bpr", "PTAQ(Pre)", 0.4833),
        ("table5", "steam", "ncf", "PTA(Pre)", 0.8594),
        ("table5", "ta-feng", "lmf", "PTAQ", 0.8038),
        ("table7", "ml-1m", "bpr", "PTAQ BPR+Hinge", 0.6506),
        ("table7", "ml-1m", "ncf", "QSD Hinge+BPR", 0.2113),
        ("table7", "ml-1m", "lmf", "PTQ BPR+BPR", 0.3100),
        ("table8", "ml-1m", "sasrec", "QSD30", 0.5128),
        ("table8", "ml-1m", "stamp", "QSD10", 0.2961),
        ("table8", "ml-1m", "stamp", "PTD", 0.3948),
        ("table8", "ml-1m", "gru4rec", "PTAQ", 0.5013),
    ],
)
def test_published_values_are_the_papers(
    name: str, data: str, victim: str, attack: str, value: float
) -> None:
    rows = published(f"zhu2023/{name}").filter(data=data, victim=victim, attack=attack)
    assert rows["value"].to_list() == [value]
    assert rows.columns == ["experiment", "data", "victim", "attack", "value"]


@pytest.mark.parametrize(("name", "count"), [("table4", 45), ("table5", 36), ("table7", 36)])
def test_each_published_value_meets_one_attack_of_one_cell(name: str, count: int) -> None:
    grid = load_grid(f"zhu2023/{name}")
    ours = [(cell.labels["data"], cell.labels["victim"], a) for cell in grid.cells() for a in grid.attacks]
    theirs = published(grid.name).select("data", "victim", "attack").rows()
    assert len(theirs) == count
    assert Counter(ours) == Counter(theirs)
    assert set(Counter(theirs).values()) == {1}
    assert (grid.metric, grid.users) == ("agreement@50", "unqueried")


def test_each_published_value_of_table_8_meets_one_attack_of_one_cell_on_the_users_whose_order_is_known() -> (
    None
):
    grid = load_grid("zhu2023/table8")
    theirs = published(grid.name).select("data", "victim", "attack").rows()
    assert len(set(theirs)) == len(theirs) == 27
    ours = {
        (grid.stands_for[str(cell.labels["data"])], cell.labels["victim"], attack)
        for cell in grid.cells()
        for attack in grid.attacks
    }
    assert set(theirs) < ours
    assert {attack for _, _, attack in ours - set(theirs)} == {"PTA", "QSD30(random)"}
    assert (grid.metric, grid.users) == ("agreement@50", "unqueried")
    assert {table.users for table in grid.further} == {"unseen", "all", "target"}


def test_table_8_audits_what_reads_histories_and_holds_out_by_time() -> None:
    for cell in load_grid("zhu2023/table8").cells():
        spec = audit_spec(cell.values)
        assert spec.split.heldout_by == "time"
        assert spec.clone == spec.victim_model
        assert spec.settings["QSD5"].times == 5
        assert spec.settings["QSD30(random)"].drawing == "random"


def test_a_part_of_table_8_keeps_its_further_tables_without_what_is_gone() -> None:
    part = narrowed(load_grid("zhu2023/table8"), {"attack": ("QSD5", "PTD")}, None)
    assert part.shown == ("constant", "auxiliary", "QSD5", "PTD")
    assert [table.rows for table in part.further] == [(), ("QSD5",), ("victim",)]
    part = narrowed(load_grid("zhu2023/table8"), {"attack": ("PTD",)}, None)
    assert [table.rows for table in part.further] == [(), ("victim",)]


def test_values_on_ml_1m_are_those_of_thirty_users_with_fifty_items() -> None:
    # What the remarks say: within one unit of the last printed digit (some are cut, not rounded).
    for name in ("zhu2023/table4", "zhu2023/table5", "zhu2023/table7"):
        for value in published(name).filter(data="ml-1m")["value"]:
            hits = (math.floor(value * 1500), math.ceil(value * 1500))
            assert min(abs(hit / 1500 - value) for hit in hits) < 0.000101


def test_table_7_repeats_the_attacks_of_table_4_under_longer_names() -> None:
    surrogates = audit_spec(load_grid("zhu2023/table7").cells()[0].values).settings
    assert len(surrogates) == 12
    for own, named in {"QSD Hinge+Hinge": "QSD", "PTQ BPR+Hinge": "PTQ", "PTAQ BPR+Hinge": "PTAQ"}.items():
        assert surrogates[own] == ATTACKS[named]
    for name, surrogate in surrogates.items():
        base, losses = name.split()
        ranking, positive = losses.lower().split("+")
        assert (surrogate.ranking_loss, surrogate.positive_item_loss) == (ranking, positive)
        same = {"ranking_loss": "bpr", "positive_item_loss": "bpr"}
        assert surrogate.model_copy(update=same) == ATTACKS[base].model_copy(update=same)


def test_figure_9_spends_its_greatest_budget_on_all_queried_and_validation_users() -> None:
    n_known = round(SplitSpec().known * 6040 / 2)
    n_queried, n_validation = round(SplitSpec().queried * n_known), round(SplitSpec().validation * n_known)
    assert (n_known, n_queried, n_validation) == (302, 242, 30)
    budgets = load_grid("zhu2023/figure9").axes["queries"]
    assert budgets[-1] == n_queried + n_validation
    assert all(budget > n_validation for budget in budgets)


def test_figures_7_and_8_audit_the_same_defence() -> None:
    seventh, eighth = (load_grid(f"zhu2023/figure{number}") for number in (7, 8))
    assert seventh.axes == eighth.axes
    assert (eighth.metric, eighth.users, eighth.shown) == ("recall@50", "target", ("victim",))
    assert [cell.values["defence"] for cell in seventh.cells()] == [
        {"top": 100, "mixed": mixed} for mixed in (0, 5, 10, 15, 20, 25)
    ]


def test_a_grid_is_narrowed_by_the_commands_own_text() -> None:
    part = narrowed(load_grid("zhu2023/table4"), parse_only("data=ml-1m,victim=bpr"), 2)
    (cell,) = part.cells()
    assert (cell.labels, cell.seeds) == ({"data": "ml-1m", "victim": "bpr"}, 2)
    whole = load_grid("zhu2023/table7")
    assert narrowed(whole, parse_only("attack=QSD Hinge+BPR+PTQ BPR+BPR"), None).attacks == (
        "QSD Hinge+BPR",
        "PTQ BPR+BPR",
    )


@pytest.mark.parametrize("ask", [load_grid, published])
def test_an_unknown_experiment_is_refused_with_the_nearest(ask: Callable[[str], object]) -> None:
    with pytest.raises(
        UsageError, match=r"unknown experiment 'zhu2023/tabel4'; did you mean 'zhu2023/table4'\?"
    ):
        ask("zhu2023/tabel4")


def test_statistics_have_table_6_where_no_data_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECAUDIT_DATA", str(tmp_path))
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / "cache" / name)
    assert statistics().rows() == [
        (STATISTICS, "ml-1m", "published", 6040, 3706, 1_000_209, 0.9553),
        (STATISTICS, "ta-feng", "published", 19_451, 10_480, 630_767, 0.9969),
        (STATISTICS, "steam", "published", 25_387, 4081, 313_856, 0.9970),
    ]


def test_statistics_count_what_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECAUDIT_DATA", str(tmp_path))
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / "cache" / name)
    # Six users have the same five items; a seventh has one of them, and goes from the 5-core.
    rows = [(user, item) for user in range(1, 7) for item in range(1, 6)] + [(7, 1)]
    (tmp_path / "ml-1m").mkdir()
    text = "".join(f"{user}::{item}::4::{user * 10 + item}\n" for user, item in rows)
    (tmp_path / "ml-1m" / "ratings.dat").write_text(text)
    found = statistics().filter(data="ml-1m").drop("experiment", "data").rows()
    assert [row[:4] for row in found] == [
        ("published", 6040, 3706, 1_000_209),
        ("all", 7, 5, 31),
        ("5-core, one pass", 6, 5, 30),
        ("5-core, iterative", 6, 5, 30),
    ]
    assert [row[4] for row in found[1:]] == pytest.approx([1 - 31 / 35, 0.0, 0.0])


def test_statistics_say_zero_where_no_core_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECAUDIT_DATA", str(tmp_path))
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / "cache" / name)
    (tmp_path / "ml-1m").mkdir()
    (tmp_path / "ml-1m" / "ratings.dat").write_text("1::1::4::10\n2::2::4::20\n")
    assert statistics().filter(pl.col("kept").str.starts_with("5-core"))["users"].to_list() == [0, 0]
