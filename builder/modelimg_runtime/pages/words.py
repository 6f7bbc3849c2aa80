"""JSON Schema in words, with links to the named schemas."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from modelimg_runtime.pages.html import Node, element

_MOST_VALUES: Final = 12
_SAID: Final[Mapping[str, str]] = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {}",
    "maxItems": "at most {}",
    "pattern": "matches {}",
}
_TIMES: Final = {"datetime64": "ISO 8601 date and time", "timedelta6": "ISO 8601 duration"}


def kind(schema: Any) -> Node:
    """What a value is: a type, a link to a named schema, or what it is made of."""
    if not isinstance(schema, dict) or not schema:
        return "anything"
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return element("a", name, href=f"#schema-{name}")
    for key in ("oneOf", "anyOf"):
        if key in schema:
            return _joined([kind(each) for each in schema[key]], " or ")
    if "const" in schema:
        return element("code", json.dumps(schema["const"], ensure_ascii=False)[:200])
    if "properties" in schema:
        return _object(schema)
    types = schema.get("type", "anything")
    if types == "array" or "items" in schema or "prefixItems" in schema:
        return _array(schema)
    return " or ".join(types) if isinstance(types, list) else str(types)


def limits(schema: Any) -> Node:
    """What else is said of a value."""
    if not isinstance(schema, dict):
        return ""
    time = _TIMES.get(str(schema.get("x-dtype", ""))[:10])
    if time:
        return time
    said: list[Node] = []
    if "enum" in schema:
        said.append(_values("", schema["enum"]))
    if "enum" in schema.get("not", {}):
        said.append(_values("not ", schema["not"]["enum"]))
    if not schema.get("minItems") or schema.get("type") != "array":
        said += [_said(key, schema[key]) for key in _SAID if key in schema]
    said += [_said(key, value) for part in schema.get("allOf", []) for key, value in part.items() if key in _SAID]
    said += ["no value twice"] if schema.get("uniqueItems") else []
    if "items" in schema and isinstance(schema["items"], dict):
        said.append(limits(schema["items"]))
    return _joined([each for each in said if each], "; ")


def _said(key: str, value: Any) -> Node:
    before, _, after = _SAID[key].partition("{}")
    shown = element("code", value) if key == "pattern" else json.dumps(value)
    return [before, shown, after]


def _values(before: str, values: list[Any]) -> Node:
    listed = ", ".join(json.dumps(value, ensure_ascii=False) for value in values[:_MOST_VALUES])
    more = len(values) - _MOST_VALUES
    return [before, element("code", listed), f" and {more} more" if more > 0 else ""]


def _object(schema: Mapping[str, Any]) -> Node:
    required = schema.get("required", [])
    parts: list[Node] = [
        [element("code", name), "" if name in required else "?", ": ", kind(each)]
        for name, each in schema["properties"].items()
    ]
    return ["{ ", _joined(parts, ", "), " }"]


def _array(schema: Mapping[str, Any]) -> Node:
    null = " or null" if isinstance(schema.get("type"), list) and "null" in schema["type"] else ""
    if "prefixItems" in schema:
        return f"array of {len(schema['prefixItems'])}{null}"
    low, high = schema.get("minItems"), schema.get("maxItems")
    count = f"{low} × " if low == high and low is not None else ""
    return [f"array of {count}", kind(schema.get("items")), null]


def _joined(parts: list[Node], between: str) -> Node:
    joined: list[Node] = []
    for number, part in enumerate(parts):
        joined += [between, part] if number else [part]
    return joined
