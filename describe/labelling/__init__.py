"""From mappings to descriptions: prompt, reply, answer; many heads at once."""

from describe.labelling.answer import ANSWER_SCHEMA, UNCLEAR, Answer, parse_answer
from describe.labelling.exchange import Exchange
from describe.labelling.run import describe_head, describe_heads
from describe.labelling.template import DEFAULT_PROMPT, Template, load_template, template_names

__all__ = [
    "ANSWER_SCHEMA",
    "DEFAULT_PROMPT",
    "UNCLEAR",
    "Answer",
    "Exchange",
    "Template",
    "describe_head",
    "describe_heads",
    "load_template",
    "parse_answer",
    "template_names",
]
