"""The figures of membership inference in a result, arranged: one block a way of serving."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from recaudit.report.result import Curve, Figure, Result
from recaudit.report.rows import VICTIM, Row, rows_of

__all__ = [
    "BLIND",
    "HEADLINE",
    "LADDER",
    "NULL",
    "STRANGER",
    "Block",
    "Membership",
    "arrange_membership",
    "decidedly_above",
    "retrains",
]

HEADLINE = "everyone-folded"
"""The way of serving in which only item parameters can leak."""

STRANGER = " (stranger)"
"""What the name of an attack ends with that never trains on a candidate's history."""

BLIND, NULL = "blind: ", "null: "
_RUNGS = ("rich", "lira-items", "lira-lists", "stack")
LADDER = ("difference", *(rung + STRANGER for rung in _RUNGS), *_RUNGS)
"""The attacks in the order in which they are shown, those with less knowledge first."""

_COSTS = {"seconds", "lists", "users", "items"}
_CHANCE = 0.5


@dataclass(frozen=True, kw_only=True)
class Block:
    """What came out under one way of serving.

    Args:
        serving: its name; empty where the figures name none.
        ladder: the attacks, those with less knowledge first and unknown ones last.
        blind: the detectors that learn nothing about the victim.
        null: the attacks against a victim that was trained on none of the candidates.
        victim: the victim's recommendation quality, where measured.
        curves: the ROC curves.
        best: how often each blind feature was the best single one, over the seeds.
    """

    serving: str
    ladder: tuple[Row, ...]
    blind: tuple[Row, ...]
    null: tuple[Row, ...]
    victim: Row | None
    curves: tuple[Curve, ...]
    best: dict[str, int]

    @property
    def strongest(self) -> Row | None:
        """The highest rung: the attack that was built to be the strongest, whatever came out.

        The one with the highest AUC would be chosen by the figures that it is judged by, and flattered.
        """
        return _top(self.ladder)

    @property
    def strongest_without_retraining(self) -> Row | None:
        """The highest rung of those that are known not to train on candidates."""
        return _top([row for row in self.ladder if retrains(row.attack) is False])

    @property
    def best_blind(self) -> Row | None:
        """The blind detector with the highest AUC."""
        return _highest(self.blind)

    def attack(self, name: str) -> Row | None:
        """Return the ladder's row of this name, ``None`` where there is none."""
        return next((row for row in self.ladder if row.attack == name), None)

    def null_of(self, row: Row) -> Row | None:
        """Return the null control of an attack, ``None`` where there is none."""
        return next((null for null in self.null if null.label == row.label), None)

    def explaining(self, row: Row | None) -> Row | None:
        """Return the blind detector that reaches the attack's AUC within its interval.

        ``None`` where none does, or the attack itself is not above chance.
        """
        auc = None if row is None else row.find("auc", "candidates")
        best = self.best_blind
        value = None if best is None else best.value("auc", "candidates")
        if auc is None or auc.value is None or value is None or not decidedly_above(auc, _CHANCE):
            return None
        return best if value >= (auc.value if auc.low is None else auc.low) else None


@dataclass(frozen=True, kw_only=True)
class Membership:
    """All figures of membership inference, in the order in which the report shows them.

    Args:
        blocks: one a way of serving, in the order that was asked for.
        costs: seconds, and what was asked.
        doubled: figures that stand more than once for the same serving, attack, users and metric.
        non_members: how many candidates the victim was not trained on, ``None`` where it is not told.
    """

    blocks: tuple[Block, ...]
    costs: tuple[Figure, ...]
    doubled: tuple[Figure, ...]
    non_members: int | None

    @property
    def headline(self) -> Block | None:
        """The block that the verdict is about: the first that was asked for."""
        return self.blocks[0] if self.blocks else None

    def leftover(self, shown: Iterable[Figure | None]) -> tuple[Figure, ...]:
        """Return the figures that ``shown`` leaves out."""
        seen = {id(figure) for figure in shown}
        rows = [row for block in self.blocks for row in (*block.ladder, *block.blind, *block.null)]
        rows += [block.victim for block in self.blocks if block.victim is not None]
        figures = [figure for row in rows for figure in row.figures.values()]
        return tuple(f for f in (*figures, *self.costs, *self.doubled) if id(f) not in seen)


def arrange_membership(result: Result) -> Membership | None:
    """Arrange the figures of membership inference, ``None`` where there are none."""
    figures = [figure for figure in result.figures if figure.threat == "membership"]
    if not figures:
        return None
    measured = [figure for figure in figures if figure.metric not in _COSTS]
    found = dict.fromkeys(figure.serving or "" for figure in measured)
    blocks: list[Block] = []
    doubled: list[Figure] = []
    for serving in found:
        rows, twice = rows_of([figure for figure in measured if (figure.serving or "") == serving])
        blocks.append(_block(result, serving, rows))
        doubled += twice
    candidates, members = result.data.candidate_users, result.data.member_users
    return Membership(
        blocks=tuple(blocks),
        costs=tuple(figure for figure in figures if figure.metric in _COSTS),
        doubled=tuple(doubled),
        non_members=None if candidates is None or members is None else candidates - members,
    )


def _block(result: Result, serving: str, rows: Sequence[Row]) -> Block:
    places = {attack: place for place, attack in enumerate(LADDER)}
    attacks = [row for row in rows if row.attack != VICTIM and not row.attack.startswith((BLIND, NULL))]
    ladder = sorted(attacks, key=lambda row: places.get(row.attack, len(places)))
    null = sorted(_named(rows, NULL), key=lambda row: places.get(row.attack[len(NULL) :], len(places)))
    choices = [choice.best for choice in result.blind if choice.serving == serving]
    return Block(
        serving=serving,
        ladder=tuple(ladder),
        blind=_named(rows, BLIND),
        null=tuple(null),
        victim=next((row for row in rows if row.attack == VICTIM), None),
        curves=tuple(curve for curve in result.curves if curve.serving == serving),
        best={name: choices.count(name) for name in sorted(set(choices), key=choices.count, reverse=True)},
    )


def _named(rows: Sequence[Row], kind: str) -> tuple[Row, ...]:
    """Return the rows of a kind, labelled without it."""
    return tuple(
        Row(attack=row.attack, label=row.label.removeprefix(kind), figures=row.figures)
        for row in rows
        if row.attack.startswith(kind)
    )


def _top(rows: Sequence[Row]) -> Row | None:
    return next((row for row in reversed(rows) if row.value("auc", "candidates") is not None), None)


def _highest(rows: Sequence[Row]) -> Row | None:
    measured = [row for row in rows if row.value("auc", "candidates") is not None]
    return max(measured, key=lambda row: row.value("auc", "candidates") or 0.0, default=None)


def retrains(attack: str) -> bool | None:
    """Return whether an attack trains models on the candidates' histories, ``None`` where it is not known."""
    if attack in _RUNGS:
        return True
    return False if attack == "difference" or attack.endswith(STRANGER) else None


def decidedly_above(figure: Figure | None, chance: float) -> bool:
    """Return whether all of a figure's interval is above ``chance``; without interval, the value."""
    if figure is None or figure.value is None:
        return False
    return (figure.value if figure.low is None else figure.low) > chance
