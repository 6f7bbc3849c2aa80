"""Rules of a table, from a schema as pandera serialises it.

Neither pandas nor pandera is imported: reading the document is what lets a server start without them. An unknown key
anywhere means ``NotCompiled``, since pandera of another version may give it a meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from modelimg_runtime.accept.checks import SUM_CHECK, NotCompiled, read_checks
from modelimg_runtime.accept.fold import KINDS, ColumnRule, TextTest, encodable, fold

__all__ = ["ColumnRule", "NotCompiled", "TableRules", "TextTest", "rules_of"]


@dataclass(frozen=True, slots=True)
class TableRules:
    """What a table must be.

    Attributes:
        columns: one rule each, in the schema's order.
        strict: whether there may be no other columns.
        ordered: whether the columns must come in this order.
        sums_to_one: tolerance of ``rows_sum_to_one``; None without that check.
    """

    columns: tuple[ColumnRule, ...]
    strict: bool = False
    ordered: bool = False
    sums_to_one: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(rule.name for rule in self.columns)


def _is(*values: Any) -> Callable[[Any], bool]:
    return lambda found: any(type(found) is type(value) and found == value for value in values)


def _text(found: Any) -> bool:
    return found is None or type(found) is str


def _anything(found: Any) -> bool:  # noqa: ARG001 - read elsewhere
    return True


_NEVER: Final = _is(False)
_SWITCH: Final = _is(False, True)
_DUPLICATES: Final = _is("all", "exclude_first", "exclude_last")  # what a report lists

_TABLE_KEYS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "schema_type": _is("dataframe"),
    "version": _text,
    "api": _is("pandas"),
    "dataframe_library": _is("pandas"),
    "columns": _anything,
    "checks": _anything,
    "index": _is(None),
    "dtype": _is(None),
    "unique": _is(None),
    "coerce": _NEVER,
    "add_missing_columns": _NEVER,
    "drop_invalid_rows": _NEVER,
    "strict": _SWITCH,
    "ordered": _SWITCH,
    "unique_column_names": _SWITCH,
    "report_duplicates": _DUPLICATES,
    "name": _text,
    "title": _text,
    "description": _text,
}
"""What is known of a schema's keys, and the values with which they are compiled."""
_COLUMN_KEYS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "dtype": _anything,
    "checks": _anything,
    "nullable": _SWITCH,
    "unique": _SWITCH,
    "coerce": _NEVER,
    "regex": _NEVER,
    "drop_invalid_rows": _NEVER,
    "required": _is(True),
    "default": _is(None),
    "name": _is(None),
    "report_duplicates": _DUPLICATES,
    "title": _text,
    "description": _text,
}
CATEGORY: Final = "category"
_STORED_STRINGS: Final = ("string[pyarrow]", "string[python]")


def rules_of(document: Mapping[str, Any]) -> TableRules:
    """Compile a serialised schema.

    Args:
        document: ``input_schema.json`` or ``output_schema.json`` as ``json.load`` gives it.

    Raises:
        NotCompiled: the schema says something that is not compiled exactly.
    """
    _refuse_unknown(document, _TABLE_KEYS, "the schema")
    columns = document.get("columns")
    if document.get("schema_type") != "dataframe" or not isinstance(columns, dict) or not columns:
        raise NotCompiled("the schema has no columns by name")
    checks = read_checks({}, document.get("checks"), "the schema")
    return TableRules(
        columns=tuple(_column_rule(name, part) for name, part in columns.items()),
        strict=document.get("strict") is True,
        ordered=document.get("ordered") is True,
        sums_to_one=min((_tolerance(check.name, check.arguments) for check in checks), default=None),
    )


def _column_rule(name: str, part: Any) -> ColumnRule:
    where = f"column {name!r}"
    if not isinstance(part, dict) or not encodable(name):
        raise NotCompiled(f"{where} is described in a form that is not known here")
    known = {key: value for key, value in part.items() if key in _COLUMN_KEYS}
    _refuse_unknown(known, _COLUMN_KEYS, where)
    checks = read_checks({key: part[key] for key in part if key not in known}, part.get("checks"), where)
    if any(check.name == SUM_CHECK for check in checks):
        raise NotCompiled(f"{where} has {SUM_CHECK}, which is a check of whole frames")
    dtype = _dtype(part.get("dtype"), where)
    kind = KINDS[dtype]
    nullable = part.get("nullable", False) and kind in ("float", "str")  # the others have no missing value
    if dtype == CATEGORY and {check.name for check in checks} != {"isin"}:
        raise NotCompiled(f"{where} has the dtype category with other checks than isin, or without categories")
    return fold(ColumnRule(name, kind, dtype, nullable, part.get("unique", False)), checks)


def _dtype(declared: Any, where: str) -> str:
    if declared in _STORED_STRINGS and _pandas_3():
        return "str"  # as in `validation`, which reads these so from pandas 3 on
    if not isinstance(declared, str) or declared not in KINDS:
        raise NotCompiled(f"{where} has the dtype {declared}, which is not compiled")
    return declared


def _pandas_3() -> bool:
    # Here, because it takes 50 ms. Importing pandas to ask for its version would take ten times that.
    from importlib import metadata

    try:
        return int(metadata.version("pandas").split(".")[0]) >= 3
    except metadata.PackageNotFoundError:
        return False


def _refuse_unknown(part: Mapping[str, Any], known: Mapping[str, Callable[[Any], bool]], where: str) -> None:
    for key, value in part.items():
        if key not in known or not known[key](value):
            raise NotCompiled(f"{where} has {key!r} set to what is not compiled")


def _tolerance(name: str, arguments: Mapping[str, Any]) -> float:
    tolerance = arguments.get("tol")
    if name != SUM_CHECK or type(tolerance) is not float or not 0 < tolerance < 1:
        raise NotCompiled(f"the schema has the check {name} of whole frames, which is not compiled")
    return tolerance
