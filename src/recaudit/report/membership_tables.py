"""The membership figures as terminal tables and as Markdown: one a way of serving."""

from collections.abc import Iterator, Sequence
from textwrap import fill

from rich import box
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from recaudit.report.membership_rows import Block, Membership
from recaudit.report.membership_words import best_single, conclusion, needs, null_words, serving_title
from recaudit.report.result import Figure
from recaudit.report.rows import Row, decimals, printable

__all__ = ["membership_markdown", "membership_tables", "quality_metrics", "without_a_place"]

_METRICS = ("auc", "tpr@0.01", "tpr@0.001", "accuracy")
_HEADINGS = ("AUC", "TPR@1%", "TPR@0.1%", "accuracy", "needs")
_GROUPS = ("members", "non-members")
_CAPTION = (
    "In brackets: 95 % intervals. AUC 0.5 is chance. TPR@1%: share of members found where 1 % of non-members "
    "are taken for members. Needs: what the attack asks beside the candidates’ histories and lists."
)


def membership_tables(membership: Membership) -> list[RenderableType]:
    """Return a table and what it says for each way of serving, everyone folded in first; 80 columns do."""
    parts: list[RenderableType] = []
    for block in membership.blocks:
        parts.append(Padding(_table(block), (1, 0, 0, 0)))
        notes = (" ".join(conclusion(block, membership.non_members)), *_notes(block))
        parts += [Padding(Text(note), (1, 0, 0, 0)) for note in notes if note]
    return [*parts, Padding(Text(_CAPTION), (1, 0, 0, 0))]


def membership_markdown(membership: Membership) -> str:
    """Return the same as Markdown."""
    lines = []
    for block in membership.blocks:
        lines += [f"**{serving_title(block.serving)}**", "", f"| attack | {' | '.join(_HEADINGS)} |"]
        lines.append("|---|---:|---:|---:|---:|---|")
        for group in _sections(block):
            for label, cells, _ in group:
                texts = (cell.replace("\\", "\\\\").replace("|", "\\|") for cell in (label, *cells))
                lines.append(f"| {' | '.join(texts)} |")
        notes = (" ".join(conclusion(block, membership.non_members)), *_notes(block))
        lines += ["", *(text for note in notes if note for text in (note, ""))]
    return "\n".join([*lines, _CAPTION, ""])


def quality_metrics(membership: Membership) -> list[str]:
    """Return the metrics of the victim's recommendation quality, NDCG first."""
    victims = [block.victim for block in membership.blocks if block.victim is not None]
    found = dict.fromkeys(metric for row in victims for metric, users in row.figures if users in _GROUPS)
    return sorted(
        (name for name in found if name.startswith(("ndcg@", "recall@"))), key=lambda name: name[0] != "n"
    )


def without_a_place(membership: Membership) -> tuple[Figure, ...]:
    """Return the figures that the tables have no place for; costs are for the page alone."""
    rows = [row for block in membership.blocks for row in (*block.ladder, *block.blind)]
    shown = [row.find(metric, "candidates") for row in rows for metric in _METRICS]
    shown += [row.find("auc", "candidates") for block in membership.blocks for row in block.null]
    for block in membership.blocks:
        for metric in quality_metrics(membership):
            shown += [block.victim.find(metric, users) for users in _GROUPS if block.victim is not None]
    return membership.leftover([*shown, *membership.costs])


def _table(block: Block) -> Table:
    title = Text(f"Membership inference: {serving_title(block.serving)} ({printable(block.serving)})")
    # The box itself leaves a space between columns; 80 columns have no room for another one.
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=0, show_edge=False, pad_edge=False)
    # Broken here and not by rich, which would narrow these too and then cut the last column off.
    table.add_column("attack", no_wrap=True)
    for heading in _HEADINGS[:-1]:
        # An interval, "(0.623–0.671)", is 13 wide and goes below its value where both do not fit.
        wide = heading == "AUC"
        table.add_column(heading, justify="right", no_wrap=not wide, min_width=13 if wide else None)
    table.add_column(_HEADINGS[-1], no_wrap=True)
    for group in _sections(block):
        for place, (label, cells, style) in enumerate(group):
            *numbers, needed = cells
            table.add_row(
                Text(fill(label, 21)),
                *numbers,
                fill(needed, 16),
                style=style,
                end_section=place == len(group) - 1,
            )
    return table


def _sections(block: Block) -> Iterator[list[tuple[str, list[str], str]]]:
    """Yield ladder and blind panel: label, cells and style of each row."""
    yield [
        (r.label, _cells(r, needs(r.attack)), "bold" if r is block.strongest else "") for r in block.ladder
    ]
    # Which single feature is the best one is learned on a shadow model; the others learn nothing.
    yield [
        (f"blind: {r.label}", _cells(r, "own data" if "best" in r.label else "no model"), "italic")
        for r in block.blind
    ]


def _cells(row: Row, needed: str) -> list[str]:
    found = [row.find(metric, "candidates") for metric in _METRICS]
    return [*(decimals(one, interval=place == 0) for place, one in enumerate(found)), needed]


def _notes(block: Block) -> Sequence[str]:
    """Return which blind feature was the best, the null control in words, and the victim's quality."""
    return (best_single(block), null_words(block), _quality(block))


def _quality(block: Block) -> str:
    if block.victim is None:
        return ""
    parts = []
    for metric in dict.fromkeys(metric for metric, _ in block.victim.figures):
        told = [
            f"{decimals(figure, interval=True)} for {users}"
            for users in _GROUPS
            if (figure := block.victim.find(metric, users)) is not None
        ]
        if told and metric.startswith(("ndcg@", "recall@")):
            name = metric.replace("ndcg", "NDCG").replace("recall", "Recall")
            parts.append(f"{name}: {', '.join(told)}")
    return f"Quality of the victim’s lists. {'; '.join(parts)}." if parts else ""
