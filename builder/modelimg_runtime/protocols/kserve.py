"""KServe's first protocol, which is Vertex AI's too: ``{"instances": […]}`` → ``{"predictions": […]}``.

Source: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol and
https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements ("Request requirements").
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from modelimg_runtime.columns import Prediction
from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols.bodies import Payload, columns_of_records, columns_of_rows, read_json
from modelimg_runtime.protocols.extras import Extras, objects


def parse(body: bytes, names: Sequence[str]) -> tuple[Payload, Extras]:
    """Turn a body into columns, and what is asked for beside the predictions.

    Args:
        body: JSON, with ``instances`` that are objects, or arrays in the order of the model's columns; and, as Vertex
            AI's clients send them along, ``parameters``: ``probabilities`` and ``scores``, true or false.
        names: the model's columns in order.

    Raises:
        PayloadError: the body is something else.
    """
    document = read_json(body)
    if not isinstance(document, dict) or "instances" not in document or document.keys() - {"instances", "parameters"}:
        raise PayloadError('send {"instances": […]}, and "parameters" where there are some')
    extras = Extras.of(document.get("parameters"), "parameters")
    unknown = sorted((document.get("parameters") or {}).keys() - {"probabilities", "scores"})
    if unknown:
        raise PayloadError(f"the model has no parameter {unknown[0][:100]!r}; it has probabilities and scores")
    instances = document["instances"]
    if isinstance(instances, list) and instances and isinstance(instances[0], dict):
        return columns_of_records(instances, "instances"), extras
    return columns_of_rows(names, instances, "instances"), extras


def answer(prediction: Prediction, classes: Sequence[Any], extras: Extras) -> bytes:
    """The body of a 200: a prediction for each instance, or an object with what else was asked for.

    Raises:
        PayloadError: something is asked for that the model does not give.
    """
    rows = objects(prediction, classes, extras)
    return json.dumps({"predictions": rows}, allow_nan=False, separators=(",", ":")).encode()


def model_ready(name: str, *, ready: bool) -> dict[str, Any]:
    """``GET /v1/models/{name}``."""
    return {"name": name, "ready": ready}
