"""Contracts: the user's pandera schemas or drafted ones, as files that say exactly the same when they are read back.

pandera's JSON silently leaves out what it cannot hold: checks that are lambdas, categories, parsers, metadata. So both
sides of the round trip are taken apart into plain facts and compared; what differs is named. A schema that comes from
a file is then packed as that file, one that came as an object is refused.
"""

from __future__ import annotations

import copy
import json
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.api.checks import Check
from pandera.api.function_dispatch import Dispatcher
from pandera.api.pandas.components import MultiIndex
from pandera.dtypes import DataType
from pandera.engines import pandas_engine
from pandera.errors import SchemaDefinitionError, SchemaInitError

from modelimg.errors import SchemaError, UsageError
from modelimg_runtime import contract
from modelimg_runtime.errors import StartRefused
from modelimg_runtime.validation import load_schema

SchemaValue = pa.DataFrameSchema | type[pa.DataFrameModel] | str
"""A schema, a model class, or ``file.py:Name``."""

FILES = {"input": contract.INPUT_SCHEMA, "output": contract.OUTPUT_SCHEMA}

_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, ImportError, SchemaInitError, SchemaDefinitionError)
_CHECK_FACTS = (
    *("name", "statistics", "error", "ignore_na", "raise_warning", "n_failure_cases", "element_wise"),
    *("title", "description", "groupby", "groups", "determined_by_unique"),
)
_OWN_CHECKS = frozenset({"rows_sum_to_one"})


@dataclass(frozen=True)
class PackedSchema:
    """A contract and the file that carries it.

    Attributes:
        schema: the contract.
        reference: ``input_schema.json`` or ``schemas.py:Input``.
        file: name of the file in the package.
        content: the file.
        extra: requirements that the contract brings, such as pyarrow for one of its dtypes.
    """

    schema: pa.DataFrameSchema
    reference: str
    file: str
    content: bytes
    extra: tuple[str, ...] = field(default=())


def pack_schema(side: str, value: SchemaValue, root: Path) -> PackedSchema:
    """The file that carries a schema of the user's.

    Args:
        side: ``input`` or ``output``.
        value: a schema, a model class, or ``file.py:Name`` relative to ``root``.
        root: folder of ``modelimg.toml``, or the working directory.

    Raises:
        SchemaError: it cannot be read, or was given as an object and would lose something; each loss is named.
        UsageError: neither a schema nor a reference.
    """
    if isinstance(value, str):
        return _from_reference(side, value, root)
    schema = value.to_schema() if isinstance(value, type) and issubclass(value, pa.DataFrameModel) else value
    if not isinstance(schema, pa.DataFrameSchema):
        raise UsageError(
            f"the {side} schema is a {type(value).__name__}",
            hint='give a pandera DataFrameSchema, a DataFrameModel or "schemas.py:Name"',
        )
    text, lost = serialise(schema)
    if lost:
        raise SchemaError(
            f"the {side} schema would lose {'; '.join(lost)}",
            hint='put the schema into a file and give it as "schemas.py:Name": then the file is packed',
        )
    return from_json(side, schema, text)


def from_json(side: str, schema: pa.DataFrameSchema, text: str) -> PackedSchema:
    """A contract that pandera's JSON can carry."""
    extra = ("pyarrow",) if "[pyarrow]" in text else ()
    return PackedSchema(schema, FILES[side], FILES[side], text.encode(), extra)


def from_source(schema: pa.DataFrameSchema, name: str, source: bytes) -> PackedSchema:
    """A contract that is carried as code."""
    return PackedSchema(schema, f"{contract.SCHEMAS_MODULE}:{name}", contract.SCHEMAS_MODULE, source)


def serialise(schema: pa.DataFrameSchema) -> tuple[str, list[str]]:
    """The schema as pandera's JSON, and what of it would be lost."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of checks that are left out: the comparison finds them
        try:
            # pandera writes into the checks' statistics while it serialises.
            data = json.loads(copy.deepcopy(schema).to_json(default=_native))
            text = json.dumps(_portable(data), indent=2, ensure_ascii=False) + "\n"
            back = pa.DataFrameSchema.from_json(text)
        except _UNREADABLE as error:
            return "", _unserialisable(schema) or [f"its form ({error})"]
    facts, read = dict(schema_facts(schema)), dict(schema_facts(back))
    lost = [name for name, value in facts.items() if read.get(name, _MISSING) != value or not _finite(value)]
    return text, lost


def schema_facts(schema: pa.DataFrameSchema) -> Iterator[tuple[str, Any]]:
    """Everything that a schema says, as pairs of a name for people and a comparable value."""
    yield from _part_facts("", schema)
    yield "order of the columns", list(schema.columns)
    for name, column in schema.columns.items():
        yield from _part_facts(f"column {name!r}, ", column)
    levels = schema.index.indexes if isinstance(schema.index, MultiIndex) else [schema.index]
    for level in levels:
        if level is not None:
            yield from _part_facts(f"index {level.name!r}, ", level)


def _part_facts(prefix: str, part: Any) -> Iterator[tuple[str, Any]]:
    for key, value in sorted(vars(part).items()):
        name = key.lstrip("_")
        if name == "checks":
            for number, check in enumerate(value):
                label = f"{prefix}check {check.name or 'without a name'}"
                yield label + (f" (number {number + 1})" if number else ""), _check_facts(check)
        elif name not in ("columns", "index", "indexes"):
            yield f"{prefix}{name}", _plain(value)


def _check_facts(check: Check) -> dict[str, Any]:
    facts = {key: _plain(getattr(check, key, None)) for key in _CHECK_FACTS}
    again = _from_registry(check)
    if again is None:
        # A function, or a check of the user's own that pandera knows here and not in the image.
        return facts | {"registered": _Unknown()}
    if again.error == check.error:
        facts["error"] = "the check's own"  # it repeats the statistics
    return facts | {"registered": getattr(check, "registry_name", check.name)}


def _from_registry(check: Check) -> Check | None:
    """The same check made from its registered name, as the image will make it; None where that is another one."""
    name = getattr(check, "registry_name", check.name)
    if not isinstance(name, str) or not (Check.is_builtin_check(name) or name in _OWN_CHECKS):
        return None
    try:
        again: Check = getattr(Check, name)(**(check.statistics or {}))
    except (TypeError, ValueError, AttributeError):
        return None
    return again if _same(_function(again), _function(check)) else None


def _function(check: Check) -> Any:
    function = check._check_fn  # noqa: SLF001 - nothing public tells a built-in check from its namesake
    return function.func if isinstance(function, partial) else function


def _same(one: Any, other: Any) -> bool:
    # Schemas copy their columns, and with them pandera's dispatchers.
    return one is other or (isinstance(one, Dispatcher) and isinstance(other, Dispatcher) and str(one) == str(other))


def _plain(value: Any) -> Any:
    if isinstance(value, DataType):
        dtype = getattr(value, "type", None)
        if isinstance(dtype, pd.CategoricalDtype):
            categories = None if dtype.categories is None else dtype.categories.tolist()
            return ["category", categories, dtype.ordered]
        return [str(value), str(dtype)]
    if isinstance(value, pd.Timestamp | pd.Timedelta):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray | pd.Index):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in value), key=repr)
    if isinstance(value, np.generic):
        return value.item()
    return value


def _native(value: Any) -> Any:
    """What JSON can hold of a statistic or dtype; anything else as text that will not read back as the same."""
    if isinstance(value, DataType):
        return str(value)
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return f"{type(value).__name__} that JSON cannot hold"


def _portable(data: dict[str, Any]) -> dict[str, Any]:
    """``str`` for strings, whatever storage pandas uses here: the image has no pyarrow."""
    default_string = str(pandas_engine.Engine.dtype("str"))
    columns = data.get("columns") or {}
    for part in [data, *(columns.values() if isinstance(columns, dict) else columns), *(data.get("index") or [])]:
        if part.get("dtype") == default_string:
            part["dtype"] = "str"
    return data


def _finite(value: Any) -> bool:
    """JSON has no infinity."""
    if isinstance(value, Mapping):
        return all(map(_finite, value.values()))
    if isinstance(value, list):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _unserialisable(schema: pa.DataFrameSchema) -> list[str]:
    """Facts that JSON cannot hold, for a schema that could not be written or read at all."""
    return [name for name, value in schema_facts(schema) if not _is_json(value)]


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


class _Unknown:
    """Equal to nothing else, and nothing that JSON can hold."""


_MISSING = _Unknown()


def _from_reference(side: str, reference: str, root: Path) -> PackedSchema:
    file, colon, name = reference.rpartition(":")
    path = root / file
    if not colon or path.suffix != ".py" or not name.isidentifier():
        raise UsageError(f"the {side} schema {reference!r} is no reference", hint="write it as schemas.py:Name")
    if not path.is_file():
        raise SchemaError(f"the {side} schema's file {path} does not exist")
    schema = load_packed(side, path.parent, f"{path.name}:{name}")
    text, lost = serialise(schema)
    return from_source(schema, name, path.read_bytes()) if lost else from_json(side, schema, text)


def load_packed(side: str, folder: Path, reference: str) -> pa.DataFrameSchema:
    """Read a schema as the image will.

    Raises:
        SchemaError: the image could not read or use it.
    """
    try:
        return load_schema(folder, reference)
    except StartRefused as error:
        raise SchemaError(f"the {side} schema cannot be used: {error}") from error
