"""Talking to a language model: any OpenAI-compatible endpoint, or a GGUF file on this machine."""

from describe.llm.asking import Ledger, Message, Oversight, Reply, Request
from describe.llm.client import ChatClient
from describe.llm.connect import connect, endpoint, identity
from describe.llm.failures import ANSWERED, CAUSES, TRANSIENT
from describe.llm.money import Price, Purse, estimated_tokens, find_price
from describe.llm.pacing import Pacer
from describe.llm.spec import LLM, parse_llm

__all__ = [
    "ANSWERED",
    "CAUSES",
    "LLM",
    "TRANSIENT",
    "ChatClient",
    "Ledger",
    "Message",
    "Oversight",
    "Pacer",
    "Price",
    "Purse",
    "Reply",
    "Request",
    "connect",
    "endpoint",
    "estimated_tokens",
    "find_price",
    "identity",
    "parse_llm",
]
