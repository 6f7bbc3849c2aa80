"""KServe's first protocol: ``{"instances": […]}`` → ``{"predictions": […]}``.

Source: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from modelimg_runtime.columns import Prediction
from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols.bodies import Payload, columns_of_records, columns_of_rows, read_json


def parse(body: bytes, names: Sequence[str]) -> Payload:
    """Turn a body into columns.

    Args:
        body: JSON, with ``instances`` that are objects, or arrays in the order of the model's columns.
        names: the model's columns in order.

    Raises:
        PayloadError: the body is something else.
    """
    document = read_json(body)
    # Vertex AI's clients send parameters along, empty where there are none.
    if not isinstance(document, dict) or "instances" not in document or _others(document):
        raise PayloadError('send {"instances": […]} and nothing else')
    instances = document["instances"]
    if isinstance(instances, list) and instances and isinstance(instances[0], dict):
        return columns_of_records(instances, "instances")
    return columns_of_rows(names, instances, "instances")


def _others(document: dict[str, Any]) -> bool:
    return bool(document.keys() - {"instances", "parameters"} or document.get("parameters"))


def answer(prediction: Prediction) -> bytes:
    """The body of a 200."""
    return json.dumps({"predictions": prediction.predictions}, allow_nan=False, separators=(",", ":")).encode()


def model_ready(name: str, *, ready: bool) -> dict[str, Any]:
    """``GET /v1/models/{name}``."""
    return {"name": name, "ready": ready}
