"""From modules to the installed distributions that they come from, and on to all that these depend on."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from modelimg.errors import RequirementsError


@dataclass(frozen=True)
class Pin:
    """A distribution at the version that is installed in the training environment.

    Attributes:
        name: normalised.
        version: installed.
        wheel: URL of the one wheel that it was installed from, where it was not an index.
    """

    name: NormalizedName
    version: str
    wheel: str | None = None

    @property
    def requirement(self) -> str:
        """The requirement that admits this and no other."""
        return f"{self.name} @ {self.wheel}" if self.wheel else f"{self.name}=={self.version}"


class Installed:
    """The distributions of the running interpreter."""

    @cached_property
    def distributions(self) -> dict[NormalizedName, metadata.Distribution]:
        """By normalised name; the first on the path wins, as it does for imports."""
        found: dict[NormalizedName, metadata.Distribution] = {}
        for distribution in metadata.distributions():
            if distribution.metadata["Name"]:
                found.setdefault(canonicalize_name(distribution.metadata["Name"]), distribution)
        return found

    @cached_property
    def versions(self) -> dict[str, str]:
        """Name → version of everything that is installed."""
        return {name: self.distributions[name].version for name in sorted(self.distributions)}

    @cached_property
    def _by_module(self) -> Mapping[str, list[str]]:
        return metadata.packages_distributions()

    def owners(self, module: str) -> tuple[NormalizedName, ...]:
        """The distributions that a module comes from: none for the standard library's and for loose files.

        Of several that share a namespace package, the ones that hold the module.
        """
        top = module.partition(".")[0]
        if is_standard(top):
            return ()
        names = sorted({canonicalize_name(name) for name in self._by_module.get(top, ())})
        if len(names) > 1:
            path = module.replace(".", "/")
            holders = [name for name in names if self._holds(name, path)]
            names = holders or names
        return tuple(names)

    def _holds(self, name: NormalizedName, path: str) -> bool:
        files = self.distributions[name].files or []
        return any(str(file).startswith((f"{path}/", f"{path}.")) for file in files)

    def closure(self, roots: Iterable[NormalizedName], environment: Mapping[str, str]) -> tuple[Pin, ...]:
        """The roots and all that they depend on in an environment, at the installed versions, sorted by name.

        What is not installed here, such as a dependency of the image's platform only, is left to the resolver.

        Args:
            roots: normalised names, installed.
            environment: PEP 508 markers of the image.

        Raises:
            RequirementsError: one of them was installed from a folder or a repository, so that no index has its wheel.
        """
        todo: list[tuple[NormalizedName, str]] = [(name, "") for name in roots]
        seen: set[tuple[NormalizedName, str]] = set()
        while todo:
            name, extra = todo.pop()
            if (name, extra) in seen or name not in self.distributions:
                continue
            seen.add((name, extra))
            for line in self.distributions[name].requires or []:
                requirement = Requirement(line)
                if requirement.marker is None or requirement.marker.evaluate({**environment, "extra": extra}):
                    child = canonicalize_name(requirement.name)
                    todo += [(child, ""), *((child, wanted) for wanted in requirement.extras)]
        return tuple(self._pin(name) for name in sorted({name for name, _ in seen}))

    def _pin(self, name: NormalizedName) -> Pin:
        distribution = self.distributions[name]
        origin = direct_origin(distribution)
        if origin and not _is_wheel(origin):
            raise RequirementsError(
                f"{name} {distribution.version} is installed from {_kind(origin)}, so no package index has its wheel",
                hint=f"build a wheel of {name} and install that, or name its modules in [model] code",
            )
        return Pin(name, distribution.version, str(origin["url"]) if origin else None)


def is_standard(module: str) -> bool:
    """Whether a module belongs to Python itself."""
    return module.partition(".")[0] in sys.stdlib_module_names or module.partition(".")[0] in sys.builtin_module_names


def direct_origin(distribution: metadata.Distribution) -> dict[str, Any] | None:
    """Where a distribution was installed from, if not from an index.

    Source: PEP 610, https://packaging.python.org/specifications/direct-url/.
    """
    text = distribution.read_text("direct_url.json")
    if not text:
        return None
    origin = json.loads(text)
    return origin if isinstance(origin, dict) and "url" in origin else None


def describe_origin(origin: Mapping[str, Any]) -> dict[str, str]:
    """What may be told of an origin: a repository and its commit, never a path of this host."""
    notes = {"reason": f"installed from {_kind(origin)}"}
    if vcs := origin.get("vcs_info"):
        scheme, _, rest = str(origin["url"]).rpartition("://")
        notes |= {"url": f"{scheme}://{rest.rpartition('@')[2]}"} if not scheme.startswith("file") else {}
        notes |= {"vcs": str(vcs.get("vcs")), "commit": str(vcs.get("commit_id"))}
    return notes


def _is_wheel(origin: Mapping[str, Any]) -> bool:
    return "archive_info" in origin and str(origin["url"]).partition("#")[0].endswith(".whl")


def _kind(origin: Mapping[str, Any]) -> str:
    if "vcs_info" in origin:
        return f"a {origin['vcs_info'].get('vcs')} repository"
    if "dir_info" in origin:
        return "a folder in editable mode" if origin["dir_info"].get("editable") else "a folder"
    return "a file"
