"""Predicting rows of which some are bad: those are named, and the others are predicted without them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from modelimg_runtime.columns import Prediction
from modelimg_runtime.errors import InputRejected, OutputRejected, RuntimeFault, ScoreFault, Violation
from modelimg_runtime.score.chunks import INPUT, MODEL, OUTPUT, Fault

MOST_FAILURES = 100
"""Rows of one batch at which the model, or a check, may crash. What crashes at more is not for the rows to answer."""
_SHOWN = 200
_OF_TABLES = frozenset({"column_in_dataframe", "column_in_schema", "column_ordered"})
_CRASHED = "could not be evaluated"


class Model(Protocol):
    """What predicts: a `served.ServedModel`."""

    def predict_columns(self, columns: Mapping[str, Sequence[Any]], *, text: bool = False) -> Prediction:
        """As `served.ServedModel.predict_columns`."""


@dataclass
class Scored:
    """What became of some rows.

    Attributes:
        positions: those that were predicted, ascending.
        predictions: one for each of them.
        probabilities: one list for each of them; empty where the model gives none.
        faults: position → why it was not predicted.
    """

    positions: list[int] = field(default_factory=list)
    predictions: list[Any] = field(default_factory=list)
    probabilities: list[list[float]] = field(default_factory=list)
    faults: dict[int, Fault] = field(default_factory=dict)


def score_rows(model: Model, columns: Mapping[str, Sequence[Any]], rows: int, *, text: bool = False) -> Scored:
    """Predict all rows that can be, each as in a batch of those that are left.

    A check of several rows together (``unique``, a mean) is made of the batch. Where it names rows, these are rejected;
    where it names none, all are.

    Args:
        model: between its contracts.
        columns: the model's columns → values of all rows.
        rows: how many.
        text: whether the values are CSV fields.

    Raises:
        ScoreFault: the columns are not the model's, or the model crashes at row after row.
        StartRefused: the model may not be loaded.
    """
    splitter = _Splitter(model, columns, text=text)
    splitter.score(range(rows))
    return splitter.scored


class _Splitter:
    def __init__(self, model: Model, columns: Mapping[str, Sequence[Any]], *, text: bool) -> None:
        self.scored = Scored()
        self._model, self._columns, self._text = model, columns, text
        self._failures = 0

    def score(self, positions: Sequence[int]) -> None:
        while positions:
            positions = self._try(positions)

    def _try(self, positions: Sequence[int]) -> Sequence[int]:
        """Predict rows; those that are left to be predicted without the bad ones."""
        try:
            answer = self._model.predict_columns(self._picked(positions), text=self._text)
        except (InputRejected, OutputRejected) as error:
            return self._without_bad(error, positions)
        except (RuntimeFault, MemoryError):
            raise
        except Exception as error:  # whatever the model raises at a row is the reason why that row is rejected
            fault = Violation(None, None, type(error).__name__, str(error)[:_SHOWN])
            self._halve(positions, Fault(MODEL, (fault,)))
            return []
        self.scored.positions += positions
        self.scored.predictions += answer.predictions
        self.scored.probabilities += answer.probabilities or []
        return []

    def _picked(self, positions: Sequence[int]) -> Mapping[str, Sequence[Any]]:
        if isinstance(positions, range) and not positions.start:
            rest = {len(values) for values in self._columns.values()} - {len(positions)}
            if not rest:
                return self._columns
        return {name: [values[at] for at in positions] for name, values in self._columns.items()}

    def _without_bad(self, error: InputRejected | OutputRejected, positions: Sequence[int]) -> Sequence[int]:
        """Reject the rows that are named, or all where none is; those that are left to be predicted."""
        direction = INPUT if isinstance(error, InputRejected) else OUTPUT
        named: dict[int, list[Violation]] = defaultdict(list)
        whole = []
        for violation in error.violations:
            if violation.row is None:
                whole.append(violation)
            else:
                named[positions[violation.row]].append(violation)
        if any(violation.check in _OF_TABLES for violation in whole):
            raise ScoreFault(f"the table breaks the contract: {whole[0]}", exit_code=3)
        for position, violations in named.items():
            self.scored.faults[position] = Fault(direction, tuple(violations))
        if named:
            return [position for position in positions if position not in named]
        fault = Fault(direction, tuple(whole))
        if all(violation.check.endswith(_CRASHED) for violation in whole):
            self._halve(positions, fault)
        else:
            self.scored.faults.update(dict.fromkeys(positions, fault))
        return []

    def _halve(self, positions: Sequence[int], fault: Fault) -> None:
        """Find the rows at which something crashes, by halves."""
        if len(positions) > 1:
            middle = len(positions) // 2
            self.score(positions[:middle])
            self.score(positions[middle:])
            return
        self._failures += 1
        if self._failures > MOST_FAILURES:
            raise ScoreFault(f"at more than {MOST_FAILURES} rows of a batch, it comes to this: {fault}")
        self.scored.faults[positions[0]] = fault
