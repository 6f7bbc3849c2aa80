"""Folding the checks of a column into one rule: an interval, two sets and a few tests of strings.

Bounds become inclusive (the next float, the next whole number), so that one comparison each remains. What is folded
has to mean exactly what pandas computes. That fails where a comparison converts: a number beyond 2**53 against a column
of the other kind, or one that the column's own type cannot hold. Such bounds are not compiled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NoReturn, TypeVar

import numpy as np

from modelimg_runtime.accept.checks import Check, NotCompiled
from modelimg_runtime.accept.patterns import plain, shared_pattern

EXACT: Final = 2**53
"""Up to here, every whole number is a float of its own."""

KINDS: Final = {
    **dict.fromkeys(("float64", "float32"), "float"),
    **{f"{sign}int{bits}": "int" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "bool": "bool",
    "str": "str",
    "category": "str",
}
"""The dtypes that are compiled, with the kind of their values; of categories, only those that are strings."""

_BOUNDS: Final = ("greater_than", "greater_than_or_equal_to", "less_than", "less_than_or_equal_to", "in_range")
_TEXTS: Final = {
    "str_matches": ("match", "pattern"),
    "str_contains": ("search", "pattern"),
    "str_startswith": ("startswith", "string"),
    "str_endswith": ("endswith", "string"),
}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class TextTest:
    """One test of a string.

    Attributes:
        how: ``match``, ``search``, ``startswith`` or ``endswith``.
        argument: the pattern or the string.
    """

    how: str
    argument: str

    def function(self) -> Callable[[str], Any]:
        """The test; what it returns counts as a bool."""
        if self.how in ("startswith", "endswith"):
            argument, end = self.argument, self.how == "endswith"
            return lambda text: text.endswith(argument) if end else text.startswith(argument)
        pattern = shared_pattern(self.argument)
        if pattern is None:
            raise NotCompiled(f"the pattern {self.argument!r} is not one that every engine reads alike")
        found = pattern.match if self.how == "match" else pattern.search
        return lambda text: plain(text) and found(text)


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """What a cell of one column must be.

    Attributes:
        name: the column's.
        kind: ``float``, ``int``, ``bool`` or ``str``.
        dtype: numpy's name of it, ``float32``; ``str`` for strings however they are stored.
        nullable: whether null is accepted, which takes a dtype that has a missing value.
        unique: whether no value may come twice, missing ones included.
        lowest: least number, itself included; for strings, least length.
        highest: greatest number, itself included; for strings, greatest length.
        allowed: the values there may be, if only some; the bounds are folded into it.
        forbidden: values that there may not be.
        texts: tests of strings.
    """

    name: str
    kind: str
    dtype: str
    nullable: bool = False
    unique: bool = False
    lowest: Any = None
    highest: Any = None
    allowed: frozenset[Any] | None = None
    forbidden: frozenset[Any] = frozenset()
    texts: tuple[TextTest, ...] = field(default=())


def fold(rule: ColumnRule, checks: Iterable[Check]) -> ColumnRule:
    """The rule with all checks in it.

    Args:
        rule: name, kind, dtype, nullable and unique of a column.
        checks: its checks.

    Raises:
        NotCompiled: a check that the column's kind does not have, or an argument that pandas may see otherwise.
    """
    rule = replace(rule, lowest=_limits(rule)[0], highest=_limits(rule)[1])
    for check in checks:
        rule = _folded(rule, check)
    if rule.kind == "bool" and rule.allowed is None and rule.forbidden:
        rule = replace(rule, allowed=frozenset((True, False)))
    if rule.allowed is not None:
        rule = replace(rule, allowed=frozenset(filter(_remaining(rule), rule.allowed)))
    elif rule.kind != "bool" and rule.lowest > rule.highest:
        rule = replace(rule, allowed=frozenset())
    if rule.allowed is None:
        return rule
    lowest, highest = _limits(rule)
    return replace(rule, lowest=lowest, highest=highest, forbidden=frozenset(), texts=())


def _limits(rule: ColumnRule) -> tuple[Any, Any]:
    """What the dtype itself can hold."""
    if rule.kind == "float":
        highest = float(np.finfo(rule.dtype).max)
        return -highest, highest
    if rule.kind == "int":
        return int(np.iinfo(rule.dtype).min), int(np.iinfo(rule.dtype).max)
    return (0, math.inf) if rule.kind == "str" else (None, None)


def _remaining(rule: ColumnRule) -> Callable[[Any], bool]:
    """Whether an allowed value passes all the other checks too."""
    tests = [text.function() for text in rule.texts]

    def passes(value: Any) -> bool:
        size = len(value) if rule.kind == "str" else value
        within = rule.kind == "bool" or rule.lowest <= size <= rule.highest
        return within and value not in rule.forbidden and all(test(value) for test in tests)

    return passes


def _folded(rule: ColumnRule, check: Check) -> ColumnRule:
    if check.name in ("equal_to", "isin"):
        values = _members(rule, check)
        return replace(rule, allowed=values if rule.allowed is None else rule.allowed & values)
    if check.name in ("not_equal_to", "notin"):
        return replace(rule, forbidden=rule.forbidden | _members(rule, check))
    if check.name in _BOUNDS and rule.kind in ("float", "int"):
        return _narrowed(rule, *_interval(rule, check))
    if check.name == "str_length" and rule.kind == "str":
        return _narrowed(rule, *_lengths(rule, check))
    if check.name in _TEXTS and rule.kind == "str":
        how, parameter = _TEXTS[check.name]
        return replace(rule, texts=(*rule.texts, _text_test(rule, check, how, parameter)))
    return _refuse(rule, check)


def _narrowed(rule: ColumnRule, lowest: Any, highest: Any) -> ColumnRule:
    return replace(rule, lowest=max(rule.lowest, lowest), highest=min(rule.highest, highest))


def _interval(rule: ColumnRule, check: Check) -> tuple[Any, Any]:
    """The numbers that a check of bounds lets through, both ends included."""
    lowest, highest = _limits(rule)
    given = {"include_min": True, "include_max": True, **check.arguments}
    if check.name == "in_range":
        _empty_ranges(rule, check, given)
    if "min_value" in given:
        bound = _bound(rule, check, given["min_value"])
        lowest = _up(rule, bound, included=given["include_min"] and check.name != "greater_than")
    if "max_value" in given:
        bound = _bound(rule, check, given["max_value"])
        highest = _down(rule, bound, included=given["include_max"] and check.name != "less_than")
    if given.keys() == {"include_min", "include_max"}:
        _refuse(rule, check)
    return lowest, highest


def _empty_ranges(rule: ColumnRule, check: Check, given: dict[str, Any]) -> None:
    """Refuse what pandera refuses to load."""
    if not {"min_value", "max_value"} <= given.keys():
        _refuse(rule, check)
    if type(given["include_min"]) is not bool or type(given["include_max"]) is not bool:
        _refuse(rule, check)
    lowest, highest = (_bound(rule, check, given[key]) for key in ("min_value", "max_value"))
    if lowest > highest or (lowest == highest and not (given["include_min"] and given["include_max"])):
        _refuse(rule, check)


def _bound(rule: ColumnRule, check: Check, value: Any) -> Any:
    """A bound against which pandas compares the column exactly."""
    if type(value) is int:
        lowest, highest = _limits(rule) if rule.kind == "int" else (-EXACT, EXACT)
        if not (-EXACT < value < EXACT or lowest <= value <= highest):
            _refuse(rule, check)
    elif type(value) is not float or not math.isfinite(value) or (rule.kind == "int" and abs(value) >= EXACT):
        _refuse(rule, check)
    return value if rule.kind == "int" else _held(rule, check, float(value))


def _held(rule: ColumnRule, check: Check, value: float) -> float:
    """A float that the column's dtype holds exactly; numpy would round any other, or not, as its version has it."""
    if rule.dtype == "float32" and (abs(value) > _limits(rule)[1] or float(np.float32(value)) != value):
        _refuse(rule, check)
    return value


def _up(rule: ColumnRule, bound: Any, *, included: bool) -> Any:
    if rule.kind == "int":
        return math.ceil(bound) if included else math.floor(bound) + 1
    return bound if included else math.nextafter(bound, math.inf)


def _down(rule: ColumnRule, bound: Any, *, included: bool) -> Any:
    if rule.kind == "int":
        return math.floor(bound) if included else math.ceil(bound) - 1
    return bound if included else math.nextafter(bound, -math.inf)


def _lengths(rule: ColumnRule, check: Check) -> tuple[Any, Any]:
    given = {key: value for key, value in check.arguments.items() if value is not None}
    if any(type(value) is not int for value in given.values()) or not given:
        _refuse(rule, check)
    if "exact_value" in given:
        if len(given) > 1:
            _refuse(rule, check)
        return given["exact_value"], given["exact_value"]
    lowest, highest = given.get("min_value", 0), given.get("max_value", math.inf)
    return (lowest, highest) if lowest <= highest or len(given) == 1 else _refuse(rule, check)


def _text_test(rule: ColumnRule, check: Check, how: str, parameter: str) -> TextTest:
    argument = check.arguments.get(parameter)
    if type(argument) is not str or not encodable(argument):
        _refuse(rule, check)
    if parameter == "pattern" and shared_pattern(argument) is None:
        raise NotCompiled(f"column {rule.name!r} has a pattern that not every engine reads alike: {argument!r}")
    return TextTest(how, argument)


def _members(rule: ColumnRule, check: Check) -> frozenset[Any]:
    """The values of an equality or a membership check, as the column holds them."""
    values = next(iter(check.arguments.values()), None)
    if check.name in ("equal_to", "not_equal_to"):
        values = [values]
    if type(values) is not list:
        return _refuse(rule, check)
    if rule.kind in ("bool", "str"):
        kind = bool if rule.kind == "bool" else str
        return frozenset(_each(values, lambda value: type(value) is kind and encodable(str(value)), rule, check))
    small = _each(values, lambda value: type(value) in (int, float) and -EXACT < value < EXACT, rule, check)
    if rule.kind == "float":
        return frozenset(_held(rule, check, float(value)) for value in small)
    return frozenset(int(value) for value in small if value == math.floor(value))


def _each(values: Sequence[_T], holds: Callable[[_T], bool], rule: ColumnRule, check: Check) -> Sequence[_T]:
    return values if all(map(holds, values)) else _refuse(rule, check)


def _refuse(rule: ColumnRule, check: Check) -> NoReturn:
    raise NotCompiled(
        f"column {rule.name!r} of {rule.dtype} has the check {check.name} with arguments that are not compiled"
    )


def encodable(text: str) -> bool:
    """Whether Unicode can encode the string: no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
