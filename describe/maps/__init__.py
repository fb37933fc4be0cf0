"""The mathematics of MAPS: pure tensors in, small labelled records out. Knows no files and no catalogue."""

from describe.maps.salient import SalientOperations, SourceVectors, salient_operations, source_vectors

__all__ = ["SalientOperations", "SourceVectors", "salient_operations", "source_vectors"]
