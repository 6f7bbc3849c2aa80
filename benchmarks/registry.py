"""A real registry on loopback: Debian's ``docker-registry``, what it was sent, and what it keeps."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.ports import free_port

_MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
_UPLOAD = re.compile(r'"(POST|PATCH|PUT) /v2/\S+/blobs/uploads/')
_DEADLINE_SECONDS = 20


def check_registry() -> None:
    """See that there is one to run.

    Raises:
        RuntimeError: there is none on this host.
    """
    if not shutil.which("docker-registry"):
        raise RuntimeError("no docker-registry on this host: `scripts/test-tools`, or leave out sizes and push")


class Registry:
    """Runs while it is entered.

    Args:
        folder: for its data and its log; gone afterwards.
    """

    def __init__(self, folder: Path) -> None:
        self.host = f"127.0.0.1:{free_port()}"
        self._folder, self._log = folder, folder / "log"

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        config, data = self._folder / "config.yml", self._folder / "data"
        config.write_text(
            f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {data}}}}}\nhttp: {{addr: '{self.host}'}}\n"
        )
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log)
        end = time.monotonic() + _DEADLINE_SECONDS
        while not self._answers():
            if time.monotonic() > end or self._process.poll() is not None:
                self.__exit__(None, None, None)
                raise RuntimeError("docker-registry does not answer")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder)

    @property
    def uploads(self) -> int:
        """How many requests so far that send a blob or begin to: none of them, no blob byte."""
        return len(_UPLOAD.findall(self._log.read_text(errors="replace")))

    @property
    def stored(self) -> int:
        """Bytes of all blobs that it keeps."""
        return sum(path.stat().st_size for path in (self._folder / "data").rglob("blobs/**/data"))

    def shipped(self, name: str, tag: str) -> int:
        """Bytes of an image's layers as this registry keeps them: what a pull fetches."""
        url = f"http://{self.host}/v2/{name}/manifests/{tag}"
        request = urllib.request.Request(url, headers={"accept": _MANIFESTS})
        with urllib.request.urlopen(request, timeout=_DEADLINE_SECONDS) as response:
            return sum(layer["size"] for layer in json.load(response)["layers"])

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.host}/v2/", timeout=1):
                return True
        except OSError:
            return False
