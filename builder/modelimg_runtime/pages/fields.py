"""A column of the contract for people: what it takes in words, the input for it in a form, and what is typed there."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from modelimg_runtime.columns import ABSENT
from modelimg_runtime.openapi import Contract
from modelimg_runtime.openapi.cells import cell_schema
from modelimg_runtime.openapi.dtypes import has_zone, int_limits
from modelimg_runtime.openapi.table import Column, Schema
from modelimg_runtime.pages.html import Html, element
from modelimg_runtime.texts import value_of

_WORDS: Final = {
    "float": "number",
    "int": "whole number",
    "bool": "true or false",
    "str": "text",
    "category": "category",
    "datetime": "date and time",
    "timedelta": "duration",
    "any": "text, number, or true or false",
}
_LOCAL_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?")
_EXACT: Final = 2**53
_MOST_CHOICES: Final = 12
"""Choices that a sentence lists."""


@dataclass(frozen=True)
class Field:
    """A column in a form.

    Attributes:
        key: name in the form: column names may be anything.
        column: of the contract.
        schema: of its values.
    """

    key: str
    column: Column
    schema: Schema

    @property
    def choices(self) -> list[Any] | None:
        """The values there may be, where they are listed."""
        if self.column.kind == "bool" and "enum" not in self.schema:
            return [True, False]
        values = self.schema.get("enum")
        return None if values is None else [value for value in values if value is not None]

    @property
    def kind(self) -> str:
        """What it takes, in words."""
        return _WORDS[self.column.kind]

    def text(self, value: Any) -> str:
        """A value as the form holds it; a missing one is empty."""
        if value is None or value is ABSENT:
            return ""
        if self.column.kind == "float" and isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
            value = int(value)
        return value if isinstance(value, str) and self.choices is None else json.dumps(value, ensure_ascii=False)

    def value(self, text: str) -> Any:
        """What was typed, as JSON has it; empty is missing, and an optional column that is empty is left out."""
        if text == "":
            return None if self.column.required else ABSENT
        if self.choices is not None or self.column.kind == "any":
            return _scalar(text)
        return value_of(self.column.kind, text)


def fields_of(model: Contract) -> list[Field]:
    """The form's fields: the model's columns in order, then those that it can do without."""
    columns = [replace(found, name=name, regex=False) for name in model.names if (found := model.input.column(name))]
    known = {column.name for column in columns}
    columns += [column for column in model.input.columns if not column.regex and column.name not in known]
    return [Field(f"c{number}", column, cell_schema(column)) for number, column in enumerate(columns)]


def allowed(field: Field) -> str:
    """Which values the column takes, in words; empty where its type says it all."""
    schema, choices = field.schema, field.choices
    if choices is not None:
        listed = ", ".join(map(_shown, choices[:_MOST_CHOICES]))
        more = len(choices) - _MOST_CHOICES
        return f"{listed}, and {more} more" if more > 0 else listed
    said = [_range(field), _length(schema)]
    if "enum" in schema.get("not", {}):
        said.append(f"not {', '.join(map(_shown, schema['not']['enum'][:_MOST_CHOICES]))}")
    if field.column.kind == "str":
        patterns = [schema.get("pattern"), *(each.get("pattern") for each in schema.get("allOf", []))]
        said += [f"matches {pattern}" for pattern in patterns if pattern]
    if field.column.kind == "datetime":
        said.append("ISO 8601 with an offset" if has_zone(field.column.dtype) else "ISO 8601")
    if field.column.kind == "timedelta":
        said.append("ISO 8601, as P1DT2H")
    if field.column.unique:
        said.append("no value twice")
    return "; ".join(filter(None, [*said, schema.get("description")]))


def _range(field: Field) -> str:
    schema = field.schema
    own = int_limits(field.column.dtype) if field.column.kind == "int" else ()
    low, high = (None if schema.get(key) in own else schema.get(key) for key in ("minimum", "maximum"))
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f"{_shown(low)} to {_shown(high)}"
    said = [
        f"more than {_shown(above)}" if above is not None else "",
        f"at least {_shown(low)}" if low is not None else "",
        f"less than {_shown(below)}" if below is not None else "",
        f"at most {_shown(high)}" if high is not None else "",
    ]
    return ", ".join(filter(None, said))


def _length(schema: Schema) -> str:
    low, high = schema.get("minLength"), schema.get("maxLength")
    if low is None and high is None:
        return ""
    if low == high:
        return f"{low} characters"
    if high is None:
        return f"at least {low} character{'s' if low != 1 else ''}"
    return f"{low} to {high} characters" if low else f"at most {high} characters"


def control(field: Field, text: str, wrong: Sequence[str]) -> Html:
    """The input of a column with its label, what it takes, and what was wrong with its value.

    Args:
        field: the column.
        text: what stands in it.
        wrong: what the contract said of it.
    """
    name, hint, fault = field.key, f"{field.key}-hint", f"{field.key}-wrong"
    takes = "" if field.choices is not None else allowed(field) or field.kind
    said = "; ".join(filter(None, [takes, "may be missing" if _may_be_missing(field) else ""]))
    shared = {
        "id": field.key,
        "name": name,
        "aria_describedby": " ".join([*([hint] if said else []), *([fault] if wrong else [])]) or None,
        "aria_invalid": "true" if wrong else None,
    }
    return element(
        "div",
        element("label", field.column.title or field.column.name, for_=field.key),
        _choice(field, text, shared) if field.choices is not None else _typed(field, text, shared),
        element("p", said, class_="hint", id=hint) if said else None,
        element("p", "; ".join(wrong), class_="wrong", id=fault) if wrong else None,
        class_="field",
        data_name=field.column.name.lower(),
    )


def _choice(field: Field, text: str, shared: dict[str, str | None]) -> Html:
    choices = field.choices or []
    tokens = [field.text(choice) for choice in choices]
    options = [
        element("option", _shown(choice), value=token, selected=token == text)
        for choice, token in zip(choices, tokens, strict=True)
    ]
    missing = _may_be_missing(field) or text not in tokens
    empty = element("option", "— missing —", value="", selected=text not in tokens) if missing else None
    return element("select", empty, options, **shared)


def _may_be_missing(field: Field) -> bool:
    return field.column.nullable or not field.column.required


def _typed(field: Field, text: str, shared: dict[str, str | None]) -> Html:
    kind, schema = field.column.kind, field.schema
    if kind in ("float", "int"):
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        limits = int_limits(field.column.dtype) if kind == "int" else ()
        return element(
            "input",
            type="number",
            step="1" if kind == "int" else "any",
            min=None if low in limits else low,
            max=None if high in limits else high,
            value=text,
            **shared,
        )
    local = kind == "datetime" and not has_zone(field.column.dtype) and (text == "" or _LOCAL_TIME.fullmatch(text))
    if local:
        return element("input", type="datetime-local", step="any", value=text, **shared)
    return element("input", type="text", value=text, autocomplete="off", spellcheck="false", **shared)


def _scalar(text: str) -> Any:
    """JSON's value of the text, where it is one; else the text itself."""
    try:
        value = json.loads(text, parse_constant=lambda name: name)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, (dict, list)) or value is None else value


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
