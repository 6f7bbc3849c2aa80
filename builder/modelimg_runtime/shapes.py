"""Errors in each protocol's own shape: RFC 9457 on native routes, and what their clients read on the others."""

from __future__ import annotations

import json

from modelimg_runtime.problems import MEDIA_TYPE, Problem

JSON = "application/json"
_SHOWN = 20
"""Failing cells that a protocol without a place for them gets as text."""
_REJECTED = 422


def error_body(path: str, problem: Problem, request_id: str) -> tuple[int, str, bytes]:
    """Status, media type and body of an error.

    Args:
        path: of the request, which says the protocol.
        problem: what went wrong.
        request_id: of the request.
    """
    if path.startswith(("/v1/", "/v2")):
        return _status(problem), JSON, _dump({"error": text_of(problem)})
    if path == "/invocations":
        code = "BAD_REQUEST" if problem.status < 500 else "INTERNAL_ERROR"
        return _status(problem), JSON, _dump({"error_code": code, "message": text_of(problem)})
    return problem.status, MEDIA_TYPE, problem.body(request_id)


def text_of(problem: Problem) -> str:
    """The problem as one text, with the first failing cells."""
    cells = [str(violation) for violation in problem.errors[:_SHOWN]]
    more = len(problem.errors) - len(cells) + problem.more
    text = "; ".join([problem.detail or "", *cells, *([f"and {more} more"] if more else [])])
    return text.strip("; ")


def _status(problem: Problem) -> int:
    """Their clients know 400 for every fault of the caller's data."""
    return 400 if problem.status == _REJECTED else problem.status


def _dump(document: dict[str, str]) -> bytes:
    return json.dumps(document).encode("ascii")
