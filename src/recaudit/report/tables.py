"""The tables of an audit, each once for terminal, Markdown and page; and all figures as CSV."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from recaudit.figures import COLUMNS, Figure, Figures
from recaudit.files import whole_file
from recaudit.report.result import Result
from recaudit.report.sentences import (
    best_feature,
    leak,
    membership_verdict,
    notes,
    null_control,
    setting,
    stealing_verdict,
)
from recaudit.report.table import (
    Cell,
    Column,
    Emphasis,
    Line,
    Table,
    cell_of,
    shown,
    table_of,
    words,
)
from recaudit.report.table import terminal as as_terminal
from recaudit.report.views import COSTS, KNOWN, Served, Stealing, served
from recaudit.vocabulary import (
    BLIND,
    GROUPS,
    JUDGED,
    LEAKS,
    METRICS,
    NOT_MEASURED,
    NULL,
    REFERENCES,
    SECONDS,
    VICTIM,
    metric_of,
    number,
    printable,
    serving_card,
)

__all__ = [
    "COLUMNS",
    "agreement",
    "attack_knowledge",
    "cost",
    "hollow",
    "membership",
    "membership_cost",
    "membership_knowledge",
    "membership_quality",
    "other_figures",
    "quality",
    "stages",
    "terminal_table",
    "write_figures_csv",
]

_Wanted = tuple[str, tuple[str, ...]]  # a metric, and the users to take it for, in order
NEEDS = {
    "histories": "retrains on candidates’ data",
    "auxiliary": "own data",
    "lists": "",
    "shadows": "",
}
"""What a membership attack needs beside the candidates' histories and lists, which all of them have."""


def terminal_table(result: Result) -> RenderableType:
    """Return all tables of figures for a terminal of any width, with what to read with care below them."""
    stealing, blocks = Stealing(result), served(result)
    found: list[str | Table] = []
    if stealing or not blocks:
        found.append(" ".join(stealing_verdict(stealing)))
        found += [agreement(stealing), quality(stealing), hollow(stealing), cost(stealing)]
    for place, block in enumerate(blocks):
        found.append(" ".join(leak(block)) if place else membership_verdict(result)[0])
        found.append(membership(block))
    found.append(membership_quality(blocks))
    left = leftover(result, [part for part in found if isinstance(part, Table)])
    found.append(other_figures([figure for figure in left if figure.metric not in COSTS]))
    found += [f"Note: {note}" for note in notes(result)]
    parts = [Text(part) if isinstance(part, str) else as_terminal(part) for part in found if _said(part)]
    return Group(*(Padding(part, (1, 0, 0, 0)) for part in (Text(setting(result), style="bold"), *parts)))


def _said(part: str | Table) -> bool:
    return bool(part if isinstance(part, str) else part.lines)


def leftover(result: Result, tables: Sequence[Table]) -> tuple[Figure, ...]:
    """Return the figures that none of ``tables`` shows."""
    found: list[Figure] = []
    for threat in dict.fromkeys(figure.threat for figure in result.figures):
        seen = [one for one in shown(tables) if one is not None and one.threat == threat]
        found += Figures.of(f for f in result.figures if f.threat == threat).leftover(seen)
    return tuple(found)


def agreement(stealing: Stealing) -> Table:
    """Return the agreement of each attack with the victim, between floor and ceiling."""
    groups = ["unqueried", "unseen", "queried", "all"]
    there = [one for one in groups if any(stealing.find(row, "agreement", one) for row in stealing.rows)]
    wanted: list[_Wanted] = [("agreement", (group,)) for group in there or groups[:1]]
    wanted += [(name, ("unqueried", "all")) for name in ("place", "rbo")]
    headings = [
        GROUPS[users[0]].label if name == "agreement" else METRICS[name].label for name, users in wanted
    ]
    last = stealing.rows[len(stealing.without_attack) + len(stealing.attacks) :]
    return table_of(
        f"Agreement@{stealing.k} with the victim, and its place between floor and ceiling",
        ["Attack", *headings],
        *(
            [_stolen(stealing, row, wanted) for row in rows]
            for rows in (stealing.without_attack, stealing.attacks, last)
        ),
    )


def _stolen(stealing: Stealing, row: str, wanted: Sequence[_Wanted]) -> Line:
    """Return a row; ``wanted`` names a metric and the users to take it for, in order."""
    cells = (cell_of(stealing.find(row, metric, *users)) for metric, users in wanted)
    return Line(cells=(words(stealing.label(row)), *cells), emphasis=_emphasis(row, stealing.strongest))


def _emphasis(row: str, strongest: str | None = None) -> Emphasis:
    if row in REFERENCES or row.startswith(BLIND):
        return "reference"
    return "strongest" if row == strongest else ""


def quality(stealing: Stealing) -> Table:
    """Return how well clones and victim recommend."""
    rows = (*stealing.rows, *((VICTIM,) if VICTIM in stealing.figures.attacks else ()))
    wanted: list[_Wanted] = [(name, ("all", "unqueried")) for name in ("recall", "ndcg")]
    wanted += [
        (name, ("target",))
        for name in ("diversity", "coverage")
        if any(stealing.find(row, name, "target") for row in rows)
    ]
    measured = [row for row in rows if any(stealing.find(row, name, *users) for name, users in wanted)]
    return table_of(
        f"Recommendation quality in the top {stealing.k}, with 95 % intervals",
        ["Recommender", *(METRICS[name].label for name, _ in wanted)],
        (_stolen(stealing, row, wanted) for row in measured),
    )


def hollow(stealing: Stealing) -> Table:
    """Return what agreement says nothing of: places that ties fill, overlap that arithmetic forces."""
    rows = (*stealing.rows, VICTIM)
    wanted: list[_Wanted] = [(name, ("unqueried",)) for name in ("tied", "short", "forced")]
    measured = [row for row in rows if any(stealing.find(row, name, *users) for name, users in wanted)]
    return table_of(
        f"What agreement@{stealing.k} on unqueried users says nothing of",
        ["Recommender", *(METRICS[name].label for name, _ in wanted)],
        (_stolen(stealing, row, wanted) for row in measured),
    )


def cost(stealing: Stealing) -> Table:
    """Return what each attack asked of the victim, and how long it took."""
    counts = ["lists", *(["sequences", "calls"] if stealing.shows_histories else []), "users", "items"]
    lines = []
    for row in stealing.rows:
        budgets = {one.budget for one in stealing.result.ledgers if one.attack == row}
        limit = ", ".join(sorted("none" if one is None else number(one) for one in budgets)) or NOT_MEASURED
        cells = [_counted(stealing, row, count) for count in counts]
        cells += [Cell(text=limit), _counted(stealing, row, "seconds")]
        lines.append(Line(cells=(words(stealing.label(row)), *cells), emphasis=_emphasis(row)))
    return table_of(
        "What each attack asked of the victim and the seconds it took; means over the seeds",
        ["Attack", *(METRICS[count].label for count in counts), "Budget", METRICS["seconds"].label],
        lines,
    )


def _counted(stealing: Stealing, row: str, metric: str) -> Cell:
    """Return a figure's cell, or the value that the ledgers or stages hold."""
    figure = stealing.find(row, metric, *KNOWN)
    value = stealing.asked(row, metric)
    return cell_of(figure) if figure or value is None else Cell(text=METRICS[metric].form.text(value))


def attack_knowledge(stealing: Stealing) -> Table:
    """Return what each attack is given and does, by its card."""
    lines = []
    for row in stealing.rows:
        card = stealing.card(row)
        given = ["yes" if need in card.needs else "no" for need in ("histories", "auxiliary", "lists")]
        texts = (card.label, *(given if card.needs else [NOT_MEASURED] * len(given)), card.sentence)
        lines.append(Line(cells=tuple(map(words, texts)), emphasis=_emphasis(row)))
    headings = ("Attack", "Users’ histories", "Auxiliary data", "Victim’s lists", "What it does")
    return table_of("What each attack is given", headings, lines, words_first=len(headings))


def membership(block: Served) -> Table:
    """Return the attacks and blind detectors under one way of serving."""
    rows = (*block.attacks, *block.blind)
    metrics = [metric for metric in LEAKS if any(block.find(row, metric) for row in rows)]
    null = ["Null control"] if block.null else []
    found = table_of(
        f"Membership inference: {block.title.lower()}; 95 % intervals",
        ["Attack", *(metric_of(metric).label for metric in metrics), *null],
        *([_inferred(block, row, metrics) for row in rows] for rows in (block.attacks, block.blind)),
        notes=tuple(filter(None, (best_feature(block), null_control(block)))),
    )
    last = Column(heading="Needs, or looks at", align="left", optional=True)
    return replace(found, columns=(*found.columns, last))


def _inferred(block: Served, row: str, metrics: Sequence[str]) -> Line:
    cells = [cell_of(block.find(row, metric)) for metric in metrics]
    cells += [cell_of(block.find(f"{NULL}{row}", "auc"))] if block.null else []
    said = (block.card(row).sentence or NOT_MEASURED) if row.startswith(BLIND) else needs(block, row)
    return Line(
        cells=(words(block.label(row)), *cells, words(said)), emphasis=_emphasis(row, block.strongest)
    )


def needs(block: Served, row: str) -> str:
    """Return what an attack needs beside the candidates' histories and lists."""
    card = block.card(row)
    if not card.needs:
        return "not known"
    return next((NEEDS[need] for need in card.needs if NEEDS.get(need)), "nothing more")


def membership_quality(blocks: Sequence[Served]) -> Table:
    """Return how well the victim's lists recommend, to members and to strangers."""
    columns = [(metric, users) for metric in _quality_metrics(blocks) for users in JUDGED]
    names = [f"{metric_of(metric).label}, {GROUPS[users].label.lower()}" for metric, users in columns]
    return table_of(
        "Recommendation quality of the victim’s lists, with 95 % intervals",
        ["Serving", *names],
        (
            (words(block.title), *(cell_of(block.find(VICTIM, *column)) for column in columns))
            for block in blocks
            if columns and VICTIM in block.figures.attacks
        ),
    )


def _quality_metrics(blocks: Sequence[Served]) -> list[str]:
    found = dict.fromkeys(
        metric
        for block in blocks
        for metric in block.figures.metrics
        if any(block.find(VICTIM, metric, users) for users in JUDGED)
    )
    return sorted(found, key=lambda name: metric_of(name).order)


def membership_knowledge(blocks: Sequence[Served]) -> Table:
    """Return what each membership attack needs and does, by its card."""
    found = {row: (block.card(row), needs(block, row)) for block in blocks for row in block.attacks}
    return table_of(
        "What each membership attack knows",
        ("Attack", "Needs", "What it does"),
        (
            tuple(map(words, (card.label, needed, card.sentence)))
            for card, needed in sorted(found.values(), key=lambda one: one[0].order)
        ),
        words_first=3,
    )


def membership_cost(result: Result) -> Table:
    """Return what the membership attacks took and asked for."""
    costs = Figures.of(f for f in result.figures if f.threat == "membership" and f.metric in COSTS)
    rows: dict[tuple[str, str], dict[str, Figure]] = {}
    for figure in costs:
        place = serving_card(figure.serving).label if figure.serving else NOT_MEASURED
        label = result.card(figure.attack, "membership").label
        rows.setdefault((label, place), {}).setdefault(figure.metric, figure)
    return table_of(
        "What the membership attacks took and asked for; means over the seeds",
        ["Attack or model", "Serving", *(metric_of(metric).label for metric in costs.metrics)],
        (
            (words(label), words(place), *(cell_of(found.get(one)) for one in costs.metrics))
            for (label, place), found in rows.items()
        ),
        words_first=2,
    )


def stages(result: Result) -> Table:
    """Return where the audit's time went."""
    lines = []
    for name in dict.fromkeys(stage.stage for stage in result.stages):
        same = [stage for stage in result.stages if stage.stage == name]
        seconds = _mean([stage.seconds for stage in same if stage.seconds is not None])
        epochs = _mean([stage.epochs for stage in same if stage.epochs is not None])
        texts = (number(len(same)), SECONDS.text(seconds), NOT_MEASURED if epochs is None else number(epochs))
        lines.append((words(printable(name)), *(Cell(text=text) for text in texts)))
    return table_of("Trainings and attacks", ("What", "Times run", "Mean seconds", "Mean epochs"), lines)


def other_figures(figures: Sequence[Figure]) -> Table:
    """Return a table of figures that no other table has a column for."""
    lines = []
    for figure in figures:
        users = figure.users if figure.serving is None else f"{figure.users}, {figure.serving}"
        names = (words(printable(name)) for name in (figure.attack, users, figure.metric))
        lines.append((*names, cell_of(figure)))
    headings = ("Attack", "Users", "Metric", "Value")
    return table_of("Other figures, with 95 % intervals", headings, lines, words_first=3)


def write_figures_csv(result: Result, path: Path) -> None:
    """Write all figures to ``path``, one a row, columns ``COLUMNS``, in full precision, whole or not at all.

    What is not available is an empty field.
    """
    with (
        whole_file(path) as temporary,
        temporary.open("wb") as file,
    ):  # Polars opens no name that is not UTF-8
        Figures.of(result.figures).frame.write_csv(file)


def _mean(values: Sequence[int | float]) -> float | None:
    return sum(values) / len(values) if values else None
