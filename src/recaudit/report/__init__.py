"""The report of a stored audit: terminal table, figures.csv and one self-contained page. No torch in here."""

from recaudit.report.result import Result, parse_result, read_result
from recaudit.report.tables import markdown_table, terminal_table, write_figures_csv

__all__ = ["Result", "markdown_table", "parse_result", "read_result", "terminal_table", "write_figures_csv"]
