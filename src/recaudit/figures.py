"""The figures of audits: one tidy frame, and an index over it that everything reads that shows figures."""

from collections.abc import Iterable, Iterator
from functools import cached_property

import polars as pl
from pydantic import BaseModel, ConfigDict

from recaudit.vocabulary import NOT_AVAILABLE, Form, metric_of, number

__all__ = ["COLUMNS", "SCHEMA", "Figure", "Figures"]


class Figure(BaseModel):
    """One measured figure, a row of ``figures.csv``.

    Args:
        data: name of the data.
        victim: the victim's model.
        clone: the clone's model, ``None`` where the row has no clone.
        attack: name of the row: an attack, a reference of :data:`recaudit.vocabulary.REFERENCES`,
            ``blind: FEATURE`` or ``null: ATTACK``.
        users: a group of :data:`recaudit.vocabulary.GROUPS`.
        metric: for instance ``agreement@50``, ``auc`` or ``tpr@0.01``.
        value: the mean over users and seeds; ``None`` where it is not available.
        low: lower end of the 95 % interval; ``None`` where there are too few users for one.
        high: upper end of the 95 % interval, likewise.
        n: the users behind the value, over all seeds; ``None`` where it is not a mean over users, or where an
            earlier version did not say.
        seeds: number of seeds behind the value.
        threat: ``stealing`` or ``membership``.
        serving: what strangers were served where the threat is membership, else ``None``.
        published: a paper's value, where there is one.
    """

    # Keys that a later version of the same series adds are kept and written again, never refused.
    model_config = ConfigDict(frozen=True, extra="allow")

    data: str
    victim: str
    clone: str | None = None
    attack: str
    users: str
    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    seeds: int
    threat: str = "stealing"
    serving: str | None = None
    published: float | None = None

    @property
    def missing(self) -> str:
        """Why there is no value: a figure without seeds was not measured."""
        return NOT_AVAILABLE if self.seeds else "not measured"

    def between(self, form: Form | None = None) -> str:
        """Return the interval and the number of users, ``62.1–67.0; n 300``; empty where there is neither.

        Args:
            form: how numbers are written; the metric's own where it is not given.
        """
        metric = metric_of(self.metric)
        same = metric.spread and self.low == self.high
        interval = "" if same else (form or metric.form).interval(self.low, self.high)
        return "; ".join(filter(None, (interval, "" if self.n is None else f"n {number(self.n)}")))


SCHEMA = pl.Schema(
    {
        **dict.fromkeys(("data", "victim", "clone", "attack", "users", "metric"), pl.String()),
        **dict.fromkeys(("value", "low", "high"), pl.Float64()),
        **dict.fromkeys(("n", "seeds"), pl.Int64()),
        **dict.fromkeys(("threat", "serving"), pl.String()),
    }
)
"""The columns of ``figures.csv``, in order, and their types."""

COLUMNS = tuple(SCHEMA)

_Key = tuple[str, str, str, str | None]


class Figures:
    """Figures by attack, metric, users and serving.

    Args:
        frame: one row a figure, with the columns of ``figures.csv`` and perhaps others. What is not a number
            counts as not available.
    """

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame
        self._found: dict[_Key, Figure] = {}
        doubled = []
        floats = [name for name, kind in frame.schema.items() if kind.is_float()]
        for row in frame.with_columns(pl.col(floats).fill_nan(None)).iter_rows(named=True):
            figure = Figure.model_validate(
                {name: value for name, value in row.items() if value is not None or name == "value"}
            )
            key = (figure.attack, figure.metric, figure.users, figure.serving)
            if key in self._found:
                doubled.append(figure)
            self._found.setdefault(key, figure)
        self.doubled = tuple(doubled)

    @classmethod
    def of(cls, figures: Iterable[Figure]) -> "Figures":
        """Return the index of ``figures``."""
        rows = [figure.model_dump(include=set(COLUMNS)) for figure in figures]
        return cls(pl.DataFrame(rows, schema=SCHEMA))

    def __iter__(self) -> Iterator[Figure]:
        """Iterate over the figures in order, the first where several have the same place."""
        return iter(self._found.values())

    def __len__(self) -> int:
        return len(self._found)

    def find(self, attack: str, metric: str, users: str, serving: str | None = None) -> Figure | None:
        """Return one figure, ``None`` where there is none.

        Args:
            attack: the row.
            metric: such as ``agreement@50``.
            users: the group of users.
            serving: what strangers are served, for membership inference.
        """
        return self._found.get((attack, metric, users, serving))

    def first(self, attack: str, metric: str, *users: str, serving: str | None = None) -> Figure | None:
        """Return the figure for the first of ``users`` that has one."""
        found = (self.find(attack, metric, group, serving) for group in users)
        return next((figure for figure in found if figure is not None), None)

    @cached_property
    def attacks(self) -> tuple[str, ...]:
        """The rows, in order of appearance."""
        return tuple(dict.fromkeys(figure.attack for figure in self._found.values()))

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """The metrics, in order of appearance."""
        return tuple(dict.fromkeys(figure.metric for figure in self._found.values()))

    @cached_property
    def users(self) -> tuple[str, ...]:
        """The groups of users, in order of appearance."""
        return tuple(dict.fromkeys(figure.users for figure in self._found.values()))

    def leftover(self, shown: Iterable[Figure | None]) -> tuple[Figure, ...]:
        """Return the figures that ``shown`` leaves out, and those that stand twice."""
        seen = {_key(figure) for figure in shown if figure is not None}
        return (*(one for key, one in self._found.items() if key not in seen), *self.doubled)


def _key(figure: Figure) -> _Key:
    return figure.attack, figure.metric, figure.users, figure.serving
