"""Parquet and Arrow files, read and written a batch at a time. They need ``pyarrow``, which an image may lack."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, BinaryIO

from modelimg_runtime.errors import PayloadError, ScoreFault
from modelimg_runtime.protocols.arrow import columns_of_table, index_names, is_text, names_of
from modelimg_runtime.score import kinds
from modelimg_runtime.score.chunks import Chunk, plain
from modelimg_runtime.score.layout import ROW, Layout
from modelimg_runtime.score.selection import Selection

if TYPE_CHECKING:
    import pyarrow as pa

_BUFFER = 1 << 20
"""Bytes that are read of a column at once: a row group of Parquet may be larger than memory."""
_ROW_GROUP = 1 << 16
"""Rows of a row group that is written."""
_MAGIC = b"ARROW1"


def require_pyarrow() -> None:
    """Make sure that pyarrow is there.

    Raises:
        ScoreFault: it is not.
    """
    if find_spec("pyarrow") is None:
        raise ScoreFault(
            "Parquet and Arrow files need pyarrow, which this image lacks: pack the model with [image] parquet = true, "
            "or score CSV or JSON lines"
        )


class ArrowSource:
    """Rows of a Parquet or an Arrow file (IPC, as a file or a stream; Feather is the same).

    Args:
        stream: at its beginning.
        rows: of a batch.
        selection: what is wanted of the table.
        parquet: whether it is Parquet.

    Attributes:
        kept: columns that go along to the output.
        types: column → Arrow's type, of those to keep.
        total: how many rows there are; None where the file does not say.

    Raises:
        ScoreFault: the file is no such file, or its columns are not the model's.
    """

    def __init__(self, stream: BinaryIO, rows: int, selection: Selection, *, parquet: bool) -> None:
        with _readable():
            self._file = _Parquet(stream) if parquet else _Ipc(stream)
            schema, names = self._file.schema, names_of(self._file.schema)
        own = selection.features.own(names)
        index = index_names(schema) - own.keys() - set(selection.keep)
        self._table = selection.table([name for name in names if name not in index])
        self._batch = rows
        self.kept, self.total = self._table.kept, self._file.total
        self.types: Mapping[str, pa.DataType] = {name: schema.field(name).type for name in self.kept}

    def chunks(self) -> Iterator[Chunk]:
        """Batches of rows.

        Raises:
            ScoreFault: the file is damaged.
        """
        first = 0
        with _readable():
            for whole in self._file.batches(self._batch, list(self._table.read)):
                for start in range(0, whole.num_rows, self._batch):
                    batch = whole.slice(start, self._batch)
                    yield self._chunk(batch, first)
                    first += batch.num_rows

    def _chunk(self, batch: pa.RecordBatch, first: int) -> Chunk:
        own = {name: self._values(batch, name, kind) for name, kind in self._table.own.items()}
        others = {name: _any_values(batch, name) for name in self.kept if name not in own}
        return Chunk(
            numbers=range(first, first + batch.num_rows),
            columns=own | others,
            own=tuple(own),
            typed={name: batch.column(name) for name in self.kept},
        )

    @staticmethod
    def _values(batch: pa.RecordBatch, name: str, kind: str) -> Sequence[Any]:
        column = batch.column(name)
        values = values_of_column(column, kind)
        if values is None:
            raise ScoreFault(f"column {name!r} is of the type {column.type}, and the contract says {kind}", exit_code=3)
        return values


class _Parquet:
    def __init__(self, stream: BinaryIO) -> None:
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(stream, pre_buffer=False, buffer_size=_BUFFER)
        self.schema = self._file.schema_arrow
        self.total: int | None = self._file.metadata.num_rows

    def batches(self, rows: int, names: list[str]) -> Iterator[pa.RecordBatch]:
        # Other columns may come with them: a name with a dot is taken for a path, too.
        yield from self._file.iter_batches(rows, columns=names)


class _Ipc:
    total: int | None = None

    def __init__(self, stream: BinaryIO) -> None:
        import pyarrow as pa

        self._is_file = stream.read(len(_MAGIC)) == _MAGIC
        stream.seek(0)
        self._reader = pa.ipc.open_file(stream) if self._is_file else pa.ipc.open_stream(stream)
        self.schema = self._reader.schema

    def batches(self, _rows: int, names: list[str]) -> Iterator[pa.RecordBatch]:
        numbers = range(self._reader.num_record_batches) if self._is_file else ()
        found = map(self._reader.get_batch, numbers) if self._is_file else iter(self._reader)
        for batch in found:
            batch.validate(full=True)  # reading damaged buffers could end the process
            yield batch.select(names)


@contextmanager
def _readable() -> Iterator[None]:
    """Whatever Arrow says of a file that it cannot read, as one sentence."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, PayloadError) as error:
        raise ScoreFault(f"the file cannot be read: {str(error).partition(chr(10))[0]}") from error


def values_of_column(column: pa.Array | pa.ChunkedArray, kind: str) -> Sequence[Any] | None:
    """A column as JSON values; None where its type does not fit the kind, and there is a value.

    Args:
        column: of any type.
        kind: of the contract's column, as `cells` has them.
    """
    family = _family(column.type)
    if column.null_count == len(column):
        return [None] * len(column)
    return _json_values(column, kind) if family and kinds.fits(family, kind) else None


def _json_values(column: pa.Array | pa.ChunkedArray, kind: str) -> Sequence[Any]:
    import pyarrow as pa
    from pyarrow import types

    if types.is_decimal(column.type):
        # A decimal is a number as JSON writes one: a whole one, or the nearest float.
        whole = kind == "int"
        return [
            cell if cell is None else int(cell) if whole and cell == cell.to_integral_value() else float(cell)
            for cell in column.to_pylist()
        ]
    return columns_of_table(pa.table([column], names=["column"]))["column"]


def _any_values(batch: pa.RecordBatch, name: str) -> Sequence[Any]:
    """A column that is no feature, as JSON values too; what JSON does not know is shown as text."""
    column = batch.column(name)
    known = _family(column.type) is not None
    return [plain(value) for value in (_json_values(column, "float") if known else column.to_pylist())]


def _family(kind: pa.DataType) -> str | None:
    """The family of a type; None where it has no counterpart."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return _family(kind.value_type)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return kinds.NUMBER
    if types.is_timestamp(kind) or types.is_date(kind):
        return kinds.DATETIME
    if types.is_duration(kind):
        return kinds.TIMEDELTA
    if types.is_boolean(kind):
        return kinds.BOOL
    return kinds.TEXT if is_text(kind) else None


class ArrowSink:
    """Predictions as Parquet or as an Arrow file.

    Args:
        stream: to write to.
        layout: the columns.
        types: Arrow's type of each kept column; those without one are written as text.
        parquet: whether it is Parquet.
    """

    def __init__(self, stream: BinaryIO, layout: Layout, types: Mapping[str, pa.DataType], *, parquet: bool) -> None:
        import pyarrow as pa

        plain = {"float": pa.float64(), "int": pa.int64(), "bool": pa.bool_(), "str": pa.string()}
        fields = {ROW: pa.int64()} if layout.row else {}
        fields |= {name: types.get(name, pa.string()) for name in layout.kept}
        fields |= {name: plain[kind] for name, kind in layout.predictions.items()}
        fields |= dict.fromkeys(layout.probabilities, pa.float64())
        self._schema = pa.schema(fields)
        self._texts = frozenset(layout.kept) - types.keys()
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        if parquet:
            import pyarrow.parquet as pq

            self._writer = pq.ParquetWriter(stream, self._schema)
        else:
            self._writer = pa.ipc.new_file(stream, self._schema)

    def write(
        self, columns: Mapping[str, Sequence[Any]], typed: Mapping[str, Any] | None, places: Sequence[int]
    ) -> None:
        """Append rows.

        Args:
            columns: of the output.
            typed: kept columns of the chunk as Arrow arrays.
            places: of the rows in the chunk.

        Raises:
            ScoreFault: a prediction is of another kind than those of the packed examples.
        """
        import pyarrow as pa

        try:
            arrays = [
                typed[field.name].take(pa.array(places, pa.int64()))
                if typed and field.name in typed
                else pa.array(self._cells(field.name, columns[field.name]), field.type)
                for field in self._schema
            ]
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ScoreFault(f"a value does not fit its column of the output: {error}") from error
        self._waiting.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._rows += len(places)
        if self._rows >= _ROW_GROUP:
            self._flush()

    def finish(self) -> None:
        """Write what is left, and the footer."""
        self._flush()
        self._writer.close()

    def _cells(self, name: str, values: Sequence[Any]) -> Sequence[Any]:
        """JSON lines have no types, so what is kept of them is text: of what is none, its JSON."""
        if name not in self._texts:
            return values
        return [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]

    def _flush(self) -> None:
        import pyarrow as pa

        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting).combine_chunks())
        self._waiting, self._rows = [], 0
