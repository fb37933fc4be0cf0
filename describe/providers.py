"""Who can be asked: one row each, and one file that connects to it.

What must be known of a provider without asking it stands here, for the command line, the web app, budgets and
provenance; how it is spoken to is in the module that the row names.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CHOICES", "PROVIDERS", "WAYS", "Provider"]


@dataclass(frozen=True)
class Provider:
    """One provider of LLMs, or who answers in the place of one.

    Attributes:
        name: what stands before the colon of ``--llm``.
        forms: how it is named: ``openai:MODEL``.
        ways: what each form needs, for whoever has named none; for ``--help``, ``variables`` of the environment.
        paid: a call costs money: the web app asks for a budget and a yes.
        concurrency: heads asked about at once, unless the user says otherwise.
        key, address: the variables of the environment that hold the key, and another endpoint than its own.
        official: its own endpoint, whose prices are known.
        headers: other variables that the package sends along.
        package: the installed package that it is spoken to by, whose version is part of what made an answer.
        batches: it has OpenAI's Batch API. counts: other servers that speak its language may count tokens.
        continues: it can be asked to go on with a text, which some prompts and likelihoods need.
        module: the module that connects, as `describe.llm.connect` says; None: it asks nobody.
    """

    name: str
    forms: tuple[str, ...]
    ways: str
    paid: bool = False
    concurrency: int = 8
    key: str | None = None
    address: str | None = None
    official: str | None = None
    headers: tuple[str, ...] = ()
    package: str | None = None
    batches: bool = False
    counts: bool = False
    continues: bool = False
    module: str | None = None

    @property
    def asks(self) -> bool:
        """It is an LLM, and is asked."""
        return self.module is not None

    @property
    def variables(self) -> str:
        """The environment variables that it reads, in parentheses."""
        found = ", ".join(filter(None, (self.key, self.address)))
        return f" ({found})" if found else ""


_ROWS = (
    Provider(
        name="openai",
        forms=("openai:MODEL",),
        ways=(
            "openai:MODEL with OPENAI_API_KEY (and OPENAI_BASE_URL for vLLM, Ollama, llama.cpp or any compatible"
            " server)"
        ),
        paid=True,
        key="OPENAI_API_KEY",
        address="OPENAI_BASE_URL",
        official="https://api.openai.com/v1",
        headers=("OPENAI_ORG_ID", "OPENAI_PROJECT_ID"),
        package="openai",
        batches=True,
        counts=True,
        continues=True,
        module="describe.llm.openai_server",
    ),
    Provider(
        name="anthropic",
        forms=("anthropic:MODEL",),
        ways="anthropic:MODEL with ANTHROPIC_API_KEY (and ANTHROPIC_BASE_URL)",
        paid=True,
        key="ANTHROPIC_API_KEY",
        address="ANTHROPIC_BASE_URL",
        official="https://api.anthropic.com",
        package="anthropic",
        module="describe.llm.anthropic_server",
    ),
    Provider(
        name="gguf",
        forms=("gguf:FILE", "gguf:demo"),
        ways="gguf:FILE for a model file on this machine, gguf:demo",
        concurrency=1,
        package="openai",
        continues=True,
        module="describe.llm.local",
    ),
    Provider(
        name="statistics",
        forms=("statistics",),
        ways="or statistics (no LLM: sentences from the evidence)",
    ),
)

PROVIDERS: dict[str, Provider] = {row.name: row for row in _ROWS}

WAYS = ", ".join(row.ways for row in _ROWS)
"""All that can be named, and what each needs."""


def _choices() -> str:
    named = [form + (row.variables if form == row.forms[0] else "") for row in _ROWS for form in row.forms]
    return f"{', '.join(named[:-1])}, or {named[-1]}"


CHOICES = _choices()
"""The choices in few words, for ``--help``."""
