"""recaudit: learn what a recommender leaks before somebody else does."""

__version__ = "0.1.0"
