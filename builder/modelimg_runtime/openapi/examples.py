"""The packed examples as bodies of every protocol, with the answers that were given in training."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from modelimg_runtime import contract
from modelimg_runtime.openapi.schemas import Contract
from modelimg_runtime.protocols.oip import DATATYPE_OF_KIND
from modelimg_runtime.protocols.tensors import Tensor

REQUEST_ID: Final = "7d9f2c1e-5b64-4a0e-9c3d-2f1a6b8e4d70"
_WIDE: Final = 40
"""Columns from which on one row says enough."""


@dataclass(frozen=True)
class Shown:
    """A few rows with their answers.

    Attributes:
        names: the model's columns in order.
        rows: one list of JSON values per row.
        predictions: one per row.
        probabilities: one list per row; None where the model gives none.
    """

    names: tuple[str, ...]
    rows: tuple[Sequence[Any], ...]
    predictions: tuple[Any, ...]
    probabilities: tuple[Sequence[float], ...] | None

    @classmethod
    def of(cls, examples: contract.Examples) -> Shown:
        """The first of the packed examples."""
        count = 1 if len(examples.columns) > _WIDE else 2
        probabilities = None if examples.probabilities is None else examples.probabilities[:count]
        return cls(examples.columns, examples.rows[:count], examples.predictions[:count], probabilities)

    @property
    def records(self) -> list[dict[str, Any]]:
        """Each row as an object."""
        return [dict(zip(self.names, row, strict=True)) for row in self.rows]

    @property
    def columns(self) -> dict[str, list[Any]]:
        """All values of each column."""
        return {name: [row[place] for row in self.rows] for place, name in enumerate(self.names)}

    @property
    def matrix(self) -> list[list[Any]]:
        """The rows' values in the model's order."""
        return [list(row) for row in self.rows]

    def csv(self) -> str:
        """The rows as CSV with a header; a missing value is an empty field."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.names)
        writer.writerows([_field(value) for value in row] for row in self.rows)
        return out.getvalue()

    def answer(self, classes: Sequence[str], *, probabilities: bool) -> dict[str, Any]:
        """The native answer."""
        body: dict[str, Any] = {"id": REQUEST_ID, "predictions": list(self.predictions)}
        if probabilities:
            body["probabilities"] = [dict(zip(classes, row, strict=True)) for row in self.probabilities or ()]
        return body

    def infer(self, model: Contract) -> dict[str, Any]:
        """The request of the Open Inference Protocol, one tensor per column."""
        kinds = {name: column.kind for name in self.names if (column := model.input.column(name))}
        inputs = [
            {
                "name": name,
                "shape": [len(values), 1],
                "datatype": DATATYPE_OF_KIND.get(kinds.get(name, ""), "BYTES"),
                "data": values,
            }
            for name, values in self.columns.items()
        ]
        return {"id": REQUEST_ID, "inputs": inputs}

    def inferred(self, model: Contract) -> dict[str, Any]:
        """Its answer."""
        tensors: Mapping[str, Sequence[Any] | None] = {
            "predictions": self.predictions,
            "probabilities": self.probabilities,
        }
        outputs = [_tensor(name, values) for name, values in tensors.items() if values is not None]
        return {"model_name": model.name, "model_version": model.version, "id": REQUEST_ID, "outputs": outputs}


def _tensor(name: str, values: Sequence[Any]) -> dict[str, Any]:
    tensor = Tensor.of(name, [list(value) if isinstance(value, (list, tuple)) else value for value in values])
    return {"name": name, "datatype": tensor.datatype, "shape": list(tensor.shape), "data": list(tensor.data)}


def _field(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
