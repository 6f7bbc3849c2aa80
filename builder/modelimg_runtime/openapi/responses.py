"""Answers of an OpenAPI document: what went well, and errors in each protocol's own shape."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from modelimg_runtime.errors import InputRejected, Violation
from modelimg_runtime.openapi.examples import REQUEST_ID
from modelimg_runtime.openapi.schemas import closed, ref
from modelimg_runtime.openapi.table import Schema
from modelimg_runtime.problems import MEDIA_TYPE, MOST_ERRORS, NOT_READY, Problem, problem_of

JSON: Final = "application/json"
HEADERS: Final[Schema] = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}

_WHEN: Final[Mapping[int, str]] = {
    400: "The body, or a query parameter, is not what it should be.",
    404: "There is no such model, or not in this version.",
    406: "The answer cannot be given in the media type that is asked for.",
    408: "The body did not come in time.",
    413: "The body is longer than the server takes, or longer once it is decoded.",
    415: "The body's content type, or its encoding, is not one that is served.",
    422: "The rows break the contract; every failing cell is named.",
    500: "The model's answer breaks the output contract and is not served, or something unforeseen; the server's log "
    "has the reason under the request id.",
    503: "The model is still being loaded and checked, the server is about to end, or too much is waiting.",
}

HEADER: Final[Schema] = {
    "description": "The caller's own id, or a fresh one; the server's log has it.",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 128},
}
PARAMETER: Final[Schema] = {
    "name": "X-Request-Id",
    "in": "header",
    "description": "Your own id of the request: 1 to 128 letters, digits and `._:+/=@-`. Anything else is replaced.",
    "required": False,
    "schema": {"type": "string"},
}


RETRY_AFTER: Final[Schema] = {
    "description": "Seconds after which to come again, where too much is waiting.",
    "schema": {"type": "string", "pattern": "^[0-9]+$"},
}


def _headers(status: int) -> Schema:
    return {**HEADERS, "Retry-After": RETRY_AFTER} if status == NOT_READY.status else HEADERS


def ok(description: str, content: Mapping[str, Any] | None = None, **headers: Any) -> Schema:
    """A 200."""
    return {
        "description": description,
        "headers": {**HEADERS, **headers},
        **({"content": dict(content)} if content else {}),
    }


def json_body(schema: Schema, **examples: Any) -> dict[str, Schema]:
    """JSON of a schema, with examples by name."""
    return {JSON: {"schema": schema, **_examples(examples)}}


def text_body(media_type: str, description: str, **examples: Any) -> dict[str, Schema]:
    """Text of a media type, with examples by name."""
    return {media_type: {"schema": {"type": "string", "description": description}, **_examples(examples)}}


def _examples(examples: Mapping[str, Any]) -> Schema:
    named = {name: {"value": value} for name, value in examples.items() if value is not None}
    return {"examples": named} if named else {}


def problems(statuses: Sequence[int], example: str | None = None) -> dict[str, Schema]:
    """RFC 9457 documents.

    Args:
        statuses: of the operation.
        example: a column's name, for the example of a 422.
    """
    found = {}
    for status in statuses:
        document = _example(status, example or "")
        body: Schema = {"schema": ref("InputProblem" if status == _REJECTED else "Problem")}
        content = {MEDIA_TYPE: {**body, "example": document}}
        found[str(status)] = {"description": _WHEN[status], "headers": _headers(status), "content": content}
    return found


_REJECTED: Final = 422


def protocol_errors(statuses: Sequence[int], schema: str) -> dict[str, Schema]:
    """Errors of the other protocols.

    Args:
        statuses: of the operation.
        schema: ``Error`` or ``InvocationsError``.
    """
    return {
        str(status): {"description": _WHEN[status], "headers": _headers(status), "content": json_body(ref(schema))}
        for status in statuses
    }


def error_schemas() -> dict[str, Schema]:
    """The error documents by name."""
    text = {"type": "string"}
    violation = closed(
        {
            "row": {"type": ["integer", "null"], "minimum": 0, "description": "From 0; null where no row is at fault."},
            "column": {"type": ["string", "null"], "description": "Null where no column is at fault."},
            "check": {**text, "description": "The check that said no, as pandera prints it."},
            "value": {"description": "The failing value; null where no value is at fault."},
        }
    )
    problem = {
        "type": {**text, "format": "uri-reference", "description": "What kind of problem."},
        "title": text,
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": text,
        "id": {**text, "description": "The request id."},
    }
    errors = {
        "errors": {"type": "array", "minItems": 1, "maxItems": MOST_ERRORS, "items": ref("Violation")},
        "errors_truncated": {"type": "integer", "minimum": 1, "description": "How many more there are."},
    }
    described = "A problem document (RFC 9457)"
    return {
        "Problem": closed(problem, description=f"{described}."),
        "InputProblem": closed(
            {**problem, **errors}, optional=["errors_truncated"], description=f"{described} that names failing cells."
        ),
        "Violation": {**violation, "description": "One place where the rows break the contract."},
        "Error": closed({"error": text}, description="An error of the protocol's own form."),
        "InvocationsError": closed(
            {"error_code": {"enum": ["BAD_REQUEST", "INTERNAL_ERROR"]}, "message": text},
            description="An error as MLflow's scoring server gives it.",
        ),
    }


def _example(status: int, column: str) -> Any:
    """A problem document as it may come."""
    problem = Problem(status, _WHEN[status].rstrip("."))
    if status == NOT_READY.status:
        problem = NOT_READY
    if status == _REJECTED:
        problem = problem_of(InputRejected([Violation(0, column, "not_nullable", None)]))
    return json.loads(problem.body(REQUEST_ID))
