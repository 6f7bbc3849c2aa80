"""A column of a contract → JSON Schema of its values.

Whatever the schema refuses, the server refuses, but for dates and durations at the far ends of a dtype's range. What
JSON Schema cannot say, or not for certain (code, other columns, other rows), stands in the description.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from modelimg_runtime.accept.checks import Check
from modelimg_runtime.accept.patterns import shared_pattern
from modelimg_runtime.openapi.dtypes import float_limit, has_zone, int_limits, unit_of
from modelimg_runtime.openapi.table import Column, Schema, check_text
from modelimg_runtime.openapi.times import datetime_pattern, duration_pattern

NULL: Final = "null"
_TYPES: Final[Mapping[str, Any]] = {
    "float": "number",
    "int": "integer",
    "bool": "boolean",
    "str": "string",
    "datetime": "string",
    "timedelta": "string",
}
_SCALARS: Final = ("string", "number", "boolean")
_MEMBERS: Final[Mapping[str, tuple[type, ...]]] = {
    "float": (int, float),
    "int": (int, float),
    "bool": (bool,),
    "str": (str,),
    "category": (str, int, float, bool),
    "any": (str, int, float, bool),
}
"""Types of values that mean the same to JSON Schema as to the check, by the column's kind."""
_LOWER: Final = {"greater_than": "exclusiveMinimum", "greater_than_or_equal_to": "minimum"}
_UPPER: Final = {"less_than": "exclusiveMaximum", "less_than_or_equal_to": "maximum"}
_TIGHTEST: Final[Mapping[str, Callable[..., Any]]] = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength"), min),
    "enum": lambda values, others: [value for value in values if value in others],
}


def cell_schema(column: Column) -> Schema:
    """JSON Schema of one value of the column, null where it may be missing."""
    schema: Schema = {"type": _TYPES.get(column.kind, list(_SCALARS))}
    unsaid = list(column.others)
    for check in column.checks:
        said = _said(column.kind, check)
        if said is None:
            unsaid.append(check_text(check))
        else:
            _add(schema, said)
    _add(schema, _of_dtype(column, schema))
    if column.nullable:
        _allow_null(schema)
    words = (column.description or "", f"Also checked: {'; '.join(unsaid)}." if unsaid else "")
    described = {"title": column.title or "", "description": " ".join(filter(None, words)), "x-dtype": column.dtype}
    return {**schema, **{key: text for key, text in described.items() if text}}


def _of_dtype(column: Column, schema: Schema) -> Schema:
    """What the dtype itself can hold, unless the values are listed."""
    if column.kind == "datetime":
        return {"pattern": datetime_pattern(unit_of(column.dtype), zone=has_zone(column.dtype))}
    if column.kind == "timedelta":
        return {"pattern": duration_pattern(unit_of(column.dtype))}
    limit = float_limit(column.dtype) if column.kind == "float" else None
    limits = int_limits(column.dtype) if column.kind == "int" else (None if limit is None else (-limit, limit))
    if limits is None or "enum" in schema:
        return {}
    within = {}
    if schema.get("exclusiveMinimum", -math.inf) < limits[0]:
        within["minimum"] = limits[0]
    if schema.get("exclusiveMaximum", math.inf) > limits[1]:
        within["maximum"] = limits[1]
    return within


def _said(kind: str, check: Check) -> Schema | None:
    """The check as JSON Schema; None where it cannot say it."""
    given = check.arguments
    if check.name in ("isin", "equal_to", "notin", "not_equal_to"):
        return _membership(kind, check)
    if kind in ("float", "int"):
        return _interval(check)
    if kind == "str" and check.name == "str_length":
        return _lengths(given)
    return _pattern(check) if kind == "str" else None


def _membership(kind: str, check: Check) -> Schema | None:
    value = next(iter(check.arguments.values()), None)
    values = [value] if check.name.endswith("equal_to") else value
    if not isinstance(values, list) or kind not in _MEMBERS or not values:
        return None
    if not all(type(each) in _MEMBERS[kind] and _is_finite(each) for each in values):
        return None
    return {"not": {"enum": values}} if check.name.startswith("not") else {"enum": values}


def _interval(check: Check) -> Schema | None:
    given = check.arguments
    if not all(_is_number(value) for key, value in given.items() if not key.startswith("include_")):
        return None
    if check.name == "in_range" and {"min_value", "max_value"} <= given.keys():
        lower = "minimum" if given.get("include_min", True) else "exclusiveMinimum"
        upper = "maximum" if given.get("include_max", True) else "exclusiveMaximum"
        return {lower: given["min_value"], upper: given["max_value"]}
    key = {**_LOWER, **_UPPER}.get(check.name)
    return {key: next(iter(given.values()))} if key and given else None


def _lengths(given: Mapping[str, Any]) -> Schema | None:
    lengths = {key: value for key, value in given.items() if value is not None}
    if not lengths or any(type(value) is not int or value < 0 for value in lengths.values()):
        return None
    if "exact_value" in lengths:
        return {"minLength": lengths["exact_value"], "maxLength": lengths["exact_value"]}
    names = {"min_value": "minLength", "max_value": "maxLength"}
    return {names[key]: value for key, value in lengths.items()}


def _pattern(check: Check) -> Schema | None:
    argument = next(iter(check.arguments.values()), None)
    if not isinstance(argument, str):
        return None
    if check.name == "str_startswith":
        return {"pattern": f"^{_literal(argument)}"}
    if check.name == "str_endswith":
        return {"pattern": f"{_literal(argument)}$"}
    portable = portable_pattern(argument)
    if portable is None or check.name not in ("str_matches", "str_contains"):
        return None
    # pandas matches from the start of the string, JSON Schema anywhere in it.
    anchored = portable.startswith("^") and "|" not in portable
    return {"pattern": portable if check.name == "str_contains" or anchored else f"^(?:{portable})"}


def portable_pattern(pattern: str) -> str | None:
    r"""A pattern of Python's in ECMAScript's dialect, which JSON Schema has; None where the two may differ.

    ``\d`` and ``\w`` are written out: ECMAScript knows them for ASCII only, and not every validator is ECMAScript.
    """
    if shared_pattern(pattern) is None or re.search(r"\\[DWsSbZAB]", pattern):
        return None
    parts = re.split(r"(\\.|\[\^?)", pattern)
    inside, out = False, []
    for part in parts:
        if part.startswith("["):
            inside = True
        elif part in (r"\d", r"\w"):
            span = "0-9" if part == r"\d" else "A-Za-z0-9_"
            part = span if inside else f"[{span}]"
        elif part in (r"\ ", r"\-") and not (inside and part == r"\-"):
            part = part[1:]
        elif not part.startswith("\\") and "]" in part:
            inside = False
        out.append(part)
    return "".join(out)


def _literal(text: str) -> str:
    """A text as a pattern of itself; only what has a meaning in patterns is escaped."""
    return re.sub(r"([\\^$.|?*+()\[\]{}/])", r"\\\1", text)


def _add(schema: Schema, said: Mapping[str, Any]) -> None:
    """Hold what was said before together with this."""
    for key, value in said.items():
        if key not in schema:
            schema[key] = value
        elif key in _TIGHTEST:
            schema[key] = _TIGHTEST[key](schema[key], value)
        elif schema[key] != value:
            schema.setdefault("allOf", []).append({key: value})


def _allow_null(schema: Schema) -> None:
    types: str | Sequence[str] = schema["type"]
    schema["type"] = [*([types] if isinstance(types, str) else types), NULL]
    if "enum" in schema:
        schema["enum"] = [*schema["enum"], None]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and _is_finite(value)


def _is_finite(value: Any) -> bool:
    return type(value) is not float or math.isfinite(value)
