"""Papers: the grids of published experiments beside the values that they print. Loads no torch."""

from recaudit.papers.catalogue import grid_names, load_grid, published, with_published
from recaudit.papers.statistics import STATISTICS, statistics

__all__ = ["STATISTICS", "grid_names", "load_grid", "published", "statistics", "with_published"]
