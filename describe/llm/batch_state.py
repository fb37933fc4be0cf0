"""The state of a batch by its Batch API, and of each request in it, read without trust from the server's JSON."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from describe.llm.completion import object_of, string_of, token_count

__all__ = ["KEY", "BatchState", "OutputLine", "in_list", "name_of"]

KEY = "headscribe"
"""The name, in a batch's metadata, under which the server keeps our key of the batch."""

_LONGEST_NAME, _LONGEST_STATUS = 256, 32

_ENDED = {"completed", "failed", "expired", "cancelled"}
_MOMENTS = ("completed_at", "expired_at", "cancelled_at", "failed_at")


@dataclass(frozen=True)
class BatchState:
    """The server's state of a batch.

    Attributes:
        id: the server's name for it.
        status: in the server's words; ``completed``, ``failed``, ``expired`` or ``cancelled`` when it has ``ended``.
        completed, failed, total: requests, as far as the server counts them.
        files: the files of answers and of errors that there are.
        problem: why the whole batch failed, as a code and a sentence.
        seconds: that it took, or has taken.
        input_file, key: the server's name for the requests it was made of, and our key of it.
    """

    id: str
    status: str
    completed: int
    failed: int
    total: int
    files: tuple[str, ...]
    problem: tuple[str, str] | None
    seconds: float
    input_file: str = ""
    key: str = ""

    @property
    def ended(self) -> bool:
        """Nothing more will come."""
        return self.status in _ENDED

    @classmethod
    def of(cls, found: Any) -> BatchState:
        """Read a batch. Raises ValueError for anything else."""
        status = string_of(object_of(found).get("status"))
        if not (0 < len(status) <= _LONGEST_STATUS and status.isprintable()):
            raise ValueError("no batch")
        counts = object_of(found.get("request_counts"))
        moments = (_moment(found.get(name)) for name in _MOMENTS)
        ended = next((moment for moment in moments if moment is not None), time.time())
        created = _moment(found.get("created_at"))
        return cls(
            id=name_of(found, "id"),
            status=status,
            completed=token_count(counts.get("completed")) or 0,
            failed=token_count(counts.get("failed")) or 0,
            total=token_count(counts.get("total")) or 0,
            files=tuple(name_of(found, name) for name in ("output_file_id", "error_file_id") if found.get(name)),
            problem=_problem(found) if status == "failed" else None,
            seconds=0.0 if created is None else max(0.0, ended - created),
            input_file=string_of(found.get("input_file_id")),
            key=string_of(object_of(found.get("metadata")).get(KEY)),
        )


@dataclass(frozen=True)
class OutputLine:
    """The outcome of a request by a line of a batch's output: an HTTP status with a body, or with an error."""

    custom_id: str
    status: int
    code: str | None
    message: str
    body: Any
    request_id: str

    @classmethod
    def of(cls, line: bytes) -> OutputLine:
        """Read a line. Raises ValueError for anything else."""
        try:
            found = json.loads(line)
        except RecursionError:
            raise ValueError("too deep") from None
        if not isinstance(found, dict) or not isinstance(found.get("custom_id"), str):
            raise ValueError("no line of a batch's output")
        response, error = found.get("response"), object_of(found.get("error"))
        status = 500
        if response is not None:
            told_status = object_of(response).get("status_code")
            if not isinstance(told_status, int) or not 100 <= told_status <= 999:
                raise ValueError("no status")
            status = told_status
            error = {} if status == 200 else object_of(object_of(response.get("body")).get("error"))
        told = object_of(response)
        return cls(
            custom_id=found["custom_id"],
            status=status,
            code=string_of(error.get("code")) or None,
            message=string_of(error.get("message")) or (f"status {status}" if told else "the server says nothing"),
            body=told.get("body"),
            request_id=string_of(told.get("request_id")),
        )


def in_list(found: Any) -> tuple[list[BatchState], str | None]:
    """The batches of a page of a list, and the name behind which the next page begins. Raises ValueError for others."""
    data = object_of(found).get("data")
    if not isinstance(data, list):
        raise ValueError("no list")
    batches = [BatchState.of(each) for each in data]
    return batches, batches[-1].id if batches and found.get("has_more") is not False else None


def name_of(found: Any, part: str) -> str:
    """A name that the server gives something. Raises ValueError where it is none that can be kept and asked for."""
    name = string_of(object_of(found).get(part))
    if not (0 < len(name) <= _LONGEST_NAME and name.isprintable()):
        raise ValueError("no name")
    return name


def _problem(batch: dict[str, Any]) -> tuple[str, str]:
    """Why a whole batch failed: the first reason, and how many more there are."""
    reasons = object_of(batch.get("errors")).get("data")
    reasons = reasons if isinstance(reasons, list) else []
    first = object_of(reasons[0]) if reasons else {}
    code, message = string_of(first.get("code")), string_of(first.get("message"))
    if not (message or code):
        return "", "the server does not say why"
    line = f"line {first['line']}: " if isinstance(first.get("line"), int) else ""
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return code, f"{line}{message or code}{more}"


def _moment(value: Any) -> float | None:
    """Seconds since 1970, if it is a moment of this age."""
    counts = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if counts and 0 < value < 1e11 else None
