"""The figures of an audit by threat: the order of the rows, the strongest attack, floor and ceiling."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from recaudit.figures import Figure, Figures
from recaudit.report.result import Curve, Result
from recaudit.vocabulary import (
    AUXILIARY,
    BLIND,
    CANDIDATES,
    CEILING,
    CONSTANT,
    FLOOR,
    NULL,
    REFERENCES,
    VICTIM,
    Card,
    metric_of,
    serving_card,
)

__all__ = ["COSTS", "KNOWN", "Served", "Stealing", "above", "non_members", "served"]

KNOWN = ("all", "queried", "unqueried")
"""The groups that a figure of all known users may be given for."""

CLEAR = 0.7
"""An AUC from which a leak is plain: candidates who leave it possible are too few to say that nothing leaks."""

COSTS = ("lists", "sequences", "calls", "users", "items", "seconds")
"""The metrics of what an attack asked for and took."""


class Stealing:
    """The figures of model stealing: one row an attack, between the floor and the ceiling.

    Args:
        result: the audit.
    """

    def __init__(self, result: Result) -> None:
        self.result = result
        self.figures = Figures.of(figure for figure in result.figures if figure.threat != "membership")

    @cached_property
    def k(self) -> int:
        """The length of the lists that the headline compares."""
        named = [
            metric.partition("@")[2] for metric in self.figures.metrics if metric.startswith("agreement@")
        ]
        lengths = [int(text) for text in named if text.isdecimal()]
        wanted = self.result.spec.get("k")
        if isinstance(wanted, int) and (wanted in lengths or not lengths):
            return wanted
        return lengths[0] if lengths else 50

    @cached_property
    def attacks(self) -> tuple[str, ...]:
        """The attacks, those with less knowledge first."""
        found = [attack for attack in self.figures.attacks if attack not in REFERENCES]
        return tuple(sorted(found, key=lambda attack: self.card(attack).order))

    @cached_property
    def without_attack(self) -> tuple[str, ...]:
        """What is reached without an attack: the floor, the constant list, the auxiliary model alone."""
        return tuple(row for row in (FLOOR, CONSTANT, AUXILIARY) if row in self.figures.attacks)

    @cached_property
    def rows(self) -> tuple[str, ...]:
        """What needs no attack, the attacks, and the ceiling."""
        ceiling = (CEILING,) if CEILING in self.figures.attacks else ()
        return (*self.without_attack, *self.attacks, *ceiling)

    @cached_property
    def strongest(self) -> str | None:
        """The attack with the highest agreement on unqueried users."""
        values = {row: self.value(row, "agreement", "unqueried") for row in self.attacks}
        measured = {row: value for row, value in values.items() if value is not None}
        return max(measured, key=lambda row: measured[row], default=None)

    def __bool__(self) -> bool:
        return bool(self.rows or VICTIM in self.figures.attacks)

    def card(self, row: str) -> Card:
        """Return the card of a row."""
        return self.result.card(row)

    def label(self, row: str) -> str:
        """Return what a row is called."""
        return self.card(row).label

    def find(self, row: str, metric: str, *users: str) -> Figure | None:
        """Return the figure of a row for the first of ``users`` that has one; lists are ``k`` long."""
        name = metric if metric in COSTS or "@" in metric else f"{metric}@{self.k}"
        return self.figures.first(row, name, *users)

    def value(self, row: str, metric: str, *users: str) -> float | None:
        """Return the value of the figure that ``find`` returns, ``None`` where there is none."""
        figure = self.find(row, metric, *users)
        return None if figure is None else figure.value

    def asked(self, row: str, count: str) -> float | None:
        """Return how many ``lists``, ``users`` and so on, or ``seconds``, a row took; the mean over seeds."""
        if (figure := self.find(row, count, *KNOWN)) is not None:
            return figure.value
        if count == "seconds":
            values = [
                one.seconds for one in self.result.stages if one.stage == row and one.seconds is not None
            ]
        else:
            values = [float(getattr(one, count)) for one in self.result.ledgers if one.attack == row]
        return sum(values) / len(values) if values else None

    @property
    def shows_histories(self) -> bool:
        """Whether attacks could show histories of their own, so that sequences and calls were counted."""
        return "sequences" in self.figures.metrics or any(one.sequences for one in self.result.ledgers)


@dataclass(frozen=True, kw_only=True)
class Served:
    """The figures of membership inference under one way of serving.

    Args:
        result: the audit.
        serving: its name, ``None`` where the figures name none.
        figures: its figures, what attacks cost left out.
    """

    result: Result
    serving: str | None
    figures: Figures

    @property
    def title(self) -> str:
        """What the way of serving is called."""
        return serving_card(self.serving or "").label

    @cached_property
    def attacks(self) -> tuple[str, ...]:
        """The attacks, those with less knowledge first."""
        found = [row for row in self.figures.attacks if row != VICTIM and not row.startswith((BLIND, NULL))]
        return tuple(sorted(found, key=lambda row: self.card(row).order))

    @cached_property
    def blind(self) -> tuple[str, ...]:
        """The detectors that look at one plain feature."""
        return tuple(row for row in self.figures.attacks if row.startswith(BLIND))

    @cached_property
    def null(self) -> tuple[str, ...]:
        """The attacks with a null control, in their order; the names are those of the attacks."""
        found = [row.removeprefix(NULL) for row in self.figures.attacks if row.startswith(NULL)]
        return tuple(sorted(found, key=lambda row: self.card(row).order))

    @property
    def strongest(self) -> str | None:
        """The last attack in order: the one built to be the strongest, whatever came out.

        The attack with the highest AUC would be chosen by the figures that it is judged by, and flattered.
        """
        return self._last(self.attacks)

    @property
    def strongest_without_retraining(self) -> str | None:
        """The last attack in order of those that train no model on candidates' histories."""
        described = [row for row in self.attacks if self.card(row).needs]
        return self._last(row for row in described if "histories" not in self.card(row).needs)

    @property
    def best_blind(self) -> str | None:
        """The blind detector with the highest AUC."""
        values = {row: self.value(row, "auc") for row in self.blind}
        measured = {row: value for row, value in values.items() if value is not None}
        return max(measured, key=lambda row: measured[row], default=None)

    @property
    def curves(self) -> tuple[Curve, ...]:
        """The ROC curves."""
        return tuple(curve for curve in self.result.curves if curve.serving == self.serving)

    def card(self, row: str) -> Card:
        """Return the card of a row."""
        return self.result.card(row, "membership")

    def label(self, row: str) -> str:
        """Return what a row is called."""
        return self.card(row).label

    def find(self, row: str, metric: str, users: str = CANDIDATES) -> Figure | None:
        """Return the figure of a row."""
        return self.figures.find(row, metric, users, self.serving)

    def value(self, row: str, metric: str) -> float | None:
        """Return the value of the figure that ``find`` returns, ``None`` where there is none."""
        figure = self.find(row, metric)
        return None if figure is None else figure.value

    def leaks(self, row: str, metric: str = "auc") -> bool:
        """Return whether a row's figure is above chance with all of its interval."""
        return above(self.find(row, metric), metric_of(metric).chance or 0.0)

    def unsure(self, row: str) -> bool:
        """Return whether the candidates are too few to say that a row tells no members."""
        auc = self.find(row, "auc")
        return not self.leaks(row) and (auc is None or auc.high is None or auc.high >= CLEAR)

    def misses_chance(self, row: str | None) -> bool:
        """Return whether the interval of the row's null control leaves out 0.5."""
        auc = None if row is None else self.find(f"{NULL}{row}", "auc")
        if auc is None or auc.low is None or auc.high is None:
            return False
        return not auc.low <= 0.5 <= auc.high

    def explained(self, row: str) -> str | None:
        """Return the best blind detector where it reaches the attack's AUC within the attack's interval."""
        auc, best = self.find(row, "auc"), self.best_blind
        value = None if best is None else self.value(best, "auc")
        if auc is None or auc.value is None or value is None or not self.leaks(row):
            return None
        return best if value >= (auc.value if auc.low is None else auc.low) else None

    def _last(self, rows: Iterable[str]) -> str | None:
        measured = [row for row in rows if self.value(row, "auc") is not None]
        return measured[-1] if measured else None


def served(result: Result) -> tuple[Served, ...]:
    """Return the figures of membership inference: the ways of serving in the order of the spec."""
    figures = [f for f in result.figures if f.threat == "membership" and f.metric not in COSTS]
    return tuple(
        Served(
            result=result,
            serving=serving,
            figures=Figures.of(figure for figure in figures if figure.serving == serving),
        )
        for serving in dict.fromkeys(figure.serving for figure in figures)
    )


def non_members(result: Result) -> int | None:
    """Return how many candidates the victim was not trained on, ``None`` where the result does not say."""
    candidates, members = result.data.candidate_users, result.data.member_users
    return None if candidates is None or members is None else candidates - members


def above(figure: Figure | None, chance: float) -> bool:
    """Return whether all of a figure's interval is above ``chance``; without interval, nothing is."""
    return figure is not None and figure.low is not None and figure.low > chance
