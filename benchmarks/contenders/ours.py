"""`modelimg build`, whole commands: the interpreter's start is in every figure."""

from __future__ import annotations

import json
import shutil
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal

from benchmarks.contenders.base import REPOSITORY, NotColdError, Serving, Site, docker_push, remove_images, timed
from modelimg.cache import Cache
from modelimg.engines.docker import PARENT_REPOSITORY
from modelimg.oci.values import Digest

_BASES = {"base", "deb-base", "debian-base", "debian-selection", "pulled"}
"""Kinds of facts that a cached base leaves; all others are of layers and of what is made from them."""
_LAYERS = {"layer", "compressed"}
"""Kinds of facts of blobs that a build makes."""


class Modelimg(ABC):
    """An engine of ours, with a cache of its own.

    Args:
        site: where to build.
        name: how reports call it; also, in lower case, of its repository and folder.
        options: of every `modelimg build`.
    """

    base_layers = 1
    serving = Serving(8080, "/predict", lambda rows: {"rows": rows})

    def __init__(self, site: Site, name: str, options: tuple[str, ...]) -> None:
        self.name, self._site, self._options = name, site, options
        slug = "-".join(name.lower().replace(",", "").split())
        self._repository, self.folder = f"{REPOSITORY}/{slug}", site.work / slug

    @abstractmethod
    def build(self, version: int) -> float:
        """See `Contender`."""

    def prepare(self) -> None:
        """See `Contender`."""
        self.build(0)

    def command(self, package: Path, *options: str | Path) -> list[str | Path]:
        """The command that builds a package."""
        return [sys.executable, "-m", "modelimg", "build", package, *self._options, *options]

    @property
    def environment(self) -> dict[str, str]:
        """What the command sees besides the environment of this process."""
        return {
            "MODELIMG_CACHE_DIR": str(self.folder / "cache"),
            "PYTHONPYCACHEPREFIX": str(self._site.work / "pycache"),
        }

    def drop(self, *, kept: bool) -> None:
        """Forget layers and, unless they are kept, wheels and bases."""
        remove_images(self._site.client, self._repository)
        if not kept:
            shutil.rmtree(self.folder / "cache", ignore_errors=True)
            return
        cache = Cache(self.folder / "cache")
        for facts in (cache.root / "facts").iterdir():
            for fact in facts.iterdir() if facts.name in _LAYERS else ():
                cache.drop(_made(fact))
            if facts.name not in _BASES:
                shutil.rmtree(facts)

    def forget(self) -> None:
        """See `Contender`."""
        self.drop(kept=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, version: int, *options: str | Path, cold: bool = False) -> float:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = self.command(self._site.packages[version], *options)
        return timed(command, self.environment, cold=cold)

    def _image(self, version: int) -> str:
        return f"{self._repository}:{version}"


def _made(fact: Path) -> Digest:
    """What a fact remembers: the digest of a layer's tar, or of that compressed."""
    _, _, text = fact.read_bytes().partition(b"\n")
    return Digest.parse(json.loads(text)["digest"])


class Embedded(Modelimg):
    """The embedded engine.

    Args:
        site: where to build.
        name: how reports call it.
        bytecode: of the modules that the model imports, in the image or not.
        compression: of the layers; a daemon's have none.
        gate: replay the packed examples.
        to: ``archive`` writes an ``oci-archive:``, ``daemon`` loads into the daemon.
    """

    def __init__(
        self,
        site: Site,
        name: str,
        *,
        bytecode: Literal["imported", "none"] = "imported",
        compression: Literal["gzip", "none"] = "gzip",
        gate: bool = False,
        to: Literal["archive", "daemon"] = "archive",
    ) -> None:
        options = ("--engine", "embedded", "--bytecode", bytecode, "--compression", compression)
        super().__init__(site, name, (*options, "--gate" if gate else "--no-gate"))
        self._to = to

    @property
    def archive(self) -> Path:
        """The archive that the last build wrote."""
        return self.folder / "image.tar"

    def cold(self, *, kept: bool) -> float:
        """See `Contender`; there is no archive before, which to write over takes as long as a tenth of the build."""
        self.drop(kept=kept)
        self.archive.unlink(missing_ok=True)
        return self.build(0)

    def build(self, version: int) -> float:
        """See `Contender`."""
        output = ["--load"] if self._to == "daemon" else ["--output", f"oci-archive:{self.archive}"]
        return self._run(version, "--tag", self._image(version), *output)

    def load(self, version: int) -> str:
        """See `Contender`."""
        self._run(version, "--tag", self._image(version), "--load")
        return self._image(version)

    def push(self, version: int, repository: str) -> float:
        """See `Contender`."""
        return self._run(version, "--tag", f"{repository}:{version}", "--push")


class DockerEngine(Modelimg):
    """The docker engine, without its gate."""

    def __init__(self, site: Site) -> None:
        super().__init__(site, "modelimg, docker engine", ("--engine", "docker", "--no-gate"))

    def prepare(self) -> None:
        """See `Contender`; a daemon in which it cannot be cold says so here."""
        self.cold(kept=False)

    def cold(self, *, kept: bool) -> float:
        """See `Contender`."""
        self.drop(kept=kept)
        try:
            return self._run(0, "--tag", self._image(0), cold=True)
        except NotColdError as error:
            raise NotColdError(
                f"{error}; this removes those that share them: docker rmi {' '.join(self._sharing())}"
            ) from error

    def build(self, version: int) -> float:
        """See `Contender`."""
        return self._run(version, "--tag", self._image(version))

    def load(self, version: int) -> str:
        """See `Contender`: it is there."""
        return self._image(version)

    def push(self, version: int, repository: str) -> float:
        """See `Contender`: with ``docker push``."""
        return docker_push(self._site.client, self._image(version), f"{repository}:{version}")

    def drop(self, *, kept: bool) -> None:
        """See `Modelimg`; with the parent images that only these images were made from."""
        parents = self._parents()
        super().drop(kept=kept)
        for parent in parents:
            self._site.client.images.remove(parent)

    def _sharing(self) -> list[str]:
        """Names of images, or ids where they have none, that are not of this benchmark and stand on the same base."""
        client = self._site.client
        bases = {image.attrs["RootFS"]["Layers"][0] for image in client.images.list(self._repository)}
        sharing = [image for image in client.images.list() if bases & set(image.attrs["RootFS"]["Layers"])]
        tags = {tag for image in sharing for tag in image.tags or [image.short_id]} - self._parents()
        return sorted(tag for tag in tags if not tag.startswith(f"{REPOSITORY}/"))

    def _parents(self) -> set[str]:
        """Names of the parent images that our images were made from."""
        ours = [image.id for image in self._site.client.images.list(self._repository)]
        steps = [step for image in ours for step in self._site.client.api.history(image)]
        return {tag for step in steps for tag in step["Tags"] or () if tag.startswith(f"{PARENT_REPOSITORY}:")}
