"""Prompt templates: found by name among those installed, checked for unknown fields, rendered, hashed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, meta
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from describe.errors import TemplateError
from describe.records import HeadMapping
from describe.text import quoted

__all__ = ["DEFAULT_PROMPT", "Template", "load_template"]

DEFAULT_PROMPT = "salient-1"
FIELDS = ("rows", "n_targets")
"""What a template may use: ``rows``, each with ``source`` and ``targets`` (tokens in quotes), and ``n_targets``."""

_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=False, autoescape=False)


@dataclass(frozen=True)
class Template:
    """A prompt template by name; ``text`` is what is hashed and stored with every description."""

    name: str
    text: str

    @property
    def hash(self) -> str:
        """SHA-256 of the text."""
        return text_hash(self.text)

    def render(self, mapping: HeadMapping) -> str:
        """The prompt for one head. Raises `TemplateError` when the template asks for what a head does not have."""
        rows = [
            {"source": quoted(row.token), "targets": [quoted(target.token) for target in row.targets]}
            for row in mapping.salient
        ]
        fields: dict[str, Any] = {"rows": rows, "n_targets": max((len(row["targets"]) for row in rows), default=0)}
        try:
            return _ENVIRONMENT.from_string(self.text).render(fields)
        except JinjaError as error:
            raise TemplateError(f"prompt template '{self.name}' cannot be rendered: {error}") from error


def load_template(name: str = DEFAULT_PROMPT) -> Template:
    """An installed template by name. Raises `TemplateError` when it is not there, malformed, or uses unknown fields."""
    folder = resources.files("prompts")
    known = sorted(file.name.removesuffix(".jinja") for file in folder.iterdir() if file.name.endswith(".jinja"))
    if name not in known:
        raise TemplateError(f"there is no prompt template '{name}'; there are: {', '.join(known)}")
    text = (folder / f"{name}.jinja").read_text(encoding="utf-8")
    try:
        unknown = meta.find_undeclared_variables(_ENVIRONMENT.parse(text)) - set(FIELDS)
    except TemplateSyntaxError as error:
        raise TemplateError(f"prompt template '{name}', line {error.lineno}: {error.message}") from error
    if unknown:
        raise TemplateError(f"prompt template '{name}' uses the unknown field '{min(unknown)}'; known: {FIELDS}")
    return Template(name, text)


def text_hash(text: str) -> str:
    """SHA-256 of a text, as stored beside what was made with it."""
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
