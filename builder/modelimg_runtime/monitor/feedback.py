"""Labels that come later: the body of ``POST /feedback``, and what becomes of each label in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from modelimg_runtime.errors import PayloadError
from modelimg_runtime.monitor.counts import ACCEPTED, DUPLICATE, INVALID, UNKNOWN
from modelimg_runtime.protocols.bodies import JSON, read_json

JSON_LINES: Final = ("application/x-ndjson", "application/jsonl")
BODIES: Final = (JSON, *JSON_LINES)
"""Media types of a body."""
MOST_NAMED: Final = 1000
"""Labels that are refused by their number and reason; the others are counted."""
LONGEST_ID: Final = 256
"""Characters of a prediction id."""
MOST_ROWS: Final = 2**40
"""More than any request has."""

_FIELDS: Final = frozenset({"prediction_id", "row", "label", "prediction"})


class _None:
    """Stands for a prediction that the caller did not send back; null could be one."""


NOT_SENT: Final = _None()


@dataclass(frozen=True)
class Label:
    """One label.

    Attributes:
        prediction_id: id of the answer to the request; None where only the prediction was sent back.
        row: of the request, from 0.
        label: what would have been right.
        prediction: as the caller got it, or ``NOT_SENT``.
    """

    prediction_id: str | None
    row: int
    label: Any
    prediction: Any = NOT_SENT


@dataclass
class Outcome:
    """What became of some labels.

    Attributes:
        counts: outcome → labels.
        invalid: number of the label in the body, and the reason, of the first ones that are invalid.
    """

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys((ACCEPTED, UNKNOWN, DUPLICATE, INVALID), 0))
    invalid: list[tuple[int, str]] = field(default_factory=list)

    def refuse(self, number: int, reason: str) -> None:
        """Note an invalid label."""
        self.counts[INVALID] += 1
        if len(self.invalid) < MOST_NAMED:
            self.invalid.append((number, reason))

    def to_dict(self) -> dict[str, Any]:
        """Body of the answer."""
        named = [{"index": number, "reason": reason} for number, reason in self.invalid]
        body: dict[str, Any] = {**self.counts, INVALID: named}
        unnamed = self.counts[INVALID] - len(named)
        return {**body, "invalid_truncated": unnamed} if unnamed else body


def read_items(body: bytes, kind: str) -> list[Any]:
    """The items of a body: one JSON object, an array of them, or one on each line.

    Raises:
        PayloadError: it is empty or no JSON.
    """
    if kind in JSON_LINES:
        lines = [line for line in body.splitlines() if line.strip()]
        items = [_line(number, line) for number, line in enumerate(lines)]
    else:
        data = read_json(body)
        items = data if isinstance(data, list) else [data]
    if not items:
        raise PayloadError("the body holds no label")
    return items


def labels_of(items: Iterable[Any], outcome: Outcome) -> Iterator[tuple[int, Label]]:
    """The labels with their numbers; what is none is refused."""
    for number, item in enumerate(items):
        reason = _fault(item)
        if reason:
            outcome.refuse(number, reason)
        else:
            identifier, row = item.get("prediction_id"), item.get("row", 0)
            yield number, Label(identifier, int(row), item["label"], item.get("prediction", NOT_SENT))


def _line(number: int, line: bytes) -> Any:
    try:
        return read_json(line)
    except PayloadError as error:
        raise PayloadError(f"line {number} of the body: {error}") from error


def _fault(item: Any) -> str | None:
    if not isinstance(item, dict):
        return "a label is an object with prediction_id and label"
    if odd := sorted(item.keys() - _FIELDS):
        return f"there is no field {odd[0][:100]!r}; known are {', '.join(sorted(_FIELDS))}"
    if "label" not in item:
        return "it lacks label"
    identifier, row = item.get("prediction_id"), item.get("row", 0)
    if identifier is None and "prediction" not in item:
        return "it lacks prediction_id, or prediction as it was answered"
    if identifier is not None and not (type(identifier) is str and 0 < len(identifier) <= LONGEST_ID):
        return "prediction_id is a text of 1 to 256 characters"
    # 3.0 is a whole number, as it is in the columns of a request.
    if type(row) not in (int, float) or not 0 <= row < MOST_ROWS or row != int(row):
        return "row is a whole number from 0"
    return None
