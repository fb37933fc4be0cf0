"""Talking to a language model: any OpenAI-compatible endpoint, or a GGUF file on this machine."""

from describe.llm.client import CAUSES, ChatClient, Message, Reply, Request
from describe.llm.connect import connect, identity
from describe.llm.spec import LLM, parse_llm

__all__ = ["CAUSES", "LLM", "ChatClient", "Message", "Reply", "Request", "connect", "identity", "parse_llm"]
