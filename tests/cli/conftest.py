"""A small audit as a YAML file, a small experiment, and the command line called in this process."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recaudit.audit.tasks import missing, perform
from recaudit.cli import main
from recaudit.experiments.grid import Grid
from recaudit.experiments.plan import plan
from recaudit.pipeline import Store
from recaudit.pipeline.pools.local import Here
from recaudit.pipeline.schedule import execute

SPEC = """
data: {data}
k: 4
known: 0.5
threats: stealing
attacks: [PTD]
victim: {{embedding_size: 4, stopping: {{epochs: 2, evaluate_every: 1}}}}
settings:
  PTD: {{stopping: {{epochs: 2, evaluate_every: 1}}}}
"""


@pytest.fixture(scope="session")
def spec(tmp_path_factory) -> Path:
    """Return a spec file of a small audit: 60 users of six of 25 items each."""
    folder = tmp_path_factory.mktemp("spec")
    pairs = [(user, (user * 7 + step * step) % 25) for user in range(60) for step in range(6)]
    lines = sorted({f"{user},{item}" for user, item in pairs})
    (folder / "tiny.csv").write_text("user,item\n" + "\n".join(lines) + "\n", "utf-8")
    (folder / "spec.yaml").write_text(SPEC.format(data=folder / "tiny.csv"), "utf-8")
    return folder / "spec.yaml"


@pytest.fixture(autouse=True)
def one_worker(monkeypatch) -> None:
    """Let audits be computed in this process: only tests that ask for workers start processes."""
    monkeypatch.setattr("recaudit.cli.audit.cores", lambda: 1)


@pytest.fixture
def recaudit(capsys) -> Callable[..., tuple[int, str, str]]:
    """Run the command line and return exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        written = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, written.out, written.err

    return run


FEW = {"epochs": 2, "evaluate_every": 1, "patience": 2}


@pytest.fixture(scope="session")
def grid(tmp_path_factory) -> Grid:
    """Return a small experiment under a table's name: 80 users of two tastes, two models, two trainings each.

    There are more items than a validation list is long, so that training tells epochs apart.
    """
    path = tmp_path_factory.mktemp("grid") / "small.csv"
    generator = np.random.default_rng(0)
    lines = ["user,item"]
    for user in range(80):
        likes = np.where(np.arange(120) % 2 == user % 2, 6.0, 1.0) / (1 + np.arange(120))
        items = generator.choice(120, 12, replace=False, p=likes / likes.sum())
        lines += [f"{user},{item}" for item in items]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    base = {
        "data": str(path),
        "k": 5,
        "split": {"known": 0.5},
        "victim": {
            "embedding_size": 8,
            "optimisation": {"learning_rate": 0.05},
            "stopping": {"evaluate_every": 2, "patience": 40},
        },
        "attacks": ["QSD", "PTD"],
        "settings": {"QSD": {"lists_stopping": FEW}, "PTD": {"stopping": FEW}},
    }
    return Grid(
        name="zhu2023/table4",
        title="A small experiment",
        source="Nobody, Table 4",
        base=base,
        axes={"victim": ["bpr", "lmf"], "victim.stopping.epochs": [4, 20]},
        seeds=1,
        metric="agreement@5",
    )


@pytest.fixture
def paper(grid, monkeypatch, tmp_path) -> Path:
    """Let the small experiment be all that there is, in a folder of its own, without data sets.

    Pictures are not drawn: that takes longer than all the rest, and has tests of its own.
    """
    for module in ("recaudit.experiments.papers", "recaudit.experiments.papers.catalogue"):
        monkeypatch.setattr(f"{module}.load_grid", lambda name: {grid.name: grid}[name])
        monkeypatch.setattr(f"{module}.grid_names", lambda: (grid.name,))
    monkeypatch.setattr("recaudit.report.plots.draw", lambda *given, **_: [given[-1] / "drawn.svg"])
    monkeypatch.setenv("RECAUDIT_DATA", str(tmp_path))
    monkeypatch.delenv("RECAUDIT_STORE", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def finished(grid, tmp_path_factory) -> Path:
    """Return a store that holds all of the small experiment; it is copied, not changed."""
    store = Store(tmp_path_factory.mktemp("finished"))
    execute(missing(plan(grid, store), store), Here(perform), lambda state: None)
    return store.folder
