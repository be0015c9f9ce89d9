"""The tidy table: figures of an audit without a store, and none that would have to be computed."""

import shutil

import polars as pl
import pytest

from recaudit.audit import run_audit
from recaudit.audit.tasks import missing, perform
from recaudit.experiments.plan import cell_spec, plan
from recaudit.experiments.results import results
from recaudit.experiments.table import COLUMNS
from recaudit.pipeline import Store, versions
from recaudit.pipeline.cache import Cache
from recaudit.pipeline.pools.local import Here
from recaudit.pipeline.schedule import execute


@pytest.fixture
def nothing_computed(monkeypatch) -> None:
    def computed(self, stage, *rest):
        pytest.fail(f"{stage} was computed")

    monkeypatch.setattr(Cache, "_computed", computed)


def test_the_table_has_the_figures_of_an_audit_without_a_store(make_grid, finished, figures) -> None:
    (cell,) = make_grid().cells()
    alone = run_audit(cell_spec(cell)).content["figures"]
    table = figures(make_grid(), finished)
    assert dict(table.schema) == dict(COLUMNS)
    rows = [row for row in alone if row["metric"] != "seconds"]
    assert len(rows) == len(table) > 100
    for row, told in zip(rows, table.iter_rows(named=True), strict=True):
        same = ("data", "victim", "attack", "users", "metric", "value", "low", "high", "seeds")
        assert {name: told[name] for name in same} == {name: row[name] for name in same}
        left = {name: value for name, value in told.items() if name not in same}
        assert left == {
            "experiment": "paper/tiny",
            "clone": "bpr",
            "k": 5,
            "known": 0.5,
            "auxiliary_share": left["auxiliary_share"],
            "common_items": 1.0,
            "mixed": 0,
            "queries": None,
            "threat": "stealing",
            "serving": None,
            "fpr": None,
            **versions(),
        }


@pytest.mark.usefixtures("nothing_computed")
def test_the_table_computes_nothing(make_grid, finished) -> None:
    assert len(results(make_grid(), Store(finished, say=pytest.fail))) > 100


@pytest.mark.usefixtures("nothing_computed")
def test_seeds_and_cells_that_are_not_finished_are_left_out(make_grid, finished, tmp_path) -> None:
    store = Store(shutil.copytree(finished, tmp_path / "copied"), say=pytest.fail)
    wider = make_grid(axes={"split.known": [0.5, 0.6]}, seeds=3)
    assert set(results(wider, store)["known"]) == {0.5}
    assert set(results(wider, store)["seeds"]) == {2}
    lost = next(
        one.task.key
        for one in plan(make_grid(), store).values()
        if (one.task.label, one.task.seed) == ("attacking with PTQ", 0)
    )
    shutil.rmtree(store.folder / lost.kind / lost.hash)
    table = results(wider, store)
    assert set(table["seeds"]) == {1}
    of_seed_1 = run_spec_over(make_grid, (1,), store)
    value = table.filter(attack="PTAQ", metric="agreement@5", users="unqueried")["value"].item()
    assert value == of_seed_1


def run_spec_over(make_grid, seeds, store) -> float | None:
    spec = cell_spec(make_grid().cells()[0]).model_copy(update={"seeds": seeds})
    return run_audit(spec.model_copy(update={"attacks": ("PTAQ",)}), store=store).figure(
        "PTAQ", "agreement@5"
    )


@pytest.mark.usefixtures("nothing_computed")
def test_an_empty_store_gives_an_empty_table(make_grid, tmp_path) -> None:
    table = results(make_grid(), Store(tmp_path))
    assert table.equals(pl.DataFrame(schema=dict(COLUMNS)))


def test_settings_of_a_cell_are_columns(make_grid, tmp_path) -> None:
    grid = make_grid(
        base={
            "attacks": ["PTAQ"],
            "queries": 12,
            "clone": "lmf",
            "split": {"known": 0.5, "common_items": 0.5},
            "defence": {"mixed": 2, "top": 6},
        },
        axes={"k": [5, 6]},
        metric="agreement@k",
        seeds=1,
    )
    store = Store(tmp_path, say=pytest.fail)
    execute(missing(plan(grid, store), store), Here(perform), lambda state: None)
    table = results(grid, store)
    names = ["k", "known", "common_items", "mixed", "queries", "clone", "victim"]
    assert table.select(names).unique(maintain_order=True).rows() == [
        (5, 0.5, 0.5, 2, 12, "lmf", "bpr"),
        (6, 0.5, 0.5, 2, 12, "lmf", "bpr"),
    ]
    assert set(table.filter(attack="PTAQ", metric="lists")["value"]) == {12}
    for k in (5, 6):
        agreements = table.filter(k=k, metric=f"agreement_undefended@{k}")
        assert agreements.filter(attack="victim", users="all")["value"].item() < 1
