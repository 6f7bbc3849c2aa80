"""The docker engine: the rendered Dockerfile and the layers go to a Docker daemon, with the Docker SDK.

The SDK drives the classic builder, which has no BuildKit features: a template must not use ``RUN --mount``. What does
not change with the model (base, dependencies, runtime, settings) is built once as a parent image and kept under
``modelimg/parent``, so that a new model sends one small layer to the daemon instead of the whole context.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests.exceptions
import urllib3.exceptions
from docker.models.images import Image

from modelimg.base.daemon import resolve_daemon_base
from modelimg.base.resolve import ResolvedBase
from modelimg.daemon import connect, root_cause
from modelimg.deliver import Delivery
from modelimg.dockerfile import context_files, render_dockerfile, render_on_parent, render_parent, split_labels
from modelimg.engines.base import BuildResult, Report, SelfTest
from modelimg.errors import BaseNotFound, EngineError, RegistryError, SandboxUnavailable, UsageError
from modelimg.fetch import Fetcher
from modelimg.layerstore import LayerStore
from modelimg.oci.names import ImageName
from modelimg.oci.values import Platform, Reference
from modelimg.plan import BuildPlan
from modelimg.tar import FileContent, make_file, make_text, write_tar

PARENT_REPOSITORY = "modelimg/parent"
_SELFTEST_SECONDS = 300
_CONNECTION_ERRORS = (
    docker.errors.DockerException,
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,  # what the SDK's decoded streams raise, past requests
    OSError,
)


class DockerEngine:
    """See the module.

    Args:
        fetcher: gets wheels; its cache keeps the layers.
        report: takes the daemon's log, a line at a time.
        client: a connected client; by default the one that the environment leads to.
    """

    name = "docker"

    def __init__(self, fetcher: Fetcher, report: Report, client: docker.DockerClient | None = None) -> None:
        self._fetcher = fetcher
        self._store = LayerStore(fetcher)
        self._report = report
        self._client = client or connect()

    def resolve(self, reference: str, platform: Platform) -> ResolvedBase:
        """See `Engine`.

        Raises:
            UsageError: a base in a folder or a file, where no daemon can look.
        """
        name = ImageName.parse(reference)
        if name.reference is None:
            raise UsageError(
                f"the docker engine takes bases from its daemon, and {name} is elsewhere",
                hint="--engine embedded takes it from there; or `docker load` it and name it as the daemon does",
            )
        with _daemon_errors(f"resolving the base {reference}"):
            return resolve_daemon_base(self._client, name.reference, platform, self._fetcher.cache, self._report)

    def build(self, plan: BuildPlan) -> BuildResult:
        """See `Engine`."""
        with _daemon_errors(f"building {plan.name}"):
            image_id = self._build_whole(plan) if plan.template_path else self._build_on_parent(plan)
            facts = self._client.api.inspect_image(image_id)
        return BuildResult(self.name, plan.platform, facts["Id"], None, tuple(facts["RootFS"]["Layers"]))

    def selftest(self, result: BuildResult) -> SelfTest:
        """See `Engine`: as locked down as the image promises to run. The daemon may be on another host than we are."""
        with _daemon_errors("asking what it runs"):
            facts = self._client.version()
        if (facts["Os"], facts["Arch"]) != (result.platform.os, result.platform.architecture):
            raise SandboxUnavailable(f"images for {result.platform} do not run in this daemon")
        with _daemon_errors("running the self-test"):
            container = self._client.containers.create(
                result.image_id,
                ["selftest"],
                network_mode="none",
                read_only=True,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
            )
            try:
                container.start()
                status = container.wait(timeout=_SELFTEST_SECONDS)
                stdout = container.logs(stdout=True, stderr=False).decode(errors="replace")
                stderr = container.logs(stdout=False, stderr=True).decode(errors="replace")
            finally:
                container.remove(force=True)
        return SelfTest(status["StatusCode"], stdout, stderr)

    def deliver(self, results: Sequence[BuildResult], names: Sequence[str], delivery: Delivery) -> None:
        """See `Engine`: the image is in the daemon already, which also pushes it."""
        references = [Reference.parse(name) for name in names]
        with _daemon_errors("tagging"):
            image = self._client.images.get(results[0].image_id)
            for reference in references:
                image.tag(reference.name, reference.tag or "latest")
        for reference in references if delivery.push else ():
            with _daemon_errors(f"pushing {reference}"):
                self._push(reference)

    def discard(self, result: BuildResult) -> None:
        """See `Engine`; an image that also has a name from before stays."""
        with _daemon_errors("removing the refused image"):
            image: Image = self._client.images.get(result.image_id)
            if not image.tags:
                self._client.images.remove(result.image_id)

    def _push(self, reference: Reference) -> None:
        """Push a name; the daemon says what went wrong in its log."""
        for event in self._client.api.push(reference.name, reference.tag or "latest", stream=True, decode=True):
            if "error" in event:
                raise RegistryError(
                    f"the daemon could not push {reference}: {event['error']}",
                    hint=f"see whether `docker push {reference}` works, and `docker login` if it wants credentials",
                )
        self._report(f"pushed {reference}")

    def _build_whole(self, plan: BuildPlan) -> str:
        """One build with every layer in its context: what a template of the user's own needs."""
        layers = [self._store.tar(plan, layer) for layer in plan.layers]
        return self._run_build(
            plan, render_dockerfile(plan), context_files(plan.base, layers), labels=split_labels(plan)[1]
        )

    def _build_on_parent(self, plan: BuildPlan) -> str:
        parent = self._parent(plan)
        upper = [self._store.tar(plan, layer) for layer in plan.upper_layers]
        files = [(f"{layer.name}.tar", layer.path) for layer in upper]
        return self._run_build(plan, render_on_parent(plan, parent), files, labels=split_labels(plan)[1])

    def _parent(self, plan: BuildPlan) -> str:
        """Name of the image that holds all but code and model; built when the daemon lacks it."""
        text = render_parent(plan)
        facts = [text, str(plan.platform), str(plan.base.digest), *map(plan.layer_key, plan.lower_layers)]
        tag = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
        name = f"{PARENT_REPOSITORY}:{tag}"
        try:
            self._client.api.inspect_image(name)
        except docker.errors.ImageNotFound:
            layers = [self._store.tar(plan, layer) for layer in plan.lower_layers]
            image_id = self._run_build(plan, text, context_files(plan.base, layers))
            self._client.api.tag(image_id, PARENT_REPOSITORY, tag)
        return name

    def _run_build(
        self, plan: BuildPlan, dockerfile: str, files: Sequence[tuple[str, Path]], labels: dict[str, str] | None = None
    ) -> str:
        """Send a context, follow the log, and return the id of the image."""
        entries = [make_file(name, FileContent(path), path.stat().st_size) for name, path in files]
        with self._fetcher.cache.writing() as (stream, path):
            write_tar([make_text("Dockerfile", dockerfile), *entries], stream)
            stream.flush()
            with path.open("rb") as context:
                log = self._client.api.build(
                    fileobj=context,
                    custom_context=True,
                    rm=True,
                    forcerm=True,
                    decode=True,
                    labels=labels or None,
                    platform=str(plan.platform),
                )
                return self._follow(log)

    def _follow(self, log: Iterator[dict[str, Any]]) -> str:
        image_id = None
        for event in log:
            if "error" in event:
                raise _build_error(str(event["error"]))
            for line in str(event.get("stream", "")).splitlines():
                if line.strip():
                    self._report(line.rstrip())
            image_id = (event.get("aux") or {}).get("ID", image_id)
        if image_id is None:
            raise EngineError(
                "the daemon closed the connection before the image was complete",
                hint="nothing was tagged; look at the daemon's own log, then build again",
            )
        return str(image_id)


def _build_error(text: str) -> EngineError:
    """The daemon's word for a failed build, as a sentence with what to do."""
    lowered = text.lower()
    if "no space left on device" in lowered:
        return EngineError(
            f"the Docker daemon has no space left: {text}",
            hint="`docker system df` shows what takes it; `docker system prune` frees some",
        )
    if "manifest unknown" in lowered or "pull access denied" in lowered or "not found" in lowered:
        return BaseNotFound(f"the daemon could not get the base image: {text}", hint="check the name, or pull it first")
    return EngineError(f"the Docker daemon could not build the image: {text}")


@contextmanager
def _daemon_errors(doing: str) -> Iterator[None]:
    """Turn what the SDK and its HTTP client raise into our errors."""
    try:
        yield
    except docker.errors.APIError as error:
        explanation = str(error.explanation or error)
        if "no space left on device" in explanation.lower():
            raise _build_error(explanation) from error
        raise EngineError(f"the Docker daemon refused while {doing}: {explanation}") from error
    except _CONNECTION_ERRORS as error:
        raise EngineError(
            f"the Docker daemon went away while {doing}: {root_cause(error)}",
            hint="nothing was tagged; see whether the daemon runs, then build again",
        ) from error
