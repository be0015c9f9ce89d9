"""``recaudit data``: which data sets there are, what they hold, and how to get them."""

import sys
from typing import TYPE_CHECKING

from cyclopts import App
from rich.table import Table
from rich.text import Text

from recaudit.cli.console import Output
from recaudit.cli.flags import flags_of_data
from recaudit.data.fetching import fetch
from recaudit.data.filters import k_core
from recaudit.data.interactions import Interactions
from recaudit.data.readers.faults import RepeatedRows
from recaudit.data.reading import Reading
from recaudit.data.sources import SOURCES, SYNTHETIC, DataSpec, Source, find_source, load
from recaudit.data.summary import QUANTILES, Summary, summarise
from recaudit.errors import UsageError
from recaudit.validation import validated

__all__ = ["data_app"]

data_app = App(name="data", help="List, describe and fetch data sets.")

_QUANTILE_NAMES = {0.0: "shortest", 0.5: "median", 1.0: "longest"}
CORE = 5

if TYPE_CHECKING:

    class HowToRead:
        """Flags of a data spec that say how a file is read."""

else:
    HowToRead = flags_of_data()

USUAL = HowToRead()


@data_app.command(name="list")
def list_sources() -> None:
    """List the data sets that have a name, and where each is found."""
    table = Table("name", "what it is", "here", title="Data sets", show_lines=True)
    table.columns[0].no_wrap = True
    table.columns[2].overflow = "fold"
    table.add_row(SYNTHETIC, "generated from a seed; built in, and not real", "yes")
    for source in SOURCES.values():
        _, path = find_source(source.name)
        if path is not None:
            here = str(path)
        else:
            does = "gets it" if source.archive else "says how to get it"
            here = f"no; recaudit data fetch {source.name} {does}"
        table.add_row(source.name, source.title, here)
    Output().print(table)


@data_app.command
def describe(  # noqa: D417 - cyclopts reads the fields of how
    name: str, *, how: HowToRead = USUAL
) -> None:
    """Describe a data set: its size, its histories, and what a 5-core leaves; and what was made of its file.

    Args:
        name: A data set's name, or the path of a file, of a folder of parts, or a pattern such as 'part-*.csv'.
    """
    values = {"source": name, **vars(how), "user_core": 0, "item_core": 0}
    output, refused = Output(), ""
    try:
        interactions = load(validated(DataSpec, values, where="data"))
    except RepeatedRows as error:
        refused = str(error)
        interactions = load(validated(DataSpec, {**values, "repeats": "first"}, where="data"))
    output.print(_figures(summarise(interactions), name))
    output.print(_cores(interactions, SOURCES.get(name)))
    if interactions.reading is not None:
        for line in _read(interactions.reading):
            output.say(line)
    if refused:
        output.say(f"Note: An audit refuses this: {refused}.")
    if name in SOURCES:
        _about(output, SOURCES[name])


@data_app.command(name="fetch")
def fetch_source(name: str) -> None:
    """Download a data set from its publisher, or say where to get it.

    Args:
        name: The data set's name.
    """
    if name == SYNTHETIC:
        raise UsageError("the synthetic data are generated, not downloaded; use them as they are")
    path = fetch(name, progress=sys.stderr.isatty())
    Output().say(f"{name} is at {path}")


def _figures(summary: Summary, name: str) -> Table:
    table = Table("figure", "value", title=Text(name))
    table.columns[1].justify = "right"
    table.add_row("users", f"{summary.users:,}")
    table.add_row("items", f"{summary.items:,}")
    table.add_row("interactions", f"{summary.interactions:,}")
    table.add_row("density", f"{summary.density:.4%}")
    for quantile, length in zip(QUANTILES, summary.lengths, strict=True):
        label = _QUANTILE_NAMES.get(quantile, f"{quantile:.0%} quantile")
        table.add_row(f"history length, {label}", f"{length:,.0f}")
    table.add_row("interactions with the top 1 % of items", f"{summary.top_percent:.1%}")
    table.add_row("interactions with the top 10 % of items", f"{summary.top_tenth:.1%}")
    if summary.rating_range:
        low, high = summary.rating_range
        table.add_row("ratings", f"{low:g} to {high:g}")
    table.add_row("times", "yes" if summary.times else "none")
    if summary.untimed:
        table.add_row("users whose times are all 0", f"{summary.untimed:,}")
    return table


def _cores(interactions: Interactions, source: Source | None) -> Table:
    """Return what cores leave, beside the published figures."""
    table = Table("what is kept", "users", "items", "interactions", "sparsity", title="Filters")
    for column in table.columns[1:]:
        column.justify = "right"
    default = (source.user_core, source.item_core) if source else (0, 0)
    _add(table, "all" + " (default)" * (default == (0, 0)), interactions)
    for iterative in (False, True):
        label = f"{CORE}-core, {'iterative' if iterative else 'one pass'}"
        try:
            core = k_core(interactions, users=CORE, items=CORE, iterative=iterative)
        except UsageError:
            table.add_row(label, "0", "0", "0", "")
            continue
        _add(table, label + " (default)" * (not iterative and default == (CORE, CORE)), core)
    if source and source.published:
        stated = source.published
        row = (f"{stated.users:,}", f"{stated.items:,}", f"{stated.interactions:,}", f"{stated.sparsity:.4f}")
        table.add_row("Zhu et al. (2023), Table 6", *row)
    return table


def _add(table: Table, label: str, interactions: Interactions) -> None:
    row = (interactions.n_users, interactions.n_items, len(interactions.items))
    table.add_row(label, *(f"{figure:,}" for figure in row), f"{1 - interactions.density:.4f}")


def _read(reading: Reading) -> list[str]:
    """Return what was made of a file, a line each."""
    columns = ", ".join(f"{role}={column}" for role, column in reading.columns.items())
    lines = [f"Read as {reading.format}{': ' if columns else ''}{columns}"]
    if reading.unused:
        lines.append(f"Not read: {', '.join(reading.unused)}")
    parts = (("Guessed", reading.guessed), ("Merged", reading.merged), ("Note", reading.doubts))
    return lines + [f"{label}: {sentence}" for label, sentences in parts for sentence in sentences]


def _about(output: Output, source: Source) -> None:
    _, path = find_source(source.name)
    for label, text in (("File", str(path)), ("Licence", source.licence), ("Cite", source.citation)):
        output.say(f"{label}: {text}")
    for remark in source.remarks:
        output.say(f"Note: {remark}")
