"""How well the model does on data that it was not fitted on: given by the user, or computed with scikit-learn."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics as sk
from sklearn.exceptions import UndefinedMetricWarning

from modelimg.errors import DataError, UsageError
from modelimg.pack.data import Split
from modelimg.pack.model import PackedModel
from modelimg_runtime import contract
from modelimg_runtime.errors import OutputRejected
from modelimg_runtime.predict import output_frame
from modelimg_runtime.values import json_values

TRAIN = "train"
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def all_metrics(
    model: PackedModel, splits: Mapping[str, Split], given: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """Metrics per split: computed on every split but the training data, the user's own laid over them.

    Args:
        model: the fitted model.
        splits: by name.
        given: ``{split: {metric: value}}``, or ``{metric: value}`` of the split ``test``.

    Raises:
        DataError: a split that the model cannot predict, or whose target cannot be compared.
        UsageError: a metric that is no finite number, or whose name cannot stand in a label.
    """
    own = _checked(given or {})
    found = {name: compute(model, split) for name, split in splits.items() if name != TRAIN and split.y is not None}
    return {name: {**found.get(name, {}), **own.get(name, {})} for name in dict.fromkeys([*found, *own])}


def compute(model: PackedModel, split: Split) -> dict[str, Any]:
    """The metrics of one split: accuracy f1_macro roc_auc log_loss, or r2 mae rmse; none for other tasks.

    What cannot be computed stands under ``omitted`` with the reason.
    """
    if split.y is None or model.task == "other":
        return {}
    y = split.y.to_numpy()
    y = y[:, 0] if y.shape[1] == 1 else y
    try:
        output = output_frame(model.estimator, split.X, model.classes)
        return _regression(y, _predictions(output)) if model.task == "regression" else _classification(model, y, output)
    except (ValueError, TypeError, OutputRejected) as error:
        raise DataError(f"no metrics can be computed on the split {split.name}: {error}") from error


def _predictions(output: pd.DataFrame) -> Any:
    if contract.PREDICTION in output:
        return output[contract.PREDICTION].to_numpy()
    return output.to_numpy()


def _regression(y: Any, predicted: Any) -> dict[str, Any]:
    return {
        "r2": float(sk.r2_score(y, predicted)),
        "mae": float(sk.mean_absolute_error(y, predicted)),
        "rmse": math.sqrt(float(sk.mean_squared_error(y, predicted))),
    }


def _classification(model: PackedModel, y: Any, output: pd.DataFrame) -> dict[str, Any]:
    predicted = _predictions(output)
    if y.ndim == 2:
        return {"accuracy": float(np.all(predicted == y, axis=1).mean())}
    found: dict[str, Any] = {
        "accuracy": float(sk.accuracy_score(y, predicted)),
        "f1_macro": float(sk.f1_score(y, predicted, average="macro", zero_division=0)),
        "confusion_matrix": _confusion(model, y, predicted),
    }
    omitted: dict[str, str] = {}
    probabilities = output.drop(columns=contract.PREDICTION).to_numpy()
    if probabilities.shape[1]:
        labels = model.estimator.classes_
        _add(found, omitted, "roc_auc", lambda: _roc_auc(y, probabilities, labels))
        _add(found, omitted, "log_loss", lambda: sk.log_loss(y, probabilities, labels=labels))
    else:
        omitted |= dict.fromkeys(("roc_auc", "log_loss"), "the model gives no probabilities")
    return {**found, "omitted": omitted} if omitted else found


def _roc_auc(y: Any, probabilities: Any, labels: Any) -> Any:
    if len(labels) == 2:
        return sk.roc_auc_score(y == labels[1], probabilities[:, 1])
    return sk.roc_auc_score(y, probabilities, multi_class="ovr", labels=labels)


def _add(found: dict[str, Any], omitted: dict[str, str], name: str, compute: Callable[[], Any]) -> None:
    """A metric, or the reason why there is none: a split with one class has no ROC curve."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UndefinedMetricWarning)
            value = float(compute())
    except (ValueError, UndefinedMetricWarning) as error:
        omitted[name] = str(error).split("\n")[0]
        return
    if math.isfinite(value):
        found[name] = value
    else:
        omitted[name] = "it is not finite on this split"


def _confusion(model: PackedModel, y: Any, predicted: Any) -> dict[str, Any]:
    """Rows are true classes, columns predicted ones."""
    labels = model.estimator.classes_
    counts = sk.confusion_matrix(y, predicted, labels=labels)
    return {"classes": json_values(labels), "counts": counts.tolist()}


def _checked(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    if given and all(_is_number(value) for value in given.values()):
        given = {"test": given}
    checked: dict[str, dict[str, Any]] = {}
    for split, values in given.items():
        if not isinstance(values, Mapping):
            raise UsageError(f"metrics of the split {split} are a {type(values).__name__}, not a table of numbers")
        for name, value in values.items():
            if not _NAME.fullmatch(str(name)) or not _NAME.fullmatch(str(split)):
                raise UsageError(
                    f"{split}.{name} cannot name a metric", hint="take letters, digits, '_', '.' and '-' for both parts"
                )
            if not _is_number(value) or not math.isfinite(value):
                raise UsageError(f"the metric {name} of the split {split} is {value!r}, not a finite number")
        checked[str(split)] = {str(name): _plain_number(value) for name, value in values.items()}
    return checked


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def _plain_number(value: Any) -> int | float:
    return int(value) if isinstance(value, int | np.integer) else float(value)
