"""Plots of audits and papers: one style, and the kinds that both draw."""

from recaudit.report.plots.dots import agreement_plot, recall_plot
from recaudit.report.plots.roc import roc_plot
from recaudit.report.plots.style import NARROW, WIDE

__all__ = ["NARROW", "WIDE", "agreement_plot", "recall_plot", "roc_plot"]
