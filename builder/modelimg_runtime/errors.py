"""Every error that the runtime raises on purpose, and what becomes of it.

::

    RuntimeFault
    ├── StartRefused            the process ends with exit code 1 and this sentence
    │   ├── SettingRefused      an environment variable that cannot be meant
    │   ├── PackageUnreadable   no model package, one that was changed, or one of a newer format
    │   ├── ModelRefused        wrong digest, a global that is not allowed, another scikit-learn than in training
    │   ├── ContractUnusable    a schema that is missing, unreadable, or that requests cannot fill
    │   └── ContractWeakened    a pandera switch that turns validation off or down
    ├── ScoreFault              `score` ends with its exit code and this sentence, and writes nothing
    ├── PayloadError            400, 413 or 415: the body says nothing that could be validated
    ├── InputRejected           422: the input breaks the contract; every failing cell is named
    └── OutputRejected          500 of its own kind: the model's output breaks the contract and is not served

Messages name no path of the server, no training data and no traceback: they may be shown to callers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Violation:
    """One place where data break a contract.

    Attributes:
        row: row number in the request or frame, from 0; None where the fault is no row's.
        column: column name; None where the fault is no column's.
        check: the check that said no, as pandera prints it: ``in_range(0, 1)``, ``not_nullable``, ``dtype('int64')``.
        value: the failing value as JSON can hold it, None where the fault is no value's.
    """

    row: int | None
    column: str | None
    check: str
    value: Any

    def __str__(self) -> str:
        where = [f"row {self.row}"] if self.row is not None else []
        where += [f"column {self.column!r}"] if self.column is not None else []
        return f"{', '.join(where) or 'the whole batch'}: {self.check}, got {self.value!r}"


class RuntimeFault(Exception):  # noqa: N818 - the tree's own words
    """Root of the tree; the message is one sentence without a full stop."""


class StartRefused(RuntimeFault):
    """The runtime may not start with what it found."""


class SettingRefused(StartRefused):
    """An environment variable holds what cannot be meant."""


class PackageUnreadable(StartRefused):
    """A folder that is no model package, one that was changed, or one of a newer format."""


class ModelRefused(StartRefused):
    """The model file is not the packed one, may not be loaded, or was made by other versions."""


class ContractUnusable(StartRefused):
    """A schema that is missing, cannot be read, or describes columns that no request could fill."""


class ContractWeakened(StartRefused):
    """A pandera switch in the environment turns validation off or down."""


class ScoreFault(RuntimeFault):
    """A file cannot be scored.

    Args:
        message: what is wrong.
        exit_code: 1 failed, 2 not what can be meant, 3 the contract says no to the table as a whole.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class PayloadError(RuntimeFault):
    """The body of a request cannot be turned into columns.

    Args:
        message: what is wrong with it.
        status: 400 not what its content type says, 413 too large, 415 a content type that is not served.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class _Rejected(RuntimeFault):
    what = "data"

    def __init__(
        self, violations: Sequence[Violation], more: Mapping[tuple[str | None, str], int] = MappingProxyType({})
    ) -> None:
        count = len(violations) + sum(more.values())
        super().__init__(f"the {self.what} breaks the contract in {count} place{'s' if count != 1 else ''}")
        self.violations, self.more = tuple(violations), dict(more)

    def __reduce__(self) -> tuple[type[_Rejected], tuple[tuple[Violation, ...], dict[tuple[str | None, str], int]]]:
        # An exception is pickled as its message by default, and workers of a cluster send theirs home.
        return type(self), (self.violations, self.more)


class InputRejected(_Rejected):
    """The input breaks the input schema.

    Attributes:
        violations: every failing cell, or the first ones where their number is bounded.
        more: (column, check) → how many others there are.
    """

    what = "input"


class OutputRejected(_Rejected):
    """The model's output breaks the output schema; it is never served."""

    what = "model's output"
