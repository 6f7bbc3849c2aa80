"""The one seam of building: a plan goes in, an image comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from modelimg.base.resolve import ResolvedBase
from modelimg.oci.values import Platform
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
    """

    engine: str
    platform: Platform
    image_id: str
    manifest_digest: str | None
    layers: tuple[str, ...]


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
    """What ``selftest`` printed in a container of the image, and how it ended."""

    exit_code: int
    stdout: str
    stderr: str


class Engine(Protocol):
    """Builds plans, runs the self-test of what it built, and names it.

    Naming comes last and on its own, so that an image which fails its gate never takes a name from one that works.
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

    def runs(self, platform: Platform) -> bool:
        """Whether images of this platform run here, so that they can be checked."""
        ...

    def selftest(self, result: BuildResult) -> SelfTest:
        """Run the packed examples inside the image."""
        ...

    def name_image(self, result: BuildResult, tags: Sequence[str]) -> None:
        """Give the image its names."""
        ...

    def discard(self, result: BuildResult) -> None:
        """Remove an image that must not be used."""
        ...
