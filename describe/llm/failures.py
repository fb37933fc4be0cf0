"""Ways a call can go wrong, and how to tell from what the openai package raises."""

from __future__ import annotations

import asyncio
import importlib
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from tenacity import RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from describe.errors import CallError, LLMError
from describe.llm.asking import Request
from describe.llm.complaints import Complaint
from describe.providers import Provider

__all__ = [
    "ANSWERED",
    "CAUSES",
    "REFUSABLE",
    "TRANSIENT",
    "UNREACHED",
    "answered_with",
    "never_reached",
    "package_of",
    "persistence",
    "proxy_of",
    "refused_parameter",
    "retry_after",
    "translate",
]

CAUSES = {
    "rate_limit": "the server went on answering that we ask too often",
    "timeout": "no answer within the time allowed",
    "connection": "the server could not be reached, or broke off",
    "server_error": "the server failed, or answered with something that is no chat completion",
    "redirect": "the server sent us on to another address, where nothing is sent",
    "bad_request": "the server refused the request",
    "empty": "the reply holds no text",
    "truncated": "the reply was cut off at the token limit",
    "refusal": "the LLM, or a filter before it, declined to answer",
    "invalid": "the reply does not have the form asked for, after one more try",
    "echo": "the reply repeats the answer of an example in the prompt",
}
"""Why a call, or a head's exchange of calls, gave no usable answer."""

TRANSIENT = {"rate_limit", "timeout", "connection", "server_error"}
"""Causes that another try may mend."""

_OVERLOADED = 529
"""Anthropic's status for servers that have too much to do for anybody: asked less often, they answer."""

UNREACHED = {"connection", "redirect"}
"""Causes that say, where no call ever came through, that the address is wrong."""

ANSWERED = {"ok", "empty", "truncated", "refusal"}
"""Outcomes of calls that the LLM answered, and was paid for."""

# A parameter some servers refuse -> words in their complaint, and what to send instead (None: nothing).
REFUSABLE: dict[str, tuple[tuple[str, ...], str | None]] = {
    "max_completion_tokens": (("max_completion_tokens",), "max_tokens"),
    "temperature": (("temperature",), None),
    "seed": (("seed",), None),
    "response_format": (("response_format", "json_schema", "structured", "schema", "grammar"), None),
    "output_config": (("output_config", "json_schema", "structured", "schema"), None),
}


def package_of(row: Provider) -> Any:
    """The package that a provider is spoken to by. OpenAI's and Anthropic's have the same exceptions and clients."""
    return importlib.import_module(row.package or "openai")


def translate(
    error: Exception, message: str, complaint: Complaint, row: Provider, where: str, model: str, timeout: float
) -> CallError | LLMError:
    """An exception of a provider's package as ours; what no later call can mend as `LLMError`.

    Args:
        message: the exception's text, fit to be shown.
        complaint: what the server's answer says, where there was one.
        where, model: the endpoint, and the model asked for.
        timeout: seconds that were waited.
    """
    package = package_of(row)
    if isinstance(error, package.APITimeoutError) and isinstance(_root(error), (TimeoutError, asyncio.TimeoutError)):
        return CallError("timeout", f"no answer within {timeout:g} s")
    if isinstance(error, package.APIConnectionError):
        return CallError("connection", f"{where} cannot be reached: {message}")
    if isinstance(error, package.APIStatusError):
        asked = retry_after(error.response.headers)
        said = replace(complaint, words=message)
        return answered_with(error.status_code, said, where, model, asked, key=row.key)
    return CallError("server_error", message)


def answered_with(
    status: int,
    said: Complaint,
    where: str,
    model: str,
    retry_after: float | None = None,
    *,
    key: str | None = "OPENAI_API_KEY",
) -> CallError | LLMError:
    """The cause by HTTP status and complaint of an answer, in a response, inside one, or in a line of a batch's output.

    Its words are fit to be shown.
    """
    message, refused = said.words, 400 <= status < 500
    if status == 402 or said.no_credit:
        return LLMError(f"the account at {where} has no credit left{f': {message}' if message else ''}")
    if refused and status != 429 and said.flagged:
        return CallError("refusal", f"a filter declined the prompt: {message}")
    if status == 401:
        return LLMError(f"{where} refused the API key: check {key}")
    if status in (429, _OVERLOADED) or ((status == 403 or status >= 500) and said.too_often):
        return CallError("rate_limit", message, retry_after=retry_after)
    if status == 403:
        return LLMError(f"{where} does not allow the use of '{model}' with this key: {message}")
    if status == 404:
        return LLMError(f"{where} has no model '{model}' (or no chat completions there): {message}")
    if refused and status not in (408, 409):
        return CallError("bad_request", message)
    return CallError("server_error", message, retry_after=retry_after)


def persistence(request: Request) -> dict[str, Any]:
    """How tenacity is to try again: transient failures, after growing random waits or as long as the server asks."""

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, CallError) else None
        if asked is not None:
            return min(asked, request.longest_wait)
        return wait_random_exponential(multiplier=0.5, max=request.longest_wait)(state)

    return {
        "retry": retry_if_exception(lambda error: isinstance(error, CallError) and error.cause in TRANSIENT),
        "wait": wait,
        "stop": stop_after_attempt(request.attempts),
        "reraise": True,
    }


def never_reached(error: CallError, tries: int, row: Provider, where: str) -> LLMError:
    """A server that could not be reached from the start: more likely a wrong address than a server that is down."""
    if error.cause == "redirect":
        return LLMError(f"{error}: set {row.address} to where the server is")
    proxy = proxy_of(where)
    if proxy is None:
        asked = f"is {row.address} right, and the server up?"
    else:
        asked = f"are {row.address} and {proxy[0]} right, and both servers up?"
    return LLMError(f"{error} (tried {tries} times): {asked}")


def proxy_of(where: str) -> tuple[str, str] | None:
    """The environment's proxy for an address: the variable, such as ``HTTPS_PROXY``, and its value; None without."""
    address, proxies = urlsplit(where), getproxies()
    if proxy_bypass(address.netloc):
        return None
    return next(((f"{name.upper()}_PROXY", proxies[name]) for name in (address.scheme, "all") if name in proxies), None)


def refused_parameter(complaint: str, sent: Iterable[str], *, guess: bool = True) -> str | None:
    """Which of the parameters sent the server complains of; by ``guess``, structured output when it does not say."""
    complaint = complaint.lower()
    if Complaint(complaint).too_long:
        return None
    candidates = [name for name in REFUSABLE if name in sent]
    named = (name for name in candidates if any(word in complaint for word in REFUSABLE[name][0]))
    guessed = (name for name in ("response_format", "output_config") if guess and name in candidates)
    return next(named, next(guessed, None))


def _root(error: BaseException) -> BaseException:
    """The first cause of an exception: aiohttp's broken connections reach us as time-outs, but for this."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks to wait: ``retry-after-ms``, ``Retry-After`` in seconds or as a date."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * scale
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - time.time()
            except (ValueError, TypeError, IndexError, OverflowError):
                return None
        return max(0.0, seconds) if math.isfinite(seconds) else None
    return None
