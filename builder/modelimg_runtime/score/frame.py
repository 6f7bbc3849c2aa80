"""From frame to frame, in any worker of a cluster: what is behind ``modelimg_runtime.batch``."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from modelimg_runtime import contract
from modelimg_runtime.environment import Settings, refuse_weakened_validation
from modelimg_runtime.errors import InputRejected, ModelRefused, PackageUnreadable, Violation
from modelimg_runtime.score.chunks import Fault
from modelimg_runtime.score.layout import Layout, make_layout
from modelimg_runtime.score.selection import Features, Selection
from modelimg_runtime.score.series import values_of_series
from modelimg_runtime.score.split import Scored, score_rows
from modelimg_runtime.values import shown

if TYPE_CHECKING:
    from modelimg_runtime.package import Package
    from modelimg_runtime.served import ServedModel

ERROR = "error"
"""Column that says why a row has no prediction."""
_NAMED = 3
"""Places that the message of an error names."""
_TEXT = "str" if int(pd.__version__.partition(".")[0]) >= 3 else "object"
_DTYPES = {"float": "float64", "int": "int64", "bool": "bool", "str": _TEXT}
_NULLABLE = {"float": "float64", "int": "Int64", "bool": "boolean", "str": _TEXT}


class FrameRejected(InputRejected):
    """A frame breaks the input contract; the message names the first places, since it is all that a cluster shows."""

    def __str__(self) -> str:
        first = "; ".join(map(str, self.violations[:_NAMED]))
        more = len(self.violations) - _NAMED
        return f"{super().__str__()}: {first}{f'; and {more} more' if more > 0 else ''}"


@dataclass(frozen=True)
class _Loaded:
    """A model, as long as its package does not change."""

    digest: str
    model: ServedModel
    features: Features


_loaded: dict[Path, _Loaded] = {}
_own_code: dict[str, Mapping[str, str]] = {}
_lock = threading.Lock()


def score_frame(
    frame: pd.DataFrame, package: str | Path | None, keep: Sequence[str], *, probabilities: bool, errors: str
) -> pd.DataFrame:
    """As `modelimg_runtime.batch`."""
    if errors not in ("raise", "column"):
        raise ValueError(f"errors is 'raise' or 'column', not {errors!r}")
    settings = Settings.from_environ(os.environ)
    loaded = _load(Path(package) if package else settings.model_dir, fast_path=settings.fast_path)
    model = loaded.model
    classes = model.package.manifest.classes
    layout = make_layout(model.examples, classes, probabilities=probabilities, kept=tuple(keep))
    layout.refuse_clash()
    columns = _columns(frame, Selection(loaded.features, tuple(keep)))
    scored = Scored()
    if len(frame) and errors == "raise":
        answer = _predicted(model, columns)
        scored = Scored([*range(len(frame))], answer.predictions, answer.probabilities or [])
    elif len(frame):
        scored = score_rows(model, columns, len(frame))
    return _answer(frame, layout, scored, errors=errors)


def _predicted(model: ServedModel, columns: Mapping[str, Sequence[Any]]) -> Any:
    try:
        return model.predict_columns(columns)
    except InputRejected as error:
        raise FrameRejected(error.violations) from None


def _columns(frame: pd.DataFrame, selection: Selection) -> dict[str, Sequence[Any]]:
    """The model's columns of a frame as JSON values.

    Raises:
        FrameRejected: a column is missing, nobody's, or of a type that its kind does not take.
    """
    names = [str(name) for name in frame.columns]
    twice = [name for name, count in Counter(names).items() if count > 1]
    faults = [*selection.faults(names), *(Violation(None, name, "unique_column_names", None) for name in twice)]
    if faults:
        raise FrameRejected(faults)
    columns: dict[str, Sequence[Any]] = {}
    for place, name in enumerate(names):
        kind = selection.features.own([name]).get(name)
        if kind is not None:
            series = frame.iloc[:, place]
            values = values_of_series(series, kind)
            if values is None:
                raise FrameRejected([Violation(None, name, f"dtype of {kind}", shown(str(series.dtype)))])
            columns[name] = values
    return columns


def _answer(frame: pd.DataFrame, layout: Layout, scored: Scored, *, errors: str) -> pd.DataFrame:
    """The answer's frame; its dtypes are the same whatever the rows are, since a cluster puts many of them together."""
    dtypes = _DTYPES if errors == "raise" else _NULLABLE
    columns: dict[str, Any] = {name: frame[name] for name in layout.kept}
    answers = layout.answers(scored.predictions, scored.probabilities)
    kinds = {**layout.predictions, **dict.fromkeys(layout.probabilities, "float")}
    for name, values in answers.items():
        cells: list[Any] = values
        if scored.faults:
            cells = [None] * len(frame)
            for at, value in zip(scored.positions, values, strict=True):
                cells[at] = value
        columns[name] = pd.Series(cells, index=frame.index, dtype=dtypes[kinds[name]])
    if errors == "column":
        # Never missing: pieces of a table in which all of them are would have no type for a cluster.
        reasons = [_reason(scored.faults.get(at)) for at in range(len(frame))]
        columns[ERROR] = pd.Series(reasons, index=frame.index, dtype=_TEXT)
    return pd.DataFrame(columns, index=frame.index)


def _reason(fault: Fault | None) -> str:
    return "" if fault is None else f"{fault.direction}: {fault}"


def _load(folder: Path, *, fast_path: bool) -> _Loaded:
    """A package's model, loaded once in a process, and again when the package is another."""
    from modelimg_runtime.package import open_package
    from modelimg_runtime.service import open_checked

    folder = folder.resolve()
    with _lock:
        try:
            digest = hashlib.sha256((folder / contract.MANIFEST).read_bytes()).hexdigest()
        except OSError as error:
            raise PackageUnreadable(f"no model package at {folder}: {error.strerror}") from error
        found = _loaded.get(folder)
        if found is None or found.digest != digest:
            refuse_weakened_validation(os.environ)
            _bring_code(open_package(folder))
            model = open_checked(folder, fast_path=fast_path)
            found = _loaded[folder] = _Loaded(digest, model, Features(model))
        return found


def _bring_code(package: Package) -> None:
    """Make the package's own modules importable.

    Raises:
        ModelRefused: other modules of these names were imported before, and a process has one of each name.
    """
    folder = package.folder / contract.CODE_DIR
    if not package.manifest.code_modules or not folder.is_dir():  # in an image, PYTHONPATH has them
        return
    for module in package.manifest.code_modules:
        stem = f"{contract.CODE_DIR}/{module}"
        files = {n: d for n, d in package.manifest.files.items() if n == f"{stem}.py" or n.startswith(f"{stem}/")}
        if module in sys.modules and _own_code.get(module) != files:
            raise ModelRefused(f"the package brings its module {module}, and this process has imported another one")
        _own_code[module] = files
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
