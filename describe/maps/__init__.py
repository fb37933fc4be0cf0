"""The mathematics of MAPS: pure tensors in, small labelled records out. Knows no files and no catalogue."""

from describe.maps.placebo import random_heads, shuffled
from describe.maps.relations import PairHits, Pairs, Sought, Unembedding, head_hits, relation_hits
from describe.maps.salient import SalientOperations, SourceVectors, salient_operations, source_vectors

__all__ = [
    "PairHits",
    "Pairs",
    "SalientOperations",
    "Sought",
    "SourceVectors",
    "Unembedding",
    "head_hits",
    "random_heads",
    "relation_hits",
    "salient_operations",
    "shuffled",
    "source_vectors",
]
