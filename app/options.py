"""The options that several commands share, each written once."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from describe.export import FORMATS
from describe.providers import CHOICES, PROVIDERS
from describe.readings import DEFAULT, reading_named

_BATCHES = ", ".join(f"{row.name}:" for row in PROVIDERS.values() if row.batches)
_CONCURRENCY = "; ".join(f"{row.name}: {row.concurrency}" for row in PROVIDERS.values() if row.asks)

DEFAULT_CATALOGUE = "headscribe.db"


def output_file(path: Optional[Path]) -> Optional[Path]:  # noqa: UP045
    """A path to write to, as Typer hands it over. Raises `InputError` for a catalogue, before anything is done."""
    if path is not None and str(path) != "-":
        from describe.files import check_output, is_stream

        if not (is_stream(path) or path.is_dir()):
            check_output(path.expanduser())
    return path


def _reading(name: Optional[str]) -> Optional[str]:  # noqa: UP045
    """A reading as Typer hands it over. Raises `InputError` for one that there is not."""
    return name if name is None else reading_named(name).name


def _llms(context: typer.Context, names: Optional[list[str]]) -> Optional[list[str]]:  # noqa: UP045
    """The LLMs as Typer hands them over, each once; the environment names one, whose path may hold spaces."""
    source = context.get_parameter_source("llm")
    if source is not None and source.name == "ENVIRONMENT":
        return [os.environ["HEADSCRIBE_LLM"]]
    return list(dict.fromkeys(names)) if names else None


def _profile(name: Optional[str]) -> Optional[str]:  # noqa: UP045
    """A profile as Typer hands it over. Raises `InputError` for one that there is not."""
    if name is not None:
        from describe.operations import profile_named

        profile_named(name)
    return name


Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="demo, a model directory, a .gguf file, or a Hugging Face hub id.")
]
Models = Annotated[
    list[str], typer.Argument(metavar="MODEL...", help="Each as demo, a model directory, a .gguf file, or a hub id.")
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
Reading = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--reading",
        metavar="NAME",
        callback=_reading,
        help="How heads are read: direct, what they read and write in the running model, or paper (MAPS); default:"
        f" {DEFAULT}, but of a model that the catalogue has by the other alone, that one.",
    ),
]
ScoredReading = Annotated[
    str,
    typer.Option(
        "--reading",
        metavar="NAME",
        callback=_reading,
        help="Sources as in the paper, or direct: the stream of the running model at the source token.",
    ),
]
ShownReading = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--reading",
        metavar="NAME",
        callback=_reading,
        help=f"Heads read by paper or direct (default: {DEFAULT}, where the catalogue has them by both).",
    ),
]
Tokens = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--tokens",
        metavar="WHICH",
        help="Tokens that count: all, learnt (the commonest of these), N learnt ones at most, or a FILE of text or"
        " counts (default: that of the reading).",
    ),
]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or mps.")]
Dtype = Annotated[str, typer.Option("--dtype", metavar="NAME", help="Precision to compute in: float32 or float64.")]
Memory = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--memory", metavar="SIZE", help="What the process may take, such as 8GiB (default: half of what is free)."
    ),
]
EngineName = Annotated[
    str, typer.Option("--engine", metavar="NAME", help="Where to compute: local, or ray (a Ray cluster).")
]
RayAddress = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--ray-address", metavar="ADDRESS", help="The Ray cluster (default: one on this machine alone)."),
]
Json = Annotated[
    Optional[Path],  # noqa: UP045  (Typer reads the annotation at run time, on Python 3.10 too)
    typer.Option(
        "--json",
        metavar="[PATH]",
        callback=output_file,
        help="Write the result as JSON to a file, or to standard output.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no table; errors still show.")]
LLMNames = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--llm",
        envvar="HEADSCRIBE_LLM",
        metavar="LLM",
        callback=_llms,
        help=f"{CHOICES}; several times: one after the other, each a describer of its own.",
    ),
]
Concurrency = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        "--concurrency", min=1, metavar="N", help=f"Heads asked about at once, at most (default: {_CONCURRENCY})."
    ),
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
    typer.Option(
        "--price-in",
        min=0,
        metavar="USD",
        help="Price of a million tokens of prompts (default: the listed one).",
    ),
]
PriceOut = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option("--price-out", min=0, metavar="USD", help="Price of a million tokens of replies, likewise."),
]
Placebos = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        "--placebos",
        min=0,
        metavar="N",
        help="Describe N placebo heads of each kind too, as a control (default: of an LLM random heads at a tenth of"
        " the cost, 8 at least; 0: none).",
    ),
]

Batch = Annotated[
    bool,
    typer.Option(
        "--batch", help=f"Ask through the server's Batch API: within a day, at half the price ({_BATCHES} only)."
    ),
]
Poll = Annotated[
    float,
    typer.Option("--poll", min=0.01, metavar="S", help="Longest pause between two looks at a batch, in seconds."),
]
NoWait = Annotated[
    bool,
    typer.Option("--no-wait", help="With --batch: submit, collect what is ready, and end; run again to collect."),
]

Operations = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--operations",
        metavar="DIR",
        help="A directory of operations; or all: one more than the 20 of headscribe (the default).",
    ),
]
Only = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--only", metavar="NAMES", help="These operations alone, separated by commas (default: all)."),
]
K = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--k", min=1, metavar="K", help="Targets count among so many (default: by vocabulary size)."),
]
NoFirstMLP = Annotated[bool, typer.Option("--no-first-mlp", help="Read sources from the embeddings in every layer.")]
ProfileName = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--profile",
        metavar="NAME",
        callback=_profile,
        help="Settings as a whole: paper, as printed in the paper (default: headscribe).",
    ),
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
StudyName = Annotated[
    Optional[str],  # noqa: UP045
    typer.Argument(metavar="NAME", help="The study; not needed where there is only one."),
]
StudyHeads = Annotated[
    str, typer.Option("--heads", metavar="WHICH", help="sample:N descriptions at random; all; or such as 25.0,16.8.")
]
Source = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--source", metavar="LLM", help="Whose descriptions: an LLM, or statistics; several times (all)."),
]
LeaveOutUnclear = Annotated[
    bool, typer.Option("--leave-out-unclear", help='Draw no "Unclear" (else raters are asked whether that is so).')
]
Contact = Annotated[
    str, typer.Option("--contact", metavar="WHO", help="Whom raters may ask: a name, an address; they read it.")
]
AboutRaters = Annotated[
    bool, typer.Option("--about-raters", help="Ask raters about themselves: their English, what they know of this.")
]
Screening = Annotated[
    bool, typer.Option("--screening", help="A check before the first item: 3 of 4 obvious ones; two tries.")
]
RatersPerItem = Annotated[int, typer.Option("--raters-per-item", metavar="N", help="Raters that judge each item.")]
SwapEasy = Annotated[
    float, typer.Option("--swap-easy", metavar="SHARE", help="Controls with a random other head's description.")
]
SwapHard = Annotated[
    float, typer.Option("--swap-hard", metavar="SHARE", help="Controls with the description of a head alike.")
]
Shuffled = Annotated[
    float, typer.Option("--shuffled", metavar="SHARE", help="Controls with the targets shuffled over the rows.")
]
Catch = Annotated[float, typer.Option("--catch", metavar="SHARE", help="Obvious items, to see who pays attention.")]
Repeats = Annotated[float, typer.Option("--repeats", metavar="SHARE", help="Items that a rater sees again, far apart.")]
Distance = Annotated[
    int, typer.Option("--distance", metavar="N", help="Items at least between two that show the same head.")
]
ItemsPerRater = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--items-per-rater", metavar="N", help="Different items of a rater, at most (default: all)."),
]
LeaseMinutes = Annotated[
    float, typer.Option("--lease-minutes", metavar="M", help="An unanswered item goes to others after so long.")
]
MaxFailedCatch = Annotated[
    float,
    typer.Option("--max-failed-catch", metavar="SHARE", help="Exclude who fails more catch items (1: nobody)."),
]
MinSeconds = Annotated[
    float, typer.Option("--min-seconds", metavar="S", help="Exclude whose median item takes less (0: nobody).")
]
MaxRepeatDisagreement = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option("--max-repeat-disagreement", metavar="SHARE", help="Exclude who contradicts themselves more."),
]
Guideline = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--guideline", metavar="FILE", help="Instructions for raters, Markdown (default: ours)."),
]
Consent = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--consent", metavar="FILE", help="What raters agree to, Markdown (default: ours)."),
]

Format = Enum("Format", {name: name for name in FORMATS})  # type: ignore[misc]  # its members are a table
"""The formats that a catalogue is exported as."""
