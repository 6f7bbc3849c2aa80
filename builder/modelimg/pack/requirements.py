"""What the image needs: the globals of the model → distributions → one lock per platform.

What the pickle needs is immovable: exactly the versions that are installed here, dependencies included. What the
runtime needs on top is free, but stays at the installed version where nothing speaks against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from modelimg.errors import ModelFileError, RequirementsError
from modelimg.locks import marker_environment
from modelimg.oci.values import Platform
from modelimg.pack import uv
from modelimg.pack.code import Import
from modelimg.pack.distributions import Installed, describe_origin, direct_origin, is_standard
from modelimg.pack.lock import ServingLock, serving_lock, training_lock
from modelimg_runtime import contract

_RUNTIME = "modelimg's runtime"
_MODEL = "the model, at the version installed here"


@dataclass(frozen=True)
class Needs:
    """What must be importable in the image.

    Attributes:
        modules: dotted module → what refers to it, such as ``features.Ratio`` or ``features.py``.
        code: importable names of the user's packed modules.
        extra: requirement lines for what no import shows, such as pyarrow behind a dtype, or for Parquet.
    """

    modules: Mapping[str, str]
    code: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()


@dataclass(frozen=True)
class Locker:
    """Locks for one training environment.

    Attributes:
        python: full version of the interpreter, ``3.11.7``.
        root: folder where uv looks for its configuration.
        file: the user's own ``requirements.txt`` or ``pylock.toml``, which wins.
        installed: what is installed here.
    """

    python: str
    root: Path
    file: Path | None = None
    installed: Installed = field(default_factory=Installed)

    @property
    def minor(self) -> str:
        """``3.11``."""
        return ".".join(self.python.split(".")[:2])

    def serving(self, needs: Needs, platform: Platform) -> ServingLock:
        """The lock that the image is assembled from.

        Raises:
            RequirementsError: what is needed cannot be locked; one sentence for each kind of reason.
        """
        roots = self._roots(needs)
        if self.file is None:
            raw = self._from_environment(roots, needs, platform)
        elif self.file.suffix == ".toml":
            raw = self._from_pylock(self.file)
        else:
            raw = self._from_requirements(self.file, needs, platform)
        lock = serving_lock(raw, python=self.minor, platform=platform)
        if self.file is not None:
            _refuse_missing(self.file, lock, roots, needs)
        return lock

    def training(self) -> str:
        """The lock of the whole training environment, with notes on what no index has.

        Raises:
            RequirementsError: no index answers.
        """
        wanted = dict(self.installed.versions)
        origins = {name: direct_origin(self.installed.distributions[canonicalize_name(name)]) for name in wanted}
        elsewhere = [
            {"name": name, "version": wanted.pop(name), **describe_origin(origin)}
            for name, origin in origins.items()
            if origin
        ]
        raw: Mapping[str, Any] = {"lock-version": "1.0", "created-by": "modelimg", "packages": []}
        while wanted:
            lines = tuple(f"{name}=={version}" for name, version in wanted.items())
            request = uv.Request(lines, self.minor, None, dependencies=False, wheels_only=False, root=self.root)
            try:
                raw = uv.compile_lock(request)
                break
            except uv.Unresolved as error:
                name, reason = _left_out(error, request, wanted)
                elsewhere.append({"name": name, "version": wanted.pop(name), "reason": reason})
        return training_lock(raw, python=self.python, elsewhere=sorted(elsewhere, key=lambda item: item["name"]))

    def _roots(self, needs: Needs) -> dict[str, str]:
        """Distribution → what refers to it."""
        roots: dict[str, str] = {}
        for module, user in needs.modules.items():
            top = module.partition(".")[0]
            if is_standard(top) or top in needs.code or top == "modelimg_runtime":
                continue
            owners = self.installed.owners(module)
            if not owners:
                raise _no_distribution(module, user)
            for name in owners:
                roots.setdefault(name, user)
        return roots

    def _from_environment(self, roots: Iterable[str], needs: Needs, platform: Platform) -> Mapping[str, Any]:
        environment = marker_environment(self.python, platform)
        pins = self.installed.closure([canonicalize_name(name) for name in roots], environment)
        origins = {pin.requirement: _MODEL for pin in pins}
        origins |= dict.fromkeys((*contract.RUNTIME_REQUIREMENTS, *needs.extra), _RUNTIME)
        request = uv.Request(tuple(origins), self.minor, platform, preferences=self.installed.versions, root=self.root)
        return uv.lock_or_explain(request, origins)

    def _from_requirements(self, file: Path, needs: Needs, platform: Platform) -> Mapping[str, Any]:
        lines = (*contract.RUNTIME_REQUIREMENTS, *needs.extra)
        request = uv.Request(
            lines, self.minor, platform, files=(file,), preferences=self.installed.versions, root=self.root
        )
        return uv.lock_or_explain(request, dict.fromkeys(lines, _RUNTIME))

    @staticmethod
    def _from_pylock(file: Path) -> Mapping[str, Any]:
        try:
            raw = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RequirementsError(f"{file} is no readable pylock.toml: {error}") from error
        return uv.absolute_paths(raw, file.parent)


def modules_of_globals(names: Iterable[str]) -> dict[str, str]:
    """Dotted module → ``module.Name`` that the model file refers to, from ``module name`` strings."""
    found: dict[str, str] = {}
    for line in names:
        module, name = line.split(" ")
        found.setdefault(module, f"{module}.{name}")
    return found


def modules_of_code(found: Iterable[Import], installed: Installed) -> dict[str, str]:
    """Dotted module → importing file. Imports that a file can do without count where they are installed."""
    return {each.module: each.file for each in found if each.required or installed.owners(each.module)}


def _no_distribution(module: str, user: str) -> ModelFileError:
    top = module.partition(".")[0]
    return ModelFileError(
        f"the module {module} belongs to no installed distribution, and {user} needs it",
        hint=f'if it is your own, have it packed: [model] code = ["{top}.py"], or the folder of the package {top}; '
        f'from Python, pack(…, code=["{top}.py"])',
    )


def _left_out(error: uv.Unresolved, request: uv.Request, wanted: Mapping[str, str]) -> tuple[str, str]:
    """The distribution that no index has, by its name in ``wanted``."""
    found = None if uv.is_network_failure(str(error)) else uv.unavailable(str(error))
    name = canonicalize_name(found[0]) if found else None
    if found is None or name not in wanted:
        raise uv.diagnose(str(error), request, {}) from error
    return str(name), found[1]


def _refuse_missing(file: Path, lock: ServingLock, roots: Mapping[str, str], needs: Needs) -> None:
    """A lock of the user's is used as it is, so it must hold what the model and the runtime import."""
    versions = {pin.name: Version(pin.version) for pin in lock.pins}
    absent = [f"{name} (for {user})" for name, user in roots.items() if name not in versions]
    for line in (*contract.RUNTIME_REQUIREMENTS, *needs.extra):
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        if name not in versions:
            absent.append(f"{requirement.name} (for {_RUNTIME})")
        elif not requirement.specifier.contains(versions[name], prereleases=True):
            absent.append(f"{line} (for {_RUNTIME}; it has {versions[name]})")
    if absent:
        raise RequirementsError(
            f"{file} lacks {', '.join(absent)}", hint=f"add {'it' if len(absent) == 1 else 'them'} there"
        )
