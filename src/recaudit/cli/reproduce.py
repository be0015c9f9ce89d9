"""``recaudit reproduce``: a paper's table or figure, ours beside the published values."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from shlex import quote
from typing import TYPE_CHECKING

from cyclopts import App, Parameter
from rich.table import Table

from recaudit.cli.audit import Whole
from recaudit.cli.console import Output
from recaudit.cli.options import Folder
from recaudit.cli.progress import GridProgress
from recaudit.cli.stores import default_store, open_store
from recaudit.errors import UsageError, nearest

if TYPE_CHECKING:
    from recaudit.experiments.costs import Costs
    from recaudit.experiments.grid import Grid
    from recaudit.pipeline import Store
    from recaudit.pipeline.schedule import Pool
    from recaudit.report.experiment_page import Section

__all__ = ["reproduce_app"]

PAPERS = {
    "zhu2023": "Model Stealing Attack against Recommender System (Zhu et al. 2023)",
    "hu2023": "Membership Inference Attacks Against Latent Factor Model (Hu)",
}
PAGES = {"zhu2023": "reproduction", "hu2023": "membership-reproduction"}
"""What the page of a paper and the folder of its pictures are called."""

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
    """Folder that keeps finished stages; $RECAUDIT_STORE or recaudit-store by default."""
    out: Folder | None = None
    """Folder for results.parquet, results.csv and pictures; results/NAME by default."""


@reproduce_app.default
def reproduce(name: str | None = None, /, *, options: ReproduceOptions = ReproduceOptions()) -> None:  # noqa: D417
    """Run an experiment, or what is left of it, and show ours beside the published values.

    A run that is stopped or killed loses no finished stage: the same command goes on from there.

    Args:
        name: The experiment, such as zhu2023/table4; `recaudit reproduce list` names them all.
    """
    from recaudit.papers import STATISTICS, load_grid, with_published  # noqa: PLC0415

    name = _known(name)
    out = options.out or Path("results") / name
    if name == STATISTICS:
        _statistics(out, options)
        return
    grid = _narrowed(load_grid(name), options)
    _check(options)
    from recaudit.audit.run import check_device  # noqa: PLC0415
    from recaudit.experiments.results import results  # noqa: PLC0415
    from recaudit.pipeline import Store  # noqa: PLC0415
    from recaudit.report.experiment_figures import draw  # noqa: PLC0415
    from recaudit.report.experiment_further import further_tables, warnings_of  # noqa: PLC0415
    from recaudit.report.experiment_tables import terminal_table  # noqa: PLC0415
    from recaudit.report.output import check_folder, write_results  # noqa: PLC0415

    if options.cluster is None:
        check_device(options.device)
    _check_data(grid, options.only)
    check_folder(out)  # before hours of work, not behind them
    output = Output()
    store = Store(options.store or default_store(), say=output.warn)
    _run(grid, store, options)
    frame = with_published(results(grid, store, device=options.device), grid)
    write_results(frame, out)
    output.print(terminal_table(frame, grid))
    if grid.further:
        output.print(further_tables(frame, grid))
    for warning in warnings_of(frame, grid):
        output.say(warning)
    drawn = draw(frame, grid, out)
    output.say(f"Results: {out / 'results.parquet'}; pictures: {', '.join(path.name for path in drawn)}")


@reproduce_app.command(name="list")
def list_experiments(*, store: Folder | None = None) -> None:
    """List the experiments and what they cost on this machine.

    Args:
        store: Folder of finished stages, whose seconds the costs are told by.
    """
    from recaudit.experiments.costs import Costs  # noqa: PLC0415
    from recaudit.papers import STATISTICS, grid_names, load_grid  # noqa: PLC0415
    from recaudit.pipeline import Store  # noqa: PLC0415

    output = Output()
    folder = store or default_store()
    table = Table("experiment", "what it asks", "cells", "seeds", "whole", "left", title="Experiments")
    table.columns[0].no_wrap = table.columns[4].no_wrap = table.columns[5].no_wrap = True
    lacking: dict[str, None] = {}
    with output.status("planning") as status:
        kept = Store(folder, say=output.warn, writes=False)
        costs = Costs(kept)
        for name in sorted((STATISTICS, *grid_names()), key=lambda name: name.partition("/")[0]):
            if name == STATISTICS:
                table.add_row(STATISTICS, "What the data sets hold", "", "", "seconds", "")
                continue
            status.update(f"planning {name}")
            grid = load_grid(name)
            cells = grid.cells()
            seeds = sorted({cell.seeds for cell in cells})
            several = dict.fromkeys(map(str, (seeds[0], seeds[-1])))
            try:
                told = _told(grid, kept, costs)
            except UsageError as error:
                lacking[str(error)] = None
                told = ("no data", "")
            table.add_row(name, grid.title, str(len(cells)), " to ".join(several), *told)
    output.print(table)
    for line in lacking:
        output.say(f"No data: {line}")
    output.say(
        "Costs are for one worker, from the stages in the store where it has like ones, else guesses. "
        "--only and --seeds make an experiment smaller."
    )


@reproduce_app.command
def page(*, paper: str = "zhu2023", store: Folder | None = None, out: Folder = Path("docs")) -> None:
    """Write a paper's page, its pictures and its tidy table from what the store has; it computes nothing.

    Args:
        paper: The paper whose experiments are shown.
        store: Folder of finished stages; $RECAUDIT_STORE or recaudit-store by default.
        out: Folder for the page and the folder of its pictures: reproduction.md and reproduction, and for
            the paper on membership membership-reproduction.md and membership-reproduction.
    """
    import polars as pl  # noqa: PLC0415

    from recaudit.papers import STATISTICS, grid_names, load_grid, statistics  # noqa: PLC0415
    from recaudit.pipeline import versions  # noqa: PLC0415
    from recaudit.report.experiment_page import render_page  # noqa: PLC0415
    from recaudit.report.output import check_folder, write_page, write_results  # noqa: PLC0415

    names = [name for name in grid_names() if name.startswith(f"{paper}/")]
    if not names:
        papers = dict.fromkeys(name.partition("/")[0] for name in grid_names())
        raise UsageError(f"--paper: unknown paper {paper!r}{nearest(paper, papers)}")
    output = Output()
    kept = open_store(store, output)
    spent = {stage.hash: stage.elapsed for stage in kept.stages()}
    folder = out / PAGES[paper]
    check_folder(folder)
    sections = []
    absent: dict[str, None] = {}
    with output.status("reading the store") as status:
        for name in names:
            status.update(f"reading {name}")
            grid = load_grid(name)
            absent |= dict.fromkeys(_absent(grid))
            sections.append(_section(grid, kept, spent, folder))
        found = statistics() if STATISTICS.startswith(f"{paper}/") else None
    if absent:
        output.warn(
            f"{', '.join(absent)}: no such data here, so that their cells are not measured on the page; "
            "recaudit data list says how to get them"
        )
    write_results(pl.concat([section.frame for section in sections], how="diagonal"), folder)
    table = f"{folder.name}/results.parquet"
    text = render_page(PAPERS[paper], sections, statistics=found, table=table, versions=versions())
    written = out / f"{PAGES[paper]}.md"
    write_page(text, written)
    output.say(f"Page: {written}")


def _section(grid: "Grid", store: "Store", spent: Mapping[str, float], folder: Path) -> "Section":
    """Draw an experiment and return its part of the page; cells whose data are not here have no figures."""
    import polars as pl  # noqa: PLC0415

    from recaudit.experiments.grid import narrowed  # noqa: PLC0415
    from recaudit.experiments.plan import plan  # noqa: PLC0415
    from recaudit.experiments.results import COLUMNS, results  # noqa: PLC0415
    from recaudit.papers import with_published  # noqa: PLC0415
    from recaudit.report.experiment_figures import draw  # noqa: PLC0415
    from recaudit.report.experiment_page import Section  # noqa: PLC0415

    absent = _absent(grid)
    here = [str(name) for name in grid.axes.get("data", ()) if name not in absent]
    hours = 0.0
    if absent and not here:
        types = {key.rpartition(".")[2]: pl.Series(values).dtype for key, values in grid.axes.items()}
        own = {name: kind for name, kind in types.items() if name not in COLUMNS}
        frame = pl.DataFrame(schema={**COLUMNS, **own})
    else:
        kept = narrowed(grid, {"data": here}, None) if absent else grid
        frame = results(kept, store)
        hours = sum(spent.get(key, 0.0) for key in plan(kept, store)) / 3600
    frame = with_published(frame, grid)
    picture = PurePosixPath(folder.name) / draw(frame, grid, folder)[0].name
    return Section(grid=grid, frame=frame, picture=picture, hours=hours)


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
    from recaudit.papers import STATISTICS, grid_names  # noqa: PLC0415

    if name is None:
        raise UsageError(
            "reproduce: name an experiment, such as zhu2023/table4; recaudit reproduce list names them all"
        )
    names = (STATISTICS, *grid_names())
    if name not in names:
        raise UsageError(f"unknown experiment {name!r}{nearest(name, names)}")
    return name


def _told(grid: "Grid", store: "Store", costs: "Costs") -> tuple[str, str]:
    """Return in words what an experiment costs, and what is left of it."""
    from recaudit.audit.tasks import missing  # noqa: PLC0415
    from recaudit.experiments.plan import plan  # noqa: PLC0415

    planned = plan(grid, store)
    todo = missing(planned, store)
    whole = costs.of(planned.values())
    guess = "" if whole.measured > 0.5 else " (guess)"
    return _duration(whole.seconds) + guess, _duration(costs.of(todo.values()).seconds) if todo else "done"


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
    from recaudit.papers import statistics  # noqa: PLC0415
    from recaudit.report.output import write_results  # noqa: PLC0415

    for flag in ("only", "seeds", "workers", "cluster"):
        if getattr(options, flag) is not None:
            raise UsageError(f"--{flag}: Table 6 counts what the data sets hold; leave it out")
    frame = statistics()
    write_results(frame, out)
    counts = ("users", "items", "interactions")
    table = Table("data", "kept", *counts, "sparsity", title="Zhu et al. (2023), Table 6")
    for row in frame.iter_rows(named=True):
        sparsity = "" if row["sparsity"] is None else f"{row['sparsity']:.4f}"
        table.add_row(row["data"], row["kept"], *(f"{row[column]:,}" for column in counts), sparsity)
    output = Output()
    output.print(table)
    for data, rows in frame.group_by("data", maintain_order=True):
        if len(rows) == 1:
            output.say(f"{data[0]} is not here: recaudit data list says how to get it.")
    output.say(f"Results: {out / 'results.parquet'}")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
