"""Which columns of a table are the model's, which go along to the output, and which ones are nobody's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from modelimg_runtime.errors import ScoreFault, Violation

if TYPE_CHECKING:
    from modelimg_runtime.served import ServedModel

_REMEMBERED = 10_000
"""Names of columns; rows of JSON lines may each bring others."""
_NAMED = 5
"""Columns that a message names."""


class Features:
    """The columns of an input contract.

    Args:
        served: the model. Where it has no fast lane, its contract is asked, since columns may be optional or patterns.

    Attributes:
        required: columns that every row must have.
        filters: whether the contract leaves out other columns instead of refusing them.
    """

    def __init__(self, served: ServedModel) -> None:
        self._kinds = dict(served.kinds)
        self._kind = lru_cache(_REMEMBERED)(self._find)
        self._schema: Any = None if served.lane else served.model.input_schema
        self.required, self.filters = tuple(self._kinds), False
        if self._schema is not None:
            self.required = tuple(name for name, part in self._parts() if part.required and not part.regex)
            self.required = () if self._schema.add_missing_columns else self.required
            self.filters = self._schema.strict == "filter"

    def own(self, names: Iterable[str]) -> dict[str, str]:
        """Those of the names that are the model's → the kind of their values."""
        found = ((name, self._kind(name)) for name in names)
        return {name: kind for name, kind in found if kind is not None}

    def _find(self, name: str) -> str | None:
        if self._schema is None:
            return self._kinds.get(name)
        if name in self._schema.columns:  # a pattern is no name, as the reader of frames has it
            return None if self._schema.columns[name].regex else self._kinds[name]
        patterns = (key for key, part in self._parts() if part.regex)
        return next((self._kinds[key] for key in patterns if re.match(key, name)), None)

    def missing(self, names: Iterable[str]) -> list[str]:
        """Columns, and patterns of columns, that are required and not among the names."""
        given = set(names)
        lacking = [name for name in self.required if name not in given]
        patterns = (key for key, part in self._parts() if part.regex and part.required)
        return lacking + [key for key in patterns if not any(re.match(key, name) for name in given)]

    def _parts(self) -> Iterable[tuple[str, Any]]:
        return () if self._schema is None else self._schema.columns.items()


@dataclass(frozen=True)
class Table:
    """The columns of a table.

    Attributes:
        own: the model's → kind of their values.
        kept: those that go along to the output.
    """

    own: Mapping[str, str]
    kept: tuple[str, ...]

    @property
    def read(self) -> tuple[str, ...]:
        """All that have to be read."""
        return tuple(dict.fromkeys((*self.own, *self.kept)))


@dataclass(frozen=True)
class Selection:
    """What is wanted of a table.

    Attributes:
        features: the model's columns.
        keep: columns that go along to the output, in this order.
        keep_all: all of them do.
        ignore_extra: columns that are neither the model's nor kept are left out instead of refused.
    """

    features: Features
    keep: tuple[str, ...] = ()
    keep_all: bool = False
    ignore_extra: bool = False

    def table(self, names: Sequence[str]) -> Table:
        """The columns of a table whose names are known.

        Raises:
            ScoreFault: a column is missing, or one is nobody's.
        """
        own = self.features.own(names)
        faults = self.faults(names)
        if faults:
            raise ScoreFault(_sentence(faults), exit_code=3)
        return Table(own, tuple(names) if self.keep_all else self.keep)

    def faults(self, names: Sequence[str]) -> list[Violation]:
        """Columns that are missing, and those that are nobody's."""
        given = set(names)
        missing = dict.fromkeys((*self.features.missing(names), *(name for name in self.keep if name not in given)))
        return [
            *(Violation(None, name, "column_in_dataframe", None) for name in missing),
            *(Violation(None, name, "column_in_schema", None) for name in self.unwanted(names)),
        ]

    def unwanted(self, names: Sequence[str]) -> list[str]:
        """Columns that are nobody's, where that is refused."""
        if self.keep_all or self.ignore_extra or self.features.filters:
            return []
        own = self.features.own(names)
        return [name for name in names if name not in own and name not in self.keep]


def _sentence(faults: Sequence[Violation]) -> str:
    missing = [fault.column for fault in faults if fault.check == "column_in_dataframe"]
    extra = [fault.column for fault in faults if fault.check == "column_in_schema"]
    parts = [f"the table lacks {_listed(missing)}"] if missing else []
    if extra:
        one = len(extra) == 1
        parts.append(
            f"{_listed(extra)} {'is no column' if one else 'are no columns'} of the model: "
            f"--keep takes {'it' if one else 'them'} along, --ignore-extra leaves {'it' if one else 'them'} out"
        )
    return ", and ".join(parts)


def _listed(names: Sequence[str | None]) -> str:
    shown = ", ".join(repr(name) for name in names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"
