"""The story of a build: package → base → plan → engine → gate → names."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelimg.base.debian import Mirrors, build_base, resolve_packages
from modelimg.base.resolve import BasePackage, ResolvedBase, default_base
from modelimg.engines.base import BuildResult, Engine, GateVerdict, Report
from modelimg.errors import UsageError
from modelimg.fetch import Fetcher
from modelimg.files import replace_text
from modelimg.gate import run_gate
from modelimg.labels import creation_time
from modelimg.oci.values import DEFAULT_PLATFORM, Platform, Reference
from modelimg.pack.package import ModelPackage, read_package
from modelimg.plan import BuildPlan, make_plan

ENV_SOURCE_DATE_EPOCH = "SOURCE_DATE_EPOCH"
_DEBIAN = "deb:"


@dataclass(frozen=True)
class BuildSpec:
    """What the user asked to be built.

    Attributes:
        package: folder of a model package.
        tags: names for the image; ``name:version`` of the package where none is given.
        platform: of the image.
        base: ``deb:SUITE`` or a reference; by default it follows the package, then its training Python.
        base_lock: pins the packages of a ``deb:`` base.
        template: a Dockerfile template of the user's own; by default the package's.
        gate: replay the packed examples before the image gets its names.
    """

    package: Path
    tags: tuple[str, ...] = ()
    platform: Platform = DEFAULT_PLATFORM
    base: str | None = None
    base_lock: Path | None = None
    template: Path | None = None
    gate: bool = True


@dataclass(frozen=True)
class BuildOutcome:
    """What was built, what it is called, and what the gate said."""

    result: BuildResult
    names: tuple[str, ...]
    gate: GateVerdict

    def to_dict(self) -> dict[str, Any]:
        """The metadata file."""
        return {
            "engine": self.result.engine,
            "images": [
                {
                    "name": name,
                    "platform": str(self.result.platform),
                    "image_id": self.result.image_id,
                    "manifest_digest": self.result.manifest_digest,
                    "layers": list(self.result.layers),
                }
                for name in self.names
            ],
            "gate": {"how": self.gate.how, "passed": self.gate.passed},
        }


def plan_build(spec: BuildSpec, fetcher: Fetcher, engine: Callable[[], Engine]) -> BuildPlan:
    """Resolve and pin everything.

    Args:
        spec: what was asked.
        fetcher: gets what is missing in the cache.
        engine: called only where the base is an image that an engine has to find.
    """
    package = read_package(spec.package)
    tags = tuple(str(Reference.parse(tag)) for tag in spec.tags) or (
        f"{package.manifest.name}:{package.manifest.version}",
    )
    base = resolve_base(spec, package, fetcher, engine)
    created = creation_time(package, os.environ.get(ENV_SOURCE_DATE_EPOCH))
    return make_plan(package, base, tags=tags, created=created, template=_template(spec, package))


def resolve_base(
    spec: BuildSpec, package: ModelPackage, fetcher: Fetcher, engine: Callable[[], Engine]
) -> ResolvedBase:
    """Pin the base that was asked for, that the package names, or that follows its training Python."""
    name = spec.base or package.manifest.image.base or default_base(package.manifest.python)
    if not name.startswith(_DEBIAN):
        if spec.base_lock:
            raise UsageError(
                f"--base-lock pins the packages of a deb: base, and the base is {name}",
                hint="pin an image by its digest",
            )
        return engine().resolve(name, spec.platform)
    mirrors = Mirrors.from_environment()
    suite = name.removeprefix(_DEBIAN)
    packages = resolve_packages(suite, spec.platform, fetcher, lock=spec.base_lock, mirrors=mirrors)
    base = build_base(packages, fetcher, mirrors=mirrors)
    return ResolvedBase(
        name=name,
        digest=base.config.digest,
        reference="scratch",
        platform=base.platform,
        python=base.python,
        interpreter=base.interpreter,
        libc=base.libc[0],
        libc_version=base.libc[1],
        env=base.config.run.env,
        packages=tuple(BasePackage(p.name, p.version, p.architecture, p.sha256) for p in base.packages),
        tar=base.diff_id,
        tar_path=base.tar,
    )


def build(plan: BuildPlan, engine: Engine, fetcher: Fetcher, *, gate: bool, report: Report) -> BuildOutcome:
    """Build a plan, check the result, and only then name it.

    Raises:
        EngineError: the engine failed; nothing was named.
        GateFailed: the self-test said no; nothing was named and the image is gone.
    """
    result = engine.build(plan)
    verdict = GateVerdict("none", passed=None)
    if gate and not engine.runs(plan.platform):
        report(f"the gate was not run: images for {plan.platform} do not run here")
    elif gate:
        try:
            verdict = run_gate(engine, result, plan, fetcher.cache)
        except BaseException:
            engine.discard(result)
            raise
        report(f"the packed examples came out the same{', in an earlier build of this content' * verdict.remembered}")
    engine.name_image(result, plan.tags)
    return BuildOutcome(result, plan.tags, verdict)


def write_metadata(outcome: BuildOutcome, path: Path) -> None:
    """Write the metadata file, whole or not at all."""
    try:
        replace_text(path, json.dumps(outcome.to_dict(), indent=2) + "\n")
    except OSError as error:
        raise UsageError(f"the metadata file {path} cannot be written: {error.strerror}") from error


def _template(spec: BuildSpec, package: ModelPackage) -> Path | None:
    if spec.template:
        if not spec.template.is_file():
            raise UsageError(f"the template {spec.template} does not exist")
        return spec.template
    return package.path / package.manifest.image.template if package.manifest.image.template else None
