"""CSV and JSON lines, read a batch of rows at a time; a row that is none is set aside, and reading goes on."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from modelimg_runtime.columns import ABSENT
from modelimg_runtime.errors import PayloadError, ScoreFault, Violation
from modelimg_runtime.protocols.bodies import read_json
from modelimg_runtime.score.chunks import INPUT, Chunk, Fault, Reject, plain
from modelimg_runtime.score.selection import Selection

_LONGEST_LINE = 1 << 24
"""Characters; a file without line breaks must not be read into memory as a whole."""
_LARGEST_CHUNK = 1 << 24
"""Characters after which a batch is full however few its rows are."""
_SHOWN = 1000
_BOM = b"\xef\xbb\xbf"
_UNDECODED = re.compile("[\udc80-\udcff]")


class CsvSource:
    """Rows of a CSV, read as the server reads one: UTF-8, a header, an empty field is a missing value.

    Args:
        stream: at its beginning.
        rows: of a batch.
        selection: what is wanted of the table.

    Attributes:
        kept: columns that go along to the output.

    Raises:
        ScoreFault: there is no header, it names a column twice, or its columns are not the model's.
    """

    def __init__(self, stream: BinaryIO, rows: int, selection: Selection) -> None:
        self._rows = rows
        self._text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
        self._size, self._undecoded = 0, False
        self._reader = csv.reader(self._lines(), strict=True)
        header = self._next() or []
        if len(set(header)) != len(header) or not header or self._undecoded:
            raise ScoreFault("the CSV's first line must name each column once, in UTF-8")
        self._names, self._table = header, selection.table(header)
        self.kept = self._table.kept

    def chunks(self) -> Iterator[Chunk]:
        """Batches of rows.

        Raises:
            ScoreFault: the quoting is broken, which leaves unclear where rows begin; or a line is too long.
        """
        row, line = 0, self._reader.line_num + 1
        good: list[tuple[int, int, list[str]]] = []
        malformed: list[Reject] = []
        while (fields := self._next()) is not None:
            if fields:
                fault = self._fault(fields)
                if fault is None:
                    good.append((row, line, fields))
                else:
                    malformed.append(Reject(row, line, Fault(INPUT, (fault,)), fields))
                row += 1
            if len(good) + len(malformed) >= self._rows or self._size > _LARGEST_CHUNK:
                yield self._chunk(good, malformed)
                good, malformed, self._size = [], [], 0
            line = self._reader.line_num + 1
        if good or malformed:
            yield self._chunk(good, malformed)

    def _next(self) -> list[str] | None:
        self._undecoded = False
        try:
            return next(self._reader, None)
        except csv.Error as error:
            raise ScoreFault(f"not CSV: {error} at line {self._reader.line_num}") from error

    def _lines(self) -> Iterator[str]:
        while line := self._text.readline(_LONGEST_LINE):
            if len(line) == _LONGEST_LINE:
                raise ScoreFault(f"line {self._reader.line_num + 1} is longer than {_LONGEST_LINE} characters")
            self._size += len(line)
            if not line.isascii() and _UNDECODED.search(line):
                self._undecoded = True
            yield line

    def _fault(self, fields: Sequence[str]) -> Violation | None:
        if self._undecoded:
            return Violation(None, None, "UTF-8", None)
        if len(fields) != len(self._names):
            return Violation(None, None, f"{len(self._names)} fields", len(fields))
        return None

    def _chunk(self, rows: Sequence[tuple[int, int, list[str]]], malformed: Sequence[Reject]) -> Chunk:
        wanted = set(self._table.read)
        columns = zip(*(fields for _, _, fields in rows), strict=True) if rows else ((),) * len(self._names)
        return Chunk(
            numbers=[number for number, _, _ in rows],
            columns={name: values for name, values in zip(self._names, columns, strict=True) if name in wanted},
            own=tuple(self._table.own),
            text=True,
            lines=[line for _, line, _ in rows],
            malformed=tuple(malformed),
        )


class JsonLinesSource:
    """Rows of JSON lines: one object each. Every row may have columns of its own, and answers for them itself.

    Args:
        stream: at its beginning.
        rows: of a batch.
        selection: what is wanted of each row.

    Attributes:
        kept: columns that go along to the output.

    Raises:
        ScoreFault: all columns are to be kept, which are not known before the end.
    """

    def __init__(self, stream: BinaryIO, rows: int, selection: Selection) -> None:
        if selection.keep_all:
            raise ScoreFault("the columns of JSON lines are not known beforehand: name those to keep", exit_code=2)
        self._stream, self._rows, self._selection = stream, rows, selection
        self.kept = selection.keep

    def chunks(self) -> Iterator[Chunk]:
        """Batches of rows.

        Raises:
            ScoreFault: a line is too long.
        """
        row = number = size = 0
        good: list[tuple[int, int, dict[str, Any]]] = []
        malformed: list[Reject] = []
        while line := self._stream.readline(_LONGEST_LINE):
            number, size = number + 1, size + len(line)
            if len(line) == _LONGEST_LINE:
                raise ScoreFault(f"line {number} is longer than {_LONGEST_LINE} bytes")
            line = line.removeprefix(_BOM) if number == 1 else line
            if not line.strip():
                continue
            record, fault = self._record(line)
            if fault is None:
                good.append((row, number, record))
            else:
                malformed.append(Reject(row, number, fault, record))
            row += 1
            if len(good) + len(malformed) >= self._rows or size > _LARGEST_CHUNK:
                yield self._chunk(good, malformed)
                good, malformed, size = [], [], 0
        if good or malformed:
            yield self._chunk(good, malformed)

    def _record(self, line: bytes) -> tuple[Any, Fault | None]:
        text = line.decode(errors="replace").strip()[:_SHOWN]
        try:
            record = read_json(line)
        except PayloadError as error:
            return text, Fault(INPUT, (Violation(None, None, str(error), None),))
        if not isinstance(record, dict):
            return text, Fault(INPUT, (Violation(None, None, "a JSON object", None),))
        extra = tuple(
            Violation(None, name, "column_in_schema", None) for name in self._selection.unwanted(list(record))
        )
        return record, Fault(INPUT, extra) if extra else None

    def _chunk(self, rows: Sequence[tuple[int, int, dict[str, Any]]], malformed: Sequence[Reject]) -> Chunk:
        features, keep = self._selection.features, self._selection.keep
        names = dict.fromkeys((*features.required, *(name for _, _, record in rows for name in record)))
        own = features.own(names)
        columns = {name: [record.get(name, ABSENT) for _, _, record in rows] for name in own}
        columns |= {name: [plain(record.get(name)) for _, _, record in rows] for name in keep if name not in own}
        return Chunk(
            numbers=[number for number, _, _ in rows],
            columns=columns,
            own=tuple(own),
            lines=[line for _, line, _ in rows],
            malformed=tuple(malformed),
        )
