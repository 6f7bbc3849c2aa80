"""``modelimg.toml``: what the user asked to be packed. docs/reference/modelimg-toml.md explains every key.

Light on purpose: reading a spec needs neither pandas nor scikit-learn.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomllib

from modelimg.errors import SpecError
from modelimg_runtime.contract import ImageSettings, ProfileSettings

if TYPE_CHECKING:
    from modelimg.pack.package import ModelPackage

FILE = "modelimg.toml"


@dataclass(frozen=True)
class DataEntry:
    """A data file as the toml names it: ``"train.csv"`` or ``{path = "train.csv", uri = "s3://…"}``."""

    path: str
    uri: str | None = None


@dataclass(frozen=True)
class PackSpec:
    """What to pack; see the keys of ``KEYS`` for each field. Paths are relative to ``root``, or absolute.

    Attributes:
        root: folder of the toml, or the working directory.
        source: how messages name the toml.
    """

    root: Path
    source: str = FILE
    name: str | None = None
    version: str | None = None
    file: str | None = None
    code: tuple[str, ...] = ()
    trust: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    train: DataEntry | None = None
    test: DataEntry | None = None
    splits: Mapping[str, DataEntry] = field(default_factory=dict)
    input_schema: str | None = None
    output_schema: str | None = None
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    metrics_file: str | None = None
    requirements: str | None = None
    platforms: tuple[str, ...] = ("linux/amd64",)
    training_command: str | None = None
    base: str | None = None
    template: str | None = None
    prune: bool = True
    parquet: bool = False
    profile_file: str | None = None
    min_max: bool = False
    top: int = 50
    fold_below: int = 10


class _Wrong(Exception):  # noqa: N818 - never leaves this module
    """A value of the wrong type; the text says what it must be."""


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _Wrong("text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise _Wrong("a list of texts")
    return tuple(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("true or false")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _Wrong("a whole number from 1")
    return value


def _data(value: Any) -> DataEntry:
    if isinstance(value, str) and value:
        return DataEntry(value)
    if isinstance(value, dict) and "path" in value and value.keys() <= {"path", "uri"}:
        return DataEntry(_text(value["path"]), _text(value["uri"]) if "uri" in value else None)
    raise _Wrong('a path, or a table {path = "…", uri = "…"}')


def _splits(value: Any) -> dict[str, DataEntry]:
    if not isinstance(value, dict):
        raise _Wrong("a table of splits, each a path or {path, uri}")
    return {name: _data(entry) for name, entry in value.items()}


KEYS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "model.name": ("name", _text),
    "model.version": ("version", _text),
    "model.file": ("file", _text),
    "model.code": ("code", _texts),
    "model.trust": ("trust", _texts),
    "model.title": ("metadata", _text),
    "model.description": ("metadata", _text),
    "model.authors": ("metadata", _text),
    "model.url": ("metadata", _text),
    "model.documentation": ("metadata", _text),
    "model.vendor": ("metadata", _text),
    "model.licenses": ("metadata", _text),
    "data.target": ("target", _text),
    "data.train": ("train", _data),
    "data.test": ("test", _data),
    "data.splits": ("splits", _splits),
    "schema.input": ("input_schema", _text),
    "schema.output": ("output_schema", _text),
    "metrics.file": ("metrics_file", _text),
    "requirements.file": ("requirements", _text),
    "requirements.platforms": ("platforms", _texts),
    "training.command": ("training_command", _text),
    "image.base": ("base", _text),
    "image.template": ("template", _text),
    "image.prune": ("prune", _flag),
    "image.parquet": ("parquet", _flag),
    "profile.file": ("profile_file", _text),
    "profile.min_max": ("min_max", _flag),
    "profile.top": ("top", _count),
    "profile.fold_below": ("fold_below", _count),
}
"""Key → field of `PackSpec` and reader of its value. ``[metrics]`` also takes one table per split."""

_TABLES = tuple(dict.fromkeys(key.partition(".")[0] for key in KEYS))
_KINDS = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a table"}
_PATH_FIELDS = frozenset({"file", "code", "requirements", "input_schema", "output_schema", "template", "profile_file"})


def load_spec(path: str | Path) -> PackSpec:
    """Read a ``modelimg.toml``.

    Raises:
        SpecError: missing, not TOML, an unknown key or a value of the wrong type; the message names file and key.
    """
    file = Path(path)
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SpecError(f"{file} does not exist") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"{file} is no TOML: {error}") from error
    found: dict[str, Any] = {"metadata": {}, "metrics": {}}
    for table, values in document.items():
        if table not in _TABLES:
            raise _unknown(str(file), table, _TABLES)
        if not isinstance(values, dict):
            raise SpecError(f"{file}: {table} is {_kind(values)}, and must be a table", hint=f"write [{table}]")
        for key, value in values.items():
            _read(str(file), f"{table}.{key}", value, found)
    return PackSpec(root=file.resolve().parent, source=str(file), **found)


def override(spec: PackSpec, **flags: Any) -> PackSpec:
    """The spec with the flags of the command line laid over it; a flag that is None or empty says nothing.

    Args:
        spec: from the toml, or empty.
        flags: fields of `PackSpec`; paths are relative to the working directory, and data files plain paths.
    """
    known = {each.name for each in fields(PackSpec)}
    given = {name: value for name, value in flags.items() if value not in (None, (), [])}
    if not given.keys() <= known:
        raise TypeError(f"no fields of PackSpec: {sorted(given.keys() - known)}")
    return replace(spec, **{name: _from_flag(name, value) for name, value in given.items()})


def pack_spec(spec: PackSpec, out: str | Path, *, overwrite: bool = True) -> ModelPackage:
    """Write the model package that a spec asks for.

    Raises:
        SpecError: a value is missing.
        UsageError: something asked for cannot be meant.
        PackError: as `modelimg.pack.assemble.pack` says.
    """
    for key, value in {"model.name": spec.name, "model.version": spec.version, "model.file": spec.file}.items():
        if value is None:
            raise _missing(spec, key)
    if spec.train is None:
        raise _missing(spec, "data.train")
    from modelimg.pack.assemble import pack
    from modelimg.pack.data import DataFile

    def data(entry: DataEntry) -> DataFile:
        return DataFile(entry.path, entry.uri)

    return pack(
        Path(str(spec.file)),
        out,
        name=str(spec.name),
        version=str(spec.version),
        train=data(spec.train),
        test=data(spec.test) if spec.test else None,
        splits={name: data(entry) for name, entry in spec.splits.items()},
        input_schema=spec.input_schema,
        output_schema=spec.output_schema,
        metrics=_metrics(spec),
        code=spec.code,
        requirements=spec.requirements,
        platforms=spec.platforms,
        trust=spec.trust,
        overwrite=overwrite,
        target=spec.target,
        metadata=spec.metadata,
        training_command=spec.training_command,
        image=ImageSettings(spec.base, spec.template, spec.prune, spec.parquet),
        profile=spec.profile_file or ProfileSettings(spec.min_max, spec.top, spec.fold_below),
        root=spec.root,
    )


def _read(source: str, key: str, value: Any, found: dict[str, Any]) -> None:
    table, _, name = key.partition(".")
    if table == "metrics" and isinstance(value, dict):
        found["metrics"][name] = value
        return
    if key not in KEYS:
        raise _unknown(source, key, KEYS)
    target, reader = KEYS[key]
    try:
        read = reader(value)
    except _Wrong as wrong:
        raise SpecError(f"{source}: [{table}] {name} is {_kind(value)}, and must be {wrong}") from wrong
    if target == "metadata":
        found["metadata"][name] = read
    else:
        found[target] = read


def _unknown(source: str, key: str, known: Iterable[str]) -> SpecError:
    table, _, name = key.rpartition(".")
    where = f"{source}: [{table}] has no key {name!r}" if table else f"{source}: there is no table [{key}]"
    siblings = [each.rpartition(".")[2] for each in known if each.rpartition(".")[0] == table]
    close = difflib.get_close_matches(name, siblings, n=1)
    if close:
        return SpecError(where, hint=f"did you mean {close[0]!r}?")
    homes = [each.rpartition(".")[0] for each in KEYS if each.rpartition(".")[2] == name]
    if homes:
        return SpecError(where, hint=f"{name!r} belongs into [{homes[0]}]")
    return SpecError(where, hint=f"known are {', '.join(siblings)}")


def _missing(spec: PackSpec, key: str) -> SpecError:
    table, _, name = key.partition(".")
    flag = "the MODEL argument" if key == "model.file" else f"--{name}"
    return SpecError(f"{spec.source} says nothing of [{table}] {name}", hint=f"write it there, or give {flag}")


def _metrics(spec: PackSpec) -> dict[str, Any]:
    """The file's metrics with the toml's own laid over them."""
    if spec.metrics_file is None:
        return dict(spec.metrics)
    path = spec.root / spec.metrics_file
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError(f"the metrics file {path} is no readable JSON: {error}") from error
    if not isinstance(data, dict) or not all(isinstance(values, dict) for values in data.values()):
        raise SpecError(f"the metrics file {path} is no object of splits", hint='write {"test": {"accuracy": 0.9}}')
    return {name: {**data.get(name, {}), **spec.metrics.get(name, {})} for name in [*data, *spec.metrics]}


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _from_flag(name: str, value: Any) -> Any:
    if name in ("train", "test") and not isinstance(value, DataEntry):
        return DataEntry(str(Path(value).absolute()))
    if isinstance(value, list | tuple):
        return tuple(str(Path(item).absolute()) if name in _PATH_FIELDS else str(item) for item in value)
    return str(Path(value).absolute()) if name in _PATH_FIELDS else value
