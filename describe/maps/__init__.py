"""The mathematics of MAPS: pure tensors in, small labelled records out. Knows no files and no catalogue."""

from describe.maps.relations import PairHits, Pairs, Sought, Unembedding, head_hits, relation_hits
from describe.maps.roles import OutputSpace, RandomHead, Split, cluster_rows, output_space, random_head
from describe.maps.salient import SalientOperations, SourceVectors, salient_operations, source_vectors

__all__ = [
    "OutputSpace",
    "PairHits",
    "Pairs",
    "RandomHead",
    "SalientOperations",
    "Sought",
    "SourceVectors",
    "Split",
    "Unembedding",
    "cluster_rows",
    "head_hits",
    "output_space",
    "random_head",
    "relation_hits",
    "salient_operations",
    "source_vectors",
]
