"""One function per command: read the catalogue, call the pure part, commit. The command line, the app and notebooks
call these. Importing this package imports no torch; extracting does.
"""

from describe.pipeline.common import Progress, find
from describe.pipeline.describing import DescribeResult, describe
from describe.pipeline.extracting import ExtractResult, extract
from describe.pipeline.reading import export, head_record

__all__ = [
    "DescribeResult",
    "ExtractResult",
    "Progress",
    "describe",
    "export",
    "extract",
    "find",
    "head_record",
]
