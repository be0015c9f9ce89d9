"""The page of a paper's experiments: tables, pictures, what was chosen and what came out, in Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from textwrap import fill

import polars as pl

from recaudit.experiments.grid import Grid
from recaudit.experiments.table import made_by
from recaudit.report.experiment_further import further_markdown, warnings_of
from recaudit.report.experiment_tables import markdown_table

__all__ = ["Section", "render_page"]

HEAD = """\
<!-- Written by `recaudit reproduce page`; change the grids in experiments/papers, not this page. -->

# Reproduction of {paper}

Ours beside the published values. Every figure is a mean over seeds, each with its own split, with its 95 %
bootstrap interval over seeds and users. With one seed the interval covers the choice of users only; with two
it is too narrow, as it resamples what seeds there are. All tables and pictures are drawn from one table of
results, and none is typed in by hand. The floor is the list of the most popular items that a user has not
had (`popular list`), the ceiling is the target's own model trained again with another seed (`retrained`).
What that table lacks is `not measured`.
All figures of this page are rows of [one table]({table}):

```python
import polars as pl

pl.read_parquet("{table}").filter(metric="agreement@50", attack="PTAQ")
```

{made}
Each section names the command that measures it and draws its picture in SVG, PNG and PDF;
`recaudit reproduce page` then replaces its rows of the table, which say what made them, and draws this page.
"""

MEMBERSHIP_HEAD = """\
<!-- Written by `recaudit reproduce page`; change the grids in experiments/papers, not this page. -->

# Reproduction of {paper}

Can somebody tell from the lists that a recommender serves whose history it was trained on? The attacked
users are members, on whom the target was trained, and as many strangers, on whom it was not; they have lists
of the same length. The AUC is how often an attack finds a member likelier than a stranger to be one, and 0.5
is chance. TPR is the share of members that it finds where it takes 1 % of strangers for members. An AUC near
0.5 means that no leak was found by these attacks, not that there is none.

What strangers are served decides much of it, so that each figure says it. Where strangers get the popular
list, that alone gives them away; where everyone is folded in, members too, only the items' parameters can
leak. The rows that begin with *blind* look at one plain feature of a user's history and list, such as its
share of popular items: where one of them reaches an attack, that AUC takes no attack, and where strangers are
served otherwise than members, it is explained by that. Rows marked *(stranger)* train on nobody whom they
attack. *null* is an attack's figure against a target that was trained on none of the attacked users: it must
be chance. NDCG@10 is the quality of the target's lists, for members and for strangers.

Every figure is a mean over seeds, each with its own split, with its 95 % bootstrap interval over seeds and
users. With one seed the interval covers the choice of users only; with two it is too narrow, as it resamples
what seeds there are. All tables and pictures are drawn from one table of results, and none is typed in by
hand. What that table lacks is `not measured`.
All figures of this page are rows of [one table]({table}):

```python
import polars as pl

pl.read_parquet("{table}").filter(metric="auc", attack="difference")
```

{made}
Each section names the command that measures it and draws its picture in SVG, PNG and PDF;
`recaudit reproduce page --paper {short}` then replaces its rows of the table, which say what made them, and
draws this page.
"""

WIDTH = 110
"""Characters of a line whose length the versions decide."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """One experiment of a page.

    Args:
        grid: what was to be measured.
        frame: its rows of the tidy table.
        picture: where its picture is, seen from the page.
    """

    grid: Grid
    frame: pl.DataFrame
    picture: PurePosixPath


def render_page(
    paper: str,
    sections: Sequence[Section],
    *,
    statistics: pl.DataFrame | None,
    table: str,
) -> str:
    """Return the page as Markdown: the paper's tables, what explains the differences, and its figures.

    Experiments of membership inference stand in the order in which they are given.

    Args:
        paper: what the page reproduces, in words.
        sections: its experiments, in order.
        statistics: what the data sets hold, one row a data set and what was kept of it, where the paper says
            what they held for it.
        table: where the tidy table is, seen from the page.
    """
    kinds = made_by(section.frame.filter(pl.col("seeds") > 0) for section in sections)
    said = f"Made by {'; and by '.join(kinds)}." if kinds else "Nothing is measured."
    made = fill(said, WIDTH, break_long_words=False, break_on_hyphens=False)
    if any(section.grid.infers for section in sections):
        short = sections[0].grid.name.partition("/")[0]
        head = MEMBERSHIP_HEAD.format(paper=paper, table=table, made=made, short=short)
        return "\n".join([head, *map(_section, sections)])
    parts = [HEAD.format(paper=paper, table=table, made=made)]
    places: dict[str, list[Section]] = {"table": [], "figure": [], "": []}
    for section in sections:
        name = section.grid.name.rpartition("/")[2]
        places[next(kind for kind in places if name.startswith(kind))].append(section)
    parts += [_section(section) for section in places["table"]]
    if statistics is not None:
        parts.append(_statistics(statistics))
    if places[""]:
        parts.append("## What explains the differences\n")
        parts += [_section(section, level=3) for section in places[""]]
    parts += [_section(section) for section in places["figure"]]
    return "\n".join(parts)


def _section(section: Section, *, level: int = 2) -> str:
    grid = section.grid
    source = grid.source[:1].upper() + grid.source[1:]
    lines = [
        f"{'#' * level} {grid.title}",
        "",
        f"{source}. `recaudit reproduce {grid.name}`{_hours(grid.core_hours)}.",
        "",
    ]
    lines += [f"![{grid.title}]({section.picture})", "", markdown_table(section.frame, grid)]
    lines += [f"{text}\n" for text in warnings_of(section.frame, grid)]
    lines += [f"{text.strip()}\n" for text in grid.found]
    lines += [text] if (text := further_markdown(section.frame, grid)) else []
    measured = section.frame.filter(pl.col("value").is_not_null(), users="queried")
    if grid.picture == "none" and grid.users == "unqueried" and len(measured):
        queried = grid.model_copy(update={"users": "queried"})
        lines += ["<details><summary>On queried users, whose lists the attacker may ask for</summary>", ""]
        lines += [markdown_table(section.frame, queried), "</details>", ""]
    if grid.remarks:
        own = grid.infers and grid.source.startswith("not in the paper")
        lines += ["What was chosen:" if own else "What the paper leaves unsaid, and what was chosen:", ""]
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


def _hours(hours: float | None) -> str:
    if hours is None:
        return ""
    spent = f"{hours:.1f} core hours" if hours >= 1 else f"{60 * hours:.0f} core minutes"
    return f"; its stages took {spent}, those that it shares with other sections among them"
