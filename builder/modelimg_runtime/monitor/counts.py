"""What was counted, by names: of one window, or of the sum of several."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from modelimg_runtime.contract import canonical_json

ACCEPTED, UNKNOWN, DUPLICATE, INVALID = OUTCOMES = ("accepted", "unknown", "duplicate", "invalid")
"""What becomes of a label: counted; of a prediction that is not known; counted before; none that could be right."""


@dataclass(frozen=True)
class Counts:
    """See the module.

    Attributes:
        rows: that were accepted and predicted.
        first: when the first one was, in seconds since 1970; None without rows.
        last: when the last one was.
        inputs: column → counts in the places of the input profile's bins.
        outputs: prediction, probability or confidence → counts in the places of the output profile's bins.
        feedback: outcome → labels that came in.
        performance: whole numbers of the performance's scheme; the first counts the labels.
        sums: its floats.
    """

    rows: int = 0
    first: float | None = None
    last: float | None = None
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    outputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    feedback: Mapping[str, int] = field(default_factory=dict)
    performance: tuple[int, ...] = ()
    sums: tuple[float, ...] = ()

    def __add__(self, other: Counts) -> Counts:
        """Of both.

        Raises:
            ValueError: they are of other profiles.
        """
        times = [each for each in (self.first, other.first) if each is not None]
        lasts = [each for each in (self.last, other.last) if each is not None]
        return Counts(
            rows=self.rows + other.rows,
            first=min(times, default=None),
            last=max(lasts, default=None),
            inputs=_added(self.inputs, other.inputs),
            outputs=_added(self.outputs, other.outputs),
            feedback={key: self.feedback.get(key, 0) + other.feedback.get(key, 0) for key in OUTCOMES},
            performance=_sum(self.performance, other.performance),
            sums=_sum(self.sums, other.sums),
        )

    @property
    def labels(self) -> int:
        """How many were counted."""
        return self.performance[0] if self.performance else 0

    def later(self, other: Counts) -> Counts:
        """Of two states of the same counters the one that has counted more: counts never fall."""
        return max(self, other, key=Counts._extent)

    def _extent(self) -> tuple[int, int, int, str]:
        return self.rows, self.labels, sum(self.feedback.values()), canonical_json(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "rows": self.rows,
            "first": iso(self.first),
            "last": iso(self.last),
            "inputs": {name: list(counts) for name, counts in self.inputs.items()},
            "outputs": {name: list(counts) for name, counts in self.outputs.items()},
            "feedback": {outcome: self.feedback.get(outcome, 0) for outcome in OUTCOMES},
            "performance": list(self.performance),
            "sums": list(self.sums),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Counts:
        """From JSON.

        Raises:
            ValueError: a field is missing, or of another type.
        """
        try:
            return cls(
                rows=_whole(data["rows"]),
                first=seconds(data["first"]),
                last=seconds(data["last"]),
                inputs={str(name): tuple(map(_whole, counts)) for name, counts in data["inputs"].items()},
                outputs={str(name): tuple(map(_whole, counts)) for name, counts in data["outputs"].items()},
                feedback={outcome: _whole(data["feedback"][outcome]) for outcome in OUTCOMES},
                performance=tuple(map(_whole, data["performance"])),
                sums=tuple(map(_finite, data["sums"])),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"counts lack or misname a field: {error}") from error


def total(many: list[Counts]) -> Counts:
    """The sum; of none, nothing.

    Raises:
        ValueError: they are of other profiles.
    """
    return reduce(Counts.__add__, many) if many else Counts()


def iso(moment: float | None) -> str | None:
    """Seconds since 1970 as ``2026-01-02T03:04:05.678Z``."""
    if moment is None:
        return None
    text = dt.datetime.fromtimestamp(moment, dt.timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def seconds(text: Any) -> float | None:
    """The other way around.

    Raises:
        ValueError: no time, or one without a zone.
    """
    if text is None:
        return None
    if type(text) is not str:
        raise ValueError(f"{text!r} is no time")
    moment = dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    found = round(moment.timestamp(), 3)
    try:
        iso(found)  # a zone, or rounding, may lead out of the calendar
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text} is in no year from 1 to 9999") from error
    return found


def _added(one: Mapping[str, tuple[int, ...]], two: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    if one and two and one.keys() != two.keys():
        raise ValueError("counts of other columns do not add up")
    return {name: _sum(one.get(name, ()), two.get(name, ())) for name in one or two}


def _sum(one: tuple[Any, ...], two: tuple[Any, ...]) -> tuple[Any, ...]:
    if not one or not two:
        return one or two
    if len(one) != len(two):
        raise ValueError("counts in other bins do not add up")
    return tuple(a + b for a, b in zip(one, two, strict=True))


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0 or value >= 1 << 63:
        raise TypeError(f"{value!r} is no count")
    return value


def _finite(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) < float("inf"):
        raise TypeError(f"{value!r} is no finite number")
    return float(value)
