"""One chat call, with retries: what every stage that asks an LLM goes through.

The client sends what the newest servers understand and learns what this server refuses: structured output, a seed,
a temperature, the newer name of the token limit. What it learned holds for all later calls of the run.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypedDict, cast

import openai
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from describe.errors import CallError, LLMError

__all__ = ["CAUSES", "ChatClient", "Message", "Reply", "Request"]

CAUSES = {
    "rate_limit": "the server went on answering that we ask too often",
    "timeout": "no answer within the time allowed",
    "connection": "the server could not be reached, or broke off",
    "server_error": "the server failed, or answered with something that is no chat completion",
    "bad_request": "the server refused the request",
    "empty": "the reply holds no text",
    "truncated": "the reply was cut off at the token limit",
    "refusal": "the LLM, or a filter before it, declined to answer",
    "invalid": "the reply does not have the form asked for, after one more try",
}
"""Why a call, or a head's exchange of calls, gave no usable answer."""

_TRANSIENT = {"rate_limit", "timeout", "connection", "server_error"}

# A parameter some servers refuse -> words in their complaint, and what to send instead (None: nothing).
_REFUSABLE: dict[str, tuple[tuple[str, ...], str | None]] = {
    "max_completion_tokens": (("max_completion_tokens",), "max_tokens"),
    "temperature": (("temperature",), None),
    "seed": (("seed",), None),
    "response_format": (("response_format", "json_schema", "structured", "schema", "grammar"), None),
}


class Message(TypedDict):
    """One message of a chat."""

    role: Literal["user", "assistant", "system"]
    content: str


@dataclass(frozen=True)
class Request:
    """How to ask: sampling, limits and patience. Times are in seconds."""

    max_tokens: int = 2048
    temperature: float | None = 0.0
    seed: int | None = 0
    timeout: float = 120.0
    attempts: int = 6
    longest_wait: float = 60.0

    def provenance(self) -> dict[str, Any]:
        """What bears on the answer, to be stored with it."""
        return {"max_tokens": self.max_tokens, "temperature": self.temperature, "seed": self.seed}


@dataclass(frozen=True)
class Reply:
    """A reply's text, and what the call took: model, request id, tokens in and out, seconds, attempts, omitted."""

    text: str
    usage: dict[str, Any] = field(default_factory=dict)


class ChatClient:
    """Calls one model at one OpenAI-compatible endpoint.

    Args:
        model: the model's name at the endpoint.
        base_url: the endpoint; None for OpenAI's own.
        api_key: sent to the endpoint, and nowhere else; taken out of every message.
        request: how to ask.
        lengths: the endpoint enforces ``maxLength`` in a schema; OpenAI's own refuses a schema that has it.
    """

    def __init__(
        self, model: str, base_url: str | None, api_key: str, request: Request, *, lengths: bool = False
    ) -> None:
        self.model = model
        self._api_key = api_key
        self._request = request
        self._lengths = lengths
        self._refused: set[str] = set()
        self._reached = False
        self._client = openai.AsyncOpenAI(api_key=api_key, base_url=base_url, max_retries=0, timeout=request.timeout)
        self._where = str(self._client.base_url)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()

    async def ask(self, messages: list[Message], schema: dict[str, Any]) -> Reply:
        """One reply to a chat, structured by a JSON schema where the server can.

        Rate limits, time-outs, broken connections and server failures are tried again, with growing random waits or
        as long as the server asks. Raises `CallError` when no usable reply came, `LLMError` when none ever will.
        """
        started, tries = time.monotonic(), 0
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, CallError) and error.cause in _TRANSIENT),
            wait=self._wait,
            stop=stop_after_attempt(self._request.attempts),
            sleep=asyncio.sleep,
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    tries += 1
                    completion = await self._call(messages, schema)
                    self._reached = True
                    text = _text(completion)
        except CallError as error:
            if error.cause == "connection" and not self._reached:
                raise LLMError(
                    f"{error} (tried {tries} times): is OPENAI_BASE_URL right, and the server up?"
                ) from error
            raise
        usage = completion.usage
        return Reply(
            text,
            {
                "model": completion.model,
                "request_id": completion.id,
                "tokens_in": usage.prompt_tokens if usage else None,
                "tokens_out": usage.completion_tokens if usage else None,
                "seconds": round(time.monotonic() - started, 3),
                "attempts": tries,
                "omitted": sorted(self._refused),
            },
        )

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, CallError) else None
        if asked is not None:
            return min(asked, self._request.longest_wait)
        return wait_random_exponential(multiplier=0.5, max=self._request.longest_wait)(state)

    async def _call(self, messages: list[Message], schema: dict[str, Any]) -> Any:
        """One call; a refused parameter is left out from now on and the call made again at once."""
        while True:
            sent = self._parameters(schema)
            try:
                completion = await self._client.chat.completions.create(
                    model=self.model,
                    messages=cast(Any, messages),
                    **sent,
                )
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                refused = _refused_parameter(str(error).lower(), sent)
                if refused is None:
                    raise CallError("bad_request", self._clean(error)) from error
                self._refused.add(refused)
                continue
            except openai.OpenAIError as error:
                raise self._translate(error) from error
            except ValueError as error:  # a body that is no JSON
                raise CallError("server_error", "the server's answer is no JSON") from error
            if not getattr(completion, "choices", None) and not hasattr(completion, "usage"):
                raise CallError(
                    "server_error", "the server's answer is no chat completion", reply=str(completion)[:2000]
                )
            return completion

    def _parameters(self, schema: dict[str, Any]) -> dict[str, Any]:
        wanted: dict[str, Any] = {
            "max_completion_tokens": self._request.max_tokens,
            "temperature": self._request.temperature,
            "seed": self._request.seed,
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "answer",
                    "strict": True,
                    "schema": schema if self._lengths else _without_lengths(schema),
                },
            },
        }
        sent = {}
        for name, value in wanted.items():
            used = _REFUSABLE[name][1] if name in self._refused else name
            if used is not None and value is not None:
                sent[used] = value
        return sent

    def _translate(self, error: openai.OpenAIError) -> Exception:
        """The openai package's exception as ours; what no later call can mend as `LLMError`."""
        message = self._clean(error)
        if isinstance(error, openai.AuthenticationError):
            return LLMError(f"{self._where} refused the API key: check OPENAI_API_KEY")
        if isinstance(error, openai.PermissionDeniedError):
            return LLMError(f"{self._where} does not allow the use of '{self.model}' with this key: {message}")
        if isinstance(error, openai.NotFoundError):
            return LLMError(f"{self._where} has no model '{self.model}' (or no chat completions there): {message}")
        if isinstance(error, openai.RateLimitError):
            if error.code == "insufficient_quota":
                return LLMError(f"the account at {self._where} has no credit left")
            return CallError("rate_limit", message, retry_after=_retry_after(error))
        if isinstance(error, openai.APITimeoutError):
            return CallError("timeout", f"no answer within {self._request.timeout:g} s")
        if isinstance(error, openai.APIConnectionError):
            return CallError("connection", f"{self._where} cannot be reached: {error.__cause__ or message}")
        if isinstance(error, openai.APIStatusError) and error.status_code < 500 and error.status_code not in (408, 409):
            return CallError("bad_request", message)
        after = _retry_after(error) if isinstance(error, openai.APIStatusError) else None
        return CallError("server_error", message, retry_after=after)

    def _clean(self, error: Exception) -> str:
        """The error's first line, of bounded length, without the key."""
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        return line.replace(self._api_key, "***")[:500]


def _without_lengths(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {name: _without_lengths(value) for name, value in schema.items() if name != "maxLength"}
    return [_without_lengths(value) for value in schema] if isinstance(schema, list) else schema


def _text(completion: Any) -> str:
    """The text of a completion. Raises `CallError` for refusals, cut-off replies and replies without text."""
    if not completion.choices:
        raise CallError("empty", "the reply holds no choice")
    choice = completion.choices[0]
    text = str((choice.message and choice.message.content) or "").strip()
    refusal = getattr(choice.message, "refusal", None)
    if refusal or choice.finish_reason == "content_filter":
        raise CallError("refusal", "the LLM or its filter declined to answer", reply=str(refusal or text))
    if choice.finish_reason == "length":
        raise CallError("truncated", "the reply was cut off at the token limit (--max-tokens)", reply=text)
    if not text:
        raise CallError("empty", "the reply holds no text", reply=text)
    return text


def _refused_parameter(complaint: str, sent: dict[str, Any]) -> str | None:
    """Which of the parameters sent the server complains of; structured output when it does not say."""
    candidates = [name for name in _REFUSABLE if name in sent]
    named = (name for name in candidates if any(word in complaint for word in _REFUSABLE[name][0]))
    return next(named, "response_format" if "response_format" in candidates else None)


def _retry_after(error: openai.APIStatusError) -> float | None:
    """Seconds the server asks to wait: ``retry-after-ms``, ``Retry-After`` in seconds or as a date."""
    headers = error.response.headers
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            return max(0.0, float(value) * scale)
        except ValueError:
            try:
                return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
            except ValueError:
                return None
    return None
