"""What the builder and the runtime must agree on: file names, paths, environment, and the JSON models.

Only the standard library, so that either side can import it at no cost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

FORMAT_VERSION = 1
"""Version of the model package's layout; a reader refuses a newer one."""

# ---- files of a model package ------------------------------------------------------------------------------

MANIFEST = "modelimg.json"
EXAMPLES = "examples.json"
METRICS = "metrics.json"
PROVENANCE = "provenance.json"
INPUT_SCHEMA = "input_schema.json"
OUTPUT_SCHEMA = "output_schema.json"
INPUT_PROFILE = "input_profile.json"
OUTPUT_PROFILE = "output_profile.json"
SCHEMAS_MODULE = "schemas.py"
TRAINING_LOCK = "training.pylock.toml"
IMPORTS = "imports.txt"
"""Names of the modules that the self-test and the server import, one a line, sorted; byte code is made of them."""
FAST_PATH = "fast_path.json"
"""Whether predicting without scikit-learn gave the same bits as with it when the model was packed."""
CODE_PATCH = "code.patch"
CODE_DIR = "code"
WHEELS_DIR = "wheels"


def serving_lock(platform: str) -> str:
    """File name of the serving lock of an ``os/arch`` platform: ``pylock.linux-amd64.toml``."""
    return f"pylock.{platform.replace('/', '-')}.toml"


# ---- paths in the image ------------------------------------------------------------------------------------

PREFIX = "/modelimg"
VENV_PATH = f"{PREFIX}/venv"
PYTHON_PATH = f"{VENV_PATH}/bin/python"
RUNTIME_PATH = f"{PREFIX}/runtime"
CODE_PATH = f"{PREFIX}/code"
MODEL_PATH = f"{PREFIX}/model"
PYCACHE_PATH = f"{PREFIX}/__pycache__"
"""Where Python looks for byte code (``PYTHONPYCACHEPREFIX``), the standard library's too: no folder of the base."""
USER_ID = 65532

# ---- environment -------------------------------------------------------------------------------------------

ENV_MODEL_DIR = "MODELIMG_MODEL_DIR"
"""Folder of the model package; the image sets it to ``MODEL_PATH``."""
ENV_HOST = "MODELIMG_HOST"
"""Address to listen on; all of them unless it is set, as a container has to."""
ENV_PORT = "PORT"
ENV_VERTEX_PORT = "AIP_HTTP_PORT"
DEFAULT_PORT = 8080

# ---- what the runtime itself needs in the image ------------------------------------------------------------

RUNTIME_REQUIREMENTS: tuple[str, ...] = (
    "joblib",
    "pandas>=2.1.1",
    "orjson>=3.10",
    "pandera[pandas]>=0.32",
    "prometheus-client>=0.22",
    "starlette>=0.45",
    "uvicorn>=0.34",
    "uvloop>=0.21",
    "httptools>=0.6.4",
)
PARQUET_REQUIREMENT = "pyarrow>=17"
"""What reading Parquet and Arrow takes: 170 MB, so only where the package asks for it."""


@dataclass(frozen=True)
class FastPath:
    """``fast_path.json``.

    Attributes:
        equal: the fast path may be used: on every row it answered as scikit-learn does, bit for bit.
        rows: how many rows were compared.
        reason: why it may not be used.
        batches_equal: scikit-learn gave each row the same bits in batches of several sizes as alone, so that requests
            may be predicted together.
        batch_rows: how many rows were compared so.
        batch_difference: by how much a number of an answer differed at most; None where it was not found out, or where
            something else than a number differed.
    """

    equal: bool
    rows: int = 0
    reason: str | None = None
    batches_equal: bool = False
    batch_rows: int = 0
    batch_difference: float | None = None

    @classmethod
    def from_json(cls, text: str | bytes) -> FastPath:
        """Read ``fast_path.json``; one of a package of before, which says nothing of batches, allows none.

        Raises:
            ValueError: not JSON, or not its fields.
        """
        try:
            data = json.loads(text)
            difference = data.get("batch_difference")
            return cls(
                equal=data["equal"] is True,
                rows=data["rows"],
                reason=data["reason"],
                batches_equal=data.get("batches_equal") is True,
                batch_rows=data.get("batch_rows", 0),
                batch_difference=float(difference) if type(difference) in (int, float) else None,
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{FAST_PATH} lacks a field: {error}") from error

    def to_json(self) -> str:
        """Canonical JSON, ending in a line break."""
        return canonical_json(asdict(self))


PREDICTION = "prediction"
"""Column of the output frame that holds the prediction; ``prediction_0``, ``prediction_1``, … for many outputs."""
PROBABILITY_PREFIX = "probability_"
"""Prefix of the output frame's probability columns, one per class: ``probability_setosa``."""


@dataclass(frozen=True)
class ModelFile:
    """The model's file in the package and what may be loaded from it.

    Attributes:
        file: name in the package, ``model.joblib`` or ``model.pkl``.
        format: ``joblib`` or ``pickle``.
        estimator: dotted class of the fitted object, ``sklearn.pipeline.Pipeline``.
        sha256: hex digest of the file's bytes.
        globals: every ``module name`` pair that the file refers to, sorted; the runtime loads these and no other.
        trust: modules or classes outside the built-in allow-list that the user trusted by name.
    """

    file: str
    format: str
    estimator: str
    sha256: str
    globals: tuple[str, ...]
    trust: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageSettings:
    """The ``[image]`` table of ``modelimg.toml``, carried in the package because ``build`` reads the package only."""

    base: str | None = None
    template: str | None = None
    """File name in the package of the user's own Dockerfile template."""
    prune: bool = True
    parquet: bool = False
    """Whether pyarrow is in the image, to read and write Parquet and Arrow."""


@dataclass(frozen=True)
class ProfileSettings:
    """How much a profile says of single rows of the training data.

    Attributes:
        min_max: whether the least and the largest value of each column may stand in it.
        top: categories of a column that are named, the most frequent ones.
        fold_below: rows that must share what is shown: rarer categories are not named, and no bin is smaller.
    """

    min_max: bool = False
    top: int = 50
    fold_below: int = 10

    def __post_init__(self) -> None:
        if self.top < 0 or self.fold_below < 1:
            raise ValueError(f"top cannot be below 0, nor fold_below below 1; they are {self.top}, {self.fold_below}")


@dataclass(frozen=True)
class PackageManifest:
    """``modelimg.json``: what the package is, and the sha256 of every other file in it.

    Attributes:
        task: ``classification``, ``regression`` or ``other``.
        classes: the classifier's classes, in the order of its probability columns; empty otherwise.
        python: full version of the training interpreter, ``3.11.7``.
        platforms: ``os/arch`` of each serving lock.
        code_modules: importable names of the user's own modules under ``code/``.
        metadata: standard texts where known: description, authors, url, documentation, vendor, licenses.
        schemas: ``{"input": …, "output": …}``, each a JSON file name or ``schemas.py:Name``.
        files: path in the package → hex sha256; everything but ``modelimg.json`` itself.
    """

    name: str
    version: str
    model: ModelFile
    task: str
    python: str
    platforms: tuple[str, ...]
    schemas: Mapping[str, str]
    files: Mapping[str, str]
    classes: tuple[Any, ...] = ()
    target: str | None = None
    code_modules: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    image: ImageSettings = field(default_factory=ImageSettings)
    format_version: int = FORMAT_VERSION

    @classmethod
    def from_json(cls, text: str | bytes) -> PackageManifest:
        """Read ``modelimg.json``.

        Raises:
            ValueError: not JSON, of a newer format, or lacking a field.
        """
        data = json.loads(text)
        if not isinstance(data, dict) or not isinstance(data.get("format_version"), int):
            raise ValueError(  # noqa: TRY004 - to the caller it is a bad file, whatever is wrong in it
                f"{MANIFEST} is not a model package's manifest"
            )
        if data["format_version"] > FORMAT_VERSION:
            raise ValueError(
                f"{MANIFEST} has format {data['format_version']}; this modelimg reads up to {FORMAT_VERSION}"
            )
        try:
            data["model"] = ModelFile(**_tuples(data["model"], ("globals", "trust")))
            data["image"] = ImageSettings(**data.get("image", {}))
            return cls(**_tuples(data, ("platforms", "classes", "code_modules")))
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{MANIFEST} lacks or misnames a field: {error}") from error

    def to_json(self) -> str:
        """Canonical JSON, ending in a line break."""
        return canonical_json(asdict(self))


@dataclass(frozen=True)
class Examples:
    """``examples.json``: a few input rows with the predictions made in the training environment.

    Attributes:
        columns: input columns in order.
        rows: one list of JSON values per row; a missing value is null.
        predictions: one JSON value per row (a list where there are many outputs).
        probabilities: one list per row in the order of the manifest's ``classes``; null where the model has none.
        rtol: relative tolerance for floats on another machine; everything else must be equal.
    """

    columns: tuple[str, ...]
    rows: tuple[Sequence[Any], ...]
    predictions: tuple[Any, ...]
    probabilities: tuple[Sequence[float], ...] | None = None
    rtol: float = 1e-9

    @classmethod
    def from_json(cls, text: str | bytes) -> Examples:
        """Read ``examples.json``.

        Raises:
            ValueError: not JSON, or lacking a field.
        """
        try:
            data = _tuples(json.loads(text), ("columns", "rows", "predictions", "probabilities"))
            return cls(**{f.name: data[f.name] for f in fields(cls) if f.name in data})
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{EXAMPLES} lacks or misnames a field: {error}") from error

    def to_json(self) -> str:
        """Canonical JSON, ending in a line break."""
        return canonical_json(asdict(self))


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, two spaces, shortest round-trip floats, no NaN, and a line break at its end.

    Raises:
        ValueError: the value holds a NaN or an infinity.
    """
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _tuples(data: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {key: tuple(value) if key in names and value is not None else value for key, value in data.items()}
