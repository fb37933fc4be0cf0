"""Statistics of a head's mappings against the vocabulary and against chance, and what they say in words."""

from describe.evidence.grammar import grammar_versions
from describe.evidence.heads import hubs, model_evidence, placebo_evidence
from describe.evidence.vocabulary import Vocabulary
from describe.evidence.words import METHOD, NAME, RANDOM, SETTINGS, describe_evidence, significant

__all__ = [
    "METHOD",
    "NAME",
    "RANDOM",
    "SETTINGS",
    "Vocabulary",
    "describe_evidence",
    "grammar_versions",
    "hubs",
    "model_evidence",
    "placebo_evidence",
    "significant",
]
