"""A fitted estimator, read as parts, turned into the plain arithmetic of its predictions.

Exact or not used: whatever is not known to give scikit-learn's own bits raises ``NotSpecialised``, and a batch that
scikit-learn would refuse raises ``NotAnswered``, so that scikit-learn itself decides about both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelimg_runtime.columns import Answer, Batch
from modelimg_runtime.fast.compose import PIPELINE
from modelimg_runtime.fast.errors import NotAnswered, NotSpecialised
from modelimg_runtime.fast.final import reply_of, rows_apart
from modelimg_runtime.fast.inputs import KINDS, Column, Table, plain_array
from modelimg_runtime.fast.linear import Reply
from modelimg_runtime.fast.parts import Part, parts_of

VERSIONS = ("1.2", "1.3", "1.4", "1.5", "1.6", "1.7", "1.8", "1.9")
"""Versions of scikit-learn with which these formulas were compared, bit for bit."""


class FastModel:
    """A model without scikit-learn. It holds no state between calls, so threads may share one.

    Attributes:
        version: the scikit-learn that fitted it; the caller compares it with the installed one.
        rows_apart: a row's answer is known not to depend on the rows beside it, to the last bit: nothing goes through
            BLAS, which adds up one row in another order than many.
    """

    def __init__(self, reply: Reply, version: str, *, rows_apart: bool) -> None:
        self._reply = reply
        self.version = version
        self.rows_apart = rows_apart

    def answer(self, batch: Batch) -> Answer:
        """Predictions, and probabilities where there are classes and the estimator has ``predict_proba``.

        Args:
            batch: rows that the contract accepted, columns in the order that ``specialise`` was given.

        Returns:
            What scikit-learn says of these rows as one batch, bit for bit.

        Raises:
            NotAnswered: scikit-learn refuses such rows, or may: a missing value, an infinity, an unknown category.
        """
        if not batch.rows:
            raise NotAnswered("no rows")
        try:
            with np.errstate(all="ignore"):
                return self._reply(batch)
        except (TypeError, ValueError, OverflowError) as error:
            raise NotAnswered(f"values of another kind than the columns': {error}") from error


def specialise(model: Part, columns: Sequence[tuple[str, str]], classes: Sequence[Any]) -> FastModel:
    """Put the fast form of a model together.

    Args:
        model: the fitted estimator.
        columns: pairs of a name and a dtype (``float64``, ``int64``, ``bool``, ``str``, ``category`` of strings), in
            the schema's order.
        classes: the manifest's classes; empty where it has none.

    Raises:
        NotSpecialised: an estimator, a parameter, a dtype or a version without a fast form.
    """
    try:
        return _specialised(model, columns, classes)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise NotSpecialised(f"{model.name} with attributes of other types or shapes: {error}") from error


def _specialised(model: Part, columns: Sequence[tuple[str, str]], classes: Sequence[Any]) -> FastModel:
    version = _version(model)
    unknown = [dtype for _, dtype in columns if dtype not in KINDS]
    if unknown:
        raise NotSpecialised(f"columns of dtype {unknown[0]}")
    table = Table(tuple(Column(name, at, KINDS[dtype]) for at, (name, dtype) in enumerate(columns)))
    reply = reply_of(model, plain_array(table) if _fitted_on_arrays(model) else table, classes)
    return FastModel(reply, version, rows_apart=rows_apart(model))


def _version(model: Part) -> str:
    """The version that all parts carry.

    Raises:
        NotSpecialised: none, several, or one whose formulas are not known.
    """
    found = {str(part["_sklearn_version"]) for part in parts_of(model) if "_sklearn_version" in part}
    if len(found) != 1:
        raise NotSpecialised(f"parts fitted by {len(found)} versions of scikit-learn")
    version = found.pop()
    if ".".join(version.split(".")[:2]) not in VERSIONS:
        raise NotSpecialised(f"scikit-learn {version}")
    return version


def _fitted_on_arrays(model: Part) -> bool:
    """Whether ``predict.output_frame`` hands the estimator an array instead of a frame."""
    while (inner := _asked_for_names(model)) is not None:
        model = inner
    return "n_features_in_" in model and "feature_names_in_" not in model


def _asked_for_names(model: Part) -> Part | None:
    """The estimator whose ``n_features_in_`` the model gives as its own; None where it has one itself."""
    if model.cls == PIPELINE and model["steps"]:
        inner = model["steps"][0][1]
    elif "n_features_in_" not in model:
        inner = (
            model.get("best_estimator_") or model.get("regressor_") or next(iter(model.get("estimators_", ())), None)
        )
    else:
        inner = None
    return inner if isinstance(inner, Part) else None
