"""The grids that come with recaudit, one folder a paper."""

import re
from importlib.resources import files
from importlib.resources.abc import Traversable

import yaml

from recaudit.errors import UsageError, nearest
from recaudit.experiments.grid import Grid
from recaudit.validation import validated

__all__ = ["STATISTICS", "grid_names", "load_grid", "paper_folders"]

STATISTICS = "zhu2023/table6"
"""The experiment that is no grid: it counts what the data sets hold."""

KINDS = ("table", "fig", "lists", "cross", "ladder", "victims", "defences", "privacy")
"""How experiments begin, in order: a paper's tables and figures, what goes beyond them; others come after."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as quick where libyaml is there


def grid_names() -> tuple[str, ...]:
    """Return the grids' names: a paper's tables, its figures, then what explains them or goes beyond them."""
    names = [
        f"{paper.name}/{file.name.removesuffix('.yaml')}"
        for paper in paper_folders()
        for file in paper.iterdir()
        if file.name.endswith(".yaml")
    ]
    return tuple(sorted(names, key=_place))


def load_grid(name: str) -> Grid:
    """Return the grid of that name, such as ``zhu2023/table4``.

    Raises:
        UsageError: where there is none; the message names the nearest.
    """
    names = grid_names()
    if name not in names:
        raise UsageError(f"unknown experiment {name!r}{nearest(name, names)}")
    text = files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return validated(Grid, {"name": name, **yaml.load(text, _LOADER)}, where=name)


def paper_folders() -> list[Traversable]:
    """Return the folders that hold published values, by name."""
    folders = (entry for entry in files(__package__).iterdir() if entry.is_dir())
    return sorted(
        (one for one in folders if one.joinpath("published.csv").is_file()), key=lambda one: one.name
    )


def _place(name: str) -> tuple[str, int, int, str]:
    paper, _, experiment = name.partition("/")
    number = re.search(r"\d+", experiment)
    kind = next((place for place, kind in enumerate(KINDS) if experiment.startswith(kind)), len(KINDS))
    return paper, kind, int(number[0]) if number else 0, experiment
