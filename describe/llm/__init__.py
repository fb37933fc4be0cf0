"""Talking to a language model: any OpenAI-compatible endpoint, or a GGUF file on this machine."""

from describe.llm.asking import Choice, Form, Ledger, Message, Oversight, Reply, Request
from describe.llm.batch_state import BatchState
from describe.llm.batches import MOST_BYTES, MOST_REQUESTS, BatchClient
from describe.llm.client import ChatClient
from describe.llm.connect import connect, connect_batches, endpoint, identity
from describe.llm.failures import ANSWERED, CAUSES, TRANSIENT, refused_parameter
from describe.llm.money import Price, Purse, estimated_tokens, find_price, most_tokens
from describe.llm.pacing import Pacer
from describe.llm.spec import LLM, parse_llm
from describe.llm.tokens import tokens_per_character
from describe.llm.wire import GUESSED, Wire, reply_of

__all__ = [
    "ANSWERED",
    "CAUSES",
    "GUESSED",
    "LLM",
    "MOST_BYTES",
    "MOST_REQUESTS",
    "TRANSIENT",
    "BatchClient",
    "BatchState",
    "ChatClient",
    "Choice",
    "Form",
    "Ledger",
    "Message",
    "Oversight",
    "Pacer",
    "Price",
    "Purse",
    "Reply",
    "Request",
    "Wire",
    "connect",
    "connect_batches",
    "endpoint",
    "estimated_tokens",
    "find_price",
    "identity",
    "most_tokens",
    "parse_llm",
    "refused_parameter",
    "reply_of",
    "tokens_per_character",
]
