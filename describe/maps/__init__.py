"""The mathematics of MAPS: pure tensors in, small labelled records out. Knows no files and no catalogue."""

from describe.maps.blocks import BLOCK, KeptRows, Rows, ScratchRows
from describe.maps.chance import random_operations
from describe.maps.coordinates import HeadCoordinates, HeadsTogether, own_heads, random_heads_of
from describe.maps.counting import Unembedding
from describe.maps.low_precision import RoundedRows
from describe.maps.memory import ExtractionPlan, RankingPlan, plan_extraction, plan_ranking
from describe.maps.placebo import random_heads, shuffled
from describe.maps.reading import ConstantParts, DirectOperations, LayerReading, RowCounts, WordOperations, read_layer
from describe.maps.relations import PairHits, Pairs, Sought, head_hits, relation_hits
from describe.maps.roles import OutputSpace, RandomHead, Split, cluster_rows, output_space, random_head
from describe.maps.salient import SalientOperations, salient_operations
from describe.maps.vectors import SourceVectors, source_vectors
from describe.maps.view import LayerView, whole_vocabulary

__all__ = [
    "BLOCK",
    "ConstantParts",
    "DirectOperations",
    "ExtractionPlan",
    "HeadCoordinates",
    "HeadsTogether",
    "KeptRows",
    "LayerReading",
    "LayerView",
    "OutputSpace",
    "PairHits",
    "Pairs",
    "RandomHead",
    "RankingPlan",
    "RoundedRows",
    "RowCounts",
    "Rows",
    "SalientOperations",
    "ScratchRows",
    "Sought",
    "SourceVectors",
    "Split",
    "Unembedding",
    "WordOperations",
    "cluster_rows",
    "head_hits",
    "output_space",
    "own_heads",
    "plan_extraction",
    "plan_ranking",
    "random_head",
    "random_heads",
    "random_heads_of",
    "random_operations",
    "read_layer",
    "relation_hits",
    "salient_operations",
    "shuffled",
    "source_vectors",
    "whole_vocabulary",
]
