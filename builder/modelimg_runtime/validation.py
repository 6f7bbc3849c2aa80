"""Contracts: reading a pandera schema from a model package, and applying it to a frame.

pandera decides; this module asks it lazily, so that every failing cell is named at once, and turns its report into
``Violation`` values. Importing the module registers the check ``rows_sum_to_one`` with pandera.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.api.extensions import register_check_method
from pandera.config import CONFIG, ValidationDepth, config_context
from pandera.errors import SchemaDefinitionError, SchemaError, SchemaErrorReason, SchemaErrors, SchemaInitError

from modelimg_runtime import contract
from modelimg_runtime.environment import refuse_weakened_validation
from modelimg_runtime.errors import ContractUnusable, ContractWeakened
from modelimg_runtime.errors import Violation as Violation
from modelimg_runtime.values import shortened
from modelimg_runtime.violations import Violations

__all__ = ["Violation", "load_schema", "validate", "validated"]

log = logging.getLogger(__name__)

_PANDAS_3 = int(pd.__version__.split(".")[0]) >= 3
_STORAGE_DTYPES = frozenset({"string[pyarrow]", "string[python]"})
_COLUMN_KEYS = frozenset(
    {"title", "description", "dtype", "nullable", "checks", "name", "unique", "coerce", "required", "regex", "default"}
    | {"report_duplicates", "drop_invalid_rows"}
)
"""What pandera writes of a column besides its checks (``pandera.io``)."""


def _rows_sum_to_one(frame: pd.DataFrame, *, tol: float) -> pd.Series:
    """Whether each row's probabilities sum to 1; a row with a missing one, or a frame without any, does not."""
    columns = [name for name in frame.columns if str(name).startswith(contract.PROBABILITY_PREFIX)]
    with np.errstate(invalid="ignore"):  # infinities of both signs
        return (frame[columns].sum(axis=1, skipna=False) - 1).abs() <= tol


def _register_checks() -> None:
    # pandera refuses a second registration; the module may be reloaded, or the user may have copied the check.
    if not hasattr(pa.Check, "rows_sum_to_one"):
        _rows_sum_to_one.__name__ = "rows_sum_to_one"
        register_check_method(_rows_sum_to_one, statistics=["tol"], supported_types=pd.DataFrame)


_register_checks()


def load_schema(package: Path, reference: str) -> pa.DataFrameSchema:
    """Read a schema of a model package.

    Args:
        package: the package's folder.
        reference: a JSON file as pandera writes it (``input_schema.json``), or a ``DataFrameSchema`` or
            ``DataFrameModel`` in a module of it (``schemas.py:Input``). The module runs, so check its digest first.

    Raises:
        ContractUnusable: the schema is missing, unreadable, or drops rows instead of refusing them.
        ContractWeakened: a pandera switch turns validation off.
    """
    refuse_weakened_validation(os.environ)
    file, _, name = reference.partition(":")
    if Path(file).name != file or not file:
        raise ContractUnusable(f"schema reference {reference!r} does not name a file of the package")
    try:
        source = (package / file).read_bytes()
    except OSError as error:
        raise ContractUnusable(f"schema file {file} cannot be read: {error.strerror}") from error
    schema = _schema_from_module(source, package / file, name) if name else _schema_from_json(source, file)
    if CONFIG.validation_enabled is False:
        raise ContractWeakened(f"{file} switches pandera's validation off")
    if schema.drop_invalid_rows or any(column.drop_invalid_rows for column in schema.columns.values()):
        raise ContractUnusable(f"{reference} sets drop_invalid_rows, which would drop rows instead of refusing them")
    return schema


def validate(schema: pa.DataFrameSchema, frame: pd.DataFrame) -> list[Violation]:
    """Every place where the frame breaks the schema; empty when it holds.

    Rows are counted by position from 0: the frame's index is no part of the contract.
    """
    return validated(schema, frame)[1]


def validated(
    schema: pa.DataFrameSchema, frame: pd.DataFrame, rows: Sequence[int] | None = None, most: int | None = None
) -> tuple[pd.DataFrame, Violations]:
    """The frame as pandera hands it on (parsers and defaults applied), and every place where it breaks the schema.

    Args:
        schema: the contract.
        frame: data, one row each.
        rows: the number that each row is reported by, where the frame is an excerpt; its position otherwise.
        most: how many violations are named at most; the others are counted.
    """
    numbered = frame.reset_index(drop=True)
    found = Violations(list(frame.columns), most)
    try:
        # The context wins over whatever user code did to pandera's global switches.
        with config_context(validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA):
            return schema.validate(numbered, lazy=True), found
    except SchemaErrors as errors:
        for error in errors.schema_errors:
            _collect(error, rows, found)
    return frame, found.settle()


def bounded(schema: pa.DataFrameSchema, most: int | None) -> pa.DataFrameSchema:
    """The schema whose columns' checks list no more failing values than so many: pandera writes each into its messages.

    What it accepts is the same.
    """
    if most is None:
        return schema
    bound = copy.deepcopy(schema)
    for column in bound.columns.values():
        for check in column.checks:
            if isinstance(check, pa.Check) and check.n_failure_cases is None and not check.groupby:
                check.n_failure_cases = most
    return bound


def _schema_from_json(source: bytes, file: str) -> pa.DataFrameSchema:
    try:
        data = json.loads(source)
        if not isinstance(data, dict) or data.get("schema_type") != "dataframe":
            raise ContractUnusable(f"{file} is not a pandera schema of a frame")
        _refuse_unknown_keys(data, file)
        return pa.DataFrameSchema.from_json(json.dumps(_portable(data)))
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        ImportError,
        SchemaInitError,
        SchemaDefinitionError,
    ) as error:
        raise ContractUnusable(f"{file} is not a schema that this pandera reads: {shortened(str(error))}") from error


def _refuse_unknown_keys(schema: dict[str, Any], file: str) -> None:
    """By itself, pandera passes over a check that is not registered, as if the contract had none."""
    for part in _parts(schema):
        for key in part.keys() - _COLUMN_KEYS:
            if not callable(getattr(pa.Check, key, None)):
                raise ContractUnusable(f"{file} asks for {key!r}, which is no check that is registered here")


def _parts(schema: dict[str, Any]) -> list[dict[str, Any]]:
    columns = schema.get("columns") or {}
    return [*(columns.values() if isinstance(columns, dict) else columns), *(schema.get("index") or [])]


def _portable(schema: dict[str, Any]) -> dict[str, Any]:
    """The serialised schema with ``str`` for the storage that pandas happened to use where it was written.

    From pandas 3 on, the two differ in nothing but the storage, and the image has no pyarrow.
    """
    for part in _parts(schema) if _PANDAS_3 else []:
        if part.get("dtype") in _STORAGE_DTYPES:
            part["dtype"] = "str"
    return schema


def _schema_from_module(source: bytes, path: Path, name: str) -> pa.DataFrameSchema:
    module = _run_module(source, path)
    found = getattr(module, name, None)
    if isinstance(found, type) and issubclass(found, pa.DataFrameModel):
        found = found.to_schema()
    if not isinstance(found, pa.DataFrameSchema):
        raise ContractUnusable(f"{path.name} has no DataFrameSchema or DataFrameModel named {name}")
    return found


def _run_module(source: bytes, path: Path) -> ModuleType:
    """Run a module's source from its bytes: nothing is added to ``sys.path``, no byte code is written."""
    module = ModuleType(f"modelimg_package_{path.stem}")
    module.__file__ = str(path)
    # Annotations of DataFrameModel are resolved through sys.modules.
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 - the package's own contract
    except Exception as error:
        del sys.modules[module.__name__]
        raise ContractUnusable(f"{path.name} cannot be run: {type(error).__name__}: {shortened(str(error))}") from error
    return module


def _collect(error: SchemaError, rows: Sequence[int] | None, found: Violations) -> None:
    """One pandera error as violations; a crashed check's traceback goes to the log and nowhere else."""
    check = _check_name(error)
    column = None if isinstance(error.schema, pa.DataFrameSchema) else error.column_name
    cases = error.failure_cases
    if error.reason_code is SchemaErrorReason.CHECK_ERROR:
        log.warning("check %s on column %s crashed: %s", check, column, cases)
        found.note(None, column, f"{check} could not be evaluated", None)
    elif isinstance(cases, pd.DataFrame) and cases.empty:
        # pandera lists no missing value as a failing one, such as two in a unique column.
        found.note(None, column, check, None)
    elif isinstance(cases, pd.DataFrame) and "index" in cases:
        if "column" in cases:  # a check of whole rows: one violation a row
            column, cases = None, cases.drop_duplicates("index").assign(failure_case=None)
        first = cases.sort_values("index", kind="stable").head(len(cases) if found.most is None else found.most)
        for position, value in zip(first["index"], first["failure_case"], strict=True):
            found.note(_row(position, rows), column, check, value)
        found.note_more(column, check, _failures(error, cases, found.most) - len(first))
    elif check in ("column_in_dataframe", "column_in_schema", "column_ordered"):
        found.note(None, str(cases), check, None)
    else:  # of a whole column or frame: the dtype that was found, or that an aggregate is false
        found.note(None, column, check, cases if isinstance(cases, str) else None)


def _failures(error: SchemaError, cases: pd.DataFrame, most: int | None) -> int:
    """How many values failed, of which pandera lists no more than it was told to."""
    if most is None or getattr(error.check, "n_failure_cases", None) != most or len(cases) < most:
        return len(cases)
    return int((~error.check_output.astype(bool)).sum()) if isinstance(error.check_output, pd.Series) else len(cases)


def _check_name(error: SchemaError) -> str:
    check = error.check
    text = check if isinstance(check, str) else getattr(check, "error", None) or getattr(check, "name", None)
    reason = error.reason_code.value if error.reason_code else "check"
    return shortened(str(text or reason)).replace("string[pyarrow]", "str").replace("string[python]", "str")


def _row(position: Any, rows: Sequence[int] | None) -> int | None:
    if position is None or pd.isna(position):
        return None
    return rows[int(position)] if rows is not None else int(position)
