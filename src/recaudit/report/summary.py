"""An audit on one screen: what leaks, how sure that is, the figures to read first, what to read with care."""

from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.text import Text

from recaudit.figures import Figure
from recaudit.report.result import Result
from recaudit.report.sentences import leak, notes, setting, stealing_headline
from recaudit.report.table import Cell, Table, cell_of, escaped, table_of, words
from recaudit.report.table import markdown as markdown_table
from recaudit.report.table import terminal as terminal_table
from recaudit.report.views import Served, Stealing, non_members, served
from recaudit.vocabulary import CEILING, FLOOR, metric_of, number, several

__all__ = ["ROWS", "Reading", "Summary", "markdown", "summary", "terminal", "to_dict"]

ROWS = 24
"""The lines of a terminal that the summary has to fit."""

_IN_JSON = {"attack", "metric", "users", "value", "low", "high", "n", "seeds", "threat", "serving"}


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One of the figures to read first.

    Args:
        label: what it measures.
        attack: whose figure it is.
        figure: the figure.
        floor: what is reached without an attack.
        ceiling: the most that can be reached.
    """

    label: str
    attack: str
    figure: Figure
    floor: str
    ceiling: str


@dataclass(frozen=True, kw_only=True)
class Summary:
    """An audit in short.

    Args:
        setting: data, victim, clone and seeds.
        leaks: what leaks, a sentence a threat.
        sure: how sure that is: intervals, users and seeds.
        figures: the figures to read first.
        notes: what to read with care, the gravest first.
        report: where the report is; empty where it was not written.
    """

    setting: str
    leaks: tuple[str, ...]
    sure: str
    figures: tuple[Reading, ...]
    notes: tuple[str, ...]
    report: str = ""


def summary(result: Result, report: str | Path = "") -> Summary:
    """Return the summary of an audit.

    Args:
        result: the audit.
        report: where its report is.
    """
    stealing, blocks = Stealing(result), served(result)
    read = [_stolen(stealing), *map(_inferred, blocks[:1])]
    leaks = [f"Model stealing: {' '.join(stealing_headline(stealing))}"] if stealing else []
    leaks += [f"Membership inference: {' '.join(leak(block))}" for block in blocks[:1]]
    return Summary(
        setting=setting(result),
        leaks=tuple(leaks) or ("This audit has no figure.",),
        sure=_sure(result),
        figures=tuple(reading for reading in read if reading is not None),
        notes=tuple(note.short for note in notes(result)),
        report=str(report),
    )


def terminal(found: Summary, width: int) -> RenderableType:
    """Return the summary for a terminal: at most ``ROWS`` lines from a width of 80 columns on.

    Notes that have no room are counted; the report holds them all.
    """
    parts: list[RenderableType] = [Text(found.setting, style="bold"), Text("")]
    parts += [Text(sentence) for sentence in found.leaks]
    if found.figures:
        parts += [Text(""), terminal_table(_table(found))]
    parts.append(Text(found.sure, style="dim"))
    last = [Text(f"Report: {found.report}", no_wrap=True, overflow="ignore")] if found.report else []
    room = ROWS - 1 - _height([*parts, *last], width)
    fitting = _fitting(found.notes, width, room - 1)
    if fitting:
        parts += [Text(""), *fitting]
    return Group(*parts, *last)


def markdown(found: Summary) -> str:
    """Return the summary as Markdown, with all notes."""
    lines = [f"**{escaped(found.setting)}**", "", " ".join(map(escaped, found.leaks)), ""]
    lines += [markdown_table(_table(found))] if found.figures else []
    lines += [escaped(found.sure), ""]
    lines += [f"- {escaped(note)}" for note in found.notes] + [""] * bool(found.notes)
    lines += [f"Report: `{found.report}`", ""] if found.report else []
    return "\n".join(lines)


def to_dict(found: Summary) -> dict[str, Any]:
    """Return the summary as plain values, for JSON; figures in full precision."""
    return {
        "setting": found.setting,
        "leaks": list(found.leaks),
        "sure": found.sure,
        "figures": [
            {
                **one.figure.model_dump(include=_IN_JSON),
                "label": one.label,
                "better": metric_of(one.figure.metric).better,
            }
            for one in found.figures
        ],
        "notes": list(found.notes),
        "report": found.report or None,
    }


def _stolen(stealing: Stealing) -> Reading | None:
    best = stealing.strongest
    figure = None if best is None else stealing.find(best, "agreement", "unqueried")
    if best is None or figure is None:
        return None
    floor, ceiling = (cell_of(stealing.find(row, "agreement", "unqueried")).text for row in (FLOOR, CEILING))
    return Reading(
        label=f"{metric_of(figure.metric).label}, unqueried users",
        attack=stealing.label(best),
        figure=figure,
        floor=floor,
        ceiling=ceiling,
    )


def _inferred(block: Served) -> Reading | None:
    best = block.strongest
    figure = None if best is None else block.find(best, "auc")
    if best is None or figure is None:
        return None
    return Reading(
        label=f"AUC, {block.title.lower()}",
        attack=block.label(best),
        figure=figure,
        floor="0.5",
        ceiling="1",
    )


def _sure(result: Result) -> str:
    """Return how many users and seeds stand behind the figures."""
    data, users = result.data, []
    if data.unqueried_users:
        users.append(f"{number(data.unqueried_users)} unqueried users")
    if data.candidate_users:
        strangers = non_members(result)
        of_them = f" ({number(strangers)} of them strangers)" if strangers is not None else ""
        users.append(f"{number(data.candidate_users)} candidates{of_them}")
    seeds = several(result.seeds, "seed")
    behind = f"{' and '.join(users)} a seed, {seeds}" if users else seeds
    return (
        f"In brackets: 95 % intervals over users and seeds, and the number n of users behind them; {behind}."
    )


def _table(found: Summary) -> Table:
    headings = ("Read first", "Attack", "Value", "Without attack", "At most")
    return table_of(
        "",
        headings,
        [
            (
                words(one.label),
                words(one.attack),
                cell_of(one.figure),
                Cell(text=one.floor),
                Cell(text=one.ceiling),
            )
            for one in found.figures
        ],
        words_first=2,
    )


def _height(parts: list[RenderableType], width: int) -> int:
    console = Console(width=width, file=StringIO(), color_system=None)
    return sum(len(console.render_lines(part, console.options)) for part in parts)


def _fitting(texts: tuple[str, ...], width: int, room: int) -> list[RenderableType]:
    """Return the notes that fit ``room`` lines, and how many do not."""
    shown: list[RenderableType] = []
    for place, text in enumerate(texts):
        note = Text(f"Note: {text}", style="yellow")
        rest = len(texts) - place - 1
        if _height([*shown, note], width) + bool(rest) > room:
            more = Text(f"{several(rest + 1, 'more note')} in the report.", style="yellow")
            return [*shown, more] if room > 0 else []
        shown.append(note)
    return shown
