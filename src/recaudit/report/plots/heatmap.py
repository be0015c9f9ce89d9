"""An experiment as heatmaps: one an attack, two axes of the grid down and across."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Canvas

from recaudit.figures import Figure
from recaudit.report.experiment import Experiment, Group, interval
from recaudit.report.plots.style import INK, MUTED, RULE, WIDTH, columns_of, limit_of, title_of
from recaudit.vocabulary import CEILING, DECIMALS, FLOOR

__all__ = ["draw_heatmap"]

# One hue from light to dark, which every form of colour vision and a print in grey keep in order.
_COLOURS = colormaps["Blues"]


def draw_heatmap(experiment: Experiment) -> Canvas:
    """Return a panel an attack, one axis down and the other across, and one of floor and ceiling."""
    groups = experiment.groups
    maps: list[tuple[Group, tuple[str, ...]]] = [
        (group, (row,)) for group in groups for row in experiment.attacks
    ]
    if experiment.compared:
        maps += [(group, (FLOOR, CEILING)) for group in groups]
    columns = columns_of(len(experiment.attacks) if experiment.infers else len(maps), len(maps))
    rows = math.ceil(len(maps) / columns)
    down = len({experiment.labels(cell)[0] for cell in groups[0].cells})
    above = 0.4 if experiment.infers else 0.0  # titles of several lines
    canvas = Canvas(figsize=(WIDTH, rows * (0.42 * down + 0.62 + above) + 0.2), layout="constrained")
    panels = canvas.subplots(rows, columns, squeeze=False).flatten()
    # An AUC of chance is white; what is below it has the colour of chance, and its number.
    scale = (
        Normalize(0, limit_of(experiment.shown))
        if experiment.chance is None
        else Normalize(experiment.chance, 1)
    )
    for panel, (group, shown) in zip(panels, maps, strict=False):
        _heatmap_panel(panel, experiment, group, shown, scale)
    for panel in panels[len(maps) :]:
        panel.set_axis_off()
    bar = canvas.colorbar(
        ScalarMappable(scale, _COLOURS), ax=list(panels), label=experiment.measure, aspect=30, pad=0.02
    )
    bar.outline.set_visible(False)
    return canvas


def _heatmap_panel(
    panel: Axes, experiment: Experiment, group: Group, shown: Sequence[str], scale: Normalize
) -> None:
    """Draw one attack over both axes, or floor and ceiling over the first one alone."""
    first, second = experiment.inner
    cells = {tuple(experiment.labels(cell)): cell for cell in group.cells}
    down = list(dict.fromkeys(one for one, _ in cells))
    across = list(dict.fromkeys(other for _, other in cells))
    alone = len(shown) == 1
    for y, one in enumerate(down):
        row = [cells[one, other] for other in across]
        if alone:
            figures = [experiment.find(shown[0], cell) for cell in row]
        else:
            # Floor and ceiling are the same in all cells of a row: one that was measured speaks for all.
            figures = [max((experiment.find(name, cell) for cell in row), key=_known) for name in shown]
        for x, figure in enumerate(figures):
            _square(panel, (x, y), figure, scale)
    panel.set_xlim(-0.5, len(across if alone else shown) - 0.5)
    panel.set_ylim(len(down) - 0.5, -0.5)
    names = across if alone else [experiment.name_of(name) for name in shown]
    panel.set_xticks(range(len(names)), names)
    panel.set_yticks(range(len(down)), down)
    panel.tick_params(length=0)
    for side in panel.spines.values():
        side.set_visible(False)
    panel.set_ylabel(first.words, color=MUTED, fontsize=7.5)
    panel.set_xlabel(second.words if alone else "no attack", color=MUTED, fontsize=7.5)
    title = experiment.name_of(shown[0]) if alone else "floor and ceiling"
    between = "\n" if experiment.infers else ": "
    shared = len(experiment.groups) > 1 or experiment.infers
    where = f"{title_of(experiment, group.label)}{between}" if shared else ""
    panel.set_title(f"{where}{title}", color=INK)


def _known(figure: Figure) -> tuple[bool, int]:
    """Return how much is known of a figure, least first."""
    return figure.value is not None, figure.seeds


def _square(panel: Axes, at: tuple[int, int], figure: Figure, scale: Normalize) -> None:
    x, y = at
    box: dict[str, Any] = {"linewidth": 1.5, "edgecolor": "white"}
    if figure.value is None:
        box |= {"facecolor": "#f4f5f7", "hatch": "////", "edgecolor": RULE, "linewidth": 0}
    else:
        box["facecolor"] = _COLOURS(scale(figure.value))
    panel.bar(x, 1, 1, bottom=y - 0.5, **box)
    red, green, blue, _ = _COLOURS(scale(figure.value or 0.0))
    dark = figure.value is not None and 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
    colour = "white" if dark else INK
    if figure.value is None:
        panel.text(x, y, figure.missing.replace(" ", "\n"), ha="center", va="center", fontsize=6, color=MUTED)
        return
    between = interval(figure)
    panel.text(
        x,
        y - (0.14 if between else 0),
        DECIMALS.text(figure.value),
        ha="center",
        va="center",
        fontsize=7.5,
        color=colour,
    )
    panel.text(x, y + 0.24, between, ha="center", va="center", fontsize=5.5, color=colour)
