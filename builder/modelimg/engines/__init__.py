"""The engines: a plan goes in, an image comes out; and which of them builds what was asked."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Literal

from modelimg.deliver import Report
from modelimg.engines.base import Engine
from modelimg.errors import EngineUnavailable, UsageError
from modelimg.fetch import Fetcher
from modelimg.oci.compression import Codec

if TYPE_CHECKING:
    from modelimg.build import BuildSpec

EngineChoice = Literal["auto", "docker", "embedded"]


def engine_maker(
    choice: EngineChoice, spec: BuildSpec, fetcher: Fetcher, report: Report, codec: Codec = "gzip"
) -> Callable[[], Engine]:
    """Makes the engine when it is first needed, and only once: a plan on a ``deb:`` base needs none.

    ``auto`` is docker where a daemon answers and it can do what was asked, and embedded otherwise.

    Raises:
        UsageError: the docker engine was asked for what it cannot do; at once, before anything is planned.
    """
    obstacle = _beyond_docker(spec, codec)
    if choice == "docker" and obstacle:
        raise UsageError(f"the docker engine {obstacle}", hint="--engine embedded does")

    @cache
    def make() -> Engine:
        if choice == "docker" or (choice == "auto" and not obstacle):
            from modelimg.engines.docker import DockerEngine

            try:
                return DockerEngine(fetcher, report)
            except EngineUnavailable:
                if choice == "docker":
                    raise
                report("no Docker daemon answers: the embedded engine builds")
        from modelimg.engines.embedded import EmbeddedEngine

        return EmbeddedEngine(fetcher, report, codec)

    return make


def _beyond_docker(spec: BuildSpec, codec: Codec) -> str | None:
    """What was asked for that the docker engine cannot do."""
    if spec.delivery.outputs:
        return f"writes no --output, and {spec.delivery.outputs[0]} was asked for"
    if len(spec.platforms) > 1:
        return "builds one platform at a time, and several were asked for"
    if codec != "gzip":
        return f"leaves compression to the daemon, and {codec} was asked for"
    transport = (spec.base or "").partition(":")[0]
    if transport in ("docker", "oci", "oci-archive", "docker-archive"):
        return f"takes bases from its daemon, and {spec.base} is elsewhere"
    return None
