"""From mappings to descriptions: prompt, reply, answer; many heads at once."""

from describe.labelling.answer import ANSWER_SCHEMA, UNCLEAR, Answer, parse_answer
from describe.labelling.cards import CardQuestion, load_card_template, objection, passes
from describe.labelling.exchange import DescribeQuestion, Exchange, Inquiry, Question, run_ahead
from describe.labelling.json_reply import first_reason, once_each, reply_object
from describe.labelling.run import Asks, ask, inquire, work_through
from describe.labelling.template import DEFAULT_PROMPT, Kind, Template, load_template, shown_rows, template_names

__all__ = [
    "ANSWER_SCHEMA",
    "DEFAULT_PROMPT",
    "UNCLEAR",
    "Answer",
    "Asks",
    "CardQuestion",
    "DescribeQuestion",
    "Exchange",
    "Inquiry",
    "Kind",
    "Question",
    "Template",
    "ask",
    "first_reason",
    "inquire",
    "load_card_template",
    "load_template",
    "objection",
    "once_each",
    "parse_answer",
    "passes",
    "reply_object",
    "run_ahead",
    "shown_rows",
    "template_names",
    "work_through",
]
