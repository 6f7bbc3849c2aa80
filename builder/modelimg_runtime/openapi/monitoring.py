"""Routes of the monitor, which are described where something is monitored."""

from __future__ import annotations

import json
from typing import Any, Final

from modelimg_runtime.monitor.baseline import Baseline
from modelimg_runtime.monitor.feedback import JSON_LINES, LONGEST_ID, MOST_ROWS
from modelimg_runtime.monitor.numbers import LARGEST
from modelimg_runtime.monitor.performance import scheme_of
from modelimg_runtime.monitor.scheme import LabelRefused
from modelimg_runtime.openapi.examples import REQUEST_ID, Shown
from modelimg_runtime.openapi.paths import HTML, operation
from modelimg_runtime.openapi.responses import JSON, json_body, ok, problems, text_body
from modelimg_runtime.openapi.schemas import closed, ref
from modelimg_runtime.openapi.table import Schema
from modelimg_runtime.openapi.times import datetime_pattern
from modelimg_runtime.problems import MEDIA_TYPE, Problem
from modelimg_runtime.profile.bins import CategoryBins
from modelimg_runtime.profile.column import ColumnProfile
from modelimg_runtime.profile.values import name_of

TAG: Final = "Monitor"
LABEL: Final = "Label"
_SOME: Final = "At least one must be valid; the others are counted as `invalid`."
_SENT_BACK: Final = (
    "As it was answered. Also checked, where the row is not known any more: it could have been the label."
)
_LINES: Final = f"A label on each line. {_SOME}"
_NONE_VALID: Final = "No label in the body could have been right."
_TIME: Final = datetime_pattern("us", zone=True).strip("^$")
_WINDOW: Final[Schema] = {
    "name": "window",
    "in": "query",
    "description": "What the report is of: `total`, as long as `90m`, `24h` or `7d`, or two ISO 8601 times with a "
    "slash between. Also checked: the first of the two is before the second.",
    "required": False,
    "schema": {"type": "string", "default": "total", "pattern": f"^(?:total|[1-9][0-9]{{0,5}}[mhd]|{_TIME}/{_TIME})$"},
}


def monitoring(baseline: Baseline, shown: Shown) -> dict[str, Schema]:
    """``/monitor``, ``/monitor.json`` and ``/feedback``.

    Args:
        baseline: of the model, whose classes are the labels.
        shown: examples, whose answers are labels, too.
    """
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
    feedback = {"post": _feedback(baseline, shown)}
    return {"/monitor": {"get": _page()}, "/monitor.json": {"get": counts}, "/feedback": feedback}


def _feedback(baseline: Baseline, shown: Shown) -> Schema:
    examples = _examples(baseline, shown)
    lines: Schema = {"schema": {"description": _LINES}}
    if examples:
        lines["examples"] = {"lines": {"value": "\n".join(map(json.dumps, examples["several"]))}}
    schema = {"oneOf": [ref(LABEL), {"type": "array", "contains": ref(LABEL), "description": _SOME}]}
    none = problems((400, 404, 408, 413, 415, 503))
    none["422"] = {**none["400"], "description": _NONE_VALID, "content": {MEDIA_TYPE: _none_valid()}}
    return operation(
        "feedback",
        TAG,
        "What would have been right",
        {"200": ok("How many labels were accepted, and why others were not.", json_body(_OUTCOME)), **none},
        description="One label, or an array of them; one on each line as `application/x-ndjson`. `prediction_id` is "
        "the id of the answer, `row` the row's number in its request. A `prediction` that is sent back is taken for a "
        "row that is not known any more.",
        body={
            JSON: {"schema": schema, "examples": {name: {"value": value} for name, value in examples.items()}},
            **dict.fromkeys(JSON_LINES, lines),
        },
    )


def _none_valid() -> Schema:
    body = Problem(422, "none of 1 labels is valid: number 0: the label is none of the model's classes").body(
        REQUEST_ID
    )
    return {"schema": ref("Problem"), "example": json.loads(body)}


def _examples(baseline: Baseline, shown: Shown) -> dict[str, Any]:
    """What the model said, as if it had been right; nothing where it cannot have been."""
    scheme = scheme_of(baseline)
    if scheme is None or not shown.predictions:
        return {}
    try:
        for prediction in shown.predictions:
            scheme.truth(prediction)
    except LabelRefused:
        return {}
    labels = [{"prediction_id": REQUEST_ID, "row": row, "label": said} for row, said in enumerate(shown.predictions)]
    return {"one": {"prediction_id": REQUEST_ID, "label": shown.predictions[0]}, "several": labels}


def monitoring_schemas(baseline: Baseline) -> dict[str, Schema]:
    """A label that could have been right, by name."""
    sent_back = {"required": ["prediction"]}
    known = {"properties": {"prediction_id": {"type": "string"}}, "required": ["prediction_id"]}
    return {
        LABEL: {
            **closed(
                {
                    "prediction_id": {"type": ["string", "null"], "minLength": 1, "maxLength": LONGEST_ID},
                    "row": {"type": "integer", "minimum": 0, "exclusiveMaximum": MOST_ROWS, "default": 0},
                    "label": _right(baseline),
                    "prediction": {"description": _SENT_BACK},
                },
                optional=["prediction_id", "row", "prediction"],
            ),
            "anyOf": [known, sent_back],
            "description": "What would have been right of one row.",
        }
    }


def _right(baseline: Baseline) -> Schema:
    """What could have been right: a number, a class, or an array of either where there are several outputs."""
    if scheme_of(baseline) is None:
        return {}
    predictions = baseline.output.predictions
    one = [_number() if baseline.task == "regression" else _class(each) for each in predictions]
    if len(one) == 1:
        return one[0]
    return {"type": "array", "prefixItems": one, "items": False, "minItems": len(one), "maxItems": len(one)}


def _number() -> Schema:
    return {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}


def _class(profile: ColumnProfile) -> Schema:
    """The classes, as JSON has them and as texts; where rare ones were folded, anything may be one of these."""
    bins = profile.bins
    if not isinstance(bins, CategoryBins) or bins.folded:
        return {"type": ["string", "number", "boolean"]}
    return {"enum": [value for name in bins.categories for value in (*_plain(name), name)]}


def _plain(name: str) -> list[Any]:
    """The number or the truth value that goes by a name."""
    try:
        value = json.loads(name)
    except ValueError:
        return []
    return [value] if isinstance(value, (bool, int, float)) and name_of(value) == name else []


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
