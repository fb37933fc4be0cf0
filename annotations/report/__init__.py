"""The report of a study: its figures (`build`), and the forms it is written in (`FORMS`, `written`)."""

from annotations.report.build import build
from annotations.report.forms import FORMS, written
from annotations.report.records import Counts, Figure, RaterLine, Report, Study

__all__ = ["FORMS", "Counts", "Figure", "RaterLine", "Report", "Study", "build", "written"]
