"""``GET /monitor.json`` and ``POST /feedback``: from a request's parts to the body of its answer."""

from __future__ import annotations

import json
from typing import Any

from modelimg_runtime.errors import PayloadError
from modelimg_runtime.monitor.feedback import read_items
from modelimg_runtime.monitor.live import Live, NoLabels
from modelimg_runtime.monitor.monitor import Monitor
from modelimg_runtime.monitor.report import report
from modelimg_runtime.monitor.span import Span, span_of

NOT_MONITORED = "this model is not monitored here"


def asked_span(text: str) -> Span | None:
    """The query parameter ``window``.

    Raises:
        PayloadError: it is no span.
    """
    try:
        return span_of(text)
    except ValueError as error:
        raise PayloadError(f"the query parameter window: {error}") from error


def monitor_json(monitor: Monitor | None, window: str) -> bytes:
    """Body of ``/monitor.json``: all counts, and a report on the window that was asked for.

    Args:
        monitor: of this container; None where there is none.
        window: the query parameter, ``total`` where it was not given.

    Raises:
        PayloadError: the window is none (400), or nothing is monitored (404).
    """
    if monitor is None:
        raise PayloadError(NOT_MONITORED, status=404)
    span, document = asked_span(window), monitor.document()
    body = document.to_dict() | {"report": report(document, monitor.baseline, span).to_dict()}
    return _json(body)


def feedback(live: Live | None, body: bytes, kind: str) -> bytes:
    """Body of the answer to ``POST /feedback``: how many labels were accepted, and why others were not.

    Args:
        live: of this process; None where nothing is monitored.
        body: as it was sent.
        kind: its media type, one of ``feedback.BODIES``.

    Raises:
        PayloadError: the body holds no labels (400), none of them could be right (422), or nothing is monitored (404).
    """
    if live is None:
        raise PayloadError(NOT_MONITORED, status=404)
    items = read_items(body, kind)
    try:
        outcome = live.feedback(items)
    except NoLabels as error:
        raise PayloadError("no label can be right or wrong of this model's answers", status=404) from error
    if outcome.counts["invalid"] == len(items):
        number, reason = outcome.invalid[0]
        raise PayloadError(f"none of {len(items)} labels is valid: number {number}: {reason}", status=422)
    return _json(outcome.to_dict())


def _json(data: Any) -> bytes:
    return json.dumps(data, allow_nan=False, separators=(",", ":")).encode("ascii")
