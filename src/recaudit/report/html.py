"""The report as one page: no script, font or picture from elsewhere, nothing that a browser would fetch."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from importlib.resources import files

import yaml
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from recaudit.report.figures import NARROW, WIDE, agreement_picture, recall_picture
from recaudit.report.grids import Cell, Grid, Line, cell_of, other_figures
from recaudit.report.knowledge import knowledge
from recaudit.report.membership_page import membership_page
from recaudit.report.membership_rows import arrange_membership
from recaudit.report.result import Result, Stage
from recaudit.report.rows import Arranged, Row, arrange, grown, number, printable
from recaudit.report.tables import asked_for, seconds_taken, shows_histories
from recaudit.report.words import caution, is_generated, setting, verdict

__all__ = ["render_html"]

_ANY = ("all", "queried", "unqueried")


class _Lines(yaml.SafeDumper):
    """YAML with a line a key and a line a list."""


_Lines.add_representer(
    list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
)


def render_html(result: Result) -> str:
    """Return the report as one self-contained HTML page; every figure of ``result`` stands in it."""
    arranged, membership = arrange(result), arrange_membership(result)
    page = None if membership is None else membership_page(result, membership)
    # An audit without any figure has the page of stealing, which says so.
    stealing = membership is None or bool(arranged.rows or arranged.victim)
    grids = {
        "agreement": _agreement(arranged),
        "quality": _quality(arranged),
        "cost": _cost(result, arranged),
    }
    shown = [cell.figure for grid in grids.values() for line in grid.lines for cell in line.cells]
    others = arranged.leftover(shown)
    if membership is not None and page is not None:
        others += membership.leftover(page.shown)
    place = files("recaudit.report")
    style = place.joinpath("report.css").read_text(encoding="utf-8")
    template = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(place.joinpath("report.html.j2").read_text(encoding="utf-8"))
    return template.render(
        result=result,
        arranged=arranged,
        stealing=stealing,
        membership=page,
        style=Markup(style),
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        name=printable(result.data.name),
        title=setting(result),
        verdict=verdict(result, arranged) if stealing else "",
        notes=caution(result, arranged),
        generated=is_generated(result),
        grids=grids,
        knowledge=[(row.label, knowledge(result, row.attack)) for row in arranged.attacks],
        pictures=_pictures(result, arranged),
        stages=_stages(result.stages),
        data=_data(result, stealing=stealing),
        groups=_groups(result, arranged),
        others=other_figures(others),
        spec=yaml.dump(result.spec, Dumper=_Lines, sort_keys=False, allow_unicode=True, width=72),
        created=f"{result.created.day} {result.created:%B %Y, %H:%M %Z}".strip(),
    )


def _pictures(result: Result, arranged: Arranged) -> dict[str, list[tuple[str, Markup]]]:
    """Return each picture that there are figures for, twice: for wide and for narrow pages."""
    drawings = {"agreement": agreement_picture, "recall": recall_picture}
    return {
        metric: [
            (size, Markup(draw(result, width, f"{metric}-{size}")))
            for size, width in (("wide", WIDE), ("narrow", NARROW))
        ]
        for metric, draw in drawings.items()
        if any(row.value(arranged.metric(metric), *_ANY) is not None for row in arranged.rows)
    }


def _lines(arranged: Arranged, rows: Iterable[Row], wanted: Sequence[tuple[str, ...]]) -> tuple[Line, ...]:
    """Return a line a row; ``wanted`` names a metric and the users to take it for, in order."""
    return tuple(
        Line(
            label=row.label,
            cells=tuple(cell_of(row.find(*names)) for names in wanted),
            kind="reference" if row.is_reference else "strongest" if row is arranged.strongest else "",
        )
        for row in rows
    )


def _agreement(arranged: Arranged) -> Grid:
    agreement, place, rbo = map(arranged.metric, ("agreement", "place", "rbo"))
    columns: list[tuple[str, tuple[str, ...]]] = [
        ("Unqueried users", (agreement, "unqueried")),
        ("Queried users", (agreement, "queried")),
        ("All users", (agreement, "all")),
        ("Place", (place, "unqueried", "all")),
        ("RBO", (rbo, "unqueried", "all")),
    ]
    if not any(row.find(agreement, "all") for row in arranged.rows):
        del columns[2]
    if arranged.has_users("unseen"):
        columns.insert(1, ("Unseen users", (agreement, "unseen")))
    return Grid(
        headings=tuple(heading for heading, _ in columns),
        lines=_lines(arranged, arranged.rows, [names for _, names in columns]),
    )


def _quality(arranged: Arranged) -> Grid:
    recall, ndcg = arranged.metric("recall"), arranged.metric("ndcg")
    rows = (*arranged.rows, *((arranged.victim,) if arranged.victim else ()))
    columns: list[tuple[str, tuple[str, ...]]] = [
        (f"Recall@{arranged.k}", (recall, "all", "unqueried")),
        (f"NDCG@{arranged.k}", (ndcg, "all", "unqueried")),
    ]
    columns += [
        (name.capitalize(), (arranged.metric(name), "target"))
        for name in ("diversity", "coverage")
        if any(row.find(arranged.metric(name), "target") for row in rows)
    ]
    wanted = [names for _, names in columns]
    measured = [row for row in rows if any(row.find(*names) for names in wanted)]
    return Grid(headings=tuple(name for name, _ in columns), lines=_lines(arranged, measured, wanted))


def _cost(result: Result, arranged: Arranged) -> Grid:
    lines = []
    shown = ("sequences", "calls") if shows_histories(result) else ()
    for row in arranged.rows:
        ledgers = [ledger for ledger in result.ledgers if ledger.attack == row.attack]
        budgets = {"none" if ledger.budget is None else number(ledger.budget) for ledger in ledgers}
        counted = {
            **{count: asked_for(result, row, count) for count in ("lists", *shown)},
            "users": _mean([ledger.users for ledger in ledgers]),
            "items": _mean([ledger.items for ledger in ledgers]),
            "seconds": seconds_taken(result, row),
        }
        cells = []
        for metric, value in counted.items():
            figure = row.find(metric, *_ANY)
            text = "–" if value is None else number(value)
            cells.append(Cell(text=text) if figure is None else cell_of(figure))
        cells.insert(-1, Cell(text=", ".join(sorted(budgets)) or "–"))
        lines.append(Line(label=row.label, cells=tuple(cells), kind="reference" if row.is_reference else ""))
    headings = ("Lists", *(count.capitalize() for count in shown), "Users", "Items", "Budget", "Seconds")
    return Grid(headings=headings, lines=tuple(lines))


def _mean(values: Sequence[int | float]) -> float | None:
    return sum(values) / len(values) if values else None


def _stages(stages: Sequence[Stage]) -> Grid:
    lines = []
    for name in dict.fromkeys(stage.stage for stage in stages):
        same = [stage for stage in stages if stage.stage == name]
        seconds = _mean([stage.seconds for stage in same if stage.seconds is not None])
        epochs = _mean([stage.epochs for stage in same if stage.epochs is not None])
        cells = (
            Cell(text=number(len(same))),
            Cell(text=number(seconds, 0 if (seconds or 0) >= 10 else 1)),
            Cell(text="–" if epochs is None else number(epochs)),
        )
        lines.append(Line(label=printable(name), cells=cells))
    return Grid(headings=("Times run", "Mean seconds", "Mean epochs"), lines=tuple(lines))


def _data(result: Result, *, stealing: bool) -> list[tuple[str, str]]:
    data = result.data
    density = "not available" if data.density is None else f"{number(100 * data.density, 2)} %"
    sizes = [
        ("Users", number(data.n_users)),
        ("Items", number(data.n_items)),
        ("Interactions", number(data.n_interactions)),
        ("Density", density),
    ]
    parts = [
        ("The victim’s users", number(data.target_users)),
        ("The victim’s interactions", number(data.target_interactions)),
        ("Auxiliary users", number(data.auxiliary_users)),
        ("Users whose histories are known", number(data.known_users)),
    ]
    return [*sizes, *(parts if stealing else [])]


def _groups(result: Result, arranged: Arranged) -> list[tuple[str, str, str]]:
    data = result.data
    makes = any(grown(result, row.attack) for row in arranged.attacks)
    unseen = (
        "Unseen",
        _users(data.unseen_users),
        "Users of the victim whom the attacker does not know: he has neither their histories nor their "
        "lists. A clone that reads histories can serve them; it is shown theirs for this measurement alone.",
    )
    return [
        (
            "Queried",
            _users(data.queried_users),
            f"Attacks that ask for {'users’ ' if makes else ''}lists get the lists of these users and learn "
            "from them. High agreement here may be nothing but repeating what was shown."
            + (" Attacks that make histories of their own ask for nobody’s lists." if makes else ""),
        ),
        (
            "Validation",
            _users(data.validation_users),
            "The attacker’s own check of when to stop training; their lists are asked for as well"
            + (", but by attacks that make histories of their own." if makes else "."),
        ),
        (
            "Unqueried",
            _users(data.unqueried_users),
            "Nobody asked for their lists. Agreement here says what the clone has learned of the victim "
            "beyond what it was shown, so it is the headline.",
        ),
        *([unseen] if arranged.has_users("unseen") else []),
    ]


def _users(count: int | None) -> str:
    return "number not available" if count is None else f"{number(count)} user{'' if count == 1 else 's'}"
