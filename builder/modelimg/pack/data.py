"""Splits: tables of features and target, from memory or from files, with what identifies them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modelimg.errors import DataError, UsageError
from modelimg.oci.values import Digest
from modelimg.pack.digest import KIND, frame_digest

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_CSV = (".csv", ".csv.gz", ".tsv")


@dataclass(frozen=True)
class DataFile:
    """A file of one split, features and target in one table.

    Attributes:
        path: CSV or Parquet.
        uri: where others find the same data, recorded as it is.
    """

    path: str | Path
    uri: str | None = None


SplitValue = tuple[Any, Any] | str | Path | DataFile
"""``(X, y)``, or a file."""


@dataclass(frozen=True)
class Facts:
    """What identifies a split, as it stands in ``provenance.json``.

    Attributes:
        sha256: of the file's bytes, or the canonical digest of the table.
        kind: ``file`` or ``frame-v1``.
        rows: of the table.
        columns: of the table, target included.
        uri: where others find it.
    """

    sha256: str
    kind: str
    rows: int
    columns: int
    uri: str | None = None


@dataclass(frozen=True)
class Split:
    """One split.

    Attributes:
        name: ``train``, ``test`` or the user's own.
        X: shape (n_rows, n_features), columns as the model names them.
        y: shape (n_rows, n_outputs); None where there is no target.
        facts: what identifies it.
    """

    name: str
    X: pd.DataFrame
    y: pd.DataFrame | None
    facts: Facts


@dataclass(frozen=True)
class Reader:
    """Reads splits for one model.

    Attributes:
        features: names that the model was fitted on, if any.
        n_features: how many features it was fitted on, if it says so.
        target: name of the target column.
        root: folder that relative paths start from.
    """

    features: tuple[str, ...] | None
    n_features: int | None
    target: str | None
    root: Path

    def read(self, name: str, value: SplitValue) -> Split:
        """One split, its features in the model's order.

        Raises:
            DataError: unreadable, without the target or a feature, or of the wrong shape.
            UsageError: the split's name cannot stand in a label.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot name a split", hint="take letters, digits, '_' and '-'")
        if isinstance(value, tuple):
            if len(value) != 2:
                raise UsageError(f"the split {name} is a tuple of {len(value)}; it takes (X, y) or a path")
            return self._from_memory(name, *value)
        if not isinstance(value, str | Path | DataFile):
            raise UsageError(f"the split {name} is a {type(value).__name__}; it takes (X, y) or a path")
        return self._from_file(name, value if isinstance(value, DataFile) else DataFile(value))

    def _from_memory(self, name: str, X: Any, y: Any) -> Split:
        frame = self._features(name, _as_frame(name, X, self.features))
        target = None if y is None else _as_target(name, y, self.target)
        if target is not None and len(target) != len(frame):
            raise DataError(f"the split {name} has {len(frame)} rows of X and {len(target)} of y")
        parts = {"feature": frame} | ({} if target is None else {"target": target})
        columns = sum(part.shape[1] for part in parts.values())
        return Split(name, frame, target, Facts(frame_digest(parts), KIND, len(frame), columns))

    def _from_file(self, name: str, file: DataFile) -> Split:
        path = self.root / file.path
        data, table = _read_bytes(path), _read_table(path)
        if table.empty:
            raise DataError(f"{path} has no rows")
        target = self._target_column(name, path, list(table.columns))
        frame = table.drop(columns=[target])
        facts = Facts(Digest.of(data).hex, "file", len(table), table.shape[1], file.uri)
        return Split(name, self._features(name, frame, dropping=True), table[[target]], facts)

    def _target_column(self, name: str, path: Path, columns: Sequence[str]) -> str:
        listed = ", ".join(map(str, columns))
        if self.target is not None:
            if self.target not in columns:
                raise DataError(
                    f"{path} has no target column {self.target!r}",
                    hint=f"its columns are {listed}; name the target by [data] target",
                )
            return self.target
        if self.features is None:
            raise DataError(
                f"which column of {path} is the target cannot be told: the model was fitted without column names",
                hint=f"name it by [data] target; the columns are {listed}",
            )
        others = [column for column in columns if column not in self.features]
        if len(others) != 1:
            what = "no column" if not others else f"{len(others)} columns ({', '.join(others)})"
            raise DataError(
                f"{path} has {what} beside the model's features, so the target of the split {name} is unknown",
                hint=f"name it by [data] target; the columns are {listed}",
            )
        return others[0]

    def _features(self, name: str, frame: pd.DataFrame, *, dropping: bool = False) -> pd.DataFrame:
        """The model's features in their order; further columns of a file are no features."""
        if frame.columns.has_duplicates:
            twice = frame.columns[frame.columns.duplicated()][0]
            raise DataError(f"the split {name} has two columns named {twice!r}")
        if self.features is not None:
            missing = [column for column in self.features if column not in frame.columns]
            if missing:
                raise DataError(f"the split {name} lacks {_quoted(missing)}, which the model was fitted on")
            extra = [column for column in frame.columns if column not in self.features]
            if extra and not dropping:
                raise DataError(f"the split {name} has {_quoted(extra)}, which the model was not fitted on")
            frame = frame[list(self.features)]
        if self.n_features is not None and frame.shape[1] != self.n_features:
            raise DataError(
                f"the split {name} has {frame.shape[1]} features, and the model was fitted on {self.n_features}"
            )
        return frame.reset_index(drop=True)


def reader_for(estimator: Any, target: str | None, root: Path) -> Reader:
    """A reader of data for a fitted estimator."""
    names = getattr(estimator, "feature_names_in_", None)
    count = getattr(estimator, "n_features_in_", None)
    return Reader(
        None if names is None else tuple(map(str, names)), None if count is None else int(count), target, root
    )


def read_splits(reader: Reader, splits: Mapping[str, SplitValue]) -> dict[str, Split]:
    """All splits by name, in the given order; they must agree in their columns."""
    found = {name: reader.read(name, value) for name, value in splits.items()}
    first = next(iter(found.values()))
    for split in found.values():
        if list(split.X.columns) != list(first.X.columns):
            raise DataError(f"the splits {first.name} and {split.name} have different columns")
        if len(split.X) == 0:
            raise DataError(f"the split {split.name} has no rows")
    return found


def _as_frame(name: str, X: Any, features: tuple[str, ...] | None) -> pd.DataFrame:
    if isinstance(X, pd.DataFrame):
        if all(isinstance(column, str) for column in X.columns):
            return X
        return X.set_axis([f"x{i}" for i in range(X.shape[1])], axis=1)
    if hasattr(X, "tocsr"):
        raise DataError(f"X of the split {name} is sparse; a served model takes a table", hint="give a DataFrame")
    array = np.asarray(X)
    if array.ndim != 2:
        raise DataError(
            f"X of the split {name} has {array.ndim} dimension(s); a served model takes a table",
            hint="give a DataFrame; a vectorizer reads one of its columns inside a ColumnTransformer",
        )
    named = features is not None and len(features) == array.shape[1]
    columns = list(features) if named and features else [f"x{i}" for i in range(array.shape[1])]
    return pd.DataFrame(array, columns=columns).infer_objects()


def _as_target(name: str, y: Any, target: str | None) -> pd.DataFrame:
    if isinstance(y, pd.DataFrame):
        return y.reset_index(drop=True)
    if isinstance(y, pd.Series):
        return y.reset_index(drop=True).to_frame(target or (str(y.name) if y.name is not None else "target"))
    array = np.asarray(y)
    if array.ndim not in (1, 2):
        raise DataError(f"y of the split {name} has {array.ndim} dimensions")
    if array.ndim == 1:
        return pd.DataFrame({target or "target": array})
    return pd.DataFrame(array, columns=[f"{target or 'target'}_{i}" for i in range(array.shape[1])])


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"the data file {path} does not exist") from error
    except OSError as error:
        raise DataError(f"the data file {path} cannot be read: {error.strerror}") from error


def _read_table(path: Path) -> pd.DataFrame:
    name = path.name.lower()
    try:
        if name.endswith(_CSV):
            return pd.read_csv(path, sep="\t" if name.endswith(".tsv") else ",")
        if name.endswith((".parquet", ".pq")):
            return pd.read_parquet(path)
    except ImportError as error:
        raise DataError(f"reading {path} needs pyarrow", hint="pip install modelimg[parquet]") from error
    except (ValueError, OSError, pd.errors.ParserError, EOFError) as error:
        kind = "CSV" if name.endswith(_CSV) else "Parquet"
        raise DataError(f"{path} cannot be read as {kind}: {_first_line(error)}") from error
    raise DataError(f"{path} is of no known kind", hint=f"known are {', '.join(_CSV)} and .parquet")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _quoted(names: Sequence[str]) -> str:
    shown = ", ".join(repr(str(name)) for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"the column{'s' if len(names) > 1 else ''} {shown}{more}"
