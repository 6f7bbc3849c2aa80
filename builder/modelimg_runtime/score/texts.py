"""Predictions as CSV or as JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from modelimg_runtime.score.layout import Layout


class CsvSink:
    """Predictions as CSV: a header, then one line for each row; a missing value is an empty field.

    Args:
        stream: to write to.
        layout: the columns.
    """

    def __init__(self, stream: BinaryIO, layout: Layout) -> None:
        self._names = layout.names
        self._text = io.TextIOWrapper(stream, "utf-8", newline="", write_through=True)
        self._writer = csv.writer(self._text, lineterminator="\n")
        self._writer.writerow(self._names)

    def write(
        self, columns: Mapping[str, Sequence[Any]], _typed: Mapping[str, Any] | None, _places: Sequence[int]
    ) -> None:
        """Append rows."""
        self._writer.writerows(zip(*(map(_field, columns[name]) for name in self._names), strict=True))

    def finish(self) -> None:
        """Hand all that was written on to the stream."""
        self._text.detach()


class JsonLinesSink:
    """Predictions as JSON lines: one object for each row.

    Args:
        stream: to write to.
        layout: the columns.
    """

    def __init__(self, stream: BinaryIO, layout: Layout) -> None:
        self._stream, self._names = stream, layout.names

    def write(
        self, columns: Mapping[str, Sequence[Any]], _typed: Mapping[str, Any] | None, _places: Sequence[int]
    ) -> None:
        """Append rows."""
        rows = zip(*(columns[name] for name in self._names), strict=True)
        self._stream.writelines(json_line(dict(zip(self._names, row, strict=True))) for row in rows)

    def finish(self) -> None:
        """Nothing is left to be written."""


def json_line(value: Any) -> bytes:
    """One line of JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _field(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value
