"""Contracts drafted from the training data.

A draft says what is certain: names, order, dtypes, where values may be missing, which categories there are. Smallest
and largest values of the training data are no bounds: they belong to the profile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pandera.pandas as pa

from modelimg.errors import SchemaError
from modelimg.pack.model import PackedModel, plain_labels
from modelimg.pack.schemas import PackedSchema, from_json, from_source, schema_facts, serialise
from modelimg_runtime import contract
from modelimg_runtime.predict import output_frame

MOST_CATEGORIES = 50
"""A string column with more distinct values is free text."""
LARGEST_SHARE = 0.2
"""A string column with more distinct values per row is an identifier."""
SUM_TOLERANCE = 1e-6


@dataclass(frozen=True)
class DraftColumn:
    """One column of a draft.

    Attributes:
        name: as the model or the output frame names it.
        dtype: pandas name of a dtype, or a categorical dtype.
        nullable: values may be missing.
        allowed: the only values, if they are enumerated.
        bounds: smallest and largest value, both allowed.
    """

    name: str
    dtype: str | pd.CategoricalDtype
    nullable: bool = False
    allowed: tuple[Any, ...] | None = None
    bounds: tuple[float, float] | None = None

    def column(self) -> pa.Column:
        """As pandera's column."""
        checks = [pa.Check.isin(list(self.allowed))] if self.allowed is not None else []
        checks += [pa.Check.in_range(*self.bounds)] if self.bounds else []
        return pa.Column(self.dtype, checks, nullable=self.nullable)

    def source(self) -> str:
        """As Python that makes the same column."""
        dtype = repr(self.dtype)
        if isinstance(self.dtype, pd.CategoricalDtype):
            categories = pd.Index([] if self.dtype.categories is None else self.dtype.categories)
            typed = "" if categories.dtype != object else ", dtype=object"
            values = f"pd.Index({categories.tolist()!r}{typed})" if typed else repr(categories.tolist())
            dtype = f"pd.CategoricalDtype({values}, ordered={bool(self.dtype.ordered)})"
        checks = f", pa.Check.isin({list(self.allowed)!r})" if self.allowed is not None else ""
        return f"pa.Column({dtype}{checks}{', nullable=True' if self.nullable else ''})"


def draft_input(X: pd.DataFrame) -> PackedSchema:
    """The contract of the model's input, from the training data.

    Raises:
        SchemaError: a column of a dtype that no contract can describe.
    """
    drafts = [_draft_column(X[name]) for name in X.columns]
    schema = _schema(drafts)
    text, lost = serialise(schema)
    if not lost:
        return from_json("input", schema, text)
    # Categories are lost in JSON and matter to the model, so the draft becomes a module that people can read and edit.
    source = _source(drafts)
    namespace: dict[str, Any] = {}
    exec(compile(source, contract.SCHEMAS_MODULE, "exec"), namespace)  # noqa: S102 - our own text of a line before
    if dict(schema_facts(namespace["Input"])) != dict(schema_facts(schema)):
        raise SchemaError(
            f"no input schema can be drafted: {'; '.join(lost)} cannot be written down",
            hint='write the schema yourself and give it as input_schema="schemas.py:Input"',
        )
    return from_source(schema, "Input", source.encode())


def draft_output(model: PackedModel, sample: pd.DataFrame) -> PackedSchema:
    """The contract of the model's output, from its answers to a few rows.

    Raises:
        SchemaError: an output that no contract can describe.
    """
    frame = output_frame(model.estimator, sample, model.classes)
    drafts = [_draft_output_column(str(name), frame[name], model) for name in frame.columns]
    has_probabilities = any(draft.bounds for draft in drafts)
    schema = _schema(drafts, [pa.Check.rows_sum_to_one(tol=SUM_TOLERANCE)] if has_probabilities else None)
    text, lost = serialise(schema)
    if lost:
        raise SchemaError(f"no output schema can be drafted: {'; '.join(lost)} cannot be written down")
    return from_json("output", schema, text)


def _schema(drafts: Iterable[DraftColumn], checks: list[pa.Check] | None = None) -> pa.DataFrameSchema:
    columns = {draft.name: draft.column() for draft in drafts}
    return pa.DataFrameSchema(columns, checks=checks, strict=True, ordered=True)


def _draft_column(values: pd.Series[Any]) -> DraftColumn:
    dtype, name, nullable = _dtype_name(values), str(values.name), bool(values.isna().any())
    if isinstance(dtype, pd.CategoricalDtype) and _are_in_a_check(dtype):
        return DraftColumn(name, "category", nullable, tuple(dtype.categories))
    return DraftColumn(name, dtype, nullable, _categories(values) if dtype == "str" else None)


def _are_in_a_check(dtype: pd.CategoricalDtype) -> bool:
    """Whether a check ``isin`` says all that the dtype says: the server makes the dtype of it again.

    JSON keeps such a contract, and what is JSON can be compiled.
    """
    unordered = not dtype.ordered and dtype.categories is not None and len(dtype.categories) > 0
    return unordered and all(isinstance(category, str) for category in dtype.categories)


def _dtype_name(values: pd.Series[Any]) -> str | pd.CategoricalDtype:
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.dtype
    text = pd.api.types.infer_dtype(values, skipna=True) == "string"
    return (
        "str"
        if (text and pd.api.types.is_dtype_equal(values.dtype, object)) or _is_string(values)
        else str(values.dtype)
    )


def _is_string(values: pd.Series[Any]) -> bool:
    return isinstance(values.dtype, pd.StringDtype)


def _categories(values: pd.Series[Any]) -> tuple[str, ...] | None:
    seen = sorted({str(value) for value in values.dropna()})
    few = len(seen) <= MOST_CATEGORIES and len(seen) <= LARGEST_SHARE * len(values)
    return tuple(seen) if few and seen else None


def _draft_output_column(name: str, values: pd.Series[Any], model: PackedModel) -> DraftColumn:
    dtype = _dtype_name(values)
    if name.startswith(contract.PROBABILITY_PREFIX):
        return DraftColumn(name, dtype, bounds=(0, 1))
    return DraftColumn(name, dtype, allowed=_labels(name, model))


def _labels(name: str, model: PackedModel) -> tuple[Any, ...] | None:
    """A classifier's labels, of this output where it has several."""
    if model.task != "classification":
        return None
    labels: Sequence[Any] = model.estimator.classes_
    if name != contract.PREDICTION:
        position = int(name.removeprefix(f"{contract.PREDICTION}_"))
        labels = labels[position] if isinstance(labels, list) else [0, 1]  # a label matrix holds indicators
    return plain_labels(labels)


def _source(drafts: Iterable[DraftColumn]) -> str:
    columns = "".join(f"        {draft.name!r}: {draft.source()},\n" for draft in drafts)
    return (
        '"""Contract of the model\'s input, drafted from its training data."""\n\n'
        "import pandas as pd\nimport pandera.pandas as pa\n\n"
        f"Input = pa.DataFrameSchema(\n    {{\n{columns}    }},\n    strict=True,\n    ordered=True,\n)\n"
    )
