"""The model file: its bytes, what they refer to, and the estimator that they hold."""

from __future__ import annotations

import io
import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
from sklearn.base import is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from modelimg.errors import ModelFileError
from modelimg.oci.values import Digest
from modelimg.pack.allowlist import AllowList
from modelimg.pack.distributions import Installed, is_standard
from modelimg_runtime import contract, unpickle
from modelimg_runtime.values import json_values

_FORMATS = {".joblib": "joblib", ".pkl": "pickle", ".pickle": "pickle"}
_FILES = {"joblib": "model.joblib", "pickle": "model.pkl"}
_COMPRESSED = (b"\x78", b"\x1f\x8b", b"BZ", b"\xfd7zXZ", b"\x5d\x00", b"\x04\x22\x4d\x18")
_OWN_PACKAGES = ("sklearn", "numpy", "scipy", "pandas", "joblib")


@dataclass(frozen=True)
class PackedModel:
    """A model file that was loaded under the allow-list.

    Attributes:
        data: the bytes that are shipped, hashed and loaded.
        file: what the manifest says of them.
        estimator: the fitted object that they hold.
        task: ``classification``, ``regression`` or ``other``.
        classes: the classifier's classes as JSON values, in the order of its probabilities; empty otherwise.
    """

    data: bytes
    file: contract.ModelFile
    estimator: Any
    task: str
    classes: tuple[Any, ...]


def read_model(model: Any, allowed: AllowList, root: Path) -> PackedModel:
    """Load a model under the allow-list, recording what it refers to.

    Args:
        model: a fitted estimator, which is saved with joblib, or a path relative to ``root``.
        allowed: the policy.
        root: folder that a relative path starts from.

    Raises:
        ModelFileError: missing, truncated, refused, made by another scikit-learn, no estimator, or not fitted.
    """
    if isinstance(model, str | Path):
        path = root / model
        data, where = _read(path), str(path)
        format = _format_of(path, data)  # noqa: A001 - the field's word
    else:
        data, where, format = _dumped(model), "the model", "joblib"  # noqa: A001
    loaded = _load(data, format, allowed, where)
    estimator = loaded.object
    _require_fitted_estimator(estimator, where)
    kind = type(estimator)
    trust = tuple(sorted(allowed.trust))
    file = contract.ModelFile(
        file=_FILES[format],
        format=format,
        estimator=f"{kind.__module__}.{kind.__qualname__}",
        sha256=Digest.of(data).hex,
        globals=loaded.globals,
        trust=trust,
    )
    return PackedModel(data, file, estimator, _task(estimator), _classes(estimator))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelFileError(f"the model file {path} does not exist") from error
    except OSError as error:
        raise ModelFileError(f"the model file {path} cannot be read: {error.strerror}") from error


def _format_of(path: Path, data: bytes) -> str:
    """By the ending, but for joblib files that were saved as ``.pkl``, which many are."""
    if path.suffix not in _FORMATS:
        raise ModelFileError(
            f"the model file {path} has no known ending",
            hint=f"known are {', '.join(_FORMATS)}; save it by joblib.dump",
        )
    if data.startswith(_COMPRESSED) or b"joblib.numpy_pickle" in data:
        return "joblib"
    return _FORMATS[path.suffix]


def _dumped(model: Any) -> bytes:
    buffer = io.BytesIO()
    try:
        joblib.dump(model, buffer)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ModelFileError(
            f"the {type(model).__name__} cannot be saved: {error}",
            hint="functions and classes that a model holds must stand in a module, not inside a function or a lambda",
        ) from error
    return buffer.getvalue()


def _load(data: bytes, format: str, allowed: AllowList, where: str) -> unpickle.Loaded:  # noqa: A002
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            loaded = unpickle.load(data, format, allowed)
        except unpickle.RefusedGlobal as refused:
            raise _refusal(refused, where) from refused
        except unpickle.UnpickleError as error:
            raise ModelFileError(f"{where} cannot be loaded: {error}") from error
    for warning in caught:
        fitted = getattr(warning.message, "original_sklearn_version", None)
        if fitted is not None:
            here = getattr(warning.message, "current_sklearn_version", "another")
            raise ModelFileError(
                f"{where} was fitted by scikit-learn {fitted}, and scikit-learn {here} is installed here",
                hint="pack in the environment that the model was trained in",
            )
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return loaded


def _refusal(refused: unpickle.RefusedGlobal, where: str) -> ModelFileError:
    module, name = refused.module, refused.name
    top = module.partition(".")[0]
    if module == "__main__":
        return ModelFileError(
            f"{where} needs {name}, which was defined in the training script itself",
            hint=f"move {name} into a module of its own, import it from there, and name that file in [model] code",
        )
    if not is_standard(top) and top not in _OWN_PACKAGES and not Installed().owners(module):
        return ModelFileError(
            f"{where} needs {module}.{name}, and the module {module} belongs to no installed distribution",
            hint=f'if it is your own, have it packed: [model] code = ["{top}.py"], or the folder of the package {top}',
        )
    if is_standard(top):
        hint = "an honest model seldom needs this, so do not load the file by other means; if you made it and know why"
    else:
        hint = "if you know it and trust it"
    return ModelFileError(
        f"{where} refers to {module}.{name}, which is not allowed, and nothing of it was run",
        hint=f'{hint}: [model] trust = ["{module}.{name}"]',
    )


def _require_fitted_estimator(estimator: Any, where: str) -> None:
    if not hasattr(estimator, "predict") or isinstance(estimator, type):
        raise ModelFileError(
            f"{where} holds a {type(estimator).__name__}, which is no estimator: it has no predict",
            hint="save the fitted estimator or pipeline itself",
        )
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise ModelFileError(f"{where} holds a {type(estimator).__name__} that is not fitted") from error
    except TypeError as error:
        raise ModelFileError(f"{where} holds a {type(estimator).__name__}, which is no estimator: {error}") from error


def _task(estimator: Any) -> str:
    if is_classifier(estimator):
        return "classification"
    return "regression" if is_regressor(estimator) else "other"


def _classes(estimator: Any) -> tuple[Any, ...]:
    """Of a classifier with one output; with several, each has classes of its own."""
    classes = getattr(estimator, "classes_", None)
    if _task(estimator) != "classification" or classes is None or isinstance(classes, list):
        return ()
    return plain_labels(classes)


def plain_labels(labels: Any) -> tuple[Any, ...]:
    """Class labels as JSON values; NumPy's strings pass for ``str`` everywhere but in a ``repr``."""
    return tuple(str(label) if isinstance(label, str) else label for label in json_values(labels))
