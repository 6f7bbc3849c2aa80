"""Checks of a serialised schema: what stands in the document, read as pandera reads it.

pandera writes a check under its name as a key of the column, ``"greater_than": 0``, or as an entry of a list
``checks`` where the keys would not do (two checks of one name, or checks of the whole frame). Only what is known to the
last key is read; anything else raises ``NotCompiled``, and the schema is left to pandera.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final


class NotCompiled(Exception):  # noqa: N818 - a verdict about a schema, not a fault
    """The schema cannot be compiled exactly, so pandera has to test every request.

    Attributes:
        reason: one sentence that names the column and what is in the way.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Check:
    """One check with its arguments by name.

    Attributes:
        name: as it is registered with pandera.
        arguments: those that the document gives.
    """

    name: str
    arguments: Mapping[str, Any]


SUM_CHECK: Final = "rows_sum_to_one"
"""The one check of whole frames that is compiled; ``validation`` registers it."""

_PARAMETERS: Final[Mapping[str, tuple[str, ...]]] = {
    "equal_to": ("value",),
    "not_equal_to": ("value",),
    "greater_than": ("min_value",),
    "greater_than_or_equal_to": ("min_value",),
    "less_than": ("max_value",),
    "less_than_or_equal_to": ("max_value",),
    "in_range": ("min_value", "max_value", "include_min", "include_max"),
    "isin": ("allowed_values",),
    "notin": ("forbidden_values",),
    "str_matches": ("pattern",),
    "str_contains": ("pattern",),
    "str_startswith": ("string",),
    "str_endswith": ("string",),
    "str_length": ("exact_value", "min_value", "max_value"),
    SUM_CHECK: ("tol",),
}
"""Parameters of the checks that are compiled; a bare value is the first one's."""
_BUILT_IN: Final = frozenset({*_PARAMETERS, "unique_values_eq"})
_OPTIONS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "ignore_na": lambda value: value is True,
    "raise_warning": lambda value: value is False,
    # These change what a report says and nothing else.
    "error": lambda value: value is None or type(value) is str,
    # Some versions look a check's function up by this name.
    "name": lambda value: value is None or (type(value) is str and value not in _BUILT_IN),
    "n_failure_cases": lambda value: value is None or type(value) is int,
}
"""Options of a check, and the values with which it is compiled."""


def read_checks(flat: Mapping[str, Any], listed: Any, where: str) -> list[Check]:
    """All checks of a column or of the frame.

    Args:
        flat: checks by name, those written as keys.
        listed: the list ``checks``, None where there is none.
        where: of what, for the reason: ``column 'age'``.

    Raises:
        NotCompiled: a check, an option or an argument is not known here.
    """
    if listed is None:
        return [_from_key(name, value, where) for name, value in flat.items()]
    if flat or not isinstance(listed, list):  # beside a list, pandera ignores the keys
        raise NotCompiled(f"{where} has its checks in a form that is not known here")
    return [_from_entry(entry, where) for entry in listed]


def _from_key(name: str, value: Any, where: str) -> Check:
    parameters = _parameters(name, where)
    if not isinstance(value, dict):
        return Check(name, {parameters[0]: value})
    options = {key: value[key] for key in value.keys() & _OPTIONS.keys()}
    return _check(name, {key: value[key] for key in value if key not in options}, options, where)


def _from_entry(entry: Any, where: str) -> Check:
    if not isinstance(entry, dict) or not isinstance(entry.get("options"), dict):
        raise NotCompiled(f"{where} has a check in a form that is not known here")
    options = {key: value for key, value in entry["options"].items() if key != "check_name"}
    arguments = {key: value for key, value in entry.items() if key != "options"}
    return _check(entry["options"].get("check_name"), arguments, options, where)


def _check(name: Any, arguments: dict[str, Any], options: Mapping[str, Any], where: str) -> Check:
    parameters = _parameters(name, where)
    for key, value in options.items():
        if key not in _OPTIONS or not _OPTIONS[key](value):
            raise NotCompiled(f"{where} has the check {name} with {key!r} set")
    if arguments.keys() == {"value"}:  # pandera's word for the only argument, whatever its name
        arguments = {parameters[0]: arguments["value"]}
    unknown = [key for key in arguments if key not in parameters]
    if unknown:
        raise NotCompiled(f"{where} has the check {name} with {unknown[0]!r}, which is not known here")
    return Check(name, arguments)


def _parameters(name: Any, where: str) -> tuple[str, ...]:
    parameters = _PARAMETERS.get(name) if isinstance(name, str) else None
    if parameters is None:
        raise NotCompiled(f"{where} has {name!r}, which is no check that is compiled")
    return parameters
