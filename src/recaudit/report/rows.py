"""The figures of stealing in a result, arranged: one row an attack between the floor and the ceiling."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from recaudit.report.result import Figure, Result

__all__ = [
    "AUXILIARY",
    "CEILING",
    "CONSTANT",
    "FLOOR",
    "NOT_MEASURED",
    "VICTIM",
    "Arranged",
    "Grown",
    "Row",
    "arrange",
    "decimals",
    "ends",
    "grown",
    "number",
    "printable",
    "rows_of",
    "share",
]

FLOOR, CEILING, VICTIM = "popularity", "retrained", "victim"
CONSTANT, AUXILIARY = "constant", "auxiliary"
"""The one list for everybody, chosen in hindsight, and the model of the auxiliary data alone."""
NOT_MEASURED = "–"
"""What stands in a table's cell without a figure."""

_ATTACKS = ("QSD", "PTD", "PTQ", "PTA", "PTA(Pre)", "PTAQ", "PTAQ(Pre)")
_NAMES = {
    FLOOR: "Popular list",
    CONSTANT: "Constant list",
    AUXILIARY: "Auxiliary",
    CEILING: "Retrained",
    VICTIM: "Victim",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """The figures of one attack, or of one of the references that it stands between.

    Args:
        attack: the name that ``figures.csv`` gives it.
        label: what to call it in tables.
        figures: its figures by metric and users.
    """

    attack: str
    label: str
    figures: dict[tuple[str, str], Figure]

    @property
    def is_reference(self) -> bool:
        """Whether the row is what attacks are compared with, or the victim, and no attack."""
        return self.attack in _NAMES

    def find(self, metric: str, *users: str) -> Figure | None:
        """Return the figure of ``metric`` for the first of ``users`` that has one."""
        return next((self.figures[metric, group] for group in users if (metric, group) in self.figures), None)

    def value(self, metric: str, *users: str) -> float | None:
        """Return the value of the figure that ``find`` returns, ``None`` where there is none."""
        figure = self.find(metric, *users)
        return None if figure is None else figure.value


@dataclass(frozen=True, kw_only=True)
class Grown:
    """How an attack makes histories of its own to ask with.

    Args:
        times: how many times the lists of PTQ it asks for.
        random: whether it draws all items at random, and none from the lists that come back.
        length: items of such a history.
    """

    times: float
    random: bool
    length: int


@dataclass(frozen=True, kw_only=True)
class Arranged:
    """A result's figures in the order in which the report shows them.

    Args:
        k: length of the lists that the headline compares.
        floor: the most popular unseen items, where measured.
        constant: the one list for everybody, chosen in hindsight, where measured.
        auxiliary: the model trained on the auxiliary data alone, where measured.
        attacks: the attacks, those with less knowledge first and unknown ones last.
        ceiling: the victim retrained with another seed, where measured.
        victim: the victim itself, where measured.
        doubled: figures that stand more than once for the same attack, users and metric.
    """

    k: int
    floor: Row | None
    constant: Row | None
    auxiliary: Row | None
    attacks: tuple[Row, ...]
    ceiling: Row | None
    victim: Row | None
    doubled: tuple[Figure, ...]

    @property
    def without_attack(self) -> tuple[Row, ...]:
        """What is reached without an attack: the floor, the constant list, the auxiliary model alone."""
        return tuple(row for row in (self.floor, self.constant, self.auxiliary) if row is not None)

    @property
    def rows(self) -> tuple[Row, ...]:
        """What needs no attack, attacks and ceiling, in this order; what was not measured is left out."""
        return (*self.without_attack, *self.attacks, *((self.ceiling,) if self.ceiling else ()))

    def has_users(self, users: str) -> bool:
        """Whether any row has a figure of those users."""
        return any(users == group for row in self.rows for _, group in row.figures)

    def metric(self, name: str) -> str:
        """Return ``name@k``."""
        return f"{name}@{self.k}"

    @property
    def strongest(self) -> Row | None:
        """The attack with the highest agreement on unqueried users."""
        agreement = self.metric("agreement")
        measured = [row for row in self.attacks if row.value(agreement, "unqueried") is not None]
        return max(measured, key=lambda row: row.value(agreement, "unqueried") or 0.0, default=None)

    def leftover(self, shown: Iterable[Figure | None]) -> tuple[Figure, ...]:
        """Return the figures that ``shown`` leaves out, in the order of the rows."""
        seen = {id(figure) for figure in shown}
        rows = (*self.rows, *((self.victim,) if self.victim else ()))
        return (*(f for row in rows for f in row.figures.values() if id(f) not in seen), *self.doubled)


def arrange(result: Result) -> Arranged:
    """Arrange the figures of stealing; every one of them is in one of the rows or among ``doubled``."""
    stealing = [figure for figure in result.figures if figure.threat != "membership"]
    made, doubled = rows_of(stealing)
    references = {row.attack: row for row in made if row.is_reference}
    attacks = [row for row in made if not row.is_reference]
    return Arranged(
        k=_list_length(stealing, result.spec.get("k")),
        floor=references.get(FLOOR),
        constant=references.get(CONSTANT),
        auxiliary=references.get(AUXILIARY),
        attacks=tuple(sorted(attacks, key=lambda row: _place(row.attack, grown(result, row.attack)))),
        ceiling=references.get(CEILING),
        victim=references.get(VICTIM),
        doubled=doubled,
    )


def grown(result: Result, attack: str) -> Grown | None:
    """Return how ``attack`` makes histories of its own, by its settings in the spec of ``result``.

    ``None`` stands for any other attack, QSD among them, which asks for users' lists, whatever its name.
    """
    settings = result.spec.get("settings")
    own = settings.get(attack) if isinstance(settings, Mapping) else None
    if not isinstance(own, Mapping):
        return None
    times, length, drawing = (own.get(key) for key in ("times", "length", "drawing"))
    if not (isinstance(times, int | float) and isinstance(length, int) and isinstance(drawing, str)):
        return None
    return Grown(times=float(times), random=drawing == "random", length=length)


def _place(attack: str, own: Grown | None) -> tuple[int, bool, float, bool]:
    """Return what attacks are sorted by: those that make histories, by their lists, follow QSD."""
    if own is not None:
        return _ATTACKS.index("QSD"), True, own.times, own.random
    return (_ATTACKS.index(attack) if attack in _ATTACKS else len(_ATTACKS)), False, 0.0, False


def rows_of(figures: Sequence[Figure]) -> tuple[tuple[Row, ...], tuple[Figure, ...]]:
    """Return a row an attack, and the figures that stand more than once for the same users and metric."""
    setting = next(
        ((f.data, f.victim, f.clone) for f in figures if f.attack not in _NAMES),
        (None, None, None),
    )
    rows: dict[tuple[str, str], dict[tuple[str, str], Figure]] = {}
    doubled = []
    for figure in figures:
        own = rows.setdefault((figure.attack, _label(figure, setting)), {})
        key = (figure.metric, figure.users)
        if key in own:
            doubled.append(figure)
        else:
            own[key] = figure
    made = (Row(attack=attack, label=label, figures=own) for (attack, label), own in rows.items())
    return tuple(made), tuple(doubled)


def _label(figure: Figure, setting: tuple[str | None, str | None, str | None]) -> str:
    # A result holds one setting; a row of another one says how it differs, so that the two stay apart.
    if figure.attack in _NAMES:
        return _NAMES[figure.attack]
    attack = printable(figure.attack)
    parts = zip(
        (figure.data, figure.victim, figure.clone), setting, ("on {}", "victim {}", "clone {}"), strict=True
    )
    others = [words.format(printable(str(value))) for value, usual, words in parts if value != usual]
    return f"{attack} ({', '.join(others)})" if others else attack


def _list_length(figures: Sequence[Figure], wanted: object) -> int:
    named = [f.metric.partition("@")[2] for f in figures if f.metric.startswith("agreement@")]
    lengths = [int(text) for text in named if text.isdecimal()]
    if isinstance(wanted, int) and (wanted in lengths or not lengths):
        return wanted
    return lengths[0] if lengths else 50


def printable(text: str) -> str:
    """Return ``text`` with a replacement character for each control character, so that names stay names."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def number(value: int | float | None, digits: int = 0) -> str:
    """Return ``value`` with ``digits`` decimals, commas between thousands and a true minus sign.

    What rounds to zero has no sign; ``None`` reads ``not available``.
    """
    if value is None:
        return "not available"
    text = f"{value:,.{digits}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def share(value: int | float | None) -> str:
    """Return a share from 0 to 1 in per cent with one decimal; ``None`` reads ``not available``."""
    return number(value) if value is None else f"{number(100 * value, 1)} %"


def ends(figure: Figure, digits: int, scale: int = 1) -> str:
    """Return the interval of ``figure`` as ``62.1–67.0``, or ``−3.0 to 1.2`` where a sign would be misread.

    The text is empty where the interval is not available.
    """
    if figure.low is None or figure.high is None:
        return ""
    between = " to " if min(figure.low, figure.high) < 0 else "–"
    return between.join(number(scale * end, digits) for end in (figure.low, figure.high))


def decimals(figure: Figure | None, *, interval: bool, digits: int = 3) -> str:
    """Return a figure as decimals, ``0.647 (0.623–0.671)``; ``NOT_MEASURED`` where it has no value."""
    if figure is None or figure.value is None:
        return NOT_MEASURED
    between = ends(figure, digits) if interval else ""
    return f"{number(figure.value, digits)} ({between})" if between else number(figure.value, digits)
