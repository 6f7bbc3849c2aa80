"""Counting what one process serves: every accepted row and its answer, and every label that comes for one."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from modelimg_runtime.columns import Batch, Prediction
from modelimg_runtime.monitor.baseline import Baseline
from modelimg_runtime.monitor.counting import Column, Table
from modelimg_runtime.monitor.counts import ACCEPTED, DUPLICATE, OUTCOMES, UNKNOWN
from modelimg_runtime.monitor.feedback import NOT_SENT, Label, Outcome, labels_of
from modelimg_runtime.monitor.layout import ROWS, Layout
from modelimg_runtime.monitor.memory import Floats, Slot
from modelimg_runtime.monitor.recent import Found, Key, Recent, key_of
from modelimg_runtime.monitor.ring import Ring
from modelimg_runtime.monitor.scheme import LabelRefused, Scheme
from modelimg_runtime.monitor.waiting import Gathered, Waiting

SOON_SECONDS: Final = 0.025
"""How long a row waits at most until it is counted."""
_FEW: Final = 6
"""Rows up to which they are placed one by one: NumPy's calls take as long as so many rows."""


class Live:
    """See the module. Threads of one process share one.

    Args:
        baseline: the profiles that rows are counted by.
        layout: of the counts.
        slot: of this process.
        window_seconds: length of a window.
        recent: the last predictions; None where they are not kept.
        number: of the slot.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        baseline: Baseline,
        layout: Layout,
        slot: Slot,
        window_seconds: int,
        recent: Recent | None = None,
        number: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._layout, self._recent, self._number, self._clock = layout, recent, number, clock
        self._scheme = layout.scheme if recent is not None else None
        self._inputs = Table(baseline.input.columns, layout.inputs)
        self._outputs = Table(baseline.output.columns, layout.outputs)
        self._single = len(baseline.output.predictions) == 1
        self._scores, self._has_confidence = len(baseline.output.scores), baseline.output.confidence is not None
        self._ring = Ring(slot, window_seconds)
        self._lock = threading.Lock()
        self._waiting = Waiting(self._inputs.names, self._inputs.numbers, self._scores)
        self._full = False
        """Whether as many wait as are counted at once, so that this is about to be done."""
        self._in_order = self._inputs.names
        """Names as they come, found to be those of the profile in their order."""

    def observe(self, batch: Batch, prediction: Prediction, identifier: str) -> None:
        """Count rows that the contract accepted and the model answered.

        Args:
            batch: the rows; columns may be pandas Series. Those that the profile does not know are left out, and one
                that is not there counts as missing.
            prediction: the answer.
            identifier: of the request, under which its labels may come.
        """
        inputs, answers = self._columns(batch), prediction.predictions
        now = self._clock()
        if batch.rows <= _FEW:
            places = self._places(inputs, prediction)
            numbers = [self._scheme.one(answer) for answer in answers] if self._scheme else []
            with self._ring.lock:
                self._ring.count(places, now)
                if self._recent is not None:
                    self._recent.remember(self._number, identifier, numbers, now)
        else:
            doubles, shares = self._floats(batch, inputs), self._shares(prediction)
            self._count(Gathered(batch.rows, inputs, doubles, answers, shares, [identifier], [batch.rows]), now)

    def observe_soon(self, batch: Batch, prediction: Prediction, identifier: str) -> None:
        """The same within `SOON_SECONDS`, together with others. Called on the event loop."""
        with self._lock:
            empty = self._waiting.rows == 0
            added = self._waiting.add(batch, prediction, identifier)
            full = self._waiting.enough
        if not added:
            self.observe(batch, prediction, identifier)
        elif full and not self._full:
            self._full = True
            asyncio.get_running_loop().call_soon(self.flush)  # when the answer is on its way
        elif empty:
            asyncio.get_running_loop().call_later(SOON_SECONDS, self.flush)

    def flush(self) -> None:
        """Count what waits to be counted."""
        with self._lock:
            self._full = False
            if self._waiting.rows:
                self._count(self._waiting.take(), self._clock())

    def _count(self, seen: Gathered, now: float) -> None:
        """Many rows, together."""
        counts = np.zeros(self._layout.feedback, dtype=np.int64)
        counts[ROWS] = seen.rows
        self._inputs.counts(seen.columns, counts, seen.numbers)
        outputs, shares = self._by_output(seen.answers, seen.shares)
        self._outputs.counts(outputs, counts, shares)
        matrix = self._scheme.numbers(seen.answers) if self._scheme else None
        with self._ring.lock:
            self._ring.add(counts, now)
            if self._recent is not None and matrix is not None:
                self._recent.remember_all(self._number, seen.identifiers, seen.counts, matrix, now)

    def _columns(self, batch: Batch) -> Sequence[Column]:
        """The batch's columns in the order of the profile."""
        names = self._inputs.names
        if batch.names is self._in_order or batch.names == names:
            self._in_order = batch.names
            return batch.columns
        columns = dict(zip(batch.names, batch.columns, strict=True))
        absent = [None] * batch.rows
        return [columns.get(name, absent) for name in names]

    def _places(self, inputs: Sequence[Column], prediction: Prediction) -> list[int]:
        """Of few rows, where each of their values counts."""
        found = [ROWS] * len(prediction.predictions)
        probabilities: Sequence[Sequence[float]] = prediction.probabilities or [()] * len(prediction.predictions)
        rows = zip(*inputs, strict=True) if inputs else [()] * len(prediction.predictions)
        for values, answer, scores in zip(rows, prediction.predictions, probabilities, strict=True):
            found += self._inputs.row(values)
            found += self._outputs.row(self._answer(answer, scores))
        return found

    def _floats(self, batch: Batch, inputs: Sequence[Column]) -> Floats | None:
        """The columns of numbers, where the model made doubles of them as well; None where not all are."""
        if inputs is not batch.columns or not all(type(column) in (list, tuple) for column in inputs):
            return None
        try:
            return batch.floats(self._inputs.numbers)
        except TypeError:
            return None

    def _answer(self, answer: Any, scores: Sequence[Any]) -> Sequence[Any]:
        """Values of the output profile's columns."""
        if not self._scores:
            return (answer,) if self._single else answer
        found = scores if len(scores) == self._scores else (None,) * self._scores
        values = (answer, *found) if self._single else (*answer, *found)
        return (*values, max(scores, default=None)) if self._has_confidence else values

    def _shares(self, prediction: Prediction) -> Floats | None:
        """The probabilities that the profile has, shape (classes, rows); None where they are not there."""
        found = prediction.answer.probabilities if prediction.answer else None
        if found is None and prediction.probabilities is not None:
            found = np.array(prediction.probabilities, dtype=np.float64)
        return found.T if found is not None and found.shape[1] == self._scores else None

    def _by_output(self, answers: Sequence[Any], shares: Floats | None) -> tuple[list[Column], Floats | None]:
        """Columns of the output profile; those of numbers as doubles, where that is quick."""
        columns: list[Column] = [answers] if self._single else list(zip(*answers, strict=True))
        count = self._scores + self._has_confidence
        if not self._scores:
            return columns, None
        if shares is None:
            return columns + [[None] * len(answers)] * count, None
        numbers = np.empty((count, len(answers)))
        likely = numbers[: self._scores]
        likely[:] = shares
        numbers[self._scores :] = likely.max(axis=0)
        if len(self._outputs.numbers) != count:
            return columns + numbers.tolist(), None
        return columns + [()] * count, numbers

    def feedback(self, items: Sequence[Any]) -> Outcome:
        """Count labels.

        Args:
            items: JSON values, each ``{"prediction_id", "row", "label"}``, or with ``prediction`` as it was answered.

        Raises:
            NoLabels: the model's answers are such that none is right or wrong.
        """
        scheme = self._layout.scheme
        if scheme is None:
            raise NoLabels
        self.flush()
        outcome, now = Outcome(), self._clock()
        labels = list(labels_of(items, outcome))
        if self._recent is None:
            self._count_labels(scheme, labels, {}, outcome, now)
        else:
            keys = [key_of(label.prediction_id, label.row) for _, label in labels if label.prediction_id is not None]
            with self._recent.exclusive():
                self._count_labels(scheme, labels, self._recent.find(keys, now), outcome, now)
        counts = np.zeros(self._layout.performance, dtype=np.int64)
        counts[self._layout.feedback :] = [outcome.counts[name] for name in OUTCOMES]
        with self._ring.lock:
            self._ring.add(counts, now, rows=False)
        return outcome

    def _count_labels(
        self,
        scheme: Scheme,
        labels: Sequence[tuple[int, Label]],
        known: dict[Key, Found],
        outcome: Outcome,
        now: float,
    ) -> None:
        for number, label in labels:
            found = None if label.prediction_id is None else known.get(key_of(label.prediction_id, label.row))
            try:
                became = self._count_label(scheme, label, found, now)
            except LabelRefused as error:
                outcome.refuse(number, str(error))
            else:
                outcome.counts[became] += 1

    def _count_label(self, scheme: Scheme, label: Label, found: Found | None, now: float) -> str:
        """What became of one label.

        Raises:
            LabelRefused: it could not have been right.
        """
        truth = scheme.truth(label.label)
        if found is not None and self._recent is not None:
            if self._recent.is_marked(found):
                return DUPLICATE
            # What this server answered, whatever the caller says that it was.
            predicted, then = found.numbers, found.time
        elif label.prediction is not NOT_SENT:
            predicted, then = scheme.truth(label.prediction), now
        else:
            return UNKNOWN
        wholes, floats = scheme.added(predicted, truth)
        start = self._layout.performance
        with self._ring.lock:
            self._ring.add_at([start + place for place in wholes], floats, then, now)
        if found is not None and self._recent is not None:
            self._recent.mark(found)
        return ACCEPTED


class NoLabels(Exception):  # noqa: N818 - it says what is the case
    """The model's answers are such that none is right or wrong."""
