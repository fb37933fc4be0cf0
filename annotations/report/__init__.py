"""The report of a study: its figures (`build`), and the forms they are written in (`FORMATS`, `render`)."""

from annotations.report.build import build
from annotations.report.records import Counts, Figure, RaterLine, Report, Study

__all__ = ["Counts", "Figure", "RaterLine", "Report", "Study", "build"]
