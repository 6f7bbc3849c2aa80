"""Those that install packages in a Dockerfile's ``RUN``, and the download caches that such a build can find warm."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path

from benchmarks import images
from benchmarks.contenders.base import REPOSITORY, Serving, Site, docker_build, docker_push, remove_images

_KEEPING = """\
FROM {base}
RUN rm -f /etc/apt/apt.conf.d/docker-clean \\
 && echo 'Binary::apt::APT::Keep-Downloaded-Packages "true";' > /etc/apt/apt.conf.d/keep-cache \\
 && apt-get update
"""
"""Docker's own recipe for an apt that keeps what it has downloaded."""

_WARM = """\
FROM {filled} AS filled
USER root
LABEL {stage}
RUN mkdir -p /root/.cache/wheels /var/cache/apt/archives && {collect}
FROM {keeping}
COPY --from=filled /root/.cache /root/.cache
COPY --from=filled /var/cache/apt/archives /var/cache/apt/archives
RUN printf '[global]\\nno-index = true\\nfind-links = /root/.cache/wheels\\n' > /etc/pip.conf
ENV UV_OFFLINE=1 UV_LINK_MODE=copy
"""
"""The caches of a finished build below the same base. Neither installer asks an index any more. uv copies out of its
cache, as it does out of a cache mount, which is another file system."""

_STAGE = "io.modelimg.benchmark=stage"
_COLLECT = "pip freeze --all > /tmp/installed && pip download --no-deps -r /tmp/installed -d /root/.cache/wheels"


class Dockerfiles(ABC):
    """A contender whose images come from the daemon's classic builder.

    That builder has no cache mounts. What they would hold is in the image that ``FROM`` names instead, put there
    before the clock starts: uv's own cache and apt's, as a build of the same image left them, and for pip the wheels,
    because what its own cache keeps depends on the index's headers.

    Args:
        site: where to build.
        name: how reports call it; also, in lower case, of its repository and folder.
    """

    uses_pip = True

    def __init__(self, site: Site, name: str) -> None:
        self.name, self._site = name, site
        slug = "-".join(name.lower().replace(",", "").split())
        self._repository, self._folder = f"{REPOSITORY}/{slug}", site.work / slug
        self._kept = False

    @property
    @abstractmethod
    def serving(self) -> Serving:
        """See `Contender`."""

    @abstractmethod
    def _build(self, version: int, tag: str, base: str, *, keep: bool, cold: bool) -> float:
        """Build a version on a base; seconds.

        Args:
            version: of the model.
            tag: name of the image.
            base: what ``FROM`` names.
            keep: downloads go through a cache.
            cold: no layer of an earlier build may be used.
        """

    @property
    def base_layers(self) -> int:
        """See `Contender`."""
        return images.layer_count(self._site.client, self._plain_base)

    def prepare(self) -> None:
        """See `Contender`."""
        self._warm_base  # noqa: B018 - made once

    def cold(self, *, kept: bool) -> float:
        """See `Contender`."""
        self._kept = kept
        base = self._base  # made before anything is dropped
        remove_images(self._site.client, self._repository)
        return self._build(0, self._image(0), base, keep=kept, cold=True)

    def build(self, version: int) -> float:
        """See `Contender`; on the base of the last cold build."""
        return self._build(version, self._image(version), self._base, keep=self._kept, cold=False)

    def load(self, version: int) -> str:
        """See `Contender`: it is there."""
        return self._image(version)

    def push(self, version: int, repository: str) -> float:
        """See `Contender`: with ``docker push``."""
        return docker_push(self._site.client, self._image(version), f"{repository}:{version}")

    def forget(self) -> None:
        """See `Contender`."""
        for kind in ("", "-warm", "-keeping", "-base"):
            remove_images(self._site.client, f"{self._repository}{kind}")
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _base(self) -> str:
        return self._warm_base if self._kept else self._plain_base

    @cached_property
    def _plain_base(self) -> str:
        return self._site.python_image

    @cached_property
    def _warm_base(self) -> str:
        """The base with the caches that a build has filled."""
        keeping, warm = f"{self._repository}-keeping:1", f"{self._repository}-warm:1"
        self._make(keeping, _KEEPING.format(base=self._plain_base))
        self._build(0, f"{self._repository}:filled", keeping, keep=True, cold=False)
        filled, collect = f"{self._repository}:filled", _COLLECT if self.uses_pip else "true"
        self._make(warm, _WARM.format(filled=filled, stage=_STAGE, collect=collect, keeping=keeping))
        self._site.client.images.prune(filters={"dangling": True, "label": _STAGE})
        remove_images(self._site.client, self._repository)
        return warm

    def _make(self, tag: str, dockerfile: str) -> None:
        context = self._folder / "base"
        context.mkdir(parents=True, exist_ok=True)
        (context / "Dockerfile").write_text(dockerfile)
        docker_build(context, tag)

    def _image(self, version: int) -> str:
        return f"{self._repository}:{version}"


def fresh_folder(path: Path) -> Path:
    """An empty folder at a path."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path
