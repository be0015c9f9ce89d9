"""Plots of audits and papers: one style, and the kinds that both draw."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import polars as pl
from matplotlib.figure import Figure as Canvas

from recaudit.errors import UsageError
from recaudit.experiments.grid import Grid
from recaudit.files import whole_file
from recaudit.report.experiment import Experiment, arranged
from recaudit.report.plots.dots import agreement_plot, draw_dots, recall_plot
from recaudit.report.plots.frontier import draw_frontier
from recaudit.report.plots.heatmap import draw_heatmap
from recaudit.report.plots.lines import draw_lines
from recaudit.report.plots.roc import draw_roc, roc_plot
from recaudit.report.plots.style import NARROW, OF_PAPER, WIDE, styled

__all__ = ["NARROW", "WIDE", "agreement_plot", "draw", "recall_plot", "roc_plot"]

_KINDS: dict[str, Callable[[Experiment], Canvas]] = {
    "none": draw_dots,
    "lines": draw_lines,
    "heatmap": draw_heatmap,
    "roc": draw_roc,
    "frontier": draw_frontier,
}


# What would differ from one day or one version to the next.
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def draw(
    frame: pl.DataFrame, grid: Grid, folder: Path, *, formats: Sequence[str] = tuple(_METADATA)
) -> list[Path]:
    """Draw an experiment and write it as SVG, PNG (200 dots per inch) and PDF, and return the paths.

    ``zhu2023/table4`` becomes ``zhu2023-table4.svg`` and so on; the same results give the same bytes. A grid
    that names no plot is drawn as dots, a panel a cell. All files are written in full before the first takes
    its place.

    Args:
        frame: the experiment's rows of the tidy table of results.
        grid: what was to be measured; what the frame lacks is marked as not measured.
        folder: where the files go, made where needed.
        formats: what to write, by their endings.

    Raises:
        UsageError: where an axis of the grid has no column in the table of results, or ``folder`` cannot hold
            files.
    """
    experiment = arranged(frame, grid)
    paths = [folder / f"{grid.name.replace('/', '-')}.{ending}" for ending in formats]
    try:
        with styled(OF_PAPER), ExitStack() as stack:
            canvas = _KINDS[experiment.plot](experiment)
            for path, ending in zip(paths, formats, strict=True):
                file, about = stack.enter_context(whole_file(path)), _METADATA[ending]
                canvas.savefig(file, format=ending, dpi=200, metadata=about, facecolor="white")
    except OSError as error:
        raise UsageError(f"{folder}: cannot write the plot there: {error.strerror}") from None
    return paths
