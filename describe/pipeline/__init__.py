"""One function per command: read the catalogue, call the pure part, commit. The command line, the app and notebooks
call these. Importing this package imports no torch; extracting does.
"""

from describe.pipeline.ablating import AblateResult, ablate, ablation_curves, ablation_rows
from describe.pipeline.agreeing import StabilityResult, stability
from describe.pipeline.agreement_plan import StabilityPlan, plan_stability
from describe.pipeline.checking import check_described
from describe.pipeline.common import Progress, find
from describe.pipeline.comparing import Comparison, compare, comparison
from describe.pipeline.correlating import CorrelateResult, correlate, correlation_rows
from describe.pipeline.describing import DescribeResult, describe
from describe.pipeline.differing import Differences, diff, diff_describers
from describe.pipeline.engines import open_engine
from describe.pipeline.extracting import ExtractResult, extract, extract_all
from describe.pipeline.importing import import_heads
from describe.pipeline.known import KnownChecks, known_checks, known_relations
from describe.pipeline.limits import Batching, Limits
from describe.pipeline.planning import Plan, plan, prompt_of
from describe.pipeline.reading import export, head_record, report, search
from describe.pipeline.relating import RelationsResult, relations, relations_all
from describe.pipeline.score_plan import ScorePlan, plan_scores
from describe.pipeline.score_report import score_report
from describe.pipeline.scoring import ScoreResult, score
from describe.pipeline.self_testing import Finding, self_test
from describe.pipeline.splitting import RolesResult, roles

__all__ = [
    "AblateResult",
    "Batching",
    "Comparison",
    "CorrelateResult",
    "DescribeResult",
    "Differences",
    "ExtractResult",
    "Finding",
    "KnownChecks",
    "Limits",
    "Plan",
    "Progress",
    "RelationsResult",
    "RolesResult",
    "ScorePlan",
    "ScoreResult",
    "StabilityPlan",
    "StabilityResult",
    "ablate",
    "ablation_curves",
    "ablation_rows",
    "check_described",
    "compare",
    "comparison",
    "correlate",
    "correlation_rows",
    "describe",
    "diff",
    "diff_describers",
    "export",
    "extract",
    "extract_all",
    "find",
    "head_record",
    "import_heads",
    "known_checks",
    "known_relations",
    "open_engine",
    "plan",
    "plan_scores",
    "plan_stability",
    "prompt_of",
    "relations",
    "relations_all",
    "report",
    "roles",
    "score",
    "score_report",
    "search",
    "self_test",
    "stability",
]
