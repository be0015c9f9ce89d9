"""The tables of an audit, each once for terminal, Markdown and page; and all figures as CSV."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from recaudit.files import whole_file
from recaudit.report.index import COLUMNS, Figure, Figures
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
from recaudit.report.table import Cell, Column, Emphasis, Line, Section, Table, cell_of, escaped, shown, words
from recaudit.report.table import markdown as as_markdown
from recaudit.report.table import terminal as as_terminal
from recaudit.report.views import COSTS, KNOWN, Served, Stealing, served
from recaudit.vocabulary import (
    BLIND,
    COUNT,
    GROUPS,
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
    "markdown_table",
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

_LEAKS = ("auc", "tpr@0.01", "tpr@0.001", "accuracy")
_JUDGED = ("members", "non-members")
NEEDS = {
    "histories": "retrains on candidates’ data",
    "auxiliary": "own data",
    "lists": "",
    "shadows": "",
}
"""What a membership attack needs beside the candidates' histories and lists, which all of them have."""


def terminal_table(result: Result) -> RenderableType:
    """Return all tables of figures for a terminal of any width, with what to read with care below them."""
    parts: list[RenderableType] = [Text(setting(result), style="bold")]
    for sentences, table in _headline(result):
        parts += [Text(" ".join(sentences))] if sentences else []
        parts.append(as_terminal(table))
    parts += [Text(f"Note: {note}") for note in notes(result)]
    return Group(*(Padding(part, (1, 0, 0, 0)) for part in parts))


def markdown_table(result: Result) -> str:
    """Return the same as Markdown."""
    parts = [f"{escaped(setting(result))}.\n"]
    for sentences, table in _headline(result):
        parts += [escaped(" ".join(sentences)) + "\n"] if sentences else []
        parts.append(as_markdown(table))
    parts += [f"- {escaped(str(note))}" for note in notes(result)]
    return "\n".join([*parts, ""])


def _headline(result: Result) -> list[tuple[list[str], Table]]:
    """Return each table of figures after the sentences that it belongs to."""
    stealing, blocks = Stealing(result), served(result)
    found: list[tuple[list[str], Table]] = []
    if stealing or not blocks:
        found += [
            (stealing_verdict(stealing), agreement(stealing)),
            ([], quality(stealing)),
            ([], cost(stealing)),
        ]
    for place, block in enumerate(blocks):
        said = membership_verdict(result)[:1] if place == 0 else leak(block)
        found.append((said, membership(block)))
    if blocks:
        found.append(([], membership_quality(blocks)))
    tables = [table for _, table in found]
    left = [figure for figure in leftover(result, tables) if figure.metric not in COSTS]
    found.append(([], other_figures(left)))
    return [(said, table) for said, table in found if table.lines or said]


def leftover(result: Result, tables: Sequence[Table]) -> tuple[Figure, ...]:
    """Return the figures that none of ``tables`` shows."""
    found: list[Figure] = []
    for threat in dict.fromkeys(figure.threat for figure in result.figures):
        seen = [one for one in shown(tables) if one is not None and one.threat == threat]
        found += Figures.of(f for f in result.figures if f.threat == threat).leftover(seen)
    return tuple(found)


def agreement(stealing: Stealing) -> Table:
    """Return the agreement of each attack with the victim, between floor and ceiling."""
    columns: list[tuple[str, str, tuple[str, ...]]] = [
        (GROUPS[group].label, "agreement", (group,))
        for group in ("unqueried", "unseen", "queried", "all")
        if group in ("unqueried", "queried")
        or any(stealing.find(row, "agreement", group) for row in stealing.rows)
    ]
    columns += [(METRICS[name].label, name, ("unqueried", "all")) for name in ("place", "rbo")]
    return Table(
        title=f"Agreement@{stealing.k} with the victim, and its place between floor and ceiling",
        columns=_columns("Attack", [heading for heading, _, _ in columns]),
        sections=tuple(
            Section(lines=tuple(_stolen(stealing, row, [names for _, *names in columns]) for row in rows))
            for rows in (
                stealing.without_attack,
                stealing.attacks,
                stealing.rows[_before_ceiling(stealing) :],
            )
            if rows
        ),
    )


def _before_ceiling(stealing: Stealing) -> int:
    return len(stealing.without_attack) + len(stealing.attacks)


def _stolen(stealing: Stealing, row: str, wanted: Sequence[Sequence[object]]) -> Line:
    """Return a row; ``wanted`` names a metric and the users to take it for, in order."""
    cells = (cell_of(stealing.find(row, str(metric), *users)) for metric, users in wanted)  # type: ignore[misc]
    return Line(cells=(words(stealing.label(row)), *cells), emphasis=_emphasis(stealing, row))


def _emphasis(stealing: Stealing, row: str) -> Emphasis:
    if row in REFERENCES:
        return "reference"
    return "strongest" if row == stealing.strongest else ""


def quality(stealing: Stealing) -> Table:
    """Return how well clones and victim recommend."""
    rows = (*stealing.rows, *((VICTIM,) if VICTIM in stealing.figures.attacks else ()))
    columns: list[tuple[str, tuple[str, ...]]] = [
        ("recall", ("all", "unqueried")),
        ("ndcg", ("all", "unqueried")),
    ]
    columns += [
        (name, ("target",))
        for name in ("diversity", "coverage")
        if any(stealing.find(row, name, "target") for row in rows)
    ]
    measured = [row for row in rows if any(stealing.find(row, name, *users) for name, users in columns)]
    return Table(
        title=f"Recommendation quality in the top {stealing.k}, with 95 % intervals",
        columns=_columns("Recommender", [METRICS[name].label for name, _ in columns]),
        sections=(Section(lines=tuple(_stolen(stealing, row, columns) for row in measured)),),
    )


def cost(stealing: Stealing) -> Table:
    """Return what each attack asked of the victim, and how long it took."""
    counts = ["lists", *(["sequences", "calls"] if stealing.shows_histories else []), "users", "items"]
    lines = []
    for row in stealing.rows:
        budgets = {one.budget for one in stealing.result.ledgers if one.attack == row}
        limit = ", ".join(sorted("none" if one is None else number(one) for one in budgets)) or NOT_MEASURED
        cells = [
            _counted(stealing.find(row, count, *KNOWN), stealing.asked(row, count), COUNT.text)
            for count in counts
        ]
        seconds = _counted(stealing.find(row, "seconds", *KNOWN), stealing.seconds(row), SECONDS.text)
        emphasis: Emphasis = "reference" if row in REFERENCES else ""
        lines.append(
            Line(cells=(words(stealing.label(row)), *cells, Cell(text=limit), seconds), emphasis=emphasis)
        )
    headings = [*(METRICS[count].label for count in counts), "Budget", METRICS["seconds"].label]
    return Table(
        title="What each attack asked of the victim and the seconds it took; means over the seeds",
        columns=_columns("Attack", headings),
        sections=(Section(lines=tuple(lines)),),
    )


def _counted(figure: Figure | None, value: float | None, text: object) -> Cell:
    """Return a figure's cell, or the value that the ledgers or stages hold."""
    if figure is not None or value is None:
        return cell_of(figure)
    assert callable(text)
    return Cell(text=str(text(value)))


def attack_knowledge(stealing: Stealing) -> Table:
    """Return what each attack is given and does, by its card."""
    lines = []
    for row in stealing.rows:
        card = stealing.card(row)
        given = ["yes" if need in card.needs else "no" for need in ("histories", "auxiliary", "lists")]
        given = given if card.needs else [NOT_MEASURED] * len(given)
        lines.append(
            Line(
                cells=tuple(map(words, (card.label, *given, card.sentence))),
                emphasis="reference" if row in REFERENCES else "",
            )
        )
    headings = ("Users’ histories", "Auxiliary data", "Victim’s lists", "What it does")
    return Table(
        title="What each attack is given",
        columns=_columns("Attack", headings, align="left"),
        sections=(Section(lines=tuple(lines)),),
    )


def membership(block: Served) -> Table:
    """Return the attacks and blind detectors under one way of serving."""
    rows = (*block.attacks, *block.blind)
    metrics = [metric for metric in _LEAKS if any(block.find(row, metric) for row in rows)]
    null = ["Null control"] if block.null else []
    headings = [*(metric_of(metric).label for metric in metrics), *null]
    return Table(
        title=f"Membership inference: {block.title.lower()}; 95 % intervals",
        columns=(
            *_columns("Attack", headings),
            Column(heading="Needs, or looks at", align="left", optional=True),
        ),
        sections=tuple(
            Section(lines=tuple(_line(block, row, metrics) for row in some))
            for some in (block.attacks, block.blind)
            if some
        ),
        notes=tuple(filter(None, (best_feature(block), null_control(block)))),
    )


def _line(block: Served, row: str, metrics: Sequence[str]) -> Line:
    cells = [cell_of(block.find(row, metric)) for metric in metrics]
    if block.null:
        cells.append(cell_of(block.find(f"{NULL}{row}", "auc")))
    if row.startswith(BLIND):
        said = block.card(row).sentence or NOT_MEASURED
        return Line(cells=(words(block.label(row)), *cells, words(said)), emphasis="reference")
    emphasis: Emphasis = "strongest" if row == block.strongest else ""
    return Line(cells=(words(block.label(row)), *cells, words(needs(block, row))), emphasis=emphasis)


def needs(block: Served, row: str) -> str:
    """Return what an attack needs beside the candidates' histories and lists."""
    card = block.card(row)
    if not card.needs:
        return "not known"
    return next((NEEDS[need] for need in card.needs if NEEDS.get(need)), "nothing more")


def membership_quality(blocks: Sequence[Served]) -> Table:
    """Return how well the victim's lists recommend, to members and to strangers."""
    columns = [(metric, users) for metric in _quality_metrics(blocks) for users in _JUDGED]
    return Table(
        title="Recommendation quality of the victim’s lists, with 95 % intervals",
        columns=_columns(
            "Serving", [f"{metric_of(name).label}, {GROUPS[users].label.lower()}" for name, users in columns]
        ),
        sections=(
            Section(
                lines=tuple(
                    Line(
                        cells=(
                            words(block.title),
                            *(cell_of(block.find(VICTIM, *column)) for column in columns),
                        )
                    )
                    for block in blocks
                    if columns and VICTIM in block.figures.attacks
                )
            ),
        ),
    )


def _quality_metrics(blocks: Sequence[Served]) -> list[str]:
    found = dict.fromkeys(
        metric
        for block in blocks
        for metric in block.figures.metrics
        if any(block.find(VICTIM, metric, users) for users in _JUDGED)
    )
    return sorted(found, key=lambda name: metric_of(name).order)


def membership_knowledge(blocks: Sequence[Served]) -> Table:
    """Return what each membership attack needs and does, by its card."""
    first = {row: block for block in reversed(blocks) for row in block.attacks}
    rows = sorted(first, key=lambda row: first[row].card(row).order)
    return Table(
        title="What each membership attack knows",
        columns=_columns("Attack", ("Needs", "What it does"), align="left"),
        sections=(
            Section(
                lines=tuple(
                    Line(
                        cells=tuple(
                            map(
                                words,
                                (
                                    first[row].label(row),
                                    needs(first[row], row),
                                    first[row].card(row).sentence,
                                ),
                            )
                        )
                    )
                    for row in rows
                )
            ),
        ),
    )


def membership_cost(result: Result) -> Table:
    """Return what the membership attacks took and asked for."""
    costs = Figures.of(f for f in result.figures if f.threat == "membership" and f.metric in COSTS)
    rows: dict[tuple[str, str], dict[str, Figure]] = {}
    for figure in costs:
        place = serving_card(figure.serving).label if figure.serving else NOT_MEASURED
        label = result.card(figure.attack, "membership").label
        rows.setdefault((label, place), {}).setdefault(figure.metric, figure)
    return Table(
        title="What the membership attacks took and asked for; means over the seeds",
        columns=(
            Column(heading="Attack or stage", align="left"),
            Column(heading="Serving", align="left"),
            *(Column(heading=metric_of(metric).label) for metric in costs.metrics),
        ),
        sections=(
            Section(
                lines=tuple(
                    Line(
                        cells=(
                            words(label),
                            words(place),
                            *(cell_of(found.get(one)) for one in costs.metrics),
                        )
                    )
                    for (label, place), found in rows.items()
                )
            ),
        ),
    )


def stages(result: Result) -> Table:
    """Return where the audit's time went."""
    lines = []
    for name in dict.fromkeys(stage.stage for stage in result.stages):
        same = [stage for stage in result.stages if stage.stage == name]
        seconds = _mean([stage.seconds for stage in same if stage.seconds is not None])
        epochs = _mean([stage.epochs for stage in same if stage.epochs is not None])
        texts = (
            number(len(same)),
            SECONDS.text(seconds),
            NOT_MEASURED if epochs is None else number(epochs),
        )
        lines.append(Line(cells=(words(printable(name)), *(Cell(text=text) for text in texts))))
    return Table(
        title="Stages of the audit",
        columns=_columns("Stage", ("Times run", "Mean seconds", "Mean epochs")),
        sections=(Section(lines=tuple(lines)),),
    )


def other_figures(figures: Sequence[Figure]) -> Table:
    """Return a table of figures that no other table has a column for."""
    lines = []
    for figure in figures:
        users = figure.users if figure.serving is None else f"{figure.users}, {figure.serving}"
        names = (words(printable(name)) for name in (figure.attack, users, figure.metric))
        lines.append(Line(cells=(*names, cell_of(figure))))
    return Table(
        title="Other figures, with 95 % intervals",
        columns=(*_columns("Attack", ("Users", "Metric"), align="left"), Column(heading="Value")),
        sections=(Section(lines=tuple(lines)),),
    )


def write_figures_csv(result: Result, path: Path) -> None:
    """Write all figures to ``path``, one a row, columns ``COLUMNS``, in full precision, whole or not at all.

    What is not available is an empty field.
    """
    with whole_file(path) as temporary:
        Figures.of(result.figures).frame.write_csv(temporary)


def _columns(first: str, headings: Iterable[str], *, align: str = "right") -> tuple[Column, ...]:
    return (
        Column(heading=first, align="left"),
        *(Column(heading=heading, align="left" if align == "left" else "right") for heading in headings),
    )


def _mean(values: Sequence[int | float]) -> float | None:
    return sum(values) / len(values) if values else None
