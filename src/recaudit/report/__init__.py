"""The report of a stored audit: terminal table, figures.csv and one self-contained page. No torch in here."""

from recaudit.report.html import render_html
from recaudit.report.output import write_result
from recaudit.report.result import Figure, Result, parse_result, read_result
from recaudit.report.tables import terminal_table, write_figures_csv

__all__ = [
    "Figure",
    "Result",
    "parse_result",
    "read_result",
    "render_html",
    "terminal_table",
    "write_figures_csv",
    "write_result",
]
