"""The mathematics of MAPS: pure tensors in, small labelled records out. Knows no files and no catalogue."""

from describe.maps.blocks import BLOCK, KeptRows, Rows, ScratchRows
from describe.maps.chance import random_operations
from describe.maps.memory import ExtractionPlan, RankingPlan, plan_extraction, plan_ranking
from describe.maps.placebo import random_heads, shuffled
from describe.maps.relations import PairHits, Pairs, Sought, Unembedding, head_hits, relation_hits
from describe.maps.roles import OutputSpace, RandomHead, Split, cluster_rows, output_space, random_head
from describe.maps.salient import SalientOperations, salient_operations
from describe.maps.vectors import SourceVectors, source_vectors
from describe.maps.view import LayerView, whole_vocabulary

__all__ = [
    "BLOCK",
    "ExtractionPlan",
    "KeptRows",
    "LayerView",
    "OutputSpace",
    "PairHits",
    "Pairs",
    "RandomHead",
    "RankingPlan",
    "Rows",
    "SalientOperations",
    "ScratchRows",
    "Sought",
    "SourceVectors",
    "Split",
    "Unembedding",
    "cluster_rows",
    "head_hits",
    "output_space",
    "plan_extraction",
    "plan_ranking",
    "random_head",
    "random_heads",
    "random_operations",
    "relation_hits",
    "salient_operations",
    "shuffled",
    "source_vectors",
    "whole_vocabulary",
]
