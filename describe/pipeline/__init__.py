"""One function per command: read the catalogue, call the pure part, commit. The command line, the app and notebooks
call these. Importing this package imports no torch; extracting does.
"""

from describe.pipeline.cards import CardsPlan, CardsResult, card_prompt_of, check_words, plan_cards, word_cards
from describe.pipeline.common import Progress, find
from describe.pipeline.describers import by_each, check_describers
from describe.pipeline.description_estimate import Plan, plan, prompt_of
from describe.pipeline.descriptions import DescribeResult, describe
from describe.pipeline.diff import Differences, diff, diff_describers
from describe.pipeline.extraction.engines import open_engine
from describe.pipeline.extraction.extract import ExtractResult, extract, extract_all
from describe.pipeline.figures import figures, figures_in_words
from describe.pipeline.imports import import_heads
from describe.pipeline.inference.ablation import AblateResult, ablate, ablation_curves, ablation_rows
from describe.pipeline.inference.attended import check_attended
from describe.pipeline.inference.attention import AttendResult, attend, attention_rows, kind_rows
from describe.pipeline.inference.correlation import CorrelateResult, correlate, correlation_rows
from describe.pipeline.inference.described_heads import check_described
from describe.pipeline.inference.removal import RemoveResult, remove_heads
from describe.pipeline.lineage import HeadLineage, Lineage, lineage
from describe.pipeline.llm_stage.limits import Batching, Limits
from describe.pipeline.operations.comparison import Comparison, compare, comparison
from describe.pipeline.operations.relations import RelationsResult, relations, relations_all
from describe.pipeline.people import PeopleImported, import_descriptions
from describe.pipeline.query_key import query_key, query_key_in_words
from describe.pipeline.roles import RolesResult, roles
from describe.pipeline.score_estimate import ScorePlan, plan_scores
from describe.pipeline.score_report import score_report
from describe.pipeline.scores import ScoreResult, score
from describe.pipeline.self_test import Finding, self_test
from describe.pipeline.stability import StabilityResult, stability
from describe.pipeline.stability_estimate import StabilityPlan, plan_stability
from describe.pipeline.stored import at_a_glance, calls, export, head_record, report, search
from describe.pipeline.stored_checks import KnownChecks, known_checks, known_relations

__all__ = [
    "AblateResult",
    "AttendResult",
    "Batching",
    "CardsPlan",
    "CardsResult",
    "Comparison",
    "CorrelateResult",
    "DescribeResult",
    "Differences",
    "ExtractResult",
    "Finding",
    "HeadLineage",
    "KnownChecks",
    "Limits",
    "Lineage",
    "PeopleImported",
    "Plan",
    "Progress",
    "RelationsResult",
    "RemoveResult",
    "RolesResult",
    "ScorePlan",
    "ScoreResult",
    "StabilityPlan",
    "StabilityResult",
    "ablate",
    "ablation_curves",
    "ablation_rows",
    "at_a_glance",
    "attend",
    "attention_rows",
    "by_each",
    "calls",
    "card_prompt_of",
    "check_attended",
    "check_described",
    "check_describers",
    "check_words",
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
    "figures",
    "figures_in_words",
    "find",
    "head_record",
    "import_descriptions",
    "import_heads",
    "kind_rows",
    "known_checks",
    "known_relations",
    "lineage",
    "open_engine",
    "plan",
    "plan_cards",
    "plan_scores",
    "plan_stability",
    "prompt_of",
    "query_key",
    "query_key_in_words",
    "relations",
    "relations_all",
    "remove_heads",
    "report",
    "roles",
    "score",
    "score_report",
    "search",
    "self_test",
    "stability",
    "word_cards",
]
