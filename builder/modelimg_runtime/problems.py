"""What went wrong, as RFC 9457 problem documents that leak neither traceback, path nor training data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from modelimg_runtime.errors import InputRejected, OutputRejected, PayloadError, Violation

MEDIA_TYPE = "application/problem+json"
MOST_ERRORS = 1000
"""Errors that a document lists; ``errors_truncated`` counts the others."""

_BLANK = "about:blank"  # RFC 9457: the title is then the status's own phrase


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        status: the HTTP status.
        detail: one sentence for a person.
        type: URI of the kind of problem.
        title: name of the kind of problem; the same for every occurrence.
        errors: each failing cell, or the first of them.
        more: how many others there are.
    """

    status: int
    detail: str
    type: str = _BLANK
    title: str = ""
    errors: tuple[Violation, ...] = ()
    more: int = 0

    def body(self, request_id: str) -> bytes:
        """The document, in ASCII: a caller's lone surrogate must not break it."""
        document: dict[str, Any] = {
            "type": self.type,
            "title": self.title or HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "id": request_id,
        }
        if self.errors:
            shown = self.errors[:MOST_ERRORS]
            document["errors"] = [
                {"row": each.row, "column": each.column, "check": each.check, "value": each.value} for each in shown
            ]
        unnamed = max(len(self.errors) - MOST_ERRORS, 0) + self.more
        if unnamed:
            document["errors_truncated"] = unnamed
        return json.dumps(document, allow_nan=False).encode("ascii")


NOT_READY = Problem(503, "the model is still being loaded and checked", "urn:modelimg:problem:not-ready", "Not ready")
DRAINING = Problem(
    503, "the server is about to end; send requests elsewhere", "urn:modelimg:problem:draining", "Draining"
)
BUSY = Problem(503, "too much is waiting here already; come again", "urn:modelimg:problem:busy", "Busy")
INTERNAL = Problem(500, "the prediction failed; the server's log has the reason under this id")


def problem_of(error: Exception) -> Problem:
    """The problem that an exception is to the caller; anything unforeseen is an internal error without details."""
    if isinstance(error, PayloadError):
        return Problem(error.status, str(error))
    if isinstance(error, InputRejected):
        kind = "urn:modelimg:problem:input-rejected"
        more = sum(error.more.values())
        return Problem(422, str(error), kind, "Input breaks the contract", error.violations, more)
    if isinstance(error, OutputRejected):
        # The values would be the very answer that must not be served; the log has them.
        kind = "urn:modelimg:problem:output-rejected"
        return Problem(500, str(error), kind, "Output breaks the contract")
    return INTERNAL
