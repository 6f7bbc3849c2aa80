"""Arrow's columns → the JSON-like values that the contract's readers take: typed, but never converted by force.

============================  ==================================================================
Arrow                         becomes
============================  ==================================================================
bool                          bool
int8 … int64, uint8 … uint64  int
float16, float32, float64     float, widened exactly; NaN, which JSON has not, is a missing value
string, of every layout       str
dictionary                    what its values become
date, timestamp               ISO 8601 text; with a ``Z`` where the type has a time zone
duration                      ISO 8601 text
null                          missing values
============================  ==================================================================

Everything else (decimals, times, binaries, lists, structs, …) has no counterpart and is refused by name. The columns in
which pandas keeps a frame's index are left out, as pandas itself does when it reads such data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from modelimg_runtime.errors import PayloadError

if TYPE_CHECKING:
    import pyarrow as pa

_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_DAY = 86_400


def columns_of_table(table: pa.Table | pa.RecordBatch) -> dict[str, list[Any]]:
    """Columns of a table, as a JSON body would have given them.

    Args:
        table: of any source; it is validated in full, since reading damaged buffers could end the process.

    Returns:
        Name → values of all rows, None for missing ones.

    Raises:
        PayloadError: the table is damaged, a name comes twice, or a column is of a type without a counterpart.
    """
    import pyarrow as pa

    names = names_of(table.schema)
    refuse_unreadable(table.schema)
    try:
        table.validate(full=True)
    except (pa.ArrowException, ValueError) as error:
        raise PayloadError("the table is damaged: its buffers do not fit its columns") from error
    index = index_names(table.schema)
    return {name: _cells(table.column(at)) for at, name in enumerate(names) if name not in index}


def names_of(schema: pa.Schema) -> list[str]:
    """The columns' names.

    Raises:
        PayloadError: one comes twice, or is not UTF-8, or the name of a time zone is not.
    """
    try:
        names: list[str] = schema.names
        for kind in schema.types:  # a name is decoded when it is asked for, and not before
            getattr(getattr(kind, "value_type", kind), "tz", None)
    except UnicodeDecodeError as error:
        raise PayloadError("a name in the table's schema is not UTF-8") from error
    if len(set(names)) != len(names):
        raise PayloadError("the table has two columns of one name")
    return names


def refuse_unreadable(schema: pa.Schema) -> None:
    """Refuse columns of types without a counterpart, before any of their values is read.

    Raises:
        PayloadError: there is one.
    """
    for field in schema:
        if _reader_of(field.type) is None:
            raise PayloadError(
                f"column {field.name[:100]!r} is of Arrow's type {str(field.type)[:100]}; "
                "send bools, numbers, strings, dictionaries, dates, timestamps or durations"
            )


def index_names(schema: pa.Schema) -> frozenset[str]:
    """The columns in which pandas keeps a frame's index, as its metadata say; metadata that say nothing name none."""
    try:
        described = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
    except (ValueError, RecursionError):
        return frozenset()
    listed = described.get("index_columns") if isinstance(described, dict) else None
    return frozenset(name for name in listed if isinstance(name, str)) if isinstance(listed, list) else frozenset()


def _cells(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    read = _reader_of(column.type)
    if read is None:
        raise TypeError(f"no reader of {column.type}")
    cells: list[Any] = []
    for chunk in _chunks(column):
        cells += read(chunk)
    return cells


def _chunks(column: pa.Array | pa.ChunkedArray) -> Iterator[pa.Array]:
    yield from getattr(column, "chunks", (column,))


def _reader_of(kind: pa.DataType) -> Callable[[pa.Array], list[Any]] | None:
    """How a column of a type is read; None where there is no counterpart."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return _dictionary if _reader_of(kind.value_type) else None
    readers: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], list[Any]]], ...] = (
        (types.is_floating, _floats),
        (types.is_integer, _integers),
        (types.is_boolean, _bools),
        (is_text, _objects),
        (types.is_timestamp, _timestamps),
        (types.is_date, _dates),
        (types.is_duration, _durations),
        (types.is_null, _objects),
    )
    return next((read for matches, read in readers if matches(kind)), None)


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is of strings, in any of Arrow's layouts."""
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _objects(array: pa.Array) -> list[Any]:
    return list(array.to_numpy(zero_copy_only=False).tolist()) if is_text(array.type) else [None] * len(array)


def _floats(array: pa.Array) -> list[Any]:
    numbers = array.to_numpy(zero_copy_only=False)  # a null is NaN here already
    return _without(numbers.tolist(), np.isnan(numbers))


def _integers(array: pa.Array) -> list[Any]:
    return _without(_filled(array, 0).tolist(), _nulls(array))


def _bools(array: pa.Array) -> list[Any]:
    return _without(_filled(array, False).tolist(), _nulls(array))


def _dictionary(array: pa.Array) -> list[Any]:
    # An index that is null points behind the dictionary, which may be empty.
    values = [*_cells(array.dictionary), None]
    return [values[place] for place in _filled(array.indices.cast("int64"), len(values) - 1).tolist()]


def _timestamps(array: pa.Array) -> list[Any]:
    """In UTC with a ``Z`` where there is a zone, which is what Arrow stores; else as they are."""
    moments = _filled(_plain(array), 0).view(f"M8[{array.type.unit}]")
    texts = _texts(moments)
    return _without([f"{text}Z" for text in texts] if array.type.tz is not None else texts, _nulls(array))


def _dates(array: pa.Array) -> list[Any]:
    whole_days = array.type.bit_width == 32
    days = _filled(_plain(array), 0).astype("i8").view("M8[D]" if whole_days else "M8[ms]")
    return _without(_texts(days), _nulls(array))


def _durations(array: pa.Array) -> list[Any]:
    digits = _DIGITS[array.type.unit]
    return _without([_duration(count, digits) for count in _filled(_plain(array), 0).tolist()], _nulls(array))


def _duration(count: int, digits: int) -> str:
    seconds, fraction = divmod(abs(count), 10**digits)
    days, seconds = divmod(seconds, _DAY)
    point = f".{fraction:0{digits}d}" if digits else ""
    return f"{'-' if count < 0 else ''}P{days}DT{seconds}{point}S"


def _texts(moments: np.ndarray[Any, Any]) -> list[Any]:
    return list(np.datetime_as_string(moments).tolist())


def _plain(array: pa.Array) -> pa.Array:
    """The whole numbers that dates, timestamps and durations are stored as."""
    import pyarrow as pa

    return array.view(pa.int32() if array.type.bit_width == 32 else pa.int64())


def _filled(array: pa.Array, value: Any) -> np.ndarray[Any, Any]:
    filled: np.ndarray[Any, Any] = array.fill_null(value).to_numpy(zero_copy_only=False)
    return filled


def _nulls(array: pa.Array) -> np.ndarray[Any, Any]:
    nulls: np.ndarray[Any, Any] = array.is_null().to_numpy(zero_copy_only=False)
    return nulls


def _without(values: list[Any], missing: np.ndarray[Any, Any]) -> list[Any]:
    """The values with None where they are missing."""
    for place in np.flatnonzero(missing).tolist():
        values[place] = None
    return values
