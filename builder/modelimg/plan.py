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
from typing import Any, Literal

import modelimg_runtime
from modelimg import __version__
from modelimg.base.resolve import ResolvedBase
from modelimg.cache import Cache
from modelimg.errors import BaseError, PackageError, RequirementsError
from modelimg.labels import image_labels
from modelimg.oci.image import HealthCheck, RunConfig
from modelimg.oci.values import Digest, Platform
from modelimg.pack.package import ModelPackage
from modelimg.pins import WheelPin
from modelimg.pruning import Pruning
from modelimg_runtime import contract

ASSEMBLY_VERSION = 3
"""Raised with every change that alters a byte of a layer made from the same inputs."""

ByteCode = Literal["imported", "none"]

ENV_PYCACHE_PREFIX = "PYTHONPYCACHEPREFIX"
"""Python's own variable; an image with byte code sets it."""

_WHEELS = "wheels"
_LOWER = ("dependencies", "runtime", "bytecode")


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
        name: ``dependencies``, ``runtime``, ``bytecode``, ``code`` or ``model``.
        wheels: unpacked into the virtual environment.
        files: copied as they are.
        pruning: what wheels lose; None where they stay whole.
        modules: digest of the package's list of modules, where the layer is byte code of them.
    """

    name: str
    wheels: tuple[WheelPin, ...] = ()
    files: tuple[PlannedFile, ...] = ()
    pruning: Pruning | None = None
    modules: Digest | None = None


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
        tags: names that the image gets once it passed the gate.
        created: RFC 3339, UTC.
        template: digest of the user's own Dockerfile template.
        sources: where the files of ``layers`` are on this host; no part of the plan's identity or JSON.
    """

    name: str
    version: str
    platform: Platform
    base: ResolvedBase
    layers: tuple[PlannedLayer, ...]
    run: RunConfig
    tags: tuple[str, ...]
    created: str
    template: Digest | None = None
    modelimg_version: str = __version__
    assembly_version: int = ASSEMBLY_VERSION
    sources: Mapping[Digest, Path] = field(default_factory=dict, compare=False, repr=False)
    template_path: Path | None = field(default=None, compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; host paths left out."""
        data = asdict(replace(self, sources={}, template_path=None, base=self.base.without_image()))
        del data["sources"], data["template_path"], data["base"]["image"]
        plain: dict[str, Any] = _plain(data | {"bytecode": self.bytecode})
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
    def bytecode(self) -> ByteCode:
        """Whether the image holds byte code of what the self-test imports."""
        return "imported" if any(layer.modules for layer in self.layers) else "none"

    @property
    def key(self) -> str:
        """What the image's content follows from: the whole plan but for its tags."""
        return hashlib.sha256(replace(self, tags=()).to_json().encode()).hexdigest()

    def layer_key(self, layer: PlannedLayer) -> str:
        """What a layer's bytes follow from: for byte code, the layers below and the base's exact interpreter."""
        facts = [self.assembly_version, self.base.python_minor, self.base.interpreter, _plain(asdict(layer))]
        if layer.modules:
            below = self.layers[: self.layers.index(layer)]
            facts += [str(self.base.digest), *(self.layer_key(one) for one in below)]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def make_plan(
    package: ModelPackage,
    base: ResolvedBase,
    *,
    tags: Sequence[str] = (),
    created: str,
    template: Path | None = None,
    bytecode: ByteCode = "none",
    cache: Cache | None = None,
) -> BuildPlan:
    """Resolve a package and a base into a plan.

    Args:
        package: read and checked.
        base: resolved and pinned, for the platform to build.
        tags: full image names.
        created: what the image says of its age, RFC 3339.
        template: the user's own Dockerfile template, if any.
        bytecode: whether the image gets byte code of the modules that the self-test imports.
        cache: remembers which wheels of a lock fit, so that the lock is not read again.

    Raises:
        BaseError: the base's Python or C library does not fit the lock; the message names both.
        RequirementsError: the package has no lock for this platform, or a wheel does not fit.
    """
    wheels = _fitting_wheels(package, base, cache)
    sources: dict[Digest, Path] = {}
    pruning = Pruning() if package.manifest.image.prune else None
    modules = _imported_modules(package, sources) if bytecode == "imported" else None
    planned = [
        PlannedLayer("dependencies", wheels=wheels, pruning=pruning),
        PlannedLayer("runtime", files=_runtime_files(sources)),
        PlannedLayer("bytecode", modules=modules, pruning=pruning),
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
        layers=tuple(layer for layer in planned if layer.wheels or layer.files or layer.modules),
        run=run_config(base, image_labels(package, base, created), bytecode),
        tags=tuple(tags),
        created=created,
        template=Digest.of(template.read_bytes()) if template else None,
        sources=sources,
        template_path=template,
    )


def _fitting_wheels(package: ModelPackage, base: ResolvedBase, cache: Cache | None) -> tuple[WheelPin, ...]:
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
    name = contract.serving_lock(str(base.platform))
    key = json.dumps([manifest.files[name], locked, str(base.platform), base.glibc])
    if cache and (known := cache.recall(_WHEELS, key)) is not None:
        return tuple(WheelPin.from_dict(pin) for pin in known)
    from modelimg.locks import read_lock, select_wheels  # takes longer to import than all the rest of a plan

    pins = select_wheels(read_lock(package.path / name), python=locked, platform=base.platform, glibc=base.glibc)
    if cache:
        cache.note(_WHEELS, key, [pin.to_dict() for pin in pins])
    return pins


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
    unused = (package.manifest.image.template, contract.IMPORTS)
    code_prefix, wheels_prefix = f"{contract.CODE_DIR}/", f"{contract.WHEELS_DIR}/"
    planned = (
        []
        if code
        else [_planned(f"{contract.MODEL_PATH}/{contract.MANIFEST}", package.path / contract.MANIFEST, sources)]
    )
    for name, sha256 in package.manifest.files.items():
        if name in unused or name.startswith(wheels_prefix) or name.startswith(code_prefix) != code:
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


def _imported_modules(package: ModelPackage, sources: dict[Digest, Path]) -> Digest:
    sha256 = package.manifest.files.get(contract.IMPORTS)
    if sha256 is None:
        raise PackageError(
            f"{package.path} has no {contract.IMPORTS}, which says what byte code to make",
            hint="pack it again with this version of modelimg, or build with --bytecode none",
        )
    sources[Digest(sha256)] = package.path / contract.IMPORTS
    return Digest(sha256)


def run_config(base: ResolvedBase, labels: Mapping[str, str], bytecode: ByteCode) -> RunConfig:
    """How containers of a model image on a base run; what a build and a rebase agree on.

    Args:
        base: whose environment, working folder, ports, volumes and labels are inherited.
        labels: the image's own.
        bytecode: whether the image holds byte code.
    """
    variables = {
        contract.ENV_MODEL_DIR: contract.MODEL_PATH,
        "PATH": f"{contract.VENV_PATH}/bin:{base.path}",
        "PYTHONPATH": f"{contract.RUNTIME_PATH}:{contract.CODE_PATH}",
        "PYTHONDONTWRITEBYTECODE": "1",  # the image is read-only to its user
        "PYTHONUNBUFFERED": "1",
    }
    if bytecode == "imported":
        variables[ENV_PYCACHE_PREFIX] = contract.PYCACHE_PATH
    inherited = {"PATH": "", **dict(item.partition("=")[::2] for item in base.run.env)}  # the order that Docker makes
    return RunConfig(
        env=tuple(f"{key}={value}" for key, value in {**inherited, **dict(sorted(variables.items()))}.items()),
        user=f"{contract.USER_ID}:{contract.USER_ID}",
        entrypoint=(contract.PYTHON_PATH, "-m", "modelimg_runtime"),
        cmd=("serve",),
        working_dir=base.run.working_dir,
        exposed_ports=tuple(sorted({*base.run.exposed_ports, f"{contract.DEFAULT_PORT}/tcp"})),
        volumes=base.run.volumes,
        stop_signal="SIGTERM",
        labels=dict(sorted({**base.run.labels, **labels}.items())),
        health=HealthCheck((contract.PYTHON_PATH, "-m", "modelimg_runtime", "health")),
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
