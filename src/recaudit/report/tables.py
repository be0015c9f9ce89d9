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

__all__ = ["COLUMNS", "lists_asked", "markdown_table", "seconds_taken", "terminal_table", "write_figures_csv"]

COLUMNS = (
    *("data", "victim", "clone", "attack", "users", "metric", "value", "low", "high", "seeds"),
    *("threat", "serving"),
)
"""The columns of ``figures.csv``, in order."""

_METRICS = {"seconds", "lists", "users", "items"}
_METRICS_AT_K = {"agreement", "place", "rbo", "recall", "ndcg"}
_GROUPS = {"all", "queried", "unqueried"}


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
        parts += [_table(result, arranged), Padding(Text(_caption(arranged)), (1, 0, 0, 0))]
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
    for top, bottom in _headings(arranged):
        # An interval, "(0.623–0.671)", is 13 wide and goes below its value where both do not fit.
        wide = bottom.endswith("queried")
        table.add_column(
            f"{top}\n{bottom}", justify="right", no_wrap=not wide, min_width=13 if wide else None
        )
    for row in arranged.rows:
        last_attack = bool(arranged.attacks) and row is arranged.attacks[-1]
        style = "italic" if row.is_reference else "bold" if row is arranged.strongest else ""
        table.add_row(
            Text(row.label),
            *_cells(result, arranged, row),
            style=style,
            end_section=row is arranged.floor or last_attack,
        )
    return table


def markdown_table(result: Result) -> str:
    """Return the headline tables as Markdown, with the rows and columns of ``terminal_table``."""
    arranged, membership = arrange(result), arrange_membership(result)
    parts = []
    if arranged.rows or membership is None:
        headings = ["".join(heading) for heading in _headings(arranged)]
        lines = [_markdown_row(["attack", *headings]), "|---" + "|---:" * len(headings) + "|"]
        lines += [_markdown_row([row.label, *_cells(result, arranged, row)]) for row in arranged.rows]
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


def lists_asked(result: Result, row: Row) -> float | None:
    """Return how many lists the attack of ``row`` asked for, the mean over the seeds."""
    figure = row.find("lists", "all", "queried", "unqueried")
    if figure is not None:
        return figure.value
    asked = [ledger.lists for ledger in result.ledgers if ledger.attack == row.attack]
    return sum(asked) / len(asked) if asked else None


def seconds_taken(result: Result, row: Row) -> float | None:
    """Return how many seconds the attack of ``row`` took, the mean over the seeds."""
    figure = row.find("seconds", "all", "queried", "unqueried")
    if figure is not None:
        return figure.value
    taken = [s.seconds for s in result.stages if s.stage == row.attack and s.seconds is not None]
    return sum(taken) / len(taken) if taken else None


def _headings(arranged: Arranged) -> list[tuple[str, str]]:
    """Return the headings after the attack's name, two lines each."""
    at = f"@{arranged.k}"
    return [
        ("agreement", f"{at} unqueried"),
        ("agreement", f"{at} queried"),
        ("place", ""),
        ("RBO", at),
        ("recall", at),
        ("lists", ""),
        ("seconds", ""),
    ]


def _cells(result: Result, arranged: Arranged, row: Row) -> list[str]:
    """Return the texts of a row, one a heading."""
    agreement, place, rbo, recall = map(arranged.metric, ("agreement", "place", "rbo", "recall"))
    lists, seconds = lists_asked(result, row), seconds_taken(result, row)
    return [
        decimals(row.find(agreement, "unqueried"), interval=True),
        decimals(row.find(agreement, "queried"), interval=True),
        decimals(row.find(place, "unqueried", "all"), interval=False, digits=2),
        decimals(row.find(rbo, "unqueried", "all"), interval=False),
        decimals(row.find(recall, "all", "unqueried"), interval=False),
        NOT_MEASURED if lists is None else number(lists),
        NOT_MEASURED if seconds is None else number(seconds, 0 if seconds >= 10 else 1),
    ]


def _caption(arranged: Arranged) -> str:
    recall = arranged.metric("recall")
    own = arranged.victim and arranged.victim.find(recall, "all", "unqueried")
    victim = f"; the victim’s own is {decimals(own, interval=True)}" if own else ""
    return (
        "In brackets: 95 % intervals. Place: 0 is the popular list, 1 the victim retrained with another "
        f"seed. Recall: the clone’s own{victim}. {NOT_MEASURED}: not measured or not available."
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


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("\\", "\\\\").replace("|", "\\|") for cell in cells) + " |"
