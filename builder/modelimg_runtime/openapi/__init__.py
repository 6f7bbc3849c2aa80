"""OpenAPI 3.1, made of the contract: every route, and exactly what each takes and gives.

Imports neither pandas, pandera nor scikit-learn where the contract is data; one that is code has them loaded already.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from modelimg_runtime import contract
from modelimg_runtime.environment import Settings
from modelimg_runtime.errors import InputRejected, OutputRejected, PayloadError
from modelimg_runtime.openapi import monitoring, paths, protocols, responses, schemas, serialised
from modelimg_runtime.openapi.examples import Shown
from modelimg_runtime.openapi.schemas import Contract
from modelimg_runtime.openapi.table import Schema, Table
from modelimg_runtime.protocols.oip import SCORES

if TYPE_CHECKING:
    from modelimg_runtime.monitor import Baseline
    from modelimg_runtime.served import ServedModel
    from modelimg_runtime.service import Ready

__all__ = ["Contract", "Description", "contract_of", "described", "document_of"]

_TAGS = {
    paths.PREDICT: "",
    protocols.OIP: "The Open Inference Protocol, version 2: KServe, Triton, Seldon.",
    protocols.KSERVE: "KServe's first protocol.",
    protocols.SAGEMAKER: "What MLflow's scoring server and SageMaker's endpoints take.",
    protocols.VERTEX: "The routes that Vertex AI asked for.",
    paths.MODEL: "What the model is, and what it takes.",
    monitoring.TAG: "What was served, beside what the model was trained and tested on.",
    paths.HEALTH: "For those who run it.",
    paths.PAGES: "For people.",
}


@dataclass(frozen=True)
class Description:
    """What a model's API is.

    Attributes:
        contract: what goes in and comes out.
        shown: examples.
        document: OpenAPI.
        body: the same as bytes, equal for equal packages and settings.
    """

    contract: Contract
    shown: Shown
    document: Mapping[str, Any]
    body: bytes


_KNOWN: WeakKeyDictionary[ServedModel, Description] = WeakKeyDictionary()


def described(ready: Ready, settings: Settings) -> Description:
    """The description of what is served, made once."""
    known = _KNOWN.get(ready.model)
    if known is None:
        model, shown = contract_of(ready), Shown.of(ready.model.examples)
        baseline = ready.monitor.baseline if ready.monitor else None
        document = document_of(model, shown, settings, ready.model.package.manifest.metadata, baseline)
        body = json.dumps(document, allow_nan=False, separators=(",", ":")).encode("ascii")
        known = _KNOWN[ready.model] = Description(model, shown, document, body)
    return known


def contract_of(ready: Ready) -> Contract:
    """Both sides of the contract of what is served."""
    examples = ready.model.examples
    output, scores = _table(ready, "output"), _scores(ready)
    probabilities = any(each.name.startswith(contract.PROBABILITY_PREFIX) for each in output.columns)
    return Contract(
        name=ready.identity[0],
        version=ready.identity[1],
        input=_table(ready, "input"),
        output=output,
        names=ready.names,
        classes=tuple(str(label) for label in ready.classes),
        probabilities=bool(ready.classes) and (probabilities or examples.probabilities is not None),
        scores=scores,
        outputs=(*ready.tensors()[1], *([(SCORES, "FP64", scores.get("minItems"))] if scores else [])),
    )


def _scores(ready: Ready) -> Schema | None:
    """Schema of one row's decision scores, which the first example shows; nothing is loaded for it."""
    model, examples = ready.model, ready.model.examples
    columns = {name: [row[place] for row in examples.rows[:1]] for place, name in enumerate(examples.columns)}
    ask = model.quick if model.lane else model.predictor.predict_columns
    try:
        prediction = ask(columns, scores=True)
    except (PayloadError, InputRejected, OutputRejected):
        return None
    if prediction is None or not prediction.scores:
        return None
    number, first = {"type": "number"}, prediction.scores[0]
    if not isinstance(first, list):
        return number
    return {"type": "array", "items": number, "minItems": len(first), "maxItems": len(first)}


def _table(ready: Ready, side: str) -> Table:
    package = ready.model.package
    reference = package.manifest.schemas[side]
    if ":" not in reference:
        return serialised.table_of(json.loads(package.read(reference)))
    from modelimg_runtime.openapi import loaded

    model = ready.model.model
    return loaded.table_of(model.input_schema if side == "input" else model.output_schema)


def document_of(
    model: Contract,
    shown: Shown,
    settings: Settings,
    metadata: Mapping[str, str],
    baseline: Baseline | None = None,
) -> dict[str, Any]:
    """The OpenAPI document.

    Args:
        model: what goes in and comes out.
        shown: examples.
        settings: of the server, which say the paths of Vertex AI.
        metadata: standard texts of the package.
        baseline: of the monitor, where there is one; then its routes are described.
    """
    tensors = schemas.tensor_schemas(model)
    routes = {
        **paths.asked(model, shown),
        **protocols.invocations(model, shown),
        **protocols.kserve(model, shown),
        **protocols.oip(model, shown),
        **paths.about(),
        **(monitoring.monitoring(baseline, shown) if baseline else {}),
        **paths.health(),
        **paths.pages(),
    }
    routes |= protocols.vertex(settings, model, shown, routes)
    used = {operation["tags"][0] for path in routes.values() for operation in path.values()}
    return {
        "openapi": "3.1.0",
        "info": _info(model, metadata),
        "tags": [
            {"name": name, **({"description": text} if text else {})} for name, text in _TAGS.items() if name in used
        ],
        "paths": routes,
        "components": {
            "schemas": {
                **schemas.input_schemas(model),
                **schemas.output_schemas(model),
                **tensors,
                **protocols.oip_schemas(model, list(tensors)),
                **paths.about_schemas(model),
                **(monitoring.monitoring_schemas(baseline) if baseline else {}),
                **responses.error_schemas(),
            },
            "headers": {"RequestId": responses.HEADER},
            "parameters": {"RequestId": responses.PARAMETER},
        },
    }


def _info(model: Contract, metadata: Mapping[str, str]) -> dict[str, Any]:
    licence, authors = metadata.get("licenses"), metadata.get("authors")
    return {
        "title": model.name,
        "version": model.version,
        **({"description": metadata["description"]} if metadata.get("description") else {}),
        **({"contact": {"name": authors}} if authors else {}),
        **({"license": {"name": licence}} if licence else {}),
    }
