"""An audit on one screen: what leaks, how sure that is, the figures to read first, what to read with care."""

from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.text import Text

from recaudit.report.index import Figure
from recaudit.report.result import Result
from recaudit.report.sentences import estimate, notes, setting
from recaudit.report.table import Cell, Column, Line, Section, Table, cell_of, escaped, words
from recaudit.report.table import markdown as markdown_table
from recaudit.report.table import terminal as terminal_table
from recaudit.report.views import Served, Stealing, non_members, served
from recaudit.vocabulary import CEILING, FLOOR, metric_of, number

__all__ = ["ROWS", "Reading", "Summary", "markdown", "summary", "terminal", "to_dict"]

ROWS = 24
"""The lines of a terminal that the summary has to fit."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One of the figures to read first.

    Args:
        label: what it measures.
        attack: whose figure it is.
        figure: the figure.
        floor: what is reached without an attack.
        ceiling: the most that can be reached.
        serving: what strangers are served, for membership inference.
    """

    label: str
    attack: str
    figure: Figure
    floor: str
    ceiling: str
    serving: str | None = None


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
    leaks = [*([_stolen_words(stealing)] if stealing else []), *map(_inferred_words, blocks[:1])]
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
                **one.figure.model_dump(
                    include={
                        "attack",
                        "metric",
                        "users",
                        "value",
                        "low",
                        "high",
                        "n",
                        "seeds",
                        "threat",
                        "serving",
                    }
                ),
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
    ends = (cell_of(stealing.find(row, "agreement", "unqueried")).text for row in (FLOOR, CEILING))
    floor, ceiling = ends
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
        serving=block.serving,
    )


def _stolen_words(stealing: Stealing) -> str:
    best = stealing.strongest
    if best is None:
        return "Model stealing: no attack has an agreement on unqueried users."
    share = estimate(stealing.find(best, "agreement", "unqueried"))
    lists = stealing.asked(best, "lists")
    asked = f"after {number(lists)} lists" if lists else "without asking for a list"
    place = stealing.value(best, "place", "unqueried", "all")
    floor = stealing.value(FLOOR, "agreement", "unqueried")
    own = stealing.value(best, "agreement", "unqueried")
    if floor is not None and own is not None and own <= floor:
        tail = ", no more than the popular list without any attack"
    elif place is not None:
        tail = f", {number(100 * place)} % of the way from the popular list to the retrained victim"
    else:
        tail = ""
    return (
        f"Model stealing: {asked}, {stealing.label(best)} clones {share} of the victim’s top {stealing.k} for users "
        f"whose lists nobody asked for{tail}."
    )


def _inferred_words(block: Served) -> str:
    best = block.strongest
    if best is None:
        return "Membership: no attack has an AUC."
    auc, where = estimate(block.find(best, "auc")), block.title.lower()
    if not block.leaks(best):
        others = [block.label(row) for row in (*block.attacks, *block.blind) if block.leaks(row)]
        others += [block.label(row) for row in block.attacks if block.leaks(row, "tpr@0.01")]
        none = ": too few candidates to tell" if block.unsure(best) else ": no leak was found"
        said = f", yet {others[0]} is above chance" if others else none
        return f"Membership ({where}): {block.label(best)} has an AUC of {auc}, not above chance{said}."
    found = block.find(best, "tpr@0.01")
    tail = f" and finds {estimate(found)} of members at 1 % false positives" if found else ""
    return (
        f"Membership ({where}): {block.label(best)} tells members from strangers with an AUC of {auc}{tail}."
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
    seeds = f"{result.seeds} seed{'' if result.seeds == 1 else 's'}"
    behind = f"{' and '.join(users)} a seed, {seeds}" if users else seeds
    return (
        f"In brackets: 95 % intervals over users and seeds, and the number n of users behind them; {behind}."
    )


def _table(found: Summary) -> Table:
    headings = ("Attack", "Value", "Without attack", "At most")
    return Table(
        title="",
        columns=(
            Column(heading="Read first", align="left"),
            Column(heading=headings[0], align="left"),
            *(Column(heading=heading) for heading in headings[1:]),
        ),
        sections=(
            Section(
                lines=tuple(
                    Line(
                        cells=(
                            words(one.label),
                            words(one.attack),
                            cell_of(one.figure),
                            Cell(text=one.floor),
                            Cell(text=one.ceiling),
                        )
                    )
                    for one in found.figures
                )
            ),
        ),
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
            left = len(texts) - place
            more = Text(f"{left} more note{'' if left == 1 else 's'} in the report.", style="yellow")
            return [*shown, more] if room > 0 else []
        shown.append(note)
    return shown
