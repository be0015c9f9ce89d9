"""The grids that come with recaudit, one folder a paper."""

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from recaudit.errors import UsageError, nearest
from recaudit.experiments.grid import Grid
from recaudit.validation import validated

__all__ = ["STATISTICS", "Paper", "grid_names", "load_grid", "load_paper", "paper_folders"]

STATISTICS = "zhu2023/table6"
"""The experiment that is no grid: it counts what the data sets hold."""

KINDS = ("table", "fig", "lists", "cross", "ladder", "victims", "defences", "privacy")
"""How experiments begin, in order: a paper's tables and figures, what goes beyond them; others come after."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as quick where libyaml is there


ABOUT = "paper.yaml"


class Paper(BaseModel):
    """What a page says of a paper beside its experiments.

    Args:
        title: what the page reproduces.
        page: the name of the page, and of the folder of its plots and table.
        command: what draws the page.
        example: how one of its figures is picked from the table.
        counts: where the paper says what its data sets hold.
        opening: how to read the page, in Markdown.
        looks: colour, marker and dashes of attacks in plots, such as ``blue o solid``, by attack.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    page: str
    command: str
    example: str
    opening: str
    counts: str = ""
    looks: dict[str, str] = {}


def grid_names() -> tuple[str, ...]:
    """Return the grids' names: a paper's tables, its figures, then what explains them or goes beyond them."""
    names = [
        f"{paper.name}/{file.name.removesuffix('.yaml')}"
        for paper in paper_folders()
        for file in paper.iterdir()
        if file.name.endswith(".yaml") and file.name != ABOUT
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
    looks = load_paper(name.partition("/")[0]).looks
    return validated(Grid, {"name": name, "looks": looks, **_values(f"{name}.yaml")}, where=name)


def load_paper(name: str) -> Paper:
    """Return what the page of a paper says beside its experiments."""
    return validated(Paper, _values(f"{name}/{ABOUT}"), where=name)


def paper_folders() -> list[Traversable]:
    """Return the folders that hold published values, by name."""
    folders = (entry for entry in files(__package__).iterdir() if entry.is_dir())
    return sorted(
        (one for one in folders if one.joinpath("published.csv").is_file()), key=lambda one: one.name
    )


def _values(file: str) -> dict[str, Any]:
    text = files(__package__).joinpath(file).read_text(encoding="utf-8")
    return dict(yaml.load(text, _LOADER))


def _place(name: str) -> tuple[str, int, int, str]:
    paper, _, experiment = name.partition("/")
    number = re.search(r"\d+", experiment)
    kind = next((place for place, kind in enumerate(KINDS) if experiment.startswith(kind)), len(KINDS))
    return paper, kind, int(number[0]) if number else 0, experiment
