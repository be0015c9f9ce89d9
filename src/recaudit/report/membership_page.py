"""What the page says of membership inference: one part a way of serving, then quality, rungs and cost."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from recaudit.report.figures import NARROW, WIDE
from recaudit.report.grids import Cell, Grid, Line, cell_of
from recaudit.report.membership_figures import roc_picture
from recaudit.report.membership_rows import Block, Membership
from recaudit.report.membership_tables import quality_metrics
from recaudit.report.membership_words import (
    BLIND_WORDS,
    best_single,
    conclusion,
    membership_verdict,
    method,
    needs,
    null_words,
    serving_title,
    serving_words,
)
from recaudit.report.result import Figure, Result
from recaudit.report.rows import Row, number, printable

__all__ = ["MembershipPage", "Part", "membership_page"]

_USERS = "candidates"
_METRICS = {
    "auc": "AUC",
    "tpr@0.01": "TPR at 1\N{NO-BREAK SPACE}%",
    "tpr@0.001": "TPR at 0.1\N{NO-BREAK SPACE}%",
    "accuracy": "Accuracy",
}
_GROUPS = ("members", "non-members")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One way of serving in the page: heading, words, pictures by size, and tables."""

    title: str
    serving: str
    words: str
    conclusion: str
    pictures: tuple[tuple[str, Markup], ...]
    ladder: Grid
    blind: Grid
    best: str
    null: str


@dataclass(frozen=True, kw_only=True)
class MembershipPage:
    """All that the page says of membership inference; ``knowledge``: attack, need and method of each."""

    verdict: tuple[str, ...]
    parts: tuple[Part, ...]
    quality: Grid
    knowledge: tuple[tuple[str, str, str], ...]
    cost: Grid
    sizes: tuple[tuple[str, str], ...]
    non_members: str

    @property
    def shown(self) -> list[Figure | None]:
        """The figures that stand in the tables."""
        grids = [grid for part in self.parts for grid in (part.ladder, part.blind)]
        lines = [line for grid in (*grids, self.quality, self.cost) for line in grid.lines]
        return [cell.figure for line in lines for cell in line.cells]


def membership_page(result: Result, membership: Membership) -> MembershipPage:
    """Return the membership part of the page."""
    labels = dict.fromkeys((row.attack, row.label) for block in membership.blocks for row in block.ladder)
    data = result.data
    sizes = {
        "Users attacked (candidates)": data.candidate_users,
        "Members among them": data.member_users,
        "Users of the attacker’s shadow models": data.shadow_users,
        "The attacker’s further users": data.attacker_users,
    }
    return MembershipPage(
        verdict=membership_verdict(membership),
        parts=tuple(_part(block, membership, f"roc-{n}") for n, block in enumerate(membership.blocks)),
        quality=_quality(membership),
        knowledge=tuple((label, needs(attack), method(attack)) for attack, label in labels),
        cost=_cost(membership),
        sizes=tuple((words, number(count)) for words, count in sizes.items()),
        non_members="" if membership.non_members is None else number(membership.non_members),
    )


def _part(block: Block, membership: Membership, name: str) -> Part:
    sizes = (("wide", WIDE), ("narrow", NARROW)) if block.curves else ()
    return Part(
        title=serving_title(block.serving),
        serving=printable(block.serving),
        words=serving_words(block.serving),
        conclusion=" ".join(conclusion(block, membership.non_members)),
        pictures=tuple(
            (size, Markup(roc_picture(block, membership.non_members, width, f"{name}-{size}")))
            for size, width in sizes
        ),
        ladder=_ladder(block),
        blind=_blind(block),
        best=best_single(block),
        null=null_words(block),
    )


def _ladder(block: Block) -> Grid:
    metrics, strongest = _measured(block.ladder), block.strongest
    lines = []
    for row in block.ladder:
        cells = [cell_of(row.find(metric, _USERS)) for metric in metrics]
        if block.null:
            null = block.null_of(row)
            cells.append(cell_of(None if null is None else null.find("auc", _USERS)))
        cells.append(Cell(text=needs(row.attack), words=True))
        lines.append(Line(label=row.label, cells=tuple(cells), kind="strongest" if row is strongest else ""))
    headings = [*metrics.values(), *(["Null control"] if block.null else []), "Needs"]
    return Grid(headings=tuple(headings), lines=tuple(lines))


def _blind(block: Block) -> Grid:
    metrics = _measured(block.blind)
    lines = []
    for row in block.blind:
        cells = [cell_of(row.find(metric, _USERS)) for metric in metrics]
        cells.append(Cell(text=BLIND_WORDS.get(row.label, "–"), words=True))
        lines.append(Line(label=row.label, cells=tuple(cells), kind="reference"))
    return Grid(headings=(*metrics.values(), "Looks\N{NO-BREAK SPACE}at"), lines=tuple(lines))


def _measured(rows: Sequence[Row]) -> dict[str, str]:
    """Return metrics and headings of those columns that at least one row has a figure for."""
    return {key: name for key, name in _METRICS.items() if any(row.find(key, _USERS) for row in rows)}


def _quality(membership: Membership) -> Grid:
    columns = [(metric, users) for metric in quality_metrics(membership) for users in _GROUPS]
    blocks = [block for block in membership.blocks if block.victim is not None]
    lines = []
    for block in blocks:
        found = [block.victim.find(*column) if block.victim else None for column in columns]
        lines.append(Line(label=serving_title(block.serving), cells=tuple(map(cell_of, found))))
    names = [(metric.replace("ndcg", "NDCG").replace("recall", "Recall"), users) for metric, users in columns]
    return Grid(
        headings=tuple(f"{metric}, {users}" for metric, users in names), lines=tuple(lines) if columns else ()
    )


def _cost(membership: Membership) -> Grid:
    metrics = dict.fromkeys(figure.metric for figure in membership.costs)
    rows: dict[tuple[str, str], dict[str, Figure]] = {}
    for figure in membership.costs:
        key = (printable(figure.attack), serving_title(figure.serving) if figure.serving else "–")
        # A figure that stands twice is left over, and so among the other figures.
        rows.setdefault(key, {}).setdefault(figure.metric, figure)
    lines = tuple(
        Line(
            label=attack,
            cells=(Cell(text=serving, words=True), *(cell_of(found.get(metric)) for metric in metrics)),
        )
        for (attack, serving), found in rows.items()
    )
    headings = ("Serving", *(printable(metric).capitalize() for metric in metrics))
    return Grid(headings=headings, lines=lines)
