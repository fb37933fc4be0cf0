"""The options that several commands share, each written once."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

DEFAULT_CATALOGUE = "headscribe.db"

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="demo, a model directory, a .gguf file, or a Hugging Face hub id.")
]
CataloguePlace = Annotated[
    str,
    typer.Option(
        "--catalog", envvar="HEADSCRIBE_CATALOG", metavar="WHERE", help="The catalogue: a file, or a SQLAlchemy URL."
    ),
]
Heads = Annotated[
    str, typer.Option("--heads", metavar="WHICH", help="all; heads such as 25.0,16.8; layers such as 20-25.")
]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or mps.")]
Dtype = Annotated[str, typer.Option("--dtype", metavar="NAME", help="Precision to compute in: float32 or float64.")]
Json = Annotated[
    Optional[Path],  # noqa: UP045  (Typer reads the annotation at run time, on Python 3.10 too)
    typer.Option("--json", metavar="[PATH]", help="Write the result as JSON to a file, or to standard output."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no table; errors still show.")]
LLMName = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--llm",
        envvar="HEADSCRIBE_LLM",
        metavar="LLM",
        help="openai:MODEL (OPENAI_API_KEY, OPENAI_BASE_URL), gguf:FILE, gguf:demo, or statistics.",
    ),
]


Operations = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--operations", metavar="DIR", help="A directory of operations (default: the 20 of headscribe)."),
]
Threshold = Annotated[
    float, typer.Option("--threshold", min=0, max=1, help="A head implements an operation from this score on.")
]
Plots = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--plots", metavar="DIR", help="Write pictures (PNG) and their data (CSV) to this directory."),
]


class Format(str, Enum):
    """What a catalogue is exported as."""

    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"
    markdown = "markdown"
    html = "html"
