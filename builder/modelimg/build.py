"""The story of a build: package → base → plan → engine → gate → names."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from modelimg.base.deb import PREFIX, resolve_debian_base
from modelimg.base.resolve import ResolvedBase, default_base
from modelimg.deliver import Delivery
from modelimg.engines.base import BuildResult, Engine, GateVerdict, Report
from modelimg.errors import SandboxUnavailable, UsageError
from modelimg.fetch import Fetcher
from modelimg.files import replace_text
from modelimg.gate import run_gate
from modelimg.labels import creation_time
from modelimg.layerstore import LayerStore
from modelimg.oci.values import DEFAULT_PLATFORM, Platform, Reference
from modelimg.pack.package import ModelPackage, read_package
from modelimg.plan import BuildPlan, ByteCode, make_plan
from modelimg_runtime import contract

ENV_SOURCE_DATE_EPOCH = "SOURCE_DATE_EPOCH"
_UNCHECKED = GateVerdict("none", passed=None)


@dataclass(frozen=True)
class BuildSpec:
    """What the user asked to be built.

    Attributes:
        package: folder of a model package.
        tags: names for the image; ``name:version`` of the package where none is given.
        platforms: of the images.
        base: ``deb:SUITE`` or an image; by default it follows the package, then its training Python.
        base_lock: pins the packages of a ``deb:`` base.
        template: a Dockerfile template of the user's own; by default the package's.
        bytecode: None for what this host can do.
        gate: replay the packed examples before the image gets its names.
        delivery: where it goes.
    """

    package: Path
    tags: tuple[str, ...] = ()
    platforms: tuple[Platform, ...] = (DEFAULT_PLATFORM,)
    base: str | None = None
    base_lock: Path | None = None
    template: Path | None = None
    bytecode: ByteCode | None = None
    gate: bool = True
    delivery: Delivery = field(default_factory=Delivery)


@dataclass(frozen=True)
class BuildOutcome:
    """What was built, what it is called, and what the gate said."""

    results: tuple[BuildResult, ...]
    names: tuple[str, ...]
    gate: GateVerdict

    def to_dict(self) -> dict[str, Any]:
        """The metadata file."""
        return {
            "engine": self.results[0].engine,
            "images": [
                {
                    "name": name,
                    "platform": str(result.platform),
                    "image_id": result.image_id,
                    "manifest_digest": result.manifest_digest,
                    "layers": list(result.layers),
                }
                for name in self.names
                for result in self.results
            ],
            "gate": {"how": self.gate.how, "passed": self.gate.passed},
        }


def plan_build(spec: BuildSpec, fetcher: Fetcher, engine: Callable[[], Engine], report: Report) -> list[BuildPlan]:
    """Resolve and pin everything, for each platform.

    Args:
        spec: what was asked.
        fetcher: gets what is missing in the cache.
        engine: called only where the base is an image that an engine has to find.
        report: takes a line of progress.
    """
    package = read_package(spec.package)
    tags = tuple(str(Reference.parse(tag)) for tag in spec.tags) or (
        f"{package.manifest.name}:{package.manifest.version}",
    )
    created = creation_time(package, os.environ.get(ENV_SOURCE_DATE_EPOCH))
    template = _template(spec, package)
    plans = []
    for platform in spec.platforms:
        base = resolve_base(spec, platform, package, fetcher, engine)
        make = partial(make_plan, package, base, tags=tags, created=created, template=template, cache=fetcher.cache)
        plans.append(make(bytecode=spec.bytecode) if spec.bytecode else _plan_for_host(make, package, fetcher, report))
    return plans


def plans_to_json(plans: Sequence[BuildPlan]) -> str:
    """What ``--dry-run`` prints: a plan, or a list of them where there are several platforms."""
    if len(plans) == 1:
        return plans[0].to_json()
    return json.dumps([plan.to_dict() for plan in plans], indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _plan_for_host(
    make: Callable[..., BuildPlan], package: ModelPackage, fetcher: Fetcher, report: Report
) -> BuildPlan:
    """With byte code where this host has it or can make it, else without, and it says so."""
    from modelimg.bytecode import bytecode_obstacle

    obstacle: str | None = f"the package has no {contract.IMPORTS}, as an older modelimg packed it"
    if contract.IMPORTS in package.manifest.files:
        plan = make(bytecode="imported")
        layer = next(layer for layer in plan.layers if layer.modules)
        if LayerStore(fetcher).knows(plan, layer):
            return plan
        obstacle = bytecode_obstacle(plan.base)
        if obstacle is None:
            return plan
    report(
        f"the image gets no byte code, and starts slower: {obstacle}; "
        "--bytecode none makes the same image everywhere, --bytecode imported fails where it cannot be made"
    )
    return make(bytecode="none")


def resolve_base(
    spec: BuildSpec, platform: Platform, package: ModelPackage, fetcher: Fetcher, engine: Callable[[], Engine]
) -> ResolvedBase:
    """Pin the base that was asked for, that the package names, or that follows its training Python."""
    name = spec.base or package.manifest.image.base or default_base(package.manifest.python)
    if name.startswith(PREFIX):
        return resolve_debian_base(name, platform, fetcher, lock=spec.base_lock)
    if spec.base_lock:
        raise UsageError(
            f"--base-lock pins the packages of a deb: base, and the base is {name}",
            hint="pin an image by its digest",
        )
    return engine().resolve(name, platform)


def build(
    plans: Sequence[BuildPlan], engine: Engine, fetcher: Fetcher, *, gate: bool, delivery: Delivery, report: Report
) -> BuildOutcome:
    """Build the plans of one model, check what runs here, and only then name and deliver it.

    Raises:
        EngineError: the engine failed; nothing was named.
        GateFailed: the self-test said no; nothing was named and the image is gone.
    """
    results = [engine.build(plan) for plan in plans]
    try:
        verdicts = [_check(engine, *one, fetcher, report) for one in zip(plans, results, strict=True)] if gate else []
    except BaseException:
        for result in results:
            engine.discard(result)
        raise
    names = plans[0].tags
    engine.deliver(results, names, delivery)
    return BuildOutcome(tuple(results), names, next((one for one in verdicts if one), _UNCHECKED))


def _check(
    engine: Engine, plan: BuildPlan, result: BuildResult, fetcher: Fetcher, report: Report
) -> GateVerdict | None:
    """The gate's verdict on one platform's image; None where it cannot be run on this host."""
    try:
        verdict = run_gate(engine, result, plan, fetcher.cache)
    except SandboxUnavailable as error:
        report(f"the gate was not run for {plan.platform}: {error.message}")
        return None
    again = ", in an earlier build of this content" * verdict.remembered
    report(f"the packed examples came out the same ({verdict.how}{again})")
    return verdict


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
