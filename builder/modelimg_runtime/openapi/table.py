"""What a contract says, as plain data: the middle between a pandera schema, however it came, and JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelimg_runtime.accept.checks import Check

Schema = dict[str, Any]
"""JSON Schema, and other objects of an OpenAPI document."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: the column's; a regular expression where ``regex``.
        kind: ``float``, ``int``, ``bool``, ``str``, ``category``, ``datetime``, ``timedelta`` or ``any``.
        dtype: as pandas names it: ``float32``, ``datetime64[ns, UTC]``; empty where the contract gives none.
        nullable: whether null is accepted.
        required: whether the column must be there.
        unique: whether no value may come twice.
        checks: those whose meaning is known by name.
        others: those that are not, as text.
        regex: whether the name is a pattern of names.
        title: for people.
        description: for people.
    """

    name: str
    kind: str
    dtype: str = ""
    nullable: bool = False
    required: bool = True
    unique: bool = False
    checks: tuple[Check, ...] = ()
    others: tuple[str, ...] = ()
    regex: bool = False
    title: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class Table:
    """All columns of one side of the contract.

    Attributes:
        columns: in order.
        checks: of whole rows or of the whole batch, as text.
        filters: whether other columns are left out instead of refused.
    """

    columns: tuple[Column, ...]
    checks: tuple[str, ...] = ()
    filters: bool = False
    _by_name: Mapping[str, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {each.name: each for each in self.columns if not each.regex})

    def column(self, name: str) -> Column | None:
        """The column of that name, or the pattern that it matches."""
        exact = self._by_name.get(name)
        patterns = (each for each in self.columns if each.regex and re.match(each.name, name))
        return exact or next(patterns, None)


def check_text(check: Check) -> str:
    """A check as a person reads it: ``in_range(0, 120)``, ``str_matches('[A-Z]+')``."""
    shown = [
        f"{value!r}" if number == 0 or key == "max_value" else f"{key}={value!r}"
        for number, (key, value) in enumerate(check.arguments.items())
        if not (key.startswith("include_") and value is True)
    ]
    return f"{check.name}({', '.join(shown)})"
