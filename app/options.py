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
Concurrency = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--concurrency", min=1, metavar="N", help="Heads asked about at once, at most (default: 8; gguf: 1)."),
]
MaxTokens = Annotated[int, typer.Option("--max-tokens", min=16, metavar="N", help="Longest reply, reasoning included.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, metavar="S", help="Seconds to wait for a reply.")]
Attempts = Annotated[int, typer.Option("--attempts", min=1, metavar="N", help="Tries of a call that the server fails.")]
GiveUpAfter = Annotated[
    int,
    typer.Option("--give-up-after", min=1, metavar="N", help="End the run after N heads in a row without an answer."),
]
Rpm = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option("--rpm", min=0.1, metavar="N", help="Requests per minute, at most (default: what the server says)."),
]
Tpm = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option("--tpm", min=1, metavar="N", help="Tokens per minute, at most (default: what the server says)."),
]
Budget = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option("--budget", min=0, metavar="USD", help="Stop before the call that could pass it."),
]
PriceIn = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option("--price-in", min=0, metavar="USD", help="Price of a million tokens of prompts (default: our table)."),
]
PriceOut = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option("--price-out", min=0, metavar="USD", help="Price of a million tokens of replies, likewise."),
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

RunDtype = Annotated[
    str, typer.Option("--dtype", metavar="NAME", help="Precision to run the model in: float32, float64 or bfloat16.")
]
Csv = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--csv", metavar="PATH", help="Write the table as CSV."),
]
Latex = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--latex", metavar="PATH", help="Write the table as LaTeX (booktabs)."),
]


class Format(str, Enum):
    """What a catalogue is exported as."""

    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"
    markdown = "markdown"
    html = "html"
