"""Everything that a build will do, resolved and pinned: package + base → `BuildPlan`.

A plan is plain frozen data. Printing it as JSON is the dry run; two plans with the same JSON give the same layers.
All reading of files ends here, but for blobs that are fetched by their digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import modelimg_runtime
from modelimg import __version__
from modelimg.base.resolve import ResolvedBase
from modelimg.errors import BaseError, RequirementsError
from modelimg.labels import image_labels
from modelimg.locks import WheelPin, read_lock, select_wheels
from modelimg.oci.image import RunConfig
from modelimg.oci.values import Digest, Platform
from modelimg.pack.package import ModelPackage
from modelimg.wheels import Pruning
from modelimg_runtime import contract

ASSEMBLY_VERSION = 1
"""Raised with every change that alters a byte of a layer made from the same inputs."""

_LOWER = ("dependencies", "runtime")


@dataclass(frozen=True)
class PlannedFile:
    """A file of a layer: where it goes in the image (no leading slash) and what its bytes are."""

    path: str
    digest: Digest
    size: int


@dataclass(frozen=True)
class PlannedLayer:
    """What one layer is made of.

    Attributes:
        name: ``dependencies``, ``runtime``, ``code`` or ``model``.
        wheels: unpacked into the virtual environment.
        files: copied as they are.
        pruning: what wheels lose; None where they stay whole.
    """

    name: str
    wheels: tuple[WheelPin, ...] = ()
    files: tuple[PlannedFile, ...] = ()
    pruning: Pruning | None = None


@dataclass(frozen=True)
class HealthCheck:
    """The Dockerfile's HEALTHCHECK in exec form; times in seconds."""

    command: tuple[str, ...]
    interval: int = 30
    timeout: int = 5
    start_period: int = 60
    retries: int = 3


@dataclass(frozen=True)
class BuildPlan:
    """See the module.

    Attributes:
        name: of the model.
        version: of the model.
        platform: of the image.
        base: what it stands on.
        layers: lowest first; the model is the last.
        run: how a container of it runs, labels included.
        health: its health check.
        tags: names that the image gets once it passed the gate.
        created: RFC 3339, UTC.
        bytecode: ``none`` or ``imported``.
        template: digest of the user's own Dockerfile template.
        sources: where the files of ``layers`` are on this host; no part of the plan's identity or JSON.
    """

    name: str
    version: str
    platform: Platform
    base: ResolvedBase
    layers: tuple[PlannedLayer, ...]
    run: RunConfig
    health: HealthCheck
    tags: tuple[str, ...]
    created: str
    bytecode: str = "none"
    template: Digest | None = None
    modelimg_version: str = __version__
    assembly_version: int = ASSEMBLY_VERSION
    sources: Mapping[Digest, Path] = field(default_factory=dict, compare=False, repr=False)
    template_path: Path | None = field(default=None, compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; host paths left out."""
        data = asdict(replace(self, sources={}, template_path=None, base=self.base.without_files()))
        del data["sources"], data["template_path"]
        plain: dict[str, Any] = _plain(data)
        return plain

    def to_json(self) -> str:
        """The plan, as ``modelimg build --dry-run`` prints it."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @property
    def lower_layers(self) -> tuple[PlannedLayer, ...]:
        """What stays when the user's code or the model changes."""
        return tuple(layer for layer in self.layers if layer.name in _LOWER)

    @property
    def upper_layers(self) -> tuple[PlannedLayer, ...]:
        """The user's code, where there is some, and the model."""
        return tuple(layer for layer in self.layers if layer.name not in _LOWER)

    @property
    def key(self) -> str:
        """What the image's content follows from: the whole plan but for its tags."""
        return hashlib.sha256(replace(self, tags=()).to_json().encode()).hexdigest()

    def layer_key(self, layer: PlannedLayer) -> str:
        """What a layer's bytes follow from."""
        facts = [self.assembly_version, self.base.python_minor, self.base.interpreter, _plain(asdict(layer))]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def make_plan(
    package: ModelPackage,
    base: ResolvedBase,
    *,
    tags: Sequence[str] = (),
    created: str,
    template: Path | None = None,
) -> BuildPlan:
    """Resolve a package and a base into a plan.

    Args:
        package: read and checked.
        base: resolved and pinned, for the platform to build.
        tags: full image names.
        created: what the image says of its age, RFC 3339.
        template: the user's own Dockerfile template, if any.

    Raises:
        BaseError: the base's Python or C library does not fit the lock; the message names both.
        RequirementsError: the package has no lock for this platform, or a wheel does not fit.
    """
    wheels = _fitting_wheels(package, base)
    sources: dict[Digest, Path] = {}
    planned = [
        PlannedLayer("dependencies", wheels=wheels, pruning=Pruning() if package.manifest.image.prune else None),
        PlannedLayer("runtime", files=_runtime_files(sources)),
        PlannedLayer("code", files=_package_files(package, sources, code=True)),
        PlannedLayer("model", files=_package_files(package, sources, code=False)),
    ]
    for pin in wheels:
        if pin.path:
            sources[pin.digest] = package.path / pin.path
    return BuildPlan(
        name=package.manifest.name,
        version=package.manifest.version,
        platform=base.platform,
        base=base,
        layers=tuple(layer for layer in planned if layer.wheels or layer.files),
        run=_run_config(package, base, created),
        health=HealthCheck((contract.PYTHON_PATH, "-m", "modelimg_runtime", "health")),
        tags=tuple(tags),
        created=created,
        template=Digest.of(template.read_bytes()) if template else None,
        sources=sources,
        template_path=template,
    )


def _fitting_wheels(package: ModelPackage, base: ResolvedBase) -> tuple[WheelPin, ...]:
    manifest = package.manifest
    locked = ".".join(manifest.python.split(".")[:2])
    if base.python_minor != locked:
        raise BaseError(
            f"the base {base.name} has Python {base.python_minor}, but {package.path} is locked for Python {locked}",
            hint=f"choose a base with Python {locked}, or train and pack with Python {base.python_minor}",
        )
    if base.libc != "glibc":
        raise BaseError(
            f"the base {base.name} has the C library {base.libc}, but the lock holds wheels for glibc",
            hint="choose a base with glibc, such as deb:bookworm or python:3.11-slim",
        )
    if str(base.platform) not in manifest.platforms:
        raise RequirementsError(
            f"{package.path} is locked for {', '.join(manifest.platforms)}, not for {base.platform}",
            hint=f"pack again with --platform {base.platform}",
        )
    lock = read_lock(package.path / contract.serving_lock(str(base.platform)))
    return select_wheels(lock, python=locked, platform=base.platform, glibc=base.glibc)


def _runtime_files(sources: dict[Digest, Path]) -> tuple[PlannedFile, ...]:
    """The runtime's own modules, as they are installed here."""
    root = Path(modelimg_runtime.__file__).parent
    prefix = f"{contract.RUNTIME_PATH}/modelimg_runtime"
    modules = sorted(root.rglob("*.py"))
    return tuple(_planned(f"{prefix}/{path.relative_to(root).as_posix()}", path, sources) for path in modules)


def _package_files(package: ModelPackage, sources: dict[Digest, Path], *, code: bool) -> tuple[PlannedFile, ...]:
    """The user's code, or the model package without it and without what only the build needs.

    The digests are those that reading the package has just checked: a large model is hashed once.
    """
    template = package.manifest.image.template
    code_prefix, wheels_prefix = f"{contract.CODE_DIR}/", f"{contract.WHEELS_DIR}/"
    planned = (
        []
        if code
        else [_planned(f"{contract.MODEL_PATH}/{contract.MANIFEST}", package.path / contract.MANIFEST, sources)]
    )
    for name, sha256 in package.manifest.files.items():
        if name == template or name.startswith(wheels_prefix) or name.startswith(code_prefix) != code:
            continue
        path = f"{contract.CODE_PATH}/{name.removeprefix(code_prefix)}" if code else f"{contract.MODEL_PATH}/{name}"
        planned.append(_planned(path, package.path / name, sources, Digest(sha256)))
    return tuple(sorted(planned, key=lambda file: file.path))


def _planned(path: str, source: Path, sources: dict[Digest, Path], known: Digest | None = None) -> PlannedFile:
    """A file at an absolute path of the image; hashed here unless its digest is known."""
    with source.open("rb") as stream:
        digest = known or Digest.of_stream(stream)
    sources[digest] = source
    return PlannedFile(path.lstrip("/"), digest, source.stat().st_size)


def _run_config(package: ModelPackage, base: ResolvedBase, created: str) -> RunConfig:
    variables = {
        contract.ENV_MODEL_DIR: contract.MODEL_PATH,
        "PATH": f"{contract.VENV_PATH}/bin:{base.path}",
        "PYTHONPATH": f"{contract.RUNTIME_PATH}:{contract.CODE_PATH}",
        "PYTHONDONTWRITEBYTECODE": "1",  # the image is read-only to its user
        "PYTHONUNBUFFERED": "1",
    }
    variables = {**dict(item.split("=", 1) for item in base.env), **variables}
    return RunConfig(
        env=tuple(f"{key}={value}" for key, value in sorted(variables.items())),
        user=f"{contract.USER_ID}:{contract.USER_ID}",
        entrypoint=(contract.PYTHON_PATH, "-m", "modelimg_runtime"),
        cmd=("serve",),
        exposed_ports=(f"{contract.DEFAULT_PORT}/tcp",),
        stop_signal="SIGTERM",
        labels=image_labels(package, base, created),
    )


def _plain(value: Any) -> Any:
    """Dataclass leaves as JSON: a digest as ``sha256:…``, everything else as it is."""
    if isinstance(value, dict):
        if value.keys() == {"hex"}:
            return f"sha256:{value['hex']}"
        if value.keys() == {"os", "architecture"}:
            return f"{value['os']}/{value['architecture']}"
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
