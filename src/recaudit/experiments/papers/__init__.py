"""The grids of published experiments, one folder a paper: YAML beside published values. Loads no torch."""

from recaudit.experiments.papers.catalogue import STATISTICS, grid_names, load_grid

__all__ = ["STATISTICS", "grid_names", "load_grid"]
