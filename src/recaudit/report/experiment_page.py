"""The page of a paper's experiments: tables, pictures, what was chosen and what came out, in Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import polars as pl

from recaudit.experiments.grid import Grid
from recaudit.report.experiment_tables import markdown_table

__all__ = ["Section", "render_page"]

HEAD = """\
<!-- Written by `recaudit reproduce page`; change the grids in src/recaudit/papers, not this page. -->

# Reproduction of {paper}

Ours beside the published values. Every figure is a mean over seeds, each with its own split, with its 95 %
bootstrap interval over seeds and users; it is read from the store of finished stages, and nothing is typed
in by hand. The floor is the list of the most popular items that a user has not had (`popular list`), the
ceiling is the target's own model trained again with another seed (`retrained`). What the store lacks is
`not measured`. All figures of this page are rows of [one table]({table}):

```python
import polars as pl
pl.read_parquet("{table}").filter(metric="agreement@50", users="unqueried", attack="PTAQ")
```

Made by recaudit {versions}. Each section names the command that computes what is missing of it and draws
its picture in SVG, PNG and PDF; `recaudit reproduce page` writes this page.
"""


@dataclass(frozen=True, kw_only=True)
class Section:
    """One experiment of a page.

    Args:
        grid: what was to be measured.
        frame: its rows of the tidy table.
        picture: where its picture is, seen from the page.
        hours: core hours of the stages that it stands on, those that it shares with others among them.
    """

    grid: Grid
    frame: pl.DataFrame
    picture: PurePosixPath
    hours: float


def render_page(
    paper: str,
    sections: Sequence[Section],
    *,
    statistics: pl.DataFrame,
    table: str,
    versions: Mapping[str, str],
) -> str:
    """Return the page as Markdown.

    Args:
        paper: what the page reproduces, in words.
        sections: its experiments, in order.
        statistics: what the data sets hold, as :func:`recaudit.papers.statistics` returns it.
        table: where the tidy table is, seen from the page.
        versions: of recaudit and the libraries that computed the figures.
    """
    own, *others = (f"{name} {number}" for name, number in versions.items())
    said = f"{own.removeprefix('recaudit ')} with {', '.join(others)}"
    parts = [HEAD.format(paper=paper, table=table, versions=said)]
    tables = [section for section in sections if "/table" in section.grid.name]
    parts += [_section(section) for section in tables]
    parts.append(_statistics(statistics))
    parts += [_section(section) for section in sections if section not in tables]
    return "\n".join(parts)


def _section(section: Section) -> str:
    grid = section.grid
    lines = [
        f"## {grid.title}",
        "",
        f"{grid.source}. `recaudit reproduce {grid.name}`; {_hours(section.hours)}.",
        "",
    ]
    lines += [f"![{grid.title}]({section.picture})", "", markdown_table(section.frame, grid)]
    lines += [f"{text.strip()}\n" for text in grid.found]
    if grid.picture == "none" and grid.users == "unqueried":
        queried = grid.model_copy(update={"users": "queried"})
        lines += ["<details><summary>On queried users, whose lists the attacker has</summary>", ""]
        lines += [markdown_table(section.frame, queried), "</details>", ""]
    if grid.remarks:
        lines += ["What the paper leaves unsaid, and what was chosen:", ""]
        lines += [f"- {' '.join(text.split())}" for text in grid.remarks]
    return "\n".join([*lines, ""])


def _statistics(frame: pl.DataFrame) -> str:
    """Return Table 6 as Markdown."""
    lines = [
        "## What the data sets hold",
        "",
        "Zhu et al. (2023), Table 6. `recaudit reproduce zhu2023/table6`.",
        "",
    ]
    lines += ["| data | kept | users | items | interactions | sparsity |", "|---|---|---:|---:|---:|---:|"]
    for row in frame.iter_rows(named=True):
        sparsity = "" if row["sparsity"] is None else f"{row['sparsity']:.4f}"
        counts = " | ".join(f"{row[name]:,}" for name in ("users", "items", "interactions"))
        lines.append(f"| {row['data']} | {row['kept']} | {counts} | {sparsity} |")
    return "\n".join([*lines, ""])


def _hours(hours: float) -> str:
    spent = f"{hours:.1f} core hours" if hours >= 1 else f"{60 * hours:.0f} core minutes"
    return f"its stages took {spent}, those that it shares with other sections among them"
