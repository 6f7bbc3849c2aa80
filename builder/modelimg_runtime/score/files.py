"""Which file is of which format, and what reads or writes it."""

from __future__ import annotations

import gzip
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from modelimg_runtime.errors import ScoreFault
from modelimg_runtime.score.chunks import Chunk
from modelimg_runtime.score.layout import Layout
from modelimg_runtime.score.lines import CsvSource, JsonLinesSource
from modelimg_runtime.score.selection import Selection
from modelimg_runtime.score.texts import CsvSink, JsonLinesSink

CSV, JSON_LINES, PARQUET, ARROW = "csv", "jsonl", "parquet", "arrow"
FORMATS = (CSV, JSON_LINES, PARQUET, ARROW)
_ENDINGS = {
    ".csv": CSV,
    ".jsonl": JSON_LINES,
    ".ndjson": JSON_LINES,
    ".parquet": PARQUET,
    ".arrow": ARROW,
    ".feather": ARROW,
}
_GZIP = ".gz"
STANDARD = Path("-")
"""Standard input or output."""


class Source(Protocol):
    """Rows to be scored.

    Attributes:
        kept: columns that go along to the output.
    """

    kept: tuple[str, ...]

    def chunks(self) -> Iterator[Chunk]:
        """Batches of rows, in order."""


class Sink(Protocol):
    """Where predictions go."""

    def write(
        self, columns: Mapping[str, Sequence[Any]], typed: Mapping[str, Any] | None, places: Sequence[int]
    ) -> None:
        """Append rows: the output's columns; kept ones as Arrow arrays of the chunk; the rows' places in it."""

    def finish(self) -> None:
        """Write what is left."""


@dataclass(frozen=True)
class FileFormat:
    """What a file is.

    Attributes:
        name: one of ``FORMATS``.
        gzip: whether it is compressed.
    """

    name: str
    gzip: bool = False

    @property
    def columnar(self) -> bool:
        """Whether it takes pyarrow to read it."""
        return self.name in (PARQUET, ARROW)


def format_of(path: Path, given: str | None) -> FileFormat:
    """The format of a file, by its ending unless it is given.

    Raises:
        ScoreFault: neither says, or standard input and output cannot be of it.
    """
    compressed = path.suffix == _GZIP
    ending = Path(path.stem).suffix if compressed else path.suffix
    name = given or _ENDINGS.get(ending.lower()) or (CSV if path == STANDARD else None)
    if name is None:
        raise ScoreFault(f"{path.name} ends in none of {', '.join(_ENDINGS)}: name its format", exit_code=2)
    found = FileFormat(name, compressed)
    if found.columnar and (path == STANDARD or compressed):
        raise ScoreFault(f"{name} is read from a file and written to one, as it is", exit_code=2)
    return found


class Input:
    """An input file, open, and how much of it was read.

    Args:
        path: the file, or ``STANDARD``.
        kind: its format.

    Raises:
        OSError: it cannot be read.
    """

    def __init__(self, path: Path, kind: FileFormat) -> None:
        self._file = cast("BinaryIO", sys.stdin.buffer if path == STANDARD else path.open("rb"))
        self._size = os.fstat(self._file.fileno()).st_size if path != STANDARD and path.is_file() else 0
        self._kind = kind
        self._source: Any = None

    def open(self, selection: Selection, rows: int) -> Source:
        """Rows of the file in batches.

        Raises:
            ScoreFault: it is none of its format, or its columns are not the model's.
        """
        if self._kind.columnar:
            from modelimg_runtime.score.arrow import ArrowSource

            self._source = ArrowSource(self._file, rows, selection, parquet=self._kind.name == PARQUET)
            return cast("Source", self._source)
        stream = cast("BinaryIO", gzip.GzipFile(fileobj=self._file)) if self._kind.gzip else self._file
        return (
            CsvSource(stream, rows, selection) if self._kind.name == CSV else JsonLinesSource(stream, rows, selection)
        )

    def fraction(self, rows: int) -> float | None:
        """How much of it was read, 0 to 1, once so many rows were; None where its size is not known."""
        total = getattr(self._source, "total", None)
        if total:
            return float(rows / total)
        return min(self._file.tell() / self._size, 1.0) if self._size else None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Output:
    """Predictions on their way to a stream.

    Args:
        stream: to write to.
        kind: the format.
        layout: the columns.
        types: Arrow's types of kept columns, where they have any.
    """

    def __init__(self, stream: BinaryIO, kind: FileFormat, layout: Layout, types: Mapping[str, Any]) -> None:
        # Neither a name nor a time goes into the file, so that equal predictions are equal bytes.
        self._zip = gzip.GzipFile("", "wb", fileobj=stream, mtime=0) if kind.gzip else None
        target = cast("BinaryIO", io.BufferedWriter(cast("Any", self._zip))) if self._zip else stream
        self._stream, self._target, self._sink = stream, target, _sink(target, kind, layout, types)
        self.write = self._sink.write

    def finish(self) -> None:
        """Write what is left."""
        self._sink.finish()
        self._target.flush()
        if self._zip:
            self._zip.close()
        self._stream.flush()


def _sink(stream: BinaryIO, kind: FileFormat, layout: Layout, types: Mapping[str, Any]) -> Sink:
    if kind.columnar:
        from modelimg_runtime.score.arrow import ArrowSink

        return ArrowSink(stream, layout, types, parquet=kind.name == PARQUET)
    return CsvSink(stream, layout) if kind.name == CSV else JsonLinesSink(stream, layout)
