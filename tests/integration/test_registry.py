"""Pushing to and pulling from a real registry, with skopeo as the witness."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import small_images
from modelimg.errors import DigestMismatch, NotFound, Unauthorized
from modelimg.oci.blob import BytesBlob, read_blob
from modelimg.oci.image import RunConfig
from modelimg.oci.manifest import Image, ImageIndex
from modelimg.oci.registry import PushResult, RegistryClient, RegistrySettings, upload
from modelimg.oci.values import Digest, Platform, Reference
from real_registry import skopeo

pytestmark = pytest.mark.engine

ADA = "ada:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"
"""A line of htpasswd; the password is ``secret``."""


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    with RegistryClient(RegistrySettings()) as client:
        yield client


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody's logins."""
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def image_of(*contents: bytes, architecture: str = "amd64") -> Image:
    """An image with a layer for each content, of one file."""
    trees = [{"file": content} for content in contents]
    return small_images.image_of(*trees, run=RunConfig(cmd=("/file",)), platform=Platform("linux", architecture))


def digest_by_skopeo(name: Reference, *options: str) -> str:
    """The digest of what skopeo sees: the image, or with ``--raw`` the very bytes."""
    raw = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", *options, f"docker://{name}"],
        check=True,
        capture_output=True,
    )
    return str(Digest.of(raw.stdout))


def test_skopeo_sees_the_digest_that_was_pushed(client, registry) -> None:
    name = Reference.parse(f"{registry.host}/team/model:1")
    image = image_of(b"one", b"two")
    result = client.push(image, name, tags=["stable"])
    assert (result.uploaded, result.digest) == (3, image.descriptor.digest)
    shown = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{name}"))
    assert shown["Digest"] == str(image.descriptor.digest) == digest_by_skopeo(name)
    assert shown["Layers"] == [str(layer.descriptor.digest) for layer in image.layers]
    assert sorted(shown["RepoTags"]) == ["1", "stable"]
    assert client.resolve(name).digest == image.descriptor.digest


def test_what_is_pulled_is_what_was_pushed(client, registry) -> None:
    name = Reference.parse(f"{registry.host}/team/pulled:1")
    image = image_of(os.urandom(3 << 20), b"two")
    client.push(image, name)
    pulled = client.pull(name, Platform("linux", "amd64"))
    assert isinstance(pulled, Image)
    assert (pulled.manifest_data, pulled.config_data) == (image.manifest_data, image.config_data)
    taken = []
    client.download(pulled.layers, lambda blob: taken.append(read_blob(blob)))
    assert sorted(taken) == sorted(read_blob(layer) for layer in image.layers)


def test_chunks_arrive_in_a_real_registry(client, registry, monkeypatch) -> None:
    monkeypatch.setattr(upload, "CHUNK", 1 << 20)
    name = Reference.parse(f"{registry.host}/team/chunks:1")
    image = image_of(os.urandom(5 << 20), b"")
    client.push(image, name)
    assert digest_by_skopeo(name) == str(image.descriptor.digest)
    assert [read_blob(layer) for layer in client.pull(name).layers] == [read_blob(layer) for layer in image.layers]


class CuttingForwarder:
    """Passes bytes on to a registry; each connection ends after so many bytes from the client, a few times."""

    def __init__(self, target: str, after: int, times: int) -> None:
        host, _, port = target.partition(":")
        self.target, self.after, self.left = (host, int(port)), after, times
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection(self.target)
                threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, False), daemon=True).start()

    def _pass(self, source: socket.socket, to: socket.socket, counted: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                passed += len(data)
                if counted and self.left and passed > self.after:
                    self.left -= 1
                    break
                to.sendall(data)
        for end in (source, to):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def test_an_upload_to_a_real_registry_goes_on_after_the_connection_broke(registry, monkeypatch) -> None:
    monkeypatch.setattr(upload, "CHUNK", 1 << 20)
    forwarder = CuttingForwarder(registry.host, after=1_500_000, times=3)
    name = Reference.parse(f"{forwarder.host}/team/cut:1")
    image = image_of(os.urandom(4 << 20))
    pauses: list[float] = []
    with RegistryClient(RegistrySettings(), sleep=pauses.append) as client:
        client.push(image, name)
        assert [read_blob(layer) for layer in client.pull(name).layers] == [read_blob(layer) for layer in image.layers]
    forwarder.listener.close()
    assert forwarder.left == 0
    assert len(pauses) >= 3
    assert digest_by_skopeo(Reference.parse(f"{registry.host}/team/cut:1")) == str(image.descriptor.digest)


def test_a_second_push_sends_nothing_and_another_repository_mounts(client, registry) -> None:
    name, other = (Reference.parse(f"{registry.host}/team/{n}:1") for n in ("first", "second"))
    image = image_of(b"one more", b"two more")
    assert client.push(image, name).uploaded == 3
    assert client.push(image, name) == PushResult(image.descriptor.digest, 0, uploaded=0, mounted=0, present=3)
    again = client.push(image, other, mount_from=[name])
    assert again == PushResult(image.descriptor.digest, 0, uploaded=0, mounted=3, present=0)
    assert digest_by_skopeo(other) == str(image.descriptor.digest)


def test_a_mount_of_what_is_not_there_becomes_an_upload(client, registry) -> None:
    name = Reference.parse(f"{registry.host}/team/unmounted:1")
    absent = Reference.parse(f"{registry.host}/team/never")
    result = client.push(image_of(b"somewhere else"), name, mount_from=[absent])
    assert (result.mounted, result.uploaded) == (0, 2)


def test_an_index_is_pushed_whole_and_pulled_whole_or_by_platform(client, registry) -> None:
    name = Reference.parse(f"{registry.host}/team/both:1")
    index = ImageIndex.assemble([image_of(b"all", a.encode(), architecture=a) for a in ("amd64", "arm64")])
    assert client.push(index, name).digest == index.descriptor.digest
    assert digest_by_skopeo(name) == str(index.descriptor.digest)
    for image, arch in zip(index.images, ("amd64", "arm64"), strict=True):
        shown = json.loads(skopeo("--override-arch", arch, "inspect", "--tls-verify=false", f"docker://{name}"))
        assert shown["Architecture"] == arch
        assert client.pull(name, Platform("linux", arch)).manifest_data == image.manifest_data
    pulled = client.pull(name)
    assert isinstance(pulled, ImageIndex)
    assert pulled.data == index.data


def test_a_copy_by_skopeo_and_back_keeps_the_digest(client, registry, tmp_path) -> None:
    name, back = (Reference.parse(f"{registry.host}/team/{n}:1") for n in ("there", "back"))
    index = ImageIndex.assemble([image_of(a.encode(), architecture=a) for a in ("amd64", "arm64")])
    client.push(index, name)
    skopeo("copy", "--all", "--src-tls-verify=false", f"docker://{name}", f"oci:{tmp_path}/layout:1")
    skopeo("copy", "--all", "--dest-tls-verify=false", f"oci:{tmp_path}/layout:1", f"docker://{back}")
    assert client.resolve(back).digest == index.descriptor.digest


def test_an_image_that_skopeo_pushed_with_dockers_types_is_read(client, registry) -> None:
    name, converted = (Reference.parse(f"{registry.host}/team/{n}:1") for n in ("oci", "docker"))
    image = image_of(b"converted")
    client.push(image, name)
    skopeo(
        *("copy", "--format", "v2s2", "--src-tls-verify=false", "--dest-tls-verify=false"),
        *(f"docker://{name}", f"docker://{converted}"),
    )
    pulled = client.pull(converted)
    assert isinstance(pulled, Image)
    assert pulled.manifest.media_type == "application/vnd.docker.distribution.manifest.v2+json"
    assert [read_blob(layer) for layer in pulled.layers] == [read_blob(layer) for layer in image.layers]


def test_what_is_not_there_is_not_found(client, registry) -> None:
    with pytest.raises(NotFound, match="MANIFEST_UNKNOWN"):
        client.pull(Reference.parse(f"{registry.host}/team/nothing:1"))


def test_a_layer_that_is_not_what_it_says_never_gets_a_tag(client, registry) -> None:
    name = Reference.parse(f"{registry.host}/team/wrong:1")
    good = image_of(b"good")
    [layer] = good.layers
    image = Image.assemble(good.config, [BytesBlob(layer.descriptor, read_blob(layer)[:-1] + b"!")])
    with pytest.raises(DigestMismatch):
        client.push(image, name)
    with pytest.raises(NotFound):
        client.resolve(name)


def test_a_login_is_needed_where_the_registry_wants_one(client, start_registry, home) -> None:
    guarded = start_registry(ADA + "\n")
    name, image = Reference.parse(f"{guarded.host}/team/model:1"), image_of(b"guarded")
    with pytest.raises(Unauthorized) as failed:
        client.push(image, name)
    assert failed.value.hint == f"docker login {guarded.host}"
    (home / ".docker").mkdir()
    for password in ("wrong", "secret"):
        auth = base64.b64encode(f"ada:{password}".encode()).decode()
        (home / ".docker/config.json").write_text(json.dumps({"auths": {guarded.host: {"auth": auth}}}))
        if password == "wrong":
            with pytest.raises(Unauthorized):
                client.push(image, name)
    assert client.push(image, name).uploaded == 2
    assert digest_by_skopeo(name, "--creds", "ada:secret") == str(image.descriptor.digest)
    assert client.pull(name).manifest_data == image.manifest_data


def test_a_login_by_skopeo_is_found(client, start_registry, home, monkeypatch) -> None:
    """Whatever form the tools write their file in."""
    guarded = start_registry(ADA + "\n")
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(home / "auth.json"))
    skopeo("login", "--tls-verify=false", "--username", "ada", "--password", "secret", guarded.host)
    assert client.push(image_of(b"podman"), Reference.parse(f"{guarded.host}/team/model:1")).uploaded == 2
