"""What goes through a scoring run: some rows of the input, and what becomes of those that cannot be predicted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelimg_runtime.columns import ABSENT
from modelimg_runtime.errors import Violation

INPUT, MODEL, OUTPUT = "input", "model", "output"
"""Who said no to a row: the input contract, the model itself, or the output contract."""


@dataclass(frozen=True)
class Fault:
    """Why a row has no prediction.

    Attributes:
        direction: ``input``, ``model`` or ``output``.
        violations: each place; their ``row`` is of no meaning here.
    """

    direction: str
    violations: tuple[Violation, ...]

    def errors(self) -> list[dict[str, Any]]:
        """The reasons as JSON has them."""
        return [{"column": each.column, "check": each.check, "value": plain(each.value)} for each in self.violations]

    def __str__(self) -> str:
        places = (f"column {each.column!r}: " if each.column is not None else "" for each in self.violations)
        parts = zip(places, self.violations, strict=True)
        return "; ".join(f"{place}{each.check}, got {each.value!r}" for place, each in parts)


@dataclass(frozen=True)
class Reject:
    """A row that is set aside.

    Attributes:
        row: its number in the input, from 0.
        line: where it begins in a text file, from 1; None elsewhere.
        fault: why.
        values: the row as it was read: column → value, or what there was instead of a row.
    """

    row: int
    line: int | None
    fault: Fault
    values: Any

    def as_json(self) -> dict[str, Any]:
        """One line of the file of rejects."""
        where = {"row": self.row} if self.line is None else {"row": self.row, "line": self.line}
        return {**where, "direction": self.fault.direction, "errors": self.fault.errors(), "values": plain(self.values)}


@dataclass(frozen=True)
class Chunk:
    """Some rows of the input, in order.

    Attributes:
        numbers: of the rows in the input, from 0.
        columns: the model's columns and those to keep → values of all rows.
        own: the model's columns among them.
        text: whether the values are CSV fields rather than JSON values.
        lines: where each row begins in a text file; None elsewhere.
        typed: columns to keep, as Arrow arrays, where they were read as such.
        malformed: rows that are none.
    """

    numbers: Sequence[int]
    columns: Mapping[str, Sequence[Any]]
    own: Sequence[str]
    text: bool = False
    lines: Sequence[int] | None = None
    typed: Mapping[str, Any] | None = None
    malformed: tuple[Reject, ...] = ()

    def reject(self, position: int, fault: Fault) -> Reject:
        """A row of the chunk as one that is set aside."""
        values = {name: values[position] for name, values in self.columns.items() if values[position] is not ABSENT}
        return Reject(self.numbers[position], self.lines[position] if self.lines else None, fault, values)


def plain(value: Any) -> Any:
    """A value as JSON can hold it: infinities by name, bytes that are not UTF-8 as U+FFFD."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)
