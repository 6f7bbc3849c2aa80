"""A client, a scripted registry, and images that are small but whole."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

import small_images
from modelimg.oci.blob import LAYER, Blob, BytesBlob, Descriptor
from modelimg.oci.image import History, ImageConfig, RunConfig
from modelimg.oci.manifest import Image, ImageIndex
from modelimg.oci.registry import RegistryClient, RegistrySettings, upload
from modelimg.oci.values import Digest, Platform, Reference
from registry_server import ScriptedRegistry

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_CREDENTIALS = ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME")
_OURS = ("MODELIMG_INSECURE_REGISTRIES", "MODELIMG_REGISTRY_MIRRORS")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without credentials, and an environment without proxies."""
    for name in (*_PROXIES, *map(str.lower, _PROXIES), *_CREDENTIALS, *_OURS, "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def other(registry: ScriptedRegistry) -> Iterator[ScriptedRegistry]:
    """A second host with the same storage, where a registry may send its clients. It wants no credentials."""
    server = ScriptedRegistry(registry.storage)
    yield server
    server.close()


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    """Connections that many clients share; making a client of one's own takes its time."""
    with httpx.Client(trust_env=False, timeout=httpx.Timeout(10, read=0.4)) as client:
        yield client


@pytest.fixture
def pauses() -> list[float]:
    """Seconds that clients would have slept."""
    return []


@pytest.fixture
def make_client(http: httpx.Client, pauses: list[float]) -> Callable[..., RegistryClient]:
    """A client that never sleeps, one request at a time."""

    def make(settings: RegistrySettings | None = None, **options: Any) -> RegistryClient:
        options = {"client": http, "threads": 1, "sleep": pauses.append, **options}
        return RegistryClient(settings or RegistrySettings(), **options)

    return make


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blobs of over a thousand bytes go in chunks."""
    monkeypatch.setattr(upload, "CHUNK", 1024)


@pytest.fixture
def client(make_client: Callable[..., RegistryClient]) -> RegistryClient:
    return make_client()


@dataclass
class LazyBlob:
    """A blob that is made when it is opened; it remembers how often."""

    data: bytes
    descriptor: Descriptor = field(init=False)
    opened: int = 0

    def __post_init__(self) -> None:
        self.descriptor = Descriptor.of(LAYER, self.data)

    def open(self) -> Any:
        self.opened += 1
        return BytesBlob(self.descriptor, self.data).open()


def make_image(*layers: bytes | Blob, architecture: str = "amd64", label: str = "") -> Image:
    """An image of these layers; nobody looks into them."""
    blobs = tuple(BytesBlob(Descriptor.of(LAYER, x), x) if isinstance(x, bytes) else x for x in layers)
    config = ImageConfig(
        platform=Platform("linux", architecture),
        run=RunConfig(labels={"label": label} if label else {}),
        diff_ids=tuple(blob.descriptor.digest for blob in blobs),
        history=tuple(History("test") for _ in blobs),
    )
    return Image.assemble(config, blobs)


@pytest.fixture
def image_of() -> Callable[..., Image]:
    return make_image


@pytest.fixture
def lazy() -> type[LazyBlob]:
    return LazyBlob


@pytest.fixture
def name_at() -> Callable[..., Reference]:
    """The name of something in a registry."""

    def name(server: ScriptedRegistry, rest: str = "team/model:1") -> Reference:
        return Reference.parse(f"{server.host}/{rest}")

    return name


@pytest.fixture
def log_in(home: Path) -> Callable[..., None]:
    """Write Docker's config file."""

    def write(host: str, user: str = "ada", password: str = "secret", **entry: str) -> None:
        encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
        (home / ".docker").mkdir(exist_ok=True)
        value = {"auths": {host: entry or {"auth": encoded}}}
        (home / ".docker/config.json").write_text(json.dumps(value))

    return write


@pytest.fixture
def put() -> Callable[..., Digest]:
    """Put an image or an index into a registry's storage: ``(server, repository, artifact, *tags)``."""
    return small_images.stored


@pytest.fixture
def stored(registry: ScriptedRegistry, image_of: Callable[..., Image], put: Callable[..., Digest]) -> Image:
    """An image in the registry, under the tag 1; its first layer is a large one."""
    image = image_of(bytes(range(256)) * 8000, b"small")
    put(registry, "team/model", image, "1")
    return image


@pytest.fixture
def stored_index(registry: ScriptedRegistry, image_of: Callable[..., Image], put: Callable[..., Digest]) -> ImageIndex:
    """Two platforms in the registry, under the tag 1; they share a layer."""
    index = ImageIndex.assemble([image_of(b"all", a.encode(), architecture=a) for a in ("amd64", "arm64")])
    put(registry, "team/model", index, "1")
    return index


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_all(**values: str) -> None:
        for key, value in values.items():
            monkeypatch.setenv(key, value)

    return set_all
