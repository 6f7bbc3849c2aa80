"""What a caller may ask for beside the predictions, and how each protocol without a place of its own answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelimg_runtime import contract
from modelimg_runtime.columns import Prediction
from modelimg_runtime.errors import PayloadError

SCORE = "score"


@dataclass(frozen=True)
class Extras:
    """What is asked for beside the predictions.

    Attributes:
        probabilities: of each class.
        scores: what ``decision_function`` gives.
    """

    probabilities: bool = False
    scores: bool = False

    @classmethod
    def of(cls, parameters: Any, what: str) -> Extras:
        """Those that a JSON object of parameters names; what else it holds is for others to judge.

        Args:
            parameters: of a JSON document; None where there are none.
            what: how messages name them.

        Raises:
            PayloadError: they are no object, or one of ours is neither true nor false.
        """
        given = {} if parameters is None else parameters
        if not isinstance(given, dict):
            raise PayloadError(f"{what} must be an object")
        for name in ("probabilities", "scores"):
            if not isinstance(given.get(name, False), bool):
                raise PayloadError(f"{name} in {what} is true or false")
        return cls(given.get("probabilities", False), given.get("scores", False))

    def __or__(self, other: Extras) -> Extras:
        """What either asks for."""
        return Extras(self.probabilities or other.probabilities, self.scores or other.scores)

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return self.probabilities or self.scores


NONE = Extras()


def probabilities_of(prediction: Prediction) -> list[list[float]]:
    """The probabilities.

    Raises:
        PayloadError: the model gives none.
    """
    if prediction.probabilities is None:
        raise PayloadError("the model gives no probabilities")
    return prediction.probabilities


def scores_of(prediction: Prediction) -> list[Any]:
    """The decision scores.

    Raises:
        PayloadError: the model gives none.
    """
    if prediction.scores is None:
        raise PayloadError("the model gives no decision scores")
    return prediction.scores


def objects(prediction: Prediction, classes: Sequence[Any], extras: Extras) -> list[Any]:
    """One value per row: the prediction, or an object that holds it with what else is asked for.

    Raises:
        PayloadError: something is asked for that the model does not give.
    """
    if not extras:
        return prediction.predictions
    rows = [{contract.PREDICTION: value} for value in prediction.predictions]
    if extras.probabilities:
        for row, given in zip(rows, named(prediction, classes), strict=True):
            row["probabilities"] = given
    if extras.scores:
        for row, given in zip(rows, scores_of(prediction), strict=True):
            row["scores"] = given
    return rows


def named(prediction: Prediction, classes: Sequence[Any]) -> list[dict[str, float]]:
    """Probabilities by class, one object per row.

    Raises:
        PayloadError: the model gives none.
    """
    names = [str(label) for label in classes]
    return [dict(zip(names, row, strict=True)) for row in probabilities_of(prediction)]


def table(prediction: Prediction, classes: Sequence[Any], extras: Extras) -> Mapping[str, list[Any]]:
    """Columns of the answer: ``prediction``, ``prediction_0`` …; ``probability_<class>``; ``score``, ``score_<class>``.

    Raises:
        PayloadError: something is asked for that the model does not give.
    """
    columns = _spread(contract.PREDICTION, prediction.predictions, ())
    if extras.probabilities:
        given = probabilities_of(prediction)
        columns |= {
            f"{contract.PROBABILITY_PREFIX}{label}": [row[i] for row in given] for i, label in enumerate(classes)
        }
    if extras.scores:
        columns |= _spread(SCORE, scores_of(prediction), classes)
    return columns


def _spread(name: str, values: list[Any], labels: Sequence[Any]) -> dict[str, list[Any]]:
    """One column of plain values, or one for each place in values that are lists."""
    if not values or not isinstance(values[0], list):
        return {name: values}
    width = len(values[0])
    ends = labels if len(labels) == width else range(width)
    return {f"{name}_{end}": [row[place] for row in values] for place, end in enumerate(ends)}
