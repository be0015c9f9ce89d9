"""Grids: an experiment as the product of axes laid over a base, each cell one audit. Loads no torch."""

import math
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr, model_validator

from recaudit.errors import UsageError
from recaudit.experiments.further import Further, Users, check_rows
from recaudit.validation import laid_in

__all__ = ["Cell", "FewerSeeds", "Further", "Grid", "narrowed", "parse_only"]

Value = StrictStr | StrictInt | StrictFloat
Values = Annotated[tuple[Value, ...], Field(min_length=1)]

ATTACK = "attack"
"""What narrows a grid's attacks, which are no axis: one audit runs them all."""

VARIANT = "variant"
"""The axis whose values are the grid's named variants."""

ALONE: Mapping[str, str] = {
    "data": "source",
    "victim": "model",
    "clone": "model",
    "membership.shadow": "model",
}
"""Keys of a spec whose value may stand alone, and what it then is."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One audit of a grid.

    Args:
        labels: its value on each axis, by the axis' short name, in the order of the axes.
        values: the plain values of its :class:`~recaudit.audit.spec.AuditSpec`, ``seeds`` among them.
        seeds: how many seeds it gets, 0..n-1.
        metric: the figure of it that the experiment shows, such as ``agreement@50``.
    """

    labels: Mapping[str, str | int | float]
    values: Mapping[str, Any]
    seeds: int
    metric: str


class FewerSeeds(BaseModel):
    """Cells that get other than the grid's number of seeds, for what a machine's time allows.

    Args:
        where: by the short name of an axis, the values of the cells that are meant; all of them must match.
        seeds: the cells' number of seeds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    where: dict[str, Values] = Field(min_length=1)
    seeds: int = Field(ge=1)


class Grid(BaseModel):
    """An experiment: audits that differ along named axes, and what of them is shown.

    Args:
        name: paper and experiment, such as ``zhu2023/table4``.
        title: what the experiment asks.
        source: where the paper has it.
        core_hours: what all its nodes took on one core when they were measured, shared nodes among them.
        remarks: what the paper leaves unsaid, and what was chosen.
        found: what came out, in words.
        base: plain values of an audit's spec that all cells share; ``attacks`` is a list. ``threats`` names
            the one threat of the experiment, stealing where it is left out.
        axes: values by the dotted key of a spec, such as ``victim`` or ``split.known``; the last one varies
            fastest. An axis' short name is the last part of its key. The axis ``variant`` runs over names of
            ``variants``.
        variants: by name, values by the dotted key of a spec, laid over the base together.
        seeds: the seeds 0..n-1 of a cell.
        seeds_of: exceptions to ``seeds``; the first that matches a cell counts.
        metric: the figure that is shown; ``@k`` stands for the length of the lists where that is an axis.
        users: whose figure that is.
        shown: the rows that are shown, by attack; where empty, those of ``base``'s attacks. ``constant`` and
            ``auxiliary`` stand beside the floor, whatever their place.
        further: tables beside the experiment's own.
        stands_for: by a data set of the grid, that of the paper whose published values stand beside it.
        plot: how the figure is drawn, if at all: lines over the last axis, the last two axes as a
            heatmap, the last one across, ROC curves, or the metric over the victim's quality, a point a
            variant.
        across: what the last axis is called in the plot.
        looks: colour, marker and dashes of attacks in plots, by attack; those of the paper.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(pattern=r"^[\w-]+/[\w-]+$")
    title: str
    source: str
    core_hours: float | None = Field(default=None, ge=0)
    remarks: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    base: dict[str, Any]
    axes: dict[str, Values] = Field(min_length=1)
    variants: dict[str, dict[str, Value]] = {}
    seeds: int = Field(ge=1)
    seeds_of: tuple[FewerSeeds, ...] = ()
    metric: str = Field(pattern=r"^([a-z_]+@(k|[1-9]\d*)|auc|accuracy|tpr@0\.\d+)$")
    users: Users = "unqueried"
    shown: tuple[str, ...] = ()
    further: tuple[Further, ...] = ()
    stands_for: dict[str, str] = {}
    plot: Literal["none", "lines", "heatmap", "roc", "frontier"] = "none"
    across: str = ""
    looks: dict[str, str] = {}

    @model_validator(mode="after")
    def _holds_together(self) -> "Grid":
        short = [_short(key) for key in self.axes]
        if ATTACK in short or len(set(short)) < len(short):
            raise ValueError(
                f"axes: found {', '.join(self.axes)}; no two may end alike, and none in {ATTACK!r}"
            )
        for key, values in self.axes.items():
            if len(set(values)) < len(values):
                raise ValueError(f"axes.{key}: a value is there twice")
        if "seeds" in self.base:
            raise ValueError("base.seeds: the grid's own seeds say how many; leave it out")
        self._check_threat()
        check_rows(self.further, self.attacks, membership=self.infers)
        named = self.axes.get(VARIANT, ())
        if set(self.variants) != set(named):
            found = ", ".join(self.variants) or "nothing"
            expected = f"the axis {VARIANT!r} names {_listed(named)}" if named else f"no axis {VARIANT!r}"
            raise ValueError(f"variants: found {found}; {expected}")
        if not self.infers and self.metric.endswith("@k") != ("k" in self.axes):
            raise ValueError(
                f"metric: found {self.metric!r}; @k is for a grid with the axis k, and only there"
            )
        for fewer in self.seeds_of:
            for name, meant in fewer.where.items():
                if name not in short or not set(meant) <= set(self._axis(name)):
                    raise ValueError(f"seeds_of: no cell has {name} {_listed(meant)}")
        self.cells()  # where a value cannot be laid over the base, that is said now
        return self

    def _check_threat(self) -> None:
        """See that attacks, metric, users and plot are of the grid's one threat."""
        if self.base.get("threats", ["stealing"]) not in (["stealing"], ["membership"]):
            raise ValueError(
                f"base.threats: found {self.base['threats']!r}, expected [stealing] or [membership]"
            )
        attacks = self.shown if self.infers else self.base.get("attacks")
        if not (attacks and isinstance(attacks, list | tuple) and all(isinstance(a, str) for a in attacks)):
            where = "shown" if self.infers else "base.attacks"
            raise ValueError(f"{where}: expected a list of names, found {attacks!r}")
        threat = "membership" if self.infers else "stealing"
        known = self.metric in ("auc", "accuracy") or self.metric.startswith("tpr@0.")
        for key, value, fits in (
            ("metric", self.metric, known == self.infers),
            ("users", self.users, (self.users == "candidates") == self.infers),
            ("plot", self.plot, self.infers or self.plot not in ("roc", "frontier")),
        ):
            if not fits:
                raise ValueError(f"{key}: found {value!r}, which base.threats [{threat}] does not have")
        if self.plot == "frontier" and VARIANT not in self.axes:
            raise ValueError(f"plot: frontier has a point a variant; there is no axis {VARIANT!r}")

    @property
    def attacks(self) -> tuple[str, ...]:
        """The attacks of every cell, in order."""
        return self.shown if self.infers else tuple(self.base["attacks"])

    @property
    def infers(self) -> bool:
        """Whether the experiment is one of membership inference."""
        return bool(self.base.get("threats") == ["membership"])

    def cells(self) -> tuple[Cell, ...]:
        """Return the product of the axes over the base, the last axis fastest."""
        return tuple(self._cell(dict(zip(self.axes, point, strict=True))) for point in self._points())

    def _points(self) -> Iterator[tuple[Value, ...]]:
        return product(*self.axes.values())

    def _cell(self, point: Mapping[str, Value]) -> Cell:
        values = {key: _spelled_out(key, value) for key, value in deepcopy(self.base).items()}
        values.setdefault("threats", ["stealing"])
        for key, value in point.items():
            if key != VARIANT:
                _lay(values, key, value, where="axes")
                continue
            for dotted, laid in self.variants[str(value)].items():
                _lay(values, dotted, laid, where=f"variants.{value}")
        labels = {_short(key): value for key, value in point.items()}
        fitting = (fewer.seeds for fewer in self.seeds_of if _meant(fewer, labels))
        seeds = next(fitting, self.seeds)
        values["seeds"] = seeds
        over_k = "k" in self.axes and self.metric.endswith("@k")
        metric = f"{self.metric.removesuffix('k')}{labels['k']}" if over_k else self.metric
        return Cell(labels=labels, values=values, seeds=seeds, metric=metric)

    def _axis(self, name: str) -> tuple[Value, ...]:
        return next(values for key, values in self.axes.items() if _short(key) == name)


def _short(key: str) -> str:
    return key.rpartition(".")[2]


def _spelled_out(key: str, value: Any) -> Any:
    """Return a value that stands alone as the mapping that it means."""
    return {ALONE[key]: value} if key in ALONE and isinstance(value, str) else value


def _lay(values: dict[str, Any], dotted: str, value: Value, *, where: str) -> None:
    """Put ``value`` at a dotted key of a spec, in the place of no mapping."""
    path = (f"{dotted}.{ALONE[dotted]}" if dotted in ALONE else dotted).split(".")
    there: Any = values
    for part in path:
        there = there.get(part) if isinstance(there, Mapping) else None
    if isinstance(there, Mapping):
        raise UsageError(f"{where}.{dotted}: would take the place of the base's {there!r}")
    laid_in(values, path, value, alone=ALONE, where=f"{where}.{dotted}")


def _meant(fewer: FewerSeeds, labels: Mapping[str, Value]) -> bool:
    return all(labels[name] in values for name, values in fewer.where.items())


def parse_only(text: str) -> dict[str, tuple[str, ...]]:
    """Return the values by axis that a text such as ``data=ml-1m+steam,victim=bpr`` names.

    Raises:
        UsageError: where a part is no ``axis=value``, or names an axis again.
    """
    only: dict[str, tuple[str, ...]] = {}
    for part in text.split(","):
        name, _, values = (piece.strip() for piece in part.partition("="))
        pieces = tuple(piece.strip() for piece in values.split("+"))
        if not (name and all(pieces)):
            raise UsageError(
                f"--only {text!r}: found {part!r}, expected axis=value, such as data=ml-1m+steam,victim=bpr"
            )
        if name in only:
            raise UsageError(
                f"--only {text!r}: {name} is there twice; join its values by +, such as data=ml-1m+steam"
            )
        only[name] = pieces
    return only


def narrowed(grid: Grid, only: Mapping[str, Sequence[str]], seeds: int | None) -> Grid:
    """Return the part of a grid that ``only`` names, with ``seeds`` seeds in every cell where that is given.

    Args:
        grid: the whole experiment.
        only: the values to keep by the short name of an axis, or by ``attack``; numbers compare as numbers.
            What is kept keeps the grid's order. The settings of an attack that goes, go with it.
        seeds: the number of seeds of all cells, above ``seeds`` and ``seeds_of``.

    Raises:
        UsageError: where the grid has no such axis or the axis no such value (the message lists what there
            is), or ``seeds`` is below 1.
    """
    if seeds is not None and seeds < 1:
        raise UsageError(f"--seeds: there must be at least one seed, not {seeds}")
    names = [*map(_short, grid.axes), ATTACK]
    for name in only:
        if name not in names:
            raise UsageError(f"--only: {grid.name} has no axis {name!r}; it has {_listed(names)}")
    axes = {key: _kept(grid.name, _short(key), values, only) for key, values in grid.axes.items()}
    attacks = _kept(grid.name, ATTACK, grid.attacks, only)
    base = dict(grid.base) if grid.infers else {**grid.base, "attacks": list(attacks)}
    gone = set(grid.attacks) - set(attacks)
    if "settings" in base:
        base["settings"] = {name: own for name, own in base["settings"].items() if name not in gone}
    changes: dict[str, Any] = {"base": base, "axes": axes, "seeds_of": tuple(_still_meant(grid, axes))}
    changes["further"] = tuple(_still_shown(grid.further, gone))
    changes["shown"] = tuple(row for row in grid.shown if row not in gone)
    if grid.infers:  # there, the attacks are those that are shown
        changes["shown"] = attacks
    if VARIANT in axes:
        changes["variants"] = {name: grid.variants[str(name)] for name in axes[VARIANT]}
    if seeds is not None:
        changes |= {"seeds": seeds, "seeds_of": ()}
    return grid.model_copy(update=changes)


def _still_meant(grid: Grid, axes: Mapping[str, tuple[Value, ...]]) -> Iterator[FewerSeeds]:
    """Yield the exceptions that still mean a cell, without the values that are gone."""
    kept = {_short(key): values for key, values in axes.items()}
    for fewer in grid.seeds_of:
        where = {
            name: tuple(value for value in meant if value in kept[name])
            for name, meant in fewer.where.items()
        }
        if all(where.values()):
            yield fewer.model_copy(update={"where": where})


def _still_shown(tables: Sequence[Further], gone: set[str]) -> Iterator[Further]:
    """Yield the further tables without the attacks that are gone, and none that has no other row."""
    for table in tables:
        rows = tuple(row for row in table.rows if row not in gone)
        if rows or not table.rows:
            yield table.model_copy(update={"rows": rows})


def _kept(
    grid: str, name: str, values: tuple[Value, ...], only: Mapping[str, Sequence[str]]
) -> tuple[Value, ...]:
    """Return the values of an axis that ``only`` names, or all where it does not name the axis."""
    if name not in only:
        return values
    wanted = set()
    pieces = list(only[name])
    while pieces:
        # A value may hold a plus itself ("QSD Hinge+BPR"): the longest run of pieces that is one counts.
        runs = ("+".join(pieces[:length]) for length in range(len(pieces), 0, -1))
        found = next(((run, value) for run in runs for value in values if _is(value, run)), None)
        if found is None:
            raise UsageError(f"--only: {grid} has no {name} {_listed(pieces[:1])}; it has {_listed(values)}")
        run, value = found
        wanted.add(value)
        pieces = pieces[run.count("+") + 1 :]
    return tuple(value for value in values if value in wanted)


def _is(value: Value, text: str) -> bool:
    """Whether ``text`` means ``value``."""
    if isinstance(value, str):
        return text == value
    try:
        return math.isclose(float(text), value, rel_tol=1e-9)
    except ValueError:
        return False


def _listed(values: Sequence[Value]) -> str:
    return ", ".join(
        f"{value!r}" if isinstance(value, str) and " " in value else str(value) for value in values
    )
