"""Routes of the monitor, which are described where something is monitored."""

from __future__ import annotations

from typing import Final

from modelimg_runtime.openapi.paths import HTML, operation
from modelimg_runtime.openapi.responses import json_body, ok, problems, text_body
from modelimg_runtime.openapi.schemas import closed
from modelimg_runtime.openapi.table import Schema

TAG: Final = "Monitor"
_WINDOW: Final[Schema] = {
    "name": "window",
    "in": "query",
    "description": "What the report is of: `total`, as long as `90m`, `24h` or `7d`, or two ISO 8601 times with a "
    "slash between.",
    "required": False,
    "schema": {"type": "string", "default": "total"},
}


def monitoring() -> dict[str, Schema]:
    """``/monitor``, ``/monitor.json`` and ``/feedback``."""
    counts = operation(
        "monitor",
        TAG,
        "What was counted, and whether it drifted",
        {
            "200": ok("Counts of all windows, and a report on the one that was asked for.", json_body(_DOCUMENT)),
            **problems((400, 503)),
        },
        parameters=[_WINDOW],
    )
    feedback = operation(
        "feedback",
        TAG,
        "What would have been right",
        {
            "200": ok("How many labels were accepted, and why others were not.", json_body(_OUTCOME)),
            **problems((400, 404, 408, 413, 415, 422, 503)),
        },
        description="One label, or an array of them; one on each line as `application/x-ndjson`. `prediction_id` is "
        "the id of the answer, `row` the row's number in its request. A prediction that is sent back is taken for a "
        "row that is not known any more.",
        body={
            **json_body({"oneOf": [_LABEL, {"type": "array", "minItems": 1}]}),
            "application/x-ndjson": {"schema": {"type": "string"}},
            "application/jsonl": {"schema": {"type": "string"}},
        },
    )
    return {"/monitor": {"get": _page()}, "/monitor.json": {"get": counts}, "/feedback": {"post": feedback}}


def _page() -> Schema:
    """The page for people, whose errors are pages, too."""
    text = {"type": "string"}
    shown = [
        {"name": name, "in": "query", "description": f"{what} to be shown closely.", "required": False, "schema": text}
        for name, what in (("feature", "An input column"), ("answer", "A prediction, probability or confidence"))
    ]
    content = {
        "200": "A page.",
        "400": "A page that says that the window is none.",
        "404": "A page that says that the column is none.",
        "503": "A page that asks again by itself.",
    }
    errors = problems((400, 404, 503))
    said = {
        status: {**errors.get(status, ok(words)), "description": words, "content": text_body(HTML, words)}
        for status, words in content.items()
    }
    return operation("monitorPage", TAG, "The same for people", said, parameters=[_WINDOW, *shown])


_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_DOCUMENT: Final[Schema] = {
    "type": "object",
    "required": ["format_version", "model", "profiles", "window_seconds", "written", "replicas", "report"],
}
_LABEL: Final[Schema] = {
    "type": "object",
    "properties": {
        "prediction_id": {"type": ["string", "null"], "maxLength": 256},
        "row": {**_COUNT, "default": 0},
        "label": {},
        "prediction": {},
    },
    "required": ["label"],
    "additionalProperties": False,
}
_INVALID: Final[Schema] = {
    "type": "array",
    "items": closed({"index": _COUNT, "reason": {"type": "string"}}),
}
_OUTCOME: Final[Schema] = closed(
    {
        "accepted": _COUNT,
        "unknown": _COUNT,
        "duplicate": _COUNT,
        "invalid": _INVALID,
        "invalid_truncated": _COUNT,
    },
    optional=["invalid_truncated"],
)
