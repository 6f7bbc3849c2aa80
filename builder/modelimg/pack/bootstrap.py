"""How sure a test metric is: intervals from resampled rows, the same every time.

The metrics are those of `metrics`, computed for all resamples at once: every one of them is a function of sums over
rows, so a resample is nothing but the number of times that it drew each row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from modelimg.pack.model import PackedModel
from modelimg_runtime import contract
from modelimg_runtime.profile.output import Estimate

RESAMPLES: Final = 1000
MOST_DRAWS: Final = 2 * 10**8
"""Rows that are drawn at most; a split of more than 200,000 rows is resampled less often, which it needs less."""
DIGITS: Final = 6
"""Significant digits of an interval's ends: what follows is noise, and would differ between processors."""
_AT_ONCE: Final = 4_000_000

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""Weights, shape (resamples, rows) → the metric of each resample, shape (resamples,)."""


def interval_estimates(model: PackedModel, target: pd.DataFrame, answers: pd.DataFrame) -> dict[str, Estimate]:
    """The metrics of some answers, each with the 95 % interval of its percentiles over resamples.

    Args:
        model: whose answers they are.
        target: the truth. Shape (n, n_outputs).
        answers: the output frame. Shape (n, …).

    Returns:
        accuracy, f1_macro, roc_auc, log_loss, or r2, mae, rmse: those that are defined on the split.
    """
    y = target.to_numpy()
    statistics = _statistics(model, y[:, 0] if y.shape[1] == 1 else y, answers)
    rows = len(y)
    values = {name: float(statistic(np.ones((1, rows)))[0]) for name, statistic in statistics.items()}
    drawn: dict[str, list[Floats]] = {name: [] for name in statistics}
    for weights in _resamples(rows):
        for name, statistic in statistics.items():
            drawn[name].append(statistic(weights))
    found = {name: _estimate(values[name], np.concatenate(drawn[name])) for name in statistics if drawn[name]}
    return {name: each for name, each in found.items() if each is not None}


def _statistics(model: PackedModel, y: Any, answers: pd.DataFrame) -> dict[str, Statistic]:
    probabilities = [name for name in answers if str(name).startswith(contract.PROBABILITY_PREFIX)]
    predicted = answers.drop(columns=probabilities).to_numpy()
    if model.task == "regression":
        return _regression(np.asarray(y, dtype=np.float64).reshape(len(answers), -1), predicted.astype(np.float64))
    if model.task != "classification":
        return {}
    if y.ndim == 2:
        return {"accuracy": _mean((predicted == y).all(axis=1))}
    predicted = predicted[:, 0]
    found = {"accuracy": _mean(predicted == y), "f1_macro": _f1(y, predicted)}
    return found | (_of_scores(y, answers[probabilities].to_numpy(dtype=np.float64), model) if probabilities else {})


def _of_scores(y: NDArray[Any], scores: Floats, model: PackedModel) -> dict[str, Statistic]:
    """What needs probabilities. Shape of the scores (n, classes)."""
    labels = model.estimator.classes_
    truth = y[:, None] == labels[None, :]
    found: dict[str, Statistic] = {}
    known = bool(truth.any(axis=1).all())
    if known:
        found["log_loss"] = _mean(-np.log(np.clip(scores[truth], _EPSILON, 1 - _EPSILON)))
    if len(labels) == 2:
        found["roc_auc"] = _auc(truth[:, 1], scores[:, 1])
    elif known and truth.any(axis=0).all():
        found["roc_auc"] = _mean_of([_auc(truth[:, i], scores[:, i]) for i in range(len(labels))])
    return found


def _regression(y: Floats, predicted: Floats) -> dict[str, Statistic]:
    errors, centred = y - predicted, y - y.mean(axis=0)

    def r2(weights: Floats) -> Floats:
        rows = weights.sum(axis=1, keepdims=True)
        total = weights @ centred**2 - (weights @ centred) ** 2 / rows
        with np.errstate(divide="ignore", invalid="ignore"):
            scores: Floats = np.where(total > 0, 1 - weights @ errors**2 / total, np.nan).mean(axis=1)
        return scores

    square = _mean((errors**2).mean(axis=1))
    return {"r2": r2, "mae": _mean(np.abs(errors).mean(axis=1)), "rmse": lambda weights: np.sqrt(square(weights))}


def _mean(values: NDArray[Any]) -> Statistic:
    """The mean over rows of what each row adds. Shape of the values (n,)."""
    numbers = values.astype(np.float64)

    def mean(weights: Floats) -> Floats:
        found: Floats = weights @ numbers / weights.sum(axis=1)
        return found

    return mean


def _f1(y: NDArray[Any], predicted: NDArray[Any]) -> Statistic:
    """Of the classes that a resample holds, as scikit-learn does."""
    labels = np.unique(np.concatenate([y, predicted]))
    truth, answer = (each[:, None] == labels[None, :] for each in (y, predicted))

    def f1(weights: Floats) -> Floats:
        both = weights @ (truth & answer).astype(np.float64)
        either = weights @ (truth.astype(np.float64) + answer)
        held = either > 0
        found: Floats = (2 * both / np.where(held, either, 1)).sum(axis=1) / held.sum(axis=1)
        return found

    return f1


def _auc(truth: NDArray[np.bool_], scores: Floats) -> Statistic:
    """Area under the ROC curve: the chance that a true row scores above a false one, ties by half."""
    order = np.argsort(scores, kind="stable")
    ranked, positive = scores[order], truth[order]
    ties = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))

    def auc(weights: Floats) -> Floats:
        sorted_weights = weights[:, order]
        above = np.add.reduceat(sorted_weights * positive, ties, axis=1)
        below = np.add.reduceat(sorted_weights * ~positive, ties, axis=1)
        pairs = above.sum(axis=1) * below.sum(axis=1)
        won = (above * (np.cumsum(below, axis=1) - below / 2)).sum(axis=1)
        return np.where(pairs > 0, won / np.where(pairs > 0, pairs, 1), np.nan)

    return auc


def _mean_of(statistics: list[Statistic]) -> Statistic:
    return lambda weights: np.mean([statistic(weights) for statistic in statistics], axis=0)


def _resamples(rows: int) -> Iterator[Floats]:
    """How often each resample drew each row, some resamples at a time. Shape (resamples, rows)."""
    # RandomState and not default_rng: NumPy promises that its numbers never change.
    random = np.random.RandomState(0)
    left = max(100, min(RESAMPLES, MOST_DRAWS // rows))
    while left:
        count = min(left, max(1, _AT_ONCE // rows))
        draws = random.randint(rows, size=(count, rows)) + rows * np.arange(count)[:, None]
        yield np.bincount(draws.ravel(), minlength=count * rows).reshape(count, rows).astype(np.float64)
        left -= count


def _estimate(value: float, drawn: Floats) -> Estimate | None:
    """None where the metric is defined on no resample, or not on the split itself."""
    defined = drawn[np.isfinite(drawn)]
    if not len(defined) or not np.isfinite(value):
        return None
    low, high = (float(f"{end:.{DIGITS}g}") for end in np.percentile(defined, (2.5, 97.5)))
    return Estimate(value, low, high)


_EPSILON: Final = float(np.finfo(np.float64).eps)
"""What scikit-learn clips probabilities by."""
