"""The one seam of building: a plan goes in, an image comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from modelimg.base.resolve import ResolvedBase
from modelimg.deliver import Delivery
from modelimg.oci.manifest import Image
from modelimg.oci.values import Platform, Reference
from modelimg.plan import BuildPlan

Report = Callable[[str], None]
"""Takes a line of progress."""


@dataclass(frozen=True)
class BuildResult:
    """An image that exists, and has no name yet.

    Attributes:
        engine: ``docker`` or ``embedded``.
        platform: of the image.
        image_id: digest of its config.
        manifest_digest: of its manifest; None where only a registry would make one.
        layers: diff_ids, lowest first.
        image: itself, where it is not in a daemon.
        base: name of the image that it stands on, where a registry has it.
    """

    engine: str
    platform: Platform
    image_id: str
    manifest_digest: str | None
    layers: tuple[str, ...]
    image: Image | None = field(default=None, compare=False, repr=False)
    base: Reference | None = None


@dataclass(frozen=True)
class GateVerdict:
    """What replaying the packed examples said.

    Attributes:
        how: ``container``, ``namespace``, ``host`` or ``none``.
        passed: None where it was not run.
        remembered: the same content passed in an earlier build.
    """

    how: str
    passed: bool | None
    remembered: bool = False


@dataclass(frozen=True)
class SelfTest:
    """What ``selftest`` printed, how it ended, and where it ran: as `GateVerdict.how`."""

    exit_code: int
    stdout: str
    stderr: str
    how: str = "container"


class Engine(Protocol):
    """Builds plans, runs the self-test of what it built, and delivers it.

    Delivery comes last and on its own, so that an image which fails its gate never takes a name from one that works.
    """

    name: str

    def resolve(self, reference: str, platform: Platform) -> ResolvedBase:
        """Pin a base image by reference.

        Raises:
            BaseNotFound: there is none.
            BaseError: it has no Python, or not for this platform.
        """
        ...

    def build(self, plan: BuildPlan) -> BuildResult:
        """Make the image, without a name.

        Raises:
            EngineError: the engine failed; nothing was named.
        """
        ...

    def selftest(self, result: BuildResult) -> SelfTest:
        """Run the packed examples inside the image.

        Raises:
            SandboxUnavailable: images of this platform cannot be run here.
        """
        ...

    def deliver(self, results: Sequence[BuildResult], names: Sequence[str], delivery: Delivery) -> None:
        """Give the images of one model, one for each platform, their names, and put them where they were asked for."""
        ...

    def discard(self, result: BuildResult) -> None:
        """Remove an image that must not be used."""
        ...
