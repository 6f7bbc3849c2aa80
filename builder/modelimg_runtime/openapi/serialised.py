"""A contract as pandera serialises it → `Table`. Imports neither pandas nor pandera, as `accept.rules` does not.

Unlike there, nothing is refused for being unknown: a check that is not known by name is passed on as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from modelimg_runtime.accept.checks import Check, NotCompiled, read_checks
from modelimg_runtime.openapi.dtypes import has_missing, kind_of
from modelimg_runtime.openapi.table import Column, Table, check_text

_COLUMN_KEYS: Final = frozenset(
    {"title", "description", "dtype", "nullable", "checks", "name", "unique", "coerce", "required", "regex", "default"}
    | {"report_duplicates", "drop_invalid_rows", "parsers", "metadata"}
)
"""What a column has besides its checks, which are written as keys, too."""


def table_of(document: Mapping[str, Any]) -> Table:
    """A serialised schema as a table.

    Args:
        document: ``input_schema.json`` or ``output_schema.json``, as ``json.load`` gives it.
    """
    columns = document.get("columns") or {}
    parts = columns.items() if isinstance(columns, dict) else [(str(part.get("name")), part) for part in columns]
    default, optional = document.get("dtype"), bool(document.get("add_missing_columns"))
    unique = document.get("unique")
    known, others = _checks({}, document.get("checks"))
    return Table(
        columns=tuple(_column(name, part, default, optional=optional) for name, part in parts),
        checks=(*map(check_text, known), *others, *([f"unique({unique!r})"] if unique else [])),
        filters=document.get("strict") == "filter",
    )


def _column(name: str, part: Mapping[str, Any], default: Any, *, optional: bool) -> Column:
    dtype = str(part.get("dtype") or default or "")
    dtype = "str" if dtype.startswith("string[") else dtype  # how strings are stored is nobody's concern
    kind = kind_of(dtype) or "any"
    checks, others = _checks({key: part[key] for key in part if key not in _COLUMN_KEYS}, part.get("checks"))
    filled = part.get("default") is not None
    return Column(
        name=name,
        kind=kind,
        dtype=dtype,
        nullable=(bool(part.get("nullable")) or filled) and has_missing(dtype),
        required=part.get("required", True) is True and not (optional and (filled or part.get("nullable"))),
        unique=bool(part.get("unique")),
        checks=tuple(checks),
        others=tuple(others),
        regex=bool(part.get("regex")),
        title=part.get("title"),
        description=part.get("description"),
    )


def _checks(flat: Mapping[str, Any], listed: Any) -> tuple[list[Check], list[str]]:
    """The checks that are known by name, and the others as text."""
    known: list[Check] = []
    others: list[str] = []
    for name, value, read in _each(flat, listed):
        try:
            known += read()
        except NotCompiled:  # noqa: PERF203 - each by itself: one that is unknown says nothing of the others
            arguments = value if isinstance(value, dict) else {"": value}
            others.append(str(_options(arguments).get("error") or f"{name}({_arguments(arguments)})"))
    return known, others


def _each(flat: Mapping[str, Any], listed: Any) -> Iterator[tuple[str, Any, Any]]:
    """Name, arguments and reader of each check, wherever it stands; beside a list, pandera ignores the keys."""
    if listed is None:
        for name, value in flat.items():
            yield name, value, lambda name=name, value=value: read_checks({name: value}, None, "")
    for entry in listed or []:
        yield str(_options(entry).get("check_name")), entry, lambda entry=entry: read_checks({}, [entry], "")


def _options(arguments: Any) -> Mapping[str, Any]:
    options = arguments.get("options") if isinstance(arguments, dict) else None
    return options if isinstance(options, dict) else {}


def _arguments(arguments: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key}={value!r}" if key else f"{value!r}" for key, value in arguments.items() if key != "options"
    )
