"""Micro-batching: requests that come together are predicted together, where that changes no answer.

Each request is validated by itself, and only what the contract accepted is merged; so nobody's rejection touches a
neighbour. A merged batch that is not answered, or fails, is asked again request by request.

What is fast is predicted on the event loop: everything that has come in one of its iterations is one batch. What takes
scikit-learn is predicted in a thread: everything that comes while one batch is predicted is the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

from modelimg_runtime.columns import Batch, Prediction

if TYPE_CHECKING:
    from modelimg_runtime.contract import Examples
    from modelimg_runtime.served import ServedModel

log = logging.getLogger(__name__)

Run = Callable[[Callable[[], Any], int], Awaitable[Any]]
"""Runs something in a thread; the number is the bytes of its body."""


class Rows(Protocol):
    """A request's rows; see ``protocols.bodies.Payload``."""

    @property
    def columns(self) -> Mapping[str, Sequence[Any]]:
        """Columns of JSON values, or of CSV fields where ``text``."""

    @property
    def text(self) -> bool:
        """Whether they are CSV fields."""

    @property
    def record(self) -> Mapping[str, Any] | None:
        """The only row, where it came as an object."""


class Lane(Protocol):
    """A model between its compiled contracts; see ``lane.FastLane``."""

    def accept(self, columns: Mapping[str, Sequence[Any]], *, text: bool = False) -> Batch | None:
        """The rows, None where the path that decides is to decide about them."""

    def accept_row(self, record: Mapping[str, Any]) -> Batch | None:
        """The same of a single row."""

    def alone(self, batch: Batch, *, scores: bool = False) -> Prediction | None:
        """The answer to accepted rows, None where the path that decides is to give it."""


@dataclass(frozen=True)
class Limits:
    """How much is merged.

    Attributes:
        rows: of one batch at most; 1 merges nothing. A request of as many or more is a batch of its own.
        seconds: for which the first request of a batch waits for others; 0 waits for nobody who is not there.
    """

    rows: int = 64
    seconds: float = 0.0


class Batcher:
    """See the module. Belongs to one event loop.

    Args:
        lane: answers; None where there is none, so that no request is answered here.
        limits: of a batch.
        merge: whether answers may be made together.
        in_thread: whether ``lane`` takes so long that it must not be asked on the event loop.

    Attributes:
        in_thread: as given, and there is a lane.
        largest: rows of the largest batch that was merged so far.
    """

    def __init__(self, lane: Lane | None, limits: Limits, *, merge: bool, in_thread: bool) -> None:
        self._lane = lane
        self._most = limits.rows if merge else 1
        self._seconds = limits.seconds
        self.in_thread = in_thread and lane is not None
        self._waiting: list[_Waiting] = []
        self._rows = 0
        self._direct, self._crowded = 0, False
        self._scheduled: asyncio.Handle | None = None
        self._worker: asyncio.Task[None] | None = None
        self.largest = 0

    async def predict(self, payload: Rows, *, scores: bool, run: Run) -> Prediction | None:
        """Answer a request.

        Args:
            payload: its rows.
            scores: with decision scores, in which no batch was compared.
            run: runs in a thread what must not run on the event loop.

        Returns:
            None where the path that decides is to decide: the input or the answer is not accepted here.
        """
        lane = self._lane
        if lane is None:
            return None
        record = payload.record
        batch = lane.accept(payload.columns, text=payload.text) if record is None else lane.accept_row(record)
        if batch is None:
            return None
        if scores:
            return None if self.in_thread else lane.alone(batch, scores=True)
        merging = batch.rows < self._most
        if self.in_thread:
            return await (self._next(batch, run) if merging else run(lambda: lane.alone(batch), 0))
        if merging and self._gathers():
            return await self._wait(batch)
        return lane.alone(batch)

    def _gathers(self) -> bool:
        """Whether a request waits for others of this iteration; who is first and expects nobody does not."""
        if self._seconds or self._crowded or self._scheduled is not None:
            return True
        self._scheduled = asyncio.get_running_loop().call_soon(self._flush)
        self._direct = 1
        return False

    def _wait(self, batch: Batch) -> asyncio.Future[Prediction | None]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Prediction | None] = loop.create_future()
        self._waiting.append(_Waiting(batch, answer))
        self._rows += batch.rows
        if self._rows >= self._most:
            self._flush()
        elif self._scheduled is None:
            self._scheduled = (
                loop.call_later(self._seconds, self._flush) if self._seconds else loop.call_soon(self._flush)
            )
        return answer

    def _flush(self) -> None:
        """Answer all who wait; whether there were several says what to expect of the next iteration."""
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        waiting = [each for each in self._waiting if not each.answer.done()]
        self._crowded = self._direct + len(waiting) > 1
        self._waiting, self._rows, self._direct = [], 0, 0
        _settle(waiting, self._answers([each.batch for each in waiting]))

    async def _next(self, batch: Batch, run: Run) -> Prediction | None:
        answer: asyncio.Future[Prediction | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(batch, answer))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(run))
        return await answer

    async def _work(self, run: Run) -> None:
        """Answer batch after batch in a thread until nobody waits."""
        try:
            await asyncio.sleep(self._seconds)
            while self._waiting:
                waiting = self._taken()
                try:
                    answers = await run(partial(self._answers, [each.batch for each in waiting]), 0)
                except Exception as error:  # no thread was to be had, which each request hears
                    answers = [error] * len(waiting)
                _settle(waiting, answers)
        finally:
            self._worker = None

    def _taken(self) -> list[_Waiting]:
        """The first who wait, up to the limit of rows; who was cancelled is left out."""
        rows, count = 0, 0
        for each in self._waiting:
            rows += each.batch.rows
            if count and rows > self._most:
                break
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return [each for each in taken if not each.answer.done()]

    def _answers(self, batches: Sequence[Batch]) -> list[Prediction | Exception | None]:
        """An answer for each batch, or the error that is its own."""
        assert self._lane is not None  # noqa: S101 - who waits was accepted by it
        if len(batches) > 1:
            self.largest = max(self.largest, sum(batch.rows for batch in batches))
            try:
                together = self._lane.alone(merged(batches))
            except Exception:  # asked again one by one, so that each gets the error that is its own
                together = None
            if together is not None:
                return list(parts(together, batches))
        answers: list[Prediction | Exception | None] = []
        for batch in batches:
            try:
                answers.append(self._lane.alone(batch))
            except Exception as error:  # noqa: PERF203 - it is raised again where the request waits
                answers.append(error)
        return answers


def batcher_of(model: ServedModel, limits: Limits, tolerance: float) -> Batcher:
    """The batcher of a model that is about to be served.

    Args:
        model: loaded and checked.
        limits: of a batch.
        tolerance: by how much a number of an answer may change; 0 where no bit may.
    """
    lane = model.lane or model.reference
    merge = lane is not None and limits.rows > 1 and model.may_merge(tolerance)
    if lane is not None and merge and not tolerance and not _agree(lane, model.examples):
        merge = False
        log.warning("requests are predicted one by one: on this processor a batch differs from its rows alone")
    if merge:
        log.info("requests that come together are predicted together, up to %d rows", limits.rows)
    return Batcher(lane, limits, merge=merge, in_thread=model.lane is None)


def _agree(lane: Lane, examples: Examples) -> bool:
    """Whether the packed examples are answered together as they are one by one, here as where they were packed."""
    batches = [
        lane.accept({name: [value] for name, value in zip(examples.columns, row, strict=True)}) for row in examples.rows
    ]
    accepted = [batch for batch in batches if batch is not None]
    if not accepted:
        return True
    together = lane.alone(merged(accepted))
    alone = [lane.alone(batch) for batch in accepted]
    return together is None or repr(parts(together, accepted)) == repr(alone)


@dataclass(frozen=True)
class _Waiting:
    """A request that waits: its rows, and where its answer goes."""

    batch: Batch
    answer: asyncio.Future[Prediction | None]


def _settle(waiting: Sequence[_Waiting], answers: Sequence[Prediction | Exception | None]) -> None:
    """Hand the answers out; who was cancelled in the meantime gets none."""
    for each, answer in zip(waiting, answers, strict=True):
        if each.answer.done():
            continue
        if isinstance(answer, Exception):
            each.answer.set_exception(answer)
        else:
            each.answer.set_result(answer)


def merged(batches: Sequence[Batch]) -> Batch:
    """The rows of several batches of the same columns as one, in their order."""
    columns = zip(*(batch.columns for batch in batches), strict=True)
    rows = sum(batch.rows for batch in batches)
    return Batch(batches[0].names, tuple(list(chain.from_iterable(each)) for each in columns), rows)


def parts(prediction: Prediction, batches: Sequence[Batch]) -> list[Prediction]:
    """The answers to the batches that were merged."""
    found, start = [], 0
    for batch in batches:
        rows = slice(start, start + batch.rows)
        probabilities = None if prediction.probabilities is None else prediction.probabilities[rows]
        found.append(Prediction(prediction.predictions[rows], probabilities, accepted=batch))
        start += batch.rows
    return found
