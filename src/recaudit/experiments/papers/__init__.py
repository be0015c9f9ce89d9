"""The grids of published experiments, one folder a paper: YAML beside published values. Loads no torch."""

from recaudit.experiments.papers.catalogue import STATISTICS, Paper, grid_names, load_grid, load_paper

__all__ = ["STATISTICS", "Paper", "grid_names", "load_grid", "load_paper"]
