"""The figures of one checkpoint: the numbers of report.views, drawn."""

from report.figures.checkpoint import FIGURES, absent, checkpoint_figures
from report.figures.describe import describe
from report.figures.options import FigureOptions, flag
from report.style import signed

__all__ = ["FIGURES", "FigureOptions", "absent", "checkpoint_figures", "describe", "flag", "signed"]
