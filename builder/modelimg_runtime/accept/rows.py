"""One row at a time: Python source generated from the rules, in which values are found by their position.

For one row of 30 floats the calls of anything more general cost more than the tests. Nothing of the schema is in the
source: names, bounds and patterns are constants of the function's namespace, called ``c0``, ``c1``, …
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from modelimg_runtime.accept.fold import EXACT, ColumnRule, encodable

RowTest = Callable[[tuple[Any, ...]], "tuple[Any, ...] | None"]
"""Values of a row, in the order of the rules → its cells; None where any is not accepted."""

MISSING_TEXT: Final = math.nan
"""What a missing string is in a frame; always this object, so that sets see two of them as one value."""


def compile_rows(columns: Sequence[ColumnRule]) -> RowTest:
    """The test of a row.

    It accepts what ``modelimg_runtime.cells`` reads: exact types, so that no bool is a number; whole floats as ints in
    columns of ints; float32 rounded; null as NaN in columns of strings and as None in those of floats.
    """
    return compile_source(*row_source(columns))


def compile_source(source: str, constants: dict[str, Any]) -> RowTest:
    """The function ``cells`` of a generated source."""
    namespace = dict(constants)
    exec(compile(source, "<accept>", "exec"), namespace)  # noqa: S102 - source of our own, in which only numbers vary
    test: RowTest = namespace["cells"]
    return test


def row_source(columns: Sequence[ColumnRule]) -> tuple[str, dict[str, Any]]:
    """The source of ``cells`` and the constants that it uses."""
    constants = _Constants()
    names = [f"v{position}" for position in range(len(columns))]
    row = f"{', '.join(names)},"
    lines = [f"{row} = values"]
    for name, rule in zip(names, columns, strict=True):
        lines += _KINDS[rule.kind](name, rule, constants)
    converted = any(rule.kind == "int" or rule.dtype == "float32" or _missing_text(rule) for rule in columns)
    lines.append(f"return ({row})" if converted else "return values")
    return "\n    ".join(("def cells(values):", *lines)) + "\n", constants.by_name


class _Constants:
    """Constants of a source, each value once."""

    def __init__(self) -> None:
        self.by_name: dict[str, Any] = {}
        self._names: dict[Any, str] = {}

    def __call__(self, value: Any) -> str:
        name = self._names.setdefault((type(value), value), f"c{len(self._names)}")
        self.by_name.setdefault(name, value)
        return name


def _missing_text(rule: ColumnRule) -> bool:
    return rule.kind == "str" and rule.nullable


def _refused(condition: str, rule: ColumnRule, name: str) -> list[str]:
    missing = f" and {name} is not None" if rule.nullable else ""
    return [f"if not ({condition}){missing}:", "    return None"]


def _float(name: str, rule: ColumnRule, constants: _Constants) -> list[str]:
    number = f"(type({name}) is float or type({name}) is int)"
    if rule.dtype == "float64":
        return _refused(f"{number} and {_within(name, rule, constants)}", rule, name)
    highest = float(np.finfo(rule.dtype).max)
    return [
        f"if {number} and {constants(-highest)} <= {name} <= {constants(highest)}:",
        f"    {name} = {constants(_single)}({name})",
        f"    if not ({_within(name, rule, constants)}):",
        "        return None",
        *([f"elif {name} is not None:"] if rule.nullable else ["else:"]),
        "    return None",
    ]


def _int(name: str, rule: ColumnRule, constants: _Constants) -> list[str]:
    low, high = constants(-EXACT), constants(EXACT)
    return [
        f"if type({name}) is float and {name}.is_integer() and {low} <= {name} <= {high}:",
        f"    {name} = int({name})",
        *_refused(f"type({name}) is int and {_within(name, rule, constants)}", rule, name),
    ]


def _within(name: str, rule: ColumnRule, constants: _Constants) -> str:
    if rule.allowed is not None:
        return f"{name} in {constants(rule.allowed)}"
    interval = f"{constants(rule.lowest)} <= {name} <= {constants(rule.highest)}"
    return f"{interval} and {name} not in {constants(rule.forbidden)}" if rule.forbidden else interval


def _bool(name: str, rule: ColumnRule, constants: _Constants) -> list[str]:
    allowed = "" if rule.allowed is None else f" and {name} in {constants(rule.allowed)}"
    return _refused(f"type({name}) is bool{allowed}", rule, name)


def _str(name: str, rule: ColumnRule, constants: _Constants) -> list[str]:
    condition = " and ".join((f"type({name}) is str", *_text_conditions(name, rule, constants)))
    refused = _refused(condition, rule, name)
    return [*refused, f"if {name} is None:", f"    {name} = {constants(MISSING_TEXT)}"] if rule.nullable else refused


def _text_conditions(name: str, rule: ColumnRule, constants: _Constants) -> Iterator[str]:
    if rule.allowed is not None:
        yield f"{name} in {constants(rule.allowed)}"
        return
    yield f"({name}.isascii() or {constants(encodable)}({name}))"
    if rule.lowest > 0 or rule.highest < sys.maxsize:
        yield f"{constants(rule.lowest)} <= len({name}) <= {constants(rule.highest)}"
    if rule.forbidden:
        yield f"{name} not in {constants(rule.forbidden)}"
    for text in rule.texts:
        yield f"{constants(text.function())}({name})"


_KINDS: Final[dict[str, Callable[[str, ColumnRule, _Constants], list[str]]]] = {
    "float": _float,
    "int": _int,
    "bool": _bool,
    "str": _str,
}


def _single(value: float) -> float:
    """The value as float32 holds it; through float first, as numpy would round a whole number in one step."""
    return float(np.float32(float(value)))
