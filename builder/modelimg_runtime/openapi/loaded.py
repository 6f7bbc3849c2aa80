"""A contract that is code → `Table`: what its columns and its checks with a known name say, the rest as text."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pandera.pandas as pa

from modelimg_runtime.accept.checks import Check, NotCompiled, read_checks
from modelimg_runtime.openapi.dtypes import has_missing, kind_of
from modelimg_runtime.openapi.table import Column, Table
from modelimg_runtime.values import json_values, shortened


def table_of(schema: pa.DataFrameSchema) -> Table:
    """A schema as a table."""
    unique = schema.unique
    return Table(
        columns=tuple(_column(str(name), part, schema) for name, part in schema.columns.items()),
        checks=(*map(_text, schema.checks), *([f"unique({unique!r})"] if unique else [])),
        filters=schema.strict == "filter",
    )


def _column(name: str, part: pa.Column, schema: pa.DataFrameSchema) -> Column:
    declared = part.dtype or schema.dtype
    dtype = _dtype_name(declared)
    known, others = _checks(part)
    filled = part.default is not None
    return Column(
        name=name,
        kind=kind_of(dtype) or "any",
        dtype=dtype,
        nullable=(bool(part.nullable) or filled) and has_missing(dtype),
        required=part.required and not (schema.add_missing_columns and (filled or part.nullable)),
        unique=bool(part.unique),
        checks=(*_categories(declared), *known),
        others=others,
        regex=bool(part.regex),
        title=part.title,
        description=part.description,
    )


def _dtype_name(declared: Any) -> str:
    if declared is None:
        return ""
    dtype = pd.api.types.pandas_dtype(declared.type)
    if isinstance(dtype, pd.StringDtype) or dtype.kind == "U":
        return "str"
    return "category" if isinstance(dtype, pd.CategoricalDtype) else str(dtype)


def _categories(declared: Any) -> tuple[Check, ...]:
    """The categories of a dtype, as the check that they amount to."""
    dtype = None if declared is None else pd.api.types.pandas_dtype(declared.type)
    categories = dtype.categories if isinstance(dtype, pd.CategoricalDtype) else None
    return () if categories is None else (Check("isin", {"allowed_values": json_values(categories)}),)


def _checks(part: pa.Column) -> tuple[tuple[Check, ...], tuple[str, ...]]:
    known: list[Check] = []
    others: list[str] = []
    for check in part.checks:
        try:
            known += read_checks({}, [_entry(check)], part.name or "")
        except NotCompiled:  # noqa: PERF203 - each by itself: one that is unknown says nothing of the others
            others.append(_text(check))
    return tuple(known), tuple(others)


def _entry(check: pa.Check) -> dict[str, Any]:
    """The check as pandera would write it, where it is one of pandera's own, whatever name it was given."""
    name = getattr(check, "registry_name", check.name)
    if name is None or not check.statistics or check.element_wise or check.groupby is not None:
        raise NotCompiled("the check is code")
    statistics = {key: _plain(value) for key, value in check.statistics.items() if key != "options"}
    options = {"check_name": name, "ignore_na": check.ignore_na, "raise_warning": check.raise_warning}
    return {**statistics, "options": options}


def _plain(value: Any) -> Any:
    """A check's argument as JSON has it."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return sorted(json_values(value), key=repr) if isinstance(value, (set, frozenset)) else json_values(value)
    pattern = getattr(value, "pattern", None)
    return pattern if pattern is not None else json_values([value])[0]


def _text(check: pa.Check) -> str:
    return shortened(str(check.error or check.name or "a check"))
