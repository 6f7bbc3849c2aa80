"""Asking the model: from a request to its prediction, whatever the protocol.

What is small and fast is answered on the event loop, everything else in a thread.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from modelimg_runtime.backpressure import EXPANSION, Lease, Load
from modelimg_runtime.columns import Prediction
from modelimg_runtime.counters import FAILED, PREDICTED, REJECTED, Counters
from modelimg_runtime.errors import InputRejected, OutputRejected, PayloadError
from modelimg_runtime.protocols.bodies import JSON, Payload
from modelimg_runtime.protocols.encoding import coding_of, decoded
from modelimg_runtime.routing import LATE, ROWS
from modelimg_runtime.service import Ready, Service

if TYPE_CHECKING:
    from modelimg_runtime.monitor import Live

REQUEST_ID = "modelimg.request_id"
_INLINE = 1 << 17
"""Bytes of a body that is small enough to be answered on the event loop, where a thread would cost more."""


class NotReady(Exception):  # noqa: N818 - it says what is the case
    """The model is still being loaded and checked."""


class Draining(Exception):  # noqa: N818 - it says what is the case
    """The process was told to end: requests are answered, and should go elsewhere."""


class NoSuchModel(Exception):  # noqa: N818 - it says what is the case
    """The path names another model, or another version of it."""


@dataclass(frozen=True)
class Asked:
    """What a request asks of the model.

    Attributes:
        payload: its rows.
        answer: makes the response of a prediction.
        scores: with decision scores.
        identifier: under which labels may come for it; None where that is the request's id.
    """

    payload: Payload
    answer: Callable[[Prediction], Response]
    scores: bool = False
    identifier: str | None = None


Parse = Callable[[Ready, bytes], Asked]


async def answered(request: Request, parse: Parse, *, inline: bool = True) -> Response:
    """Read the body, predict and answer: on the event loop what is small and fast, else in a thread.

    Args:
        request: not read yet.
        parse: makes of its body what it asks.
        inline: parsing and answering may be done on the event loop; not of a table.
    """
    ready = ready_of(request)
    load: Load = request.app.state.load
    with load.lease() as lease:
        body = await read_body(request, request.app.state.settings.max_body_bytes, lease)
        small = parse(ready, body) if inline and len(body) <= _INLINE else None
        if small:
            if ready.batcher.in_thread:
                lease.hold(len(body) * EXPANSION)  # it waits as Python values
            quick = await ready.batcher.predict(small.payload, scores=small.scores, run=load.run)
            if quick is not None:
                response = small.answer(quick)
                _predicted(request, small, quick, soon=True)
                return response
            if not ready.batcher.in_thread:
                lease.hold(len(body) * EXPANSION)

        def work() -> Response:
            asked = small or parse(ready, body)
            # What the fast lane was asked on the event loop, it is not asked again.
            predict_columns = ready.model.predictor.predict_columns if small else ready.model.predict_columns
            return _decided(request, ready, asked, predict_columns)

        # A table may become as much as the limit allows, however small it came.
        return await load.run(work, len(body) if inline else request.app.state.settings.max_body_bytes)


def _decided(request: Request, ready: Ready, asked: Asked, predict_columns: Callable[..., Prediction]) -> Response:
    """The answer, with what became of the rows counted."""
    payload, rows = asked.payload, _rows(asked.payload)
    try:
        prediction = predict_columns(payload.columns, text=payload.text, scores=asked.scores)
        response = asked.answer(prediction)
    except PayloadError:
        raise
    except (InputRejected, OutputRejected) as error:
        counters: Counters = request.app.state.counters
        counters.rejected(error, ready.names)
        _count(request, REJECTED if isinstance(error, InputRejected) else FAILED, rows)
        raise
    except Exception:
        _count(request, FAILED, rows)
        raise
    _predicted(request, asked, prediction)
    return response


def _predicted(request: Request, asked: Asked, prediction: Prediction, *, soon: bool = False) -> None:
    """Count what is about to be answered, and its values where that is monitored; on the event loop, ``soon``."""
    _count(request, PREDICTED, len(prediction.predictions))
    live: Live | None = request.app.state.service.live
    if live is not None and prediction.accepted is not None:
        observe = live.observe_soon if soon else live.observe
        observe(prediction.accepted, prediction, asked.identifier or request.scope[REQUEST_ID])


def _rows(payload: Payload) -> int:
    """How many rows a payload has: the first column's, since whether all have as many is not known here."""
    first = next(iter(payload.columns.values()), ())
    return len(first) if isinstance(first, (list, tuple)) else 0


def _count(request: Request, outcome: str, rows: int) -> None:
    request.app.state.counters.rows(outcome, rows)
    request.scope[ROWS] = rows


def ready_of(request: Request) -> Ready:
    """What is served.

    Raises:
        NotReady: nothing yet.
    """
    service: Service = request.app.state.service
    if service.ready is None:
        raise NotReady
    return service.ready


def check_accepting(request: Request) -> Ready:
    """What is served, for who asks whether to send requests here.

    Raises:
        NotReady: nothing yet.
        Draining: the process is about to end.
    """
    ready = ready_of(request)
    if request.app.state.service.draining:
        raise Draining
    return ready


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


async def read_body(request: Request, limit: int, lease: Lease) -> bytes:
    """The whole body without its content encoding, given up as soon as it is known to be too long.

    uvicorn then drops the rest as it comes: closing at once would take the answer from a caller who is still sending.

    Args:
        request: not read yet.
        limit: the longest body, in bytes.
        lease: holds what was read.

    Raises:
        PayloadError: it is longer than ``limit`` bytes, as it comes or decoded (413), of another encoding (415), or did
            not come in time (408).
        Busy: there is no room for it now.
        ClientDisconnect: the caller went away.
    """
    coding = coding_of(request.headers.get("content-encoding"))
    too_long = PayloadError(f"the body is longer than {limit} bytes", status=413)
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise too_long
    load: Load = request.app.state.load
    load.check(int(declared) if declared.isdigit() else 0)
    body, more = bytearray(), True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        if LATE in request.scope:
            raise PayloadError("the body did not come in time", status=408)
        chunk = message.get("body", b"")
        more = message.get("more_body", False)
        lease.hold(len(chunk))
        body += chunk
        if len(body) > limit:
            raise too_long
    if coding is None:
        return bytes(body)
    content = await load.run(lambda: decoded(bytes(body), coding, limit), len(body))
    lease.hold(len(content))
    return content


def as_json(data: Any) -> Response:
    """A JSON answer."""
    return Response(json.dumps(data, ensure_ascii=False).encode(), media_type=JSON)
