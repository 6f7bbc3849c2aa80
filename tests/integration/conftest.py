"""Images of real models, built as a user would, on a real daemon."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import docker
import pytest

from real_registry import RealRegistry


@pytest.fixture(scope="session")
def client() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@dataclass
class Built:
    """An image that `modelimg build` made."""

    name: str
    metadata: dict[str, Any]
    package: Path

    @property
    def layers(self) -> list[str]:
        return list(self.metadata["images"][0]["layers"])


@pytest.fixture(scope="session")
def built(cli: Callable[..., Any], breast_cancer: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The breast-cancer image."""
    return build_image(cli, breast_cancer, "modelimg-test/breast-cancer:1", tmp_path_factory.mktemp("metadata"))


@pytest.fixture(scope="session")
def built_penguins(cli: Callable[..., Any], penguins: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The penguins image."""
    return build_image(cli, penguins, "modelimg-test/penguins:1", tmp_path_factory.mktemp("metadata"))


def build_image(cli: Callable[..., Any], package: Path, name: str, folder: Path, *options: object) -> Built:
    done = cli("build", package, "-t", name, "--metadata-file", folder / "metadata.json", *options)
    assert done.code == 0, done.err
    return Built(name, json.loads((folder / "metadata.json").read_text()), package)


@pytest.fixture(scope="session")
def image_builder(cli: Callable[..., Any]) -> Callable[..., Built]:
    """Builds an image and reads its metadata file: ``(package, name, folder, *options)``."""
    return partial(build_image, cli)


@dataclass
class Served:
    """A container that answers."""

    url: str
    container: Any


@pytest.fixture
def serve(client: docker.DockerClient) -> Iterator[Callable[..., Served]]:
    """Start a container as locked down as the image promises to run, on loopback: ``(image, command=None)``."""
    started = []

    def start(image: str, command: str | None = None) -> Served:
        container = client.containers.run(
            image,
            command,
            detach=True,
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            ports={"8080/tcp": ("127.0.0.1", None)},  # type: ignore[call-overload]  # any free port
        )
        started.append(container)
        container.reload()
        port = container.ports["8080/tcp"][0]["HostPort"]
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"{url}/readyz", timeout=5) as response:
                    if response.status == 200:
                        return Served(url, container)
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise AssertionError(container.logs().decode())

    yield start
    for container in started:
        container.remove(force=True)


@pytest.fixture(scope="session")
def start_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RealRegistry]]:
    """Starts an empty registry on loopback, with logins where it is given lines of htpasswd."""
    started: list[RealRegistry] = []

    def start(htpasswd: str = "") -> RealRegistry:
        started.append(RealRegistry.prepare(tmp_path_factory.mktemp("registry"), htpasswd))
        started[-1].start()
        return started[-1]

    yield start
    for registry in started:
        registry.stop()


@pytest.fixture(scope="module")
def registry(start_registry: Callable[..., RealRegistry]) -> Iterator[RealRegistry]:
    """A registry that the tests of a file share."""
    registry = start_registry()
    yield registry
    registry.stop()


class OwnDaemon:
    """A second dockerd with its own socket and data, that a test may harm. It takes root, as starting any does."""

    def __init__(self, data_root: Path | None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dockerd-"))  # short: a socket's path holds 107 bytes
        self.data_root = data_root or self.folder / "data"
        self.host = f"unix://{self.folder}/d.sock"
        self.start()

    def start(self) -> None:
        options = ["--host", self.host, "--data-root", str(self.data_root), "--exec-root", f"{self.folder}/exec"]
        options += ["--pidfile", f"{self.folder}/pid", "--bridge", "none", "--iptables=false", "--ip-masq=false"]
        with (self.folder / "log").open("ab") as log:
            # In a network namespace of its own: without a bridge, dockerd would remove the one that the host's uses.
            command = ["unshare", "--net", "dockerd", *options]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        for _ in range(300):
            if self._listens():
                self.client = docker.DockerClient(self.host, timeout=60)
                self.client.ping()
                return
            time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text()[-3000:])

    def _listens(self) -> bool:
        """The SDK leaks a socket for each attempt that fails, so it is not used for waiting."""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self.host.removeprefix("unix://")) == 0

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.client.close()
        (self.folder / "pid").unlink(missing_ok=True)
        (self.folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)

    def close(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(timeout=60)
        subprocess.run(
            ["sh", "-c", f"umount -q {self.data_root}/overlay2 {self.folder}/exec/netns/*"],
            check=False,
            capture_output=True,
        )
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def start_daemon() -> Iterator[Callable[..., OwnDaemon]]:
    """Starts a Docker Engine of the test's own, with nothing in it."""
    started: list[OwnDaemon] = []

    def start(data_root: Path | None = None) -> OwnDaemon:
        started.append(OwnDaemon(data_root))
        return started[-1]

    yield start
    for daemon in started:
        daemon.close()
