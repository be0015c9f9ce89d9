"""An experiment as a picture in SVG, PNG and PDF: the same bytes for the same results."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import matplotlib
import polars as pl
from matplotlib.figure import Figure

from recaudit.errors import UsageError
from recaudit.experiments.grid import Grid
from recaudit.files import whole_file
from recaudit.report.experiment_frontier import draw_frontier
from recaudit.report.experiment_heatmap import draw_heatmap
from recaudit.report.experiment_looks import INK, MUTED, RULE
from recaudit.report.experiment_panels import draw_dots, draw_lines
from recaudit.report.experiment_roc import draw_roc
from recaudit.report.experiment_rows import Experiment, arrange_experiment

__all__ = ["draw"]

_SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    # In SVG the text stays text: where the first font is missing, the next is nearly as wide.
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "font.size": 8,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.labelsize": 8,
    "axes.linewidth": 0.8,
    "axes.titlesize": 8.5,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "recaudit",
    "path.simplify": False,
}
# What would differ from one day or one version to the next.
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
_DPI = 200
_KINDS: dict[str, Callable[[Experiment], Figure]] = {
    "none": draw_dots,
    "lines": draw_lines,
    "heatmap": draw_heatmap,
    "roc": draw_roc,
    "frontier": draw_frontier,
}


def draw(
    frame: pl.DataFrame, grid: Grid, folder: Path, *, kinds: Sequence[str] = tuple(_METADATA)
) -> list[Path]:
    """Draw an experiment and write it as SVG, PNG (200 dots per inch) and PDF, and return the paths.

    ``zhu2023/table4`` becomes ``zhu2023-table4.svg`` and so on. A grid that names no picture is drawn as
    dots, a panel a cell. All files are written in full before the first takes its place.

    Args:
        frame: the experiment's rows of the tidy table of results.
        grid: what was to be measured; what the frame lacks is marked as not measured.
        folder: where the files go, made where needed.
        kinds: the formats to write, by their endings.

    Raises:
        UsageError: where an axis of the grid has no column in the table of results, or ``folder`` cannot hold
            files.
    """
    experiment = arrange_experiment(frame, grid)
    name = grid.name.replace("/", "-")
    paths = [folder / f"{name}.{kind}" for kind in kinds]
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        canvas = _KINDS[experiment.picture](experiment)
        try:
            with ExitStack() as stack:
                for path, kind in zip(paths, kinds, strict=True):
                    temporary = stack.enter_context(whole_file(path))
                    about = _METADATA[kind]
                    canvas.savefig(temporary, format=kind, dpi=_DPI, metadata=about, facecolor="white")
        except OSError as error:
            raise UsageError(f"{folder}: cannot write the picture there: {error.strerror}") from None
    return paths
