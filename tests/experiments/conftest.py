"""A tiny experiment: two cells of five attacks over two seeds, 26 stages of some milliseconds each cell."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recaudit.audit.tasks import missing, perform
from recaudit.experiments.grid import Grid
from recaudit.experiments.plan import plan
from recaudit.experiments.results import results
from recaudit.pipeline import Store
from recaudit.pipeline.pools.local import Here
from recaudit.pipeline.schedule import execute
from recaudit.validation import validated

FEW = {"epochs": 3, "evaluate_every": 1, "patience": 2}
ATTACKS = ("QSD", "PTD", "PTQ", "PTA", "PTAQ")


@pytest.fixture(scope="session")
def data(tiny_data) -> Path:
    return tiny_data


@pytest.fixture(scope="session")
def plain_grid(data) -> dict[str, Any]:
    return {
        "name": "paper/tiny",
        "title": "A tiny grid",
        "source": "Nobody (2000), Table 1",
        "base": {
            "data": str(data),
            "victim": {"embedding_size": 8, "stopping": FEW},
            "attacks": list(ATTACKS),
            "settings": {name: {"stopping": FEW, "lists_stopping": FEW} for name in ATTACKS},
            "k": 5,
        },
        "axes": {"split.known": [0.5]},
        "seeds": 2,
        "metric": "agreement@5",
    }


@pytest.fixture(scope="session")
def make_grid(plain_grid) -> Callable[..., Grid]:
    """Make the tiny grid, with other values of its base or of itself."""

    def make(base: dict[str, Any] | None = None, **changes: Any) -> Grid:
        return validated(Grid, {**plain_grid, "base": {**plain_grid["base"], **(base or {})}, **changes})

    return make


@pytest.fixture(scope="session")
def finished(make_grid, tmp_path_factory) -> Path:
    """A store with the whole tiny grid, computed undisturbed in this process; to be copied, not changed."""
    store = Store(tmp_path_factory.mktemp("store") / "whole", say=pytest.fail)
    execute(missing(plan(make_grid(), store), store), Here(perform), lambda state: None)
    return store.folder


def _figures(grid: Grid, folder: Path) -> pl.DataFrame:
    table = results(grid, Store(folder))
    return table.filter(pl.col("metric") != "seconds")


@pytest.fixture(scope="session")
def figures() -> Callable[[Grid, Path], pl.DataFrame]:
    """Return a grid's figures from a store, but for the seconds, which no two runs share."""
    return _figures


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, tuple[bytes, int, int]]]:
    """Return content, time and number of each file of the finished stages of a store."""

    def of(store: Path) -> dict[str, tuple[bytes, int, int]]:
        found = {}
        for path in store.glob("*/*/*"):
            if not path.parent.parent.name.startswith("."):
                status = path.stat()
                found[str(path.relative_to(store))] = (path.read_bytes(), status.st_mtime_ns, status.st_ino)
        return found

    return of
