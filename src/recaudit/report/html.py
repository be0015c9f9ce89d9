"""The report as one page: no script, font or image from elsewhere, nothing that a browser would fetch."""

import base64
import hashlib
from dataclasses import replace
from importlib.resources import files

import yaml
from markupsafe import Markup

from recaudit.report import tables
from recaudit.report.plots import NARROW, WIDE, agreement_plot, recall_plot, roc_plot
from recaudit.report.result import Result
from recaudit.report.sentences import generated, leak, membership_verdict, notes, setting, stealing_verdict
from recaudit.report.table import environment, html
from recaudit.report.views import KNOWN, Served, Stealing, non_members, served
from recaudit.vocabulary import GROUPS, METRICS, PERCENT, number, printable, serving_card, several

__all__ = ["render_html"]


class _Lines(yaml.SafeDumper):
    """YAML with a line a key and a line a list."""


_Lines.add_representer(
    list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
)


def render_html(result: Result) -> str:
    """Return the report as one self-contained HTML page; every figure of ``result`` stands in it."""
    stealing, blocks = Stealing(result), served(result)
    # An audit without any figure has the page of stealing, which says so.
    steals = bool(stealing) or not blocks
    found = {
        "agreement": tables.agreement(stealing),
        "quality": tables.quality(stealing),
        "hollow": tables.hollow(stealing),
        "cost": tables.cost(stealing),
        "membership_quality": tables.membership_quality(blocks),
        "membership_cost": tables.membership_cost(result),
        **{f"membership {place}": tables.membership(block) for place, block in enumerate(blocks)},
    }
    found["others"] = tables.other_figures(tables.leftover(result, list(found.values())))
    found["knowledge"] = tables.attack_knowledge(stealing)
    found["membership_knowledge"] = tables.membership_knowledge(blocks)
    found["stages"] = tables.stages(result)
    style = files("recaudit.report").joinpath("report.css").read_text(encoding="utf-8")
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            result=result,
            stealing=stealing if steals else None,
            blocks=blocks,
            tables={name: html(table) if table.lines else "" for name, table in found.items()},
            plots=_plots(stealing, blocks),
            style=Markup(style),
            style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
            name=printable(result.data.name),
            title=setting(result),
            verdicts=[
                *([" ".join(stealing_verdict(stealing))] if steals else []),
                *(membership_verdict(result) if blocks else []),
            ],
            leaks=[" ".join(leak(block)) for block in blocks],
            servings=[serving_card(block.serving or "") for block in blocks],
            notes=notes(result),
            generated=generated(result),
            non_members=number(non_members(result)) if non_members(result) else "",
            data=_data(result, steals=steals, infers=bool(blocks)),
            groups=_groups(result, stealing),
            metrics=METRICS,
            spec=yaml.dump(result.spec, Dumper=_Lines, sort_keys=False, allow_unicode=True, width=72),
            created=f"{result.created.day} {result.created:%B %Y, %H:%M %Z}".strip(),
        )
    )


def _plots(stealing: Stealing, blocks: tuple[Served, ...]) -> dict[str, list[tuple[str, Markup]]]:
    """Return each plot that there are figures for, twice: for wide and for narrow pages."""
    sizes = (("wide", WIDE), ("narrow", NARROW))
    found = {
        metric: [(size, Markup(draw(stealing, width, f"{metric}-{size}"))) for size, width in sizes]
        for metric, draw in (("agreement", agreement_plot), ("recall", recall_plot))
        if any(stealing.value(row, metric, *KNOWN) is not None for row in stealing.rows)
    }
    for place, block in enumerate(blocks):
        if block.curves:
            found[f"membership {place}"] = [
                (size, Markup(roc_plot(block, width, f"roc-{place}-{size}"))) for size, width in sizes
            ]
    return found


def _data(result: Result, *, steals: bool, infers: bool) -> list[tuple[str, str]]:
    data = result.data
    sizes = [
        ("Users", number(data.n_users)),
        ("Items", number(data.n_items)),
        ("Interactions", number(data.n_interactions)),
        ("Density", replace(PERCENT, digits=2).text(data.density)),
    ]
    stolen = {
        "The victim’s users": data.target_users,
        "The victim’s interactions": data.target_interactions,
        "Auxiliary users": data.auxiliary_users,
        "Users whose histories are known": data.known_users,
    }
    inferred = {
        "Candidates for membership": data.candidate_users,
        "Members among them": data.member_users,
        "Users of the attacker’s shadow models": data.shadow_users,
        "The attacker’s further users": data.attacker_users,
    }
    parts = {**(stolen if steals else {}), **(inferred if infers else {})}
    return [*sizes, *((words, number(count)) for words, count in parts.items())]


def _groups(result: Result, stealing: Stealing) -> list[tuple[str, str, str]]:
    """Return the groups of the victim's users: name, size and what they are."""
    data = result.data
    counts = {
        "queried": data.queried_users,
        "validation": data.validation_users,
        "unqueried": data.unqueried_users,
        "unseen": data.unseen_users,
    }
    if "unseen" not in stealing.figures.users:
        del counts["unseen"]
    return [
        (
            GROUPS[group].label,
            "number not available" if count is None else several(count, "user"),
            GROUPS[group].sentence,
        )
        for group, count in counts.items()
    ]
