"""One function per command: read the catalogue, call the pure part, commit. The command line, the app and notebooks
call these. Importing this package imports no torch; extracting does.
"""

from describe.pipeline.ablating import AblateResult, ablate, ablation_curves, ablation_rows
from describe.pipeline.agreeing import StabilityResult, stability
from describe.pipeline.checking import check_described
from describe.pipeline.common import Progress, find
from describe.pipeline.comparing import Comparison, compare
from describe.pipeline.correlating import CorrelateResult, correlate, correlation_rows
from describe.pipeline.describing import DescribeResult, describe
from describe.pipeline.extracting import ExtractResult, extract
from describe.pipeline.limits import Batching, Limits
from describe.pipeline.planning import Plan, plan, prompt_of
from describe.pipeline.reading import export, head_record, report
from describe.pipeline.relating import RelationsResult, relations
from describe.pipeline.splitting import RolesResult, roles

__all__ = [
    "AblateResult",
    "Batching",
    "Comparison",
    "CorrelateResult",
    "DescribeResult",
    "ExtractResult",
    "Limits",
    "Plan",
    "Progress",
    "RelationsResult",
    "RolesResult",
    "StabilityResult",
    "ablate",
    "ablation_curves",
    "ablation_rows",
    "check_described",
    "compare",
    "correlate",
    "correlation_rows",
    "describe",
    "export",
    "extract",
    "find",
    "head_record",
    "plan",
    "prompt_of",
    "relations",
    "report",
    "roles",
    "stability",
]
