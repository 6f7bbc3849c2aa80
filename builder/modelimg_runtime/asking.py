"""Asking the model: from a request to its prediction, whatever the protocol.

What is small and fast is answered on the event loop, everything else in a thread.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from modelimg_runtime.columns import Prediction
from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols.bodies import CSV, JSON, Payload
from modelimg_runtime.service import Ready, Service

REQUEST_ID = "modelimg.request_id"
_INLINE = 1 << 16
"""Bytes of a body that is small enough to be answered on the event loop, where a thread would cost more."""


class NotReady(Exception):  # noqa: N818 - it says what is the case
    """The model is still being loaded and checked."""


class NoSuchModel(Exception):  # noqa: N818 - it says what is the case
    """The path names another model, or another version of it."""


@dataclass(frozen=True)
class Asked:
    """What a request asks of the model.

    Attributes:
        payload: its rows.
        answer: makes the response of a prediction.
    """

    payload: Payload
    answer: Callable[[Prediction], Response]


Parse = Callable[[Ready, bytes], Asked]


async def answered(request: Request, parse: Parse) -> Response:
    """Read the body, predict and answer: on the event loop what is small and fast, else in a thread."""
    ready = ready_of(request)
    body = await read_body(request, request.app.state.settings.max_body_bytes)
    small = parse(ready, body) if len(body) <= _INLINE else None
    if small:
        quick = ready.model.quick(small.payload.columns, text=small.payload.text)
        if quick is not None:
            return small.answer(quick)

    def work() -> Response:
        asked = small or parse(ready, body)
        # What the fast lane was asked on the event loop, it is not asked again.
        predict_columns = ready.model.predictor.predict_columns if small else ready.model.predict_columns
        return asked.answer(predict_columns(asked.payload.columns, text=asked.payload.text))

    return await anyio.to_thread.run_sync(work, limiter=request.app.state.limiter)


def ready_of(request: Request) -> Ready:
    """What is served.

    Raises:
        NotReady: nothing yet.
    """
    service: Service = request.app.state.service
    if service.ready is None:
        raise NotReady
    return service.ready


def check_model(request: Request) -> None:
    """Refuse a path that names another model, or another version.

    Raises:
        NoSuchModel: it does.
        NotReady: nothing is served yet.
    """
    name, version = ready_of(request).identity
    if request.path_params["name"] != name or request.path_params.get("version", version) != version:
        raise NoSuchModel


def flag(request: Request, name: str) -> bool:
    """A query parameter that is true or false.

    Raises:
        PayloadError: it is neither.
    """
    value = request.query_params.get(name, "false")
    if value not in ("true", "false"):
        raise PayloadError(f"the query parameter {name} is true or false")
    return value == "true"


def wants_csv(request: Request) -> bool:
    """Whether ``Accept`` names CSV and not JSON; anything else gets JSON, as callers of a JSON service expect."""
    ranges: Sequence[str] = [
        part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")
    ]
    return CSV in ranges and JSON not in ranges


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body, given up as soon as it is known to be too long.

    uvicorn then drops the rest as it comes: closing at once would take the answer from a caller who is still sending.

    Raises:
        PayloadError: it is longer than ``limit`` bytes (status 413).
    """
    too_long = PayloadError(f"the body is longer than {limit} bytes", status=413)
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise too_long
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_long
    return bytes(body)


def as_json(data: Any) -> Response:
    """A JSON answer."""
    return Response(json.dumps(data, ensure_ascii=False).encode(), media_type=JSON)
