"""Where heads look: their attention on text, on the same tokens shuffled, and on random tokens that come twice."""

from describe.inference.attention.figures import TextMarks, figures, uniform_figures
from describe.inference.attention.patterns import PatternReader, open_pattern_reader
from describe.inference.attention.reading import DocumentReading, at_once, read_documents
from describe.inference.attention.summary import heads_of
from describe.inference.attention.texts import (
    Document,
    Source,
    TokenMarks,
    documents,
    random_documents,
    read_sources,
    shuffled,
)

__all__ = [
    "Document",
    "DocumentReading",
    "PatternReader",
    "Source",
    "TextMarks",
    "TokenMarks",
    "at_once",
    "documents",
    "figures",
    "heads_of",
    "open_pattern_reader",
    "random_documents",
    "read_documents",
    "read_sources",
    "shuffled",
    "uniform_figures",
]
