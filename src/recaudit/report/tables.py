"""The headline figures as terminal tables and as Markdown, and all figures as CSV."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from recaudit.files import whole_file
from recaudit.report.membership_rows import arrange_membership
from recaudit.report.membership_tables import membership_markdown, membership_tables, without_a_place
from recaudit.report.result import Figure, Result
from recaudit.report.rows import NOT_MEASURED, Arranged, Row, arrange, decimals, number, printable
from recaudit.report.words import caution, setting

__all__ = [
    "COLUMNS",
    "asked_for",
    "markdown_table",
    "seconds_taken",
    "shows_histories",
    "terminal_table",
    "write_figures_csv",
]

COLUMNS = (
    *("data", "victim", "clone", "attack", "users", "metric", "value", "low", "high", "seeds"),
    *("threat", "serving"),
)
"""The columns of ``figures.csv``, in order."""

_METRICS = {"seconds", "lists", "users", "items", "sequences", "calls"}
_METRICS_AT_K = {"agreement", "place", "rbo", "recall", "ndcg"}
_GROUPS = {"all", "queried", "unqueried", "unseen"}


def terminal_table(result: Result) -> RenderableType:
    """Return the headline tables for a terminal, with what to read with care below them.

    Stealing: one row an attack, the floor above and the ceiling below them. Membership inference, where it
    was measured: one table a way of serving. Shares from 0 to 1 as in ``figures.csv``. They fit 100 columns
    and 80, where intervals go below their values. Attacks that the report does not know have a row like any
    other; figures of metrics that it does not know follow in a table.
    """
    arranged, membership = arrange(result), arrange_membership(result)
    parts: list[RenderableType] = []
    if arranged.rows or membership is None:
        parts.append(_table(result, arranged))
        if _apart(result, arranged):
            parts.append(Padding(_cost_table(result, arranged), (1, 0, 0, 0)))
        parts.append(Padding(Text(_caption(arranged)), (1, 0, 0, 0)))
    if membership is not None:
        parts += [*([] if parts else [Text(setting(result))]), *membership_tables(membership)]
    parts += [Padding(Text(f"Note: {note}"), (1, 0, 0, 0)) for note in caution(result, arranged)]
    stealing = [figure for figure in result.figures if figure.threat != "membership"]
    unknown = [figure for figure in stealing if not _has_a_place(figure, arranged)]
    unknown += [] if membership is None else without_a_place(membership)
    return Group(*parts, *([_other_figures(unknown)] if unknown else []))


def _table(result: Result, arranged: Arranged) -> Table:
    table = Table(
        title=Text(setting(result)),
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        pad_edge=False,
    )
    table.add_column("attack", min_width=9, max_width=24, overflow="fold")
    for top, bottom in _headings(result, arranged):
        # An interval, "(0.623–0.671)", is 13 wide and goes below its value where both do not fit.
        wide = top == "agreement"
        table.add_column(
            f"{top}\n{bottom}", justify="right", no_wrap=not wide, min_width=13 if wide else None
        )
    ends = [group[-1] for group in (arranged.without_attack, arranged.attacks) if group]
    for row in arranged.rows:
        style = "italic" if row.is_reference else "bold" if row is arranged.strongest else ""
        table.add_row(
            Text(row.label),
            *_cells(result, arranged, row),
            style=style,
            end_section=any(row is end for end in ends),
        )
    return table


def _cost_table(result: Result, arranged: Arranged) -> Table:
    """Return what the attacks asked for and took, where the headline table has no room for it."""
    headings, rows = _costs(result, arranged)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    table.add_column("attack", min_width=9, max_width=24, overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for label, cells in rows:
        table.add_row(Text(label), *cells)
    return table


def _costs(result: Result, arranged: Arranged) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Return what was asked for and taken: the headings after the name, and a row an attack."""
    asked = ["lists", *(["sequences", "calls"] if shows_histories(result) else [])]
    rows = []
    for row in (*((arranged.auxiliary,) if arranged.auxiliary else ()), *arranged.attacks):
        counts = [asked_for(result, row, name) for name in asked]
        texts = [NOT_MEASURED if count is None else number(count) for count in counts]
        rows.append((row.label, [*texts, _seconds(result, row)]))
    return [*asked, "seconds"], rows


def markdown_table(result: Result) -> str:
    """Return the headline tables as Markdown, with the rows and columns of ``terminal_table``."""
    arranged, membership = arrange(result), arrange_membership(result)
    parts = []
    if arranged.rows or membership is None:
        headings = ["".join(heading) for heading in _headings(result, arranged)]
        rows = [(row.label, _cells(result, arranged, row)) for row in arranged.rows]
        lines = _markdown_lines(headings, rows)
        if _apart(result, arranged):
            lines += ["", *_markdown_lines(*_costs(result, arranged))]
        parts.append("\n".join([*lines, "", f"{setting(result)}. {_caption(arranged)}", ""]))
    if membership is not None:
        parts += [*([] if parts else [f"{setting(result)}.\n"]), membership_markdown(membership)]
    return "\n".join(parts)


def write_figures_csv(result: Result, path: Path) -> None:
    """Write all figures to ``path``, one a row, columns ``COLUMNS``, in full precision, whole or not at all.

    What is not available is an empty field.
    """
    numbers = {"value": pl.Float64, "low": pl.Float64, "high": pl.Float64, "seeds": pl.Int64}
    schema = pl.Schema({name: numbers.get(name, pl.String) for name in COLUMNS})
    rows = [figure.model_dump(include=set(COLUMNS)) for figure in result.figures]
    with whole_file(path) as temporary:
        pl.DataFrame(rows, schema=schema).write_csv(temporary)


def asked_for(result: Result, row: Row, count: str) -> float | None:
    """Return how many ``lists``, ``sequences`` or ``calls`` the attack of ``row`` took, on average."""
    figure = row.find(count, "all", "queried", "unqueried")
    if figure is not None:
        return figure.value
    own = [ledger for ledger in result.ledgers if ledger.attack == row.attack]
    counts = {
        "lists": [ledger.lists for ledger in own],
        "sequences": [ledger.sequences for ledger in own],
        "calls": [ledger.calls for ledger in own],
    }[count]
    return sum(counts) / len(counts) if counts else None


def shows_histories(result: Result) -> bool:
    """Whether histories could be shown to the victim, so that sequences and calls were counted."""
    counted = any(figure.metric == "sequences" for figure in result.figures)
    return counted or any(ledger.sequences for ledger in result.ledgers)


def seconds_taken(result: Result, row: Row) -> float | None:
    """Return how many seconds the attack of ``row`` took, the mean over the seeds."""
    figure = row.find("seconds", "all", "queried", "unqueried")
    if figure is not None:
        return figure.value
    taken = [s.seconds for s in result.stages if s.stage == row.attack and s.seconds is not None]
    return sum(taken) / len(taken) if taken else None


def _apart(result: Result, arranged: Arranged) -> bool:
    """Whether what attacks cost has a table of its own, as the headline's has no room for it."""
    return arranged.has_users("unseen") or shows_histories(result)


def _headings(result: Result, arranged: Arranged) -> list[tuple[str, str]]:
    """Return the headings after the attack's name, two lines each."""
    at = f"@{arranged.k}"
    return [
        ("agreement", f"{at} unqueried"),
        ("agreement", f"{at} queried"),
        *([("agreement", f"{at} unseen")] if arranged.has_users("unseen") else []),
        ("place", ""),
        ("RBO", at),
        ("recall", at),
        *([] if _apart(result, arranged) else [("lists", ""), ("seconds", "")]),
    ]


def _cells(result: Result, arranged: Arranged, row: Row) -> list[str]:
    """Return the texts of a row, one a heading."""
    agreement, place, rbo, recall = map(arranged.metric, ("agreement", "place", "rbo", "recall"))
    lists = asked_for(result, row, "lists")
    unseen = decimals(row.find(agreement, "unseen"), interval=True)
    cost = [NOT_MEASURED if lists is None else number(lists), _seconds(result, row)]
    return [
        decimals(row.find(agreement, "unqueried"), interval=True),
        decimals(row.find(agreement, "queried"), interval=True),
        *([unseen] if arranged.has_users("unseen") else []),
        decimals(row.find(place, "unqueried", "all"), interval=False, digits=2),
        decimals(row.find(rbo, "unqueried", "all"), interval=False),
        decimals(row.find(recall, "all", "unqueried"), interval=False),
        *([] if _apart(result, arranged) else cost),
    ]


def _seconds(result: Result, row: Row) -> str:
    seconds = seconds_taken(result, row)
    return NOT_MEASURED if seconds is None else number(seconds, 0 if seconds >= 10 else 1)


def _caption(arranged: Arranged) -> str:
    recall = arranged.metric("recall")
    own = arranged.victim and arranged.victim.find(recall, "all", "unqueried")
    victim = f"; the victim’s own is {decimals(own, interval=True)}" if own else ""
    others = [
        words
        for there, words in (
            (arranged.constant, "Constant list: one for all, in hindsight. "),
            (arranged.auxiliary, "Auxiliary: a model of the auxiliary data alone, which asks nothing. "),
            (arranged.has_users("unseen"), "Unseen: users whom the attacker has never seen. "),
        )
        if there
    ]
    return (
        "In brackets: 95 % intervals. Place: 0 is the popular list, 1 the victim retrained with another "
        f"seed. Recall: the clone’s own{victim}. {''.join(others)}"
        f"{NOT_MEASURED}: not measured or not available."
    )


def _has_a_place(figure: Figure, arranged: Arranged) -> bool:
    """Return whether the report's own tables have a column for the metric, at this k and for these users."""
    known = _METRICS | {arranged.metric(name) for name in _METRICS_AT_K}
    return (
        figure.metric in known and figure.users in _GROUPS and all(figure is not f for f in arranged.doubled)
    )


def _other_figures(figures: Sequence[Figure]) -> RenderableType:
    table = Table(title="other figures", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for heading in ("attack", "users", "metric"):
        table.add_column(heading)
    table.add_column("value", justify="right")
    for figure in figures:
        names = (Text(printable(name)) for name in (figure.attack, figure.users, figure.metric))
        table.add_row(*names, decimals(figure, interval=True))
    return Padding(table, (1, 0, 0, 0))


def _markdown_lines(headings: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    lines = [_markdown_row(["attack", *headings]), "|---" + "|---:" * len(headings) + "|"]
    return [*lines, *(_markdown_row([label, *cells]) for label, cells in rows)]


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("\\", "\\\\").replace("|", "\\|") for cell in cells) + " |"
