"""``FunctionTransformer`` with functions of NumPy's that are known by name, both ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from modelimg_runtime.columns import Batch
from modelimg_runtime.fast.errors import NotSpecialised
from modelimg_runtime.fast.inputs import (
    Array,
    Matrix,
    Read,
    Table,
    Value,
    check_input,
    floats,
    numbers,
    refuse_not_finite,
)
from modelimg_runtime.fast.parts import UFUNCS, Part

FUNCTION = "sklearn.preprocessing._function_transformer.FunctionTransformer"
_CHECK_ARRAY = "sklearn.utils.validation.check_array"
_FINITE = ("ensure_all_finite", "force_all_finite")


def function(part: Part, value: Value) -> Value:
    """``FunctionTransformer``: without a function, with one of NumPy's, or as gradient boosting keeps one for itself.

    Raises:
        NotSpecialised: another function.
    """
    part.expect("validate", False, True)
    check_input(part, value)
    func, validated = part.get("func"), part.get("validate")
    if part.get("kw_args"):
        raise NotSpecialised(f"{part.name} with kw_args")
    if func is None:
        return _checked(numbers(value, part)) if validated else value
    if isinstance(func, Part) and not validated:
        return _converted(func, part, value)
    return _mapped(ufunc(func, part), _checked(numbers(value, part)) if validated else _plain(value, part))


def inverse(part: Part) -> Callable[[Array], Array]:
    """``FunctionTransformer.inverse_transform`` of an array.

    Raises:
        NotSpecialised: another transformer or function.
    """
    if part.cls != FUNCTION:
        raise NotSpecialised(f"{part.name} of a target has no fast form")
    part.check_plain()
    part.expect("validate", False, True)
    func, validated = part.get("inverse_func"), part.get("validate")
    if part.get("inv_kw_args"):
        raise NotSpecialised(f"{part.name} with inv_kw_args")
    apply = (lambda X: X) if func is None else ufunc(func, part)

    def inverted(X: Array) -> Array:
        if validated:
            refuse_not_finite(X)
        return apply(X)  # type: ignore[no-any-return]

    return inverted


def ufunc(func: Any, owner: Part) -> Any:
    """The function of NumPy's that a file names.

    Raises:
        NotSpecialised: it names another.
    """
    name = func.cls.rpartition(".")[2] if isinstance(func, type) and issubclass(func, Part) else ""
    if not name or not func.cls.startswith("numpy.") or name not in UFUNCS:
        raise NotSpecialised(f"{owner.name} with func={getattr(func, '__name__', func)}")
    return getattr(np, name)


def _plain(value: Value, part: Part) -> Matrix:
    """Numbers as the function gets them: a frame's column by column, with its own dtype each."""
    if isinstance(value, Table) and value.kinds in ("f", "i", "fi"):
        # A function that keeps whole numbers whole would give a frame of two dtypes.
        return floats(value, part) if value.kinds == "f" else _whole_to_floats(value, part)
    if isinstance(value, Matrix) and not value.sparse and value.kind == "f":
        return value
    raise NotSpecialised(f"{part.name} on other than floats")


def _whole_to_floats(table: Table, part: Part) -> Matrix:
    name = part["func"].cls.rpartition(".")[2]
    if np.dtype(getattr(np, name).resolve_dtypes((np.dtype(np.int64), None))[1]) != np.float64:
        raise NotSpecialised(f"{part.name} with func={name} on whole numbers")
    return floats(table, part)


def _checked(matrix: Matrix) -> Matrix:
    read_given = matrix.read

    def read(batch: Batch) -> Array:
        X = read_given(batch)
        refuse_not_finite(X)
        return X

    return Matrix(matrix.width, matrix.kind, read, matrix.sparse)


def _mapped(apply: Callable[[Array], Array], matrix: Matrix) -> Matrix:
    if matrix.sparse or matrix.kind != "f":
        raise NotSpecialised("a function of NumPy's on a sparse matrix or on whole numbers")
    read_given: Read = matrix.read
    return Matrix(matrix.width, "f", lambda batch: apply(read_given(batch)))


def _converted(func: Part, part: Part, value: Value) -> Matrix:
    """``functools.partial(check_array, dtype=[float64], ensure_all_finite=False)``: a conversion, no check."""
    state = func.state if func.cls == "functools.partial" and isinstance(func.state, tuple) else ()
    target = state[0] if len(state) == 4 else None
    if getattr(target, "cls", "") != _CHECK_ARRAY or state[1] or not isinstance(state[2], dict):
        raise NotSpecialised(f"{part.name} with func={func.name}")
    keywords = dict(state[2])
    dtype = keywords.pop("dtype", None)
    finite = [keywords.pop(name) for name in _FINITE if name in keywords]
    if dtype != [np.float64] or finite != [False] or keywords:
        raise NotSpecialised(f"{part.name} with check_array of its own")
    return floats(value, part)
