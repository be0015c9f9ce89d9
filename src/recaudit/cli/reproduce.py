"""``recaudit reproduce``: a paper's table or figure, ours beside the published values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from shlex import quote
from typing import TYPE_CHECKING

from cyclopts import App, Parameter
from rich.table import Table

from recaudit.cli.console import Output
from recaudit.cli.flags import Whole
from recaudit.cli.options import Folder
from recaudit.cli.progress import GridProgress
from recaudit.cli.stores import default_store
from recaudit.errors import UsageError, nearest

if TYPE_CHECKING:
    import polars as pl

    from recaudit.experiments.grid import Grid
    from recaudit.pipeline import Store
    from recaudit.pipeline.schedule import Pool
    from recaudit.report.paper import Part

__all__ = ["reproduce_app"]

reproduce_app = App(
    name="reproduce", help="Run a paper's experiments and set ours beside the published values."
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ReproduceOptions:
    """Flags of ``recaudit reproduce``."""

    only: str | None = None
    """The part of the grid to run, such as data=ml-1m,victim=bpr+lmf,attack=PTD+PTA."""
    seeds: Whole = None
    """How many seeds; what the grid says by default."""
    workers: Whole = None
    """Processes of this machine, one thread each; 1 by default."""
    cluster: str | None = None
    """A Ray cluster, such as auto or ray://host:10001; needs recaudit[ray] and a --store that all share."""
    device: str = "cpu"
    """cpu, cuda or mps."""
    store: Folder | None = None
    """Folder that keeps finished nodes; $RECAUDIT_STORE or recaudit-store by default."""
    out: Folder | None = None
    """Folder for results.parquet, results.csv and plots; results/NAME by default."""


@reproduce_app.default
def reproduce(name: str | None = None, /, *, options: ReproduceOptions = ReproduceOptions()) -> None:  # noqa: D417
    """Run an experiment, or what is left of it, and show ours beside the published values.

    A run that is stopped or killed loses no finished node: the same command goes on from there.

    Args:
        name: The experiment, such as zhu2023/table4; `recaudit reproduce list` names them all.
    """
    from recaudit.experiments.papers import STATISTICS, load_grid  # noqa: PLC0415

    name = _known(name)
    out = options.out or Path("results") / name
    if name == STATISTICS:
        _statistics(out, options)
        return
    grid = _narrowed(load_grid(name), options)
    _check(options)
    from recaudit.audit.run import check_device  # noqa: PLC0415
    from recaudit.experiments.papers.published import with_published  # noqa: PLC0415
    from recaudit.experiments.results import results  # noqa: PLC0415
    from recaudit.pipeline import Store  # noqa: PLC0415
    from recaudit.report.output import check_folder, write_results  # noqa: PLC0415
    from recaudit.report.paper import further_tables, tables, terminal_of, warnings_of  # noqa: PLC0415
    from recaudit.report.plots import draw  # noqa: PLC0415

    if options.cluster is None:
        check_device(options.device)
    _check_data(grid, options.only)
    check_folder(out)  # before hours of work, not behind them
    output = Output()
    store = Store(options.store or default_store(), say=output.warn)
    _run(grid, store, options)
    frame = with_published(results(grid, store, device=options.device), grid)
    write_results(frame, out)
    output.print(terminal_of([*tables(frame, grid), *further_tables(frame, grid)], grid.name))
    for warning in warnings_of(frame, grid):
        output.say(warning)
    drawn = draw(frame, grid, out)
    output.say(f"Results: {out / 'results.parquet'}; plots: {', '.join(path.name for path in drawn)}")


@reproduce_app.command(name="list")
def list_experiments(*, left: bool = False, store: Folder | None = None) -> None:
    """List the experiments, and what they took on one core when they were measured.

    Args:
        left: Also plan them against the store and tell what is left to compute, in this machine's seconds; it
            loads the data, which takes a minute.
        store: Folder of finished nodes, for --left; $RECAUDIT_STORE or recaudit-store by default.
    """
    from recaudit.experiments.papers import STATISTICS, grid_names, load_grid  # noqa: PLC0415

    output = Output()
    headings = ("experiment", "what it asks", "cells", "seeds", "core time", *(["left"] if left else []))
    table = Table(*headings, title="Experiments")
    for column in (table.columns[0], *table.columns[4:]):
        column.no_wrap = True
    grids = {name: None if name == STATISTICS else load_grid(name) for name in (STATISTICS, *grid_names())}
    told = _left(grids.values(), store or default_store(), output) if left else {}
    for name, grid in sorted(grids.items(), key=lambda one: one[0].partition("/")[0]):
        if grid is None:
            table.add_row(name, "What the data sets hold", "", "", "seconds")
            continue
        seeds = sorted({cell.seeds for cell in grid.cells()})
        several = dict.fromkeys(map(str, (seeds[0], seeds[-1])))
        cost = "" if grid.core_hours is None else _duration(3600 * grid.core_hours)
        more = [told[name]] if left else []
        table.add_row(name, grid.title, str(len(grid.cells())), " to ".join(several), cost, *more)
    output.print(table)
    output.say(
        "Core time is what all nodes of an experiment took when the committed results were measured. "
        "--only and --seeds make an experiment smaller."
    )


def _left(grids: Iterable["Grid | None"], folder: Path, output: Output) -> dict[str, str]:
    """Return in words what is left of each experiment; what has no data is told once, below."""
    from recaudit.audit.tasks import missing  # noqa: PLC0415
    from recaudit.experiments.costs import Costs  # noqa: PLC0415
    from recaudit.experiments.plan import plan  # noqa: PLC0415
    from recaudit.pipeline import Store  # noqa: PLC0415

    store = Store(folder, say=output.warn, writes=False)
    costs = Costs(store)
    told: dict[str, str] = {}
    lacking: dict[str, None] = {}
    with output.status("planning") as status:
        for grid in grids:
            if grid is None:
                continue
            status.update(f"planning {grid.name}")
            try:
                todo = missing(plan(grid, store), store)
            except UsageError as error:
                lacking[str(error)] = None
                told[grid.name] = "no data"
                continue
            cost = costs.of(todo.values())
            guess = "" if cost.measured > 0.5 else " (guess)"
            told[grid.name] = _duration(cost.seconds) + guess if todo else "done"
    for line in lacking:
        output.warn(f"no data: {line}")
    return told


@reproduce_app.command
def page(*, paper: str = "zhu2023", results: Folder = Path("results"), out: Folder = Path("docs")) -> None:
    """Draw a paper's page and its plots from the committed table of results.

    What `recaudit reproduce NAME` measured meanwhile replaces rows of the table first. Neither a store nor
    data are needed.

    Args:
        paper: The paper whose experiments are shown.
        results: Folder of newer results, NAME/results.parquet for each experiment, as recaudit reproduce
            leaves them; what it lacks stays as the table has it.
        out: Folder for the page and the folder of its table and plots: reproduction.md and reproduction,
            and for the paper on membership membership-reproduction.md and membership-reproduction.
    """
    from recaudit.experiments.papers import STATISTICS, grid_names, load_grid, load_paper  # noqa: PLC0415
    from recaudit.report.output import check_folder, write_page  # noqa: PLC0415
    from recaudit.report.paper import render_page  # noqa: PLC0415

    names = [name for name in grid_names() if name.startswith(f"{paper}/")]
    if not names:
        papers = dict.fromkeys(name.partition("/")[0] for name in grid_names())
        raise UsageError(f"--paper: unknown paper {paper!r}{nearest(paper, papers)}")
    about = load_paper(paper)
    output = Output()
    folder = out / about.page
    check_folder(folder)
    with output.status("reading the table") as status:
        table, statistics = _merged([load_grid(name) for name in names], folder, results, STATISTICS)
        parts = []
        for name in names:
            status.update(f"drawing {name}")
            parts.append(_part(load_grid(name), table, folder))
    text = render_page(about, parts, statistics=statistics, table=f"{folder.name}/results.parquet")
    written = out / f"{about.page}.md"
    write_page(text, written)
    output.say(f"Page: {written}")


def _merged(
    grids: Sequence["Grid"], folder: Path, results: Path, statistics: str
) -> tuple["pl.DataFrame", "pl.DataFrame | None"]:
    """Return a page's table with newer results in it, written where it changed, and the data sets' counts."""
    import polars as pl  # noqa: PLC0415

    from recaudit.experiments.papers.published import with_published  # noqa: PLC0415
    from recaudit.experiments.table import (  # noqa: PLC0415
        counts_of,
        read_table,
        replaced,
        replaced_counts,
        rows_of,
        spread,
    )
    from recaudit.report.output import write_table  # noqa: PLC0415

    path = folder / "results.parquet"
    old = read_table(path)

    def newer(name: str) -> "pl.DataFrame":
        return read_table(results / name / "results.parquet")

    parts = [
        with_published(replaced(rows_of(old, grid), rows_of(newer(grid.name), grid), grid), grid)
        for grid in grids
    ]
    counts = counts_of(old, statistics)
    if statistics.partition("/")[0] == grids[0].name.partition("/")[0]:
        counts = replaced_counts(counts, counts_of(newer(statistics), statistics))
        parts.append(counts)
    table = pl.concat(parts, how="diagonal")
    if not table.equals(old):
        write_table(table, path)
    return table, spread(counts)


def _part(grid: "Grid", table: "pl.DataFrame", folder: Path) -> "Part":
    """Draw an experiment and return its part of the page; what the table lacks is not measured."""
    import polars as pl  # noqa: PLC0415

    from recaudit.experiments.table import columns_of  # noqa: PLC0415
    from recaudit.report.paper import Part  # noqa: PLC0415
    from recaudit.report.plots import draw  # noqa: PLC0415

    frame = table.filter(pl.col("experiment") == grid.name).select(*columns_of(grid), "published")
    plot = PurePosixPath(folder.name) / draw(frame, grid, folder, formats=("svg",))[0].name
    return Part(grid=grid, frame=frame, plot=plot)


def _absent(grid: "Grid") -> list[str]:
    """Return the named data sets of a grid that are not here."""
    from recaudit.data.sources import SOURCES, find_source  # noqa: PLC0415
    from recaudit.experiments.plan import cell_spec  # noqa: PLC0415

    named = dict.fromkeys(cell_spec(cell).data.source for cell in grid.cells())
    return [name for name in named if name in SOURCES and find_source(name)[1] is None]


def _check_data(grid: "Grid", only: str | None) -> None:
    """Refuse a grid whose data are not all here, and name the part of it whose data are."""
    from recaudit.data.sources import load  # noqa: PLC0415
    from recaudit.experiments.grid import parse_only  # noqa: PLC0415

    absent = _absent(grid)
    here = tuple(str(name) for name in grid.axes.get("data", ()) if name not in absent)
    if not absent or not here:
        return
    asked = {} if only is None else parse_only(only)
    part = ",".join(f"{name}={'+'.join(values)}" for name, values in {**asked, "data": here}.items())
    try:
        load(absent[0])
    except UsageError as error:
        raise UsageError(f"{error}; or leave it out: --only {quote(part)}") from None


def _known(name: str | None) -> str:
    """Return the name of an experiment."""
    from recaudit.experiments.papers import STATISTICS, grid_names  # noqa: PLC0415

    if name is None:
        raise UsageError(
            "reproduce: name an experiment, such as zhu2023/table4; recaudit reproduce list names them all"
        )
    names = (STATISTICS, *grid_names())
    if name not in names:
        raise UsageError(f"unknown experiment {name!r}{nearest(name, names)}")
    return name


def _narrowed(grid: "Grid", options: ReproduceOptions) -> "Grid":
    from recaudit.experiments.grid import narrowed, parse_only  # noqa: PLC0415

    return narrowed(grid, {} if options.only is None else parse_only(options.only), options.seeds)


def _check(options: ReproduceOptions) -> None:
    if options.workers is not None and options.workers < 1:
        raise UsageError(f"--workers: there must be at least one, not {options.workers}")
    if options.workers is not None and options.cluster is not None:
        raise UsageError("--workers: a cluster has its own workers; leave --workers or --cluster out")


def _run(grid: "Grid", store: "Store", options: ReproduceOptions) -> None:
    """Compute what is missing of a grid."""
    from recaudit.audit.tasks import missing  # noqa: PLC0415
    from recaudit.experiments.costs import Costs  # noqa: PLC0415
    from recaudit.experiments.plan import plan  # noqa: PLC0415
    from recaudit.pipeline.schedule import execute  # noqa: PLC0415

    planned = plan(grid, store, device=options.device)
    todo = missing(planned, store)
    with GridProgress(grid.name, Costs(store)) as progress:
        if todo:
            execute(todo, _pool(options, progress), progress.tell)


def _pool(options: ReproduceOptions, progress: GridProgress) -> "Pool":
    from recaudit.audit.tasks import perform  # noqa: PLC0415
    from recaudit.pipeline.pools.local import Here, Processes  # noqa: PLC0415

    if options.cluster is not None:
        from recaudit.pipeline.pools.ray import RayPool  # noqa: PLC0415

        return RayPool(options.cluster, perform=perform, device=options.device)
    if options.workers is None or options.workers == 1:
        return Here(partial(perform, progress=progress))
    return Processes(perform, options.workers)


def _statistics(out: Path, options: ReproduceOptions) -> None:
    """Show Table 6: the data sets as published and as found."""
    from recaudit.experiments.papers.statistics import statistics  # noqa: PLC0415
    from recaudit.experiments.table import counted  # noqa: PLC0415
    from recaudit.pipeline import versions  # noqa: PLC0415
    from recaudit.report.output import write_results  # noqa: PLC0415
    from recaudit.report.paper import counts_table, terminal_of  # noqa: PLC0415

    for flag in ("only", "seeds", "workers", "cluster"):
        if getattr(options, flag) is not None:
            raise UsageError(f"--{flag}: Table 6 counts what the data sets hold; leave it out")
    frame = statistics()
    write_results(counted(frame, versions()), out)
    output = Output()
    output.print(terminal_of([counts_table(frame)], "Zhu et al. (2023), Table 6"))
    for data, rows in frame.group_by("data", maintain_order=True):
        if len(rows) == 1:
            output.say(f"{data[0]} is not here: recaudit data list says how to get it.")
    output.say(f"Results: {out / 'results.parquet'}")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
