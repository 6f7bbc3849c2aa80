"""Replaying the packed examples: does the model here say what it said in training?"""

from __future__ import annotations

import logging
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from modelimg_runtime import contract
from modelimg_runtime.columns import Prediction
from modelimg_runtime.errors import InputRejected, ModelRefused, OutputRejected, RuntimeFault
from modelimg_runtime.package import open_package
from modelimg_runtime.served import ServedModel, open_served

log = logging.getLogger(__name__)

_SMALLEST_DIFFERENCE = 1e-12
"""Floats nearer than this are equal whatever their ratio: sums that should be zero differ by the last bits."""


@dataclass(frozen=True)
class Difference:
    """One example that comes out differently: ``{"prediction": …}``, with ``"probabilities"`` where there are any."""

    row: int
    expected: Mapping[str, Any]
    got: Mapping[str, Any]


@dataclass(frozen=True)
class VersionDifference:
    """A package that is installed here in another version than in the training environment."""

    name: str
    training: str
    image: str


@dataclass(frozen=True)
class SelfTest:
    """Verdict of a self-test, printed as one line of JSON.

    Attributes:
        passed: every example came out as in training.
        examples: how many were replayed.
        differences: those that came out differently.
        versions: packages whose version differs from training; those of the training lock that are installed here.
        python: the running interpreter's version.
        fast_path: whether scikit-learn is passed by; its answers to the examples were then the same bits.
        error: why nothing could be replayed.
    """

    passed: bool
    examples: int
    differences: tuple[Difference, ...]
    versions: tuple[VersionDifference, ...]
    python: str
    fast_path: bool = False
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def selftest(folder: Path) -> SelfTest:
    """Load a package with all checks and replay its examples through validate → predict → validate.

    Where there is a fast path, its answers must be the very same.
    """
    try:
        served = open_served(folder, fast_path=True)
        _check_fast_path(served)
        differences = replay(served)
    except (InputRejected, OutputRejected) as error:
        return _failed(folder, f"{error}: {error.violations[0]}")
    except RuntimeFault as error:
        return _failed(folder, str(error))
    except Exception as error:  # the model's own code may raise anything; the verdict must still be given
        log.exception("the self-test failed")
        return _failed(folder, f"{type(error).__name__}: {error}")
    return SelfTest(
        not differences,
        len(served.examples.rows),
        tuple(differences),
        version_differences(folder),
        platform.python_version(),
        fast_path=served.lane is not None,
    )


def _check_fast_path(served: ServedModel) -> None:
    if served.lane is None:
        return
    columns = example_columns(served.examples)
    quick, expected = served.lane.predict_columns(columns), served.predictor.predict_columns(columns)
    if quick != expected:
        raise ModelRefused(
            f"{contract.FAST_PATH} says that scikit-learn can be passed by, and here the answers to the examples differ"
        )


def example_columns(examples: contract.Examples) -> dict[str, list[Any]]:
    """The packed rows, as columns of JSON values."""
    return {name: [row[i] for row in examples.rows] for i, name in enumerate(examples.columns)}


def replay(model: ServedModel) -> list[Difference]:
    """The packed examples whose predictions differ here.

    Raises:
        InputRejected: the examples break the input schema.
        OutputRejected: the answers break the output schema.
    """
    examples = model.examples
    answer: Prediction = model.predict_columns(example_columns(examples))
    expected = _answers(examples.predictions, examples.probabilities)
    got = _answers(answer.predictions, answer.probabilities if examples.probabilities is not None else None)
    return [
        Difference(row, then, now)
        for row, (then, now) in enumerate(zip(expected, got, strict=True))
        if not _equal(then, now, examples.rtol)
    ]


def locked_versions(lock: str) -> dict[str, str]:
    """Package names and versions of a ``pylock.toml``.

    Python 3.10 has no TOML reader, and two keys of one kind of table are all that is wanted: ``name`` and ``version``
    in ``[[packages]]``, where PEP 751's writers put them on lines of their own.
    """
    versions: dict[str, str] = {}
    table, name = "", ""
    for line in lock.splitlines():
        key, _, value = (part.strip() for part in line.partition("="))
        if line.startswith("["):
            table, name = line.strip(), ""
        elif table == "[[packages]]" and key == "name":
            name = value.strip("\"'")
        elif table == "[[packages]]" and key == "version" and name:
            versions[name] = value.strip("\"'")
    return versions


def version_differences(folder: Path) -> tuple[VersionDifference, ...]:
    """Packages of the training lock that are installed here in another version, as far as the lock can be read."""
    try:
        lock = open_package(folder).read(contract.TRAINING_LOCK).decode()
    except (RuntimeFault, UnicodeDecodeError):
        return ()
    installed = {name: _installed(name) for name in locked_versions(lock)}
    return tuple(
        VersionDifference(name, version, here)
        for name, version in sorted(locked_versions(lock).items())
        if (here := installed[name]) is not None and here != version
    )


def _answers(predictions: Any, probabilities: Any) -> list[dict[str, Any]]:
    if probabilities is None:
        return [{"prediction": prediction} for prediction in predictions]
    pairs = zip(predictions, probabilities, strict=True)
    return [{"prediction": prediction, "probabilities": list(row)} for prediction, row in pairs]


def _equal(expected: Any, got: Any, rtol: float) -> bool:
    if isinstance(expected, dict):
        return expected.keys() == got.keys() and all(_equal(expected[key], got[key], rtol) for key in expected)
    if isinstance(expected, (list, tuple)):
        same_shape = isinstance(got, list) and len(expected) == len(got)
        return same_shape and all(_equal(*pair, rtol) for pair in zip(expected, got, strict=True))
    if isinstance(expected, float) and isinstance(got, (float, int)):
        return math.isclose(expected, got, rel_tol=rtol, abs_tol=_SMALLEST_DIFFERENCE)
    return bool(expected == got)


def _failed(folder: Path, error: str) -> SelfTest:
    return SelfTest(False, 0, (), version_differences(folder), platform.python_version(), error=error)


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
