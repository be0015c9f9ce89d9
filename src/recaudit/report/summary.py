"""The summary of an audit: what leaks, how sure that is, and which figures to read first. It fits one screen."""

import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from recaudit.report.index import Figure, Figures
from recaudit.report.result import Result
from recaudit.vocabulary import (
    BLIND,
    CANDIDATES,
    CEILING,
    FLOOR,
    Card,
    metric_of,
    number,
    printable,
    row_card,
    serving_card,
)

__all__ = ["Finding", "Summary", "markdown", "summary", "terminal", "to_dict"]

FEW_USERS = 30
"""Fewer judged users than these make a figure rough."""

AUC, TPR = "auc", "tpr@0.01"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One figure to read first.

    Args:
        threat: ``stealing`` or ``membership``.
        attack: the row of ``figures.csv``.
        metric: its metric.
        users: its group of users.
        serving: how strangers were served, for membership.
        value: the mean over users and seeds; ``None`` where it is not available.
        low: lower end of the 95 % interval.
        high: upper end of the 95 % interval.
        n: users who are judged in each seed; ``None`` where the result does not say.
        seeds: number of seeds.
        sentence: what the figure says.
        beside: what it is to be compared with, in one sentence.
    """

    threat: str
    attack: str
    metric: str
    users: str
    serving: str | None
    value: float | None
    low: float | None
    high: float | None
    n: int | None
    seeds: int
    sentence: str
    beside: str


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What an audit found, for one screen.

    Args:
        title: the data, the victim and the number of seeds.
        findings: the figures to read first, one a threat.
        notes: what to bear in mind, the gravest first.
        report: where the page is, where it was written.
    """

    title: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    report: str | None = None


def summary(result: Result, report: str | None = None) -> Summary:
    """Return the summary of a result.

    The stealing finding is the attack with the highest agreement on users whose lists nobody asked for. The
    membership finding is the attack that was built to be the strongest, under the first way of serving: the
    one with the highest AUC would be chosen by the figure that it is judged by.

    Args:
        result: the audit's result.
        report: where the page is.
    """
    figures = Figures.of(Figure.model_validate(one.model_dump()) for one in result.figures)
    found = (_stealing(result, figures), _membership(result, figures))
    findings = tuple(one for one in found if one is not None)
    data = result.data
    seeds = max((figure.seeds for figure in result.figures), default=0)
    victim = next((figure.victim for figure in result.figures), "")
    title = (
        f"{printable(data.name)} ({number(data.n_users)} users, {number(data.n_items)} items), "
        f"{_label(result, 'victim', victim)} victim, {seeds} seed{'' if seeds == 1 else 's'}"
    )
    return Summary(title=title, findings=findings, notes=_notes(result, findings), report=report)


def terminal(found: Summary, width: int = 80) -> str:
    """Return the summary as plain text, lines of at most ``width`` characters where words allow it."""
    lines = [*_wrapped(found.title, width), ""]
    for one in found.findings:
        lines += [*_wrapped(f"{one.threat.upper()}: {one.sentence}", width), *_wrapped(one.beside, width), ""]
    if not found.findings:
        lines += [
            *_wrapped("No attack in this audit has a figure, so there is no headline to give.", width),
            "",
        ]
    for note in found.notes:
        lines += _wrapped(f"Note: {note}", width)
    if found.report is not None:
        lines.append(f"Report: {found.report}  (-v prints the tables)")
    return "\n".join(lines)


def markdown(found: Summary) -> str:
    """Return the summary as Markdown, for the page of a CI job."""
    lines = [f"### recaudit: {found.title}", ""]
    if found.findings:
        lines += ["| threat | figure | value | 95 % interval | n |", "|---|---|--:|:-:|--:|"]
    for one in found.findings:
        form = metric_of(one.metric).form
        who = f"{one.attack}, {metric_of(one.metric).label}, {one.users}"
        who += "" if one.serving is None else f", {one.serving}"
        n = "" if one.n is None else f"{number(one.n)} users × {one.seeds}"
        cells = (one.threat, who, form.text(one.value), form.interval(one.low, one.high), n)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    lines.append("")
    for one in found.findings:
        lines += [f"- **{one.threat}**: {one.sentence} {one.beside}".rstrip()]
    lines += [f"- Note: {note}" for note in found.notes]
    if found.report is not None:
        lines += ["", f"Report: `{found.report}`"]
    return "\n".join(lines) + "\n"


def to_dict(found: Summary) -> dict[str, Any]:
    """Return the summary as plain values, as ``--json`` prints it."""
    return asdict(found)


def _stealing(result: Result, figures: Figures) -> Finding | None:
    """Return the finding on stealing, ``None`` where nothing was stolen."""
    metric = next((name for name in figures.metrics if name.startswith("agreement@")), None)
    if metric is None:
        return None
    cards = _cards(result, "attacks")
    judged = [figures.find(name, metric, "unqueried") for name in cards or figures.attacks]
    attacks = [one for one in judged if one is not None and one.clone is not None]
    best = max(
        (one for one in attacks if one.value is not None), key=lambda one: one.value or 0, default=None
    )
    if best is None:
        return None
    label, top = row_card(best.attack, cards).label, metric.partition("@")[2]
    sentence = (
        f"{label}, the strongest of {len(attacks)} attack{'' if len(attacks) == 1 else 's'}, names {_told(best)} "
        f"of the top {top} items that the victim recommends to users whose lists nobody asked for."
    )
    unseen = figures.find(best.attack, metric, "unseen")
    if unseen is not None and unseen.value is not None:
        sentence += f" For users whom the attacker has never seen, it names {_told(unseen)}."
    floor, ceiling = figures.find(FLOOR, metric, "unqueried"), figures.find(CEILING, metric, "unqueried")
    parts = [f"the popular list names {_told(floor)}" if floor else ""]
    parts += [f"the victim trained again names {_told(ceiling)}" if ceiling else ""]
    beside = "; ".join(part for part in parts if part)
    return _finding(best, result.data.unqueried_users, sentence, f"To compare: {beside}." if beside else "")


def _membership(result: Result, figures: Figures) -> Finding | None:
    """Return the finding on membership, ``None`` where none was inferred."""
    serving = next((name for name in figures.servings if name is not None), None)
    cards = _cards(result, "membership_attacks")
    inferred = [figures.find(name, AUC, CANDIDATES, serving) for name in cards]
    attacks = [one for one in inferred if one is not None and one.value is not None]
    if not attacks:
        return None
    best = attacks[-1]  # cards come in order, the attack with the most knowledge last
    label = row_card(best.attack, cards).label
    chance = best.low is not None and best.low <= 0.5
    verdict = "no leak found: the interval holds 0.5, which is chance" if chance else "0.5 is chance"
    sentence = (
        f"{label}, the strongest of {len(attacks)} attacks, tells members from strangers with an AUC of "
    )
    sentence += f"{_told(best)}; {verdict}. {serving_card(serving or '').label}."
    tpr = figures.find(best.attack, TPR, CANDIDATES, serving)
    parts = [] if tpr is None else [f"it finds {_told(tpr)} of the members at 1 % false alarms"]
    blind = [
        one for one in figures if one.attack.startswith(BLIND) and (one.metric, one.serving) == (AUC, serving)
    ]
    top = max((one for one in blind if one.value is not None), key=lambda one: one.value or 0, default=None)
    if top is not None:
        parts.append(f"the best blind detector ({top.attack.removeprefix(BLIND)}) has an AUC of {_told(top)}")
    beside = "; ".join(parts)
    return _finding(
        best, result.data.candidate_users, sentence, f"{beside[:1].upper()}{beside[1:]}." if beside else ""
    )


def _finding(figure: Figure, n: int | None, sentence: str, beside: str) -> Finding:
    return Finding(
        threat=figure.threat,
        attack=figure.attack,
        metric=figure.metric,
        users=figure.users,
        serving=figure.serving,
        value=figure.value,
        low=figure.low,
        high=figure.high,
        n=n,
        seeds=figure.seeds,
        sentence=sentence,
        beside=beside,
    )


def _notes(result: Result, findings: tuple[Finding, ...]) -> tuple[str, ...]:
    """Return what to bear in mind."""
    notes = []
    if result.data.name == "synthetic":
        notes.append("the data are generated. The figures show that the audit works, and no real leak.")
    for one in findings:
        if one.n is not None and one.n * one.seeds < FEW_USERS:
            notes.append(
                f"{one.n} users in {one.seeds} seed{'' if one.seeds == 1 else 's'} judge {one.threat}: the figure "
                "is rough; raise --known or --seeds."
            )
        else:
            seeds = f"{one.seeds} seed{'' if one.seeds == 1 else 's'}"
            notes.append(f"{one.threat} is judged by {number(one.n)} users in {seeds}." if one.n else "")
    return tuple(note for note in notes if note)


def _told(figure: Figure) -> str:
    """Return a figure with its interval, ``64.7 % (62.1–67.0)``."""
    form = metric_of(figure.metric).form
    interval = form.interval(figure.low, figure.high)
    return f"{form.text(figure.value)} ({interval})" if interval else form.text(figure.value)


def _cards(result: Result, key: str) -> Mapping[str, Card]:
    """Return the cards of a result under ``key`` by name, in order."""
    stored = (result.model_extra or {}).get("cards") or {}
    found = [Card(**{**one, "needs": tuple(one["needs"])}) for one in stored.get(key) or ()]
    return {card.name: card for card in sorted(found, key=lambda card: (card.order, card.name))}


def _label(result: Result, key: str, name: str) -> str:
    """Return the label of the victim or the clone."""
    stored = (result.model_extra or {}).get("cards") or {}
    card = stored.get(key) or {}
    return printable(str(card.get("label", name)))


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(20, width), break_on_hyphens=False) if text else []
