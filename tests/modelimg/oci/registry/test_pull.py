"""Pulling: everything that comes is checked, and nothing comes before it is wanted."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from modelimg.errors import DigestMismatch, ImageError, ModelimgError, NotFound, RegistryError
from modelimg.oci.blob import (
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    INDEX,
    MANIFEST,
    Descriptor,
    canonical_json,
)
from modelimg.oci.manifest import Image, ImageIndex
from modelimg.oci.values import Platform
from registry_server import DIGEST, Fault, Reply, sha256
from small_images import AMD64, ARM64, everything_of


def test_an_image_comes_back_byte_for_byte(registry, client, stored, name_at) -> None:
    pulled = client.pull(name_at(registry))
    assert isinstance(pulled, Image)
    assert everything_of(pulled) == everything_of(stored)


def test_layers_are_not_fetched_before_they_are_opened(registry, client, stored, name_at) -> None:
    client.pull(name_at(registry))
    assert registry.lines() == [
        "GET /v2/team/model/manifests/1",
        f"GET /v2/team/model/blobs/{stored.manifest.config.digest}",
    ]


def test_a_digest_counts_and_the_tag_beside_it_does_not(registry, client, stored, name_at) -> None:
    name = name_at(registry, f"team/model:other@{stored.descriptor.digest}")
    assert client.pull(name).manifest_data == stored.manifest_data
    assert client.resolve(name).digest == stored.descriptor.digest


def test_without_tag_and_digest_it_is_the_latest(registry, client, image_of, put, name_at) -> None:
    put(registry, "team/model", image_of(b"x"), "latest")
    client.pull(name_at(registry, "team/model"))
    assert registry.lines()[0] == "GET /v2/team/model/manifests/latest"


def test_a_platform_chooses_from_an_index(registry, client, stored_index, name_at) -> None:
    for platform, image in zip((AMD64, ARM64), stored_index.images, strict=True):
        assert client.pull(name_at(registry), platform).manifest_data == image.manifest_data
    with pytest.raises(ImageError, match="has no image for windows/amd64; it has linux/amd64, linux/arm64"):
        client.pull(name_at(registry), Platform("windows", "amd64"))


def test_without_a_platform_the_whole_index_comes(registry, client, stored_index, name_at) -> None:
    pulled = client.pull(name_at(registry))
    assert isinstance(pulled, ImageIndex)
    assert pulled.data == stored_index.data
    assert [image.manifest_data for image in pulled.images] == [i.manifest_data for i in stored_index.images]


def test_an_image_of_another_platform_is_refused(registry, client, stored, name_at) -> None:
    assert client.pull(name_at(registry), AMD64).manifest_data == stored.manifest_data
    with pytest.raises(ImageError, match="is for linux/amd64, not for linux/arm64"):
        client.pull(name_at(registry), ARM64)


def test_an_index_that_was_pulled_can_be_pushed_elsewhere(registry, client, stored_index, name_at) -> None:
    result = client.push(client.pull(name_at(registry)), name_at(registry, "other/model:2"))
    assert registry.storage.tags["other/model"]["2"] == str(stored_index.descriptor.digest)
    assert (result.mounted, result.uploaded) == (3, 2)


def test_dockers_media_types_are_read_and_kept(registry, client, image_of, name_at) -> None:
    image = image_of(b"layer")
    value = json.loads(image.manifest_data) | {"mediaType": DOCKER_MANIFEST}
    value["config"]["mediaType"], value["layers"][0]["mediaType"] = DOCKER_CONFIG, DOCKER_LAYER_GZIP
    data = canonical_json(value)
    for blob in image.blobs:
        registry.storage.add_blob("team/model", blob.open().read())
    registry.storage.add_manifest("team/model", DOCKER_MANIFEST, data)
    entry = Descriptor.of(DOCKER_MANIFEST, data).to_dict() | {"platform": {"os": "linux", "architecture": "amd64"}}
    listed = canonical_json({"schemaVersion": 2, "mediaType": DOCKER_INDEX, "manifests": [entry]})
    registry.storage.add_manifest("team/model", DOCKER_INDEX, listed, "1")
    pulled = client.pull(name_at(registry), AMD64)
    assert pulled.manifest_data == data
    assert pulled.layers[0].descriptor.media_type == DOCKER_LAYER_GZIP
    client.push(client.pull(name_at(registry)), name_at(registry, "team/copy:1"))
    assert registry.storage.manifests["team/copy"][sha256(listed)][0] == DOCKER_INDEX


def test_every_type_that_can_be_read_is_asked_for(registry, client, stored, name_at) -> None:
    client.pull(name_at(registry))
    accepted = registry.requests[0].headers["accept"]
    assert all(media_type in accepted for media_type in (MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX))


# Resolving.


def test_resolving_reads_no_more_than_headers(registry, client, stored, name_at) -> None:
    assert client.resolve(name_at(registry)) == Descriptor.of(MANIFEST, stored.manifest_data)
    assert registry.lines() == ["HEAD /v2/team/model/manifests/1"]


@pytest.mark.parametrize(
    "edit",
    [
        lambda reply: Reply(405),
        lambda reply: Reply(200, {**reply.headers, "content-type": "text/html"}, reply.body),
        lambda reply: Reply(200, {**reply.headers, DIGEST: "md5:0"}, reply.body),
        lambda reply: Reply(200, {"content-type": MANIFEST}, reply.body),
    ],
)
def test_a_registry_whose_headers_say_too_little_is_asked_for_the_document(
    registry, client, stored, name_at, edit
) -> None:
    registry.fail_once("HEAD", "", Fault(edit=edit))
    assert client.resolve(name_at(registry)).digest == stored.descriptor.digest


def test_resolving_checks_the_digest_that_was_asked_for(registry, client, stored, name_at) -> None:
    wrong = Fault(edit=lambda reply: Reply(200, {**reply.headers, DIGEST: sha256(b"other")}, reply.body))
    registry.fail_once("HEAD", "", wrong)
    with pytest.raises(DigestMismatch):
        client.resolve(name_at(registry, f"team/model@{stored.descriptor.digest}"))


@pytest.mark.parametrize("method", ["pull", "resolve"])
def test_what_is_not_there_is_not_found(registry, client, name_at, method, pauses) -> None:
    with pytest.raises(NotFound, match=f"manifest 1 of {registry.host}/team/model failed: HTTP 404"):
        getattr(client, method)(name_at(registry))
    assert pauses == []


# What must be refused.


def answered(body: bytes, media_type: str = MANIFEST) -> Reply:
    return Reply(200, {"content-type": media_type, DIGEST: sha256(body)}, body)


def edited(manifest: bytes, **changes: object) -> Reply:
    return answered(canonical_json(json.loads(manifest) | changes))


def edited_config(manifest: bytes, **changes: object) -> Reply:
    return edited(manifest, config=json.loads(manifest)["config"] | changes)


BROKEN: dict[str, tuple[Callable[[bytes], Reply], type[ModelimgError], str]] = {
    "other bytes than the header says": (
        lambda data: Reply(200, {"content-type": MANIFEST, DIGEST: sha256(data)}, data + b" "),
        DigestMismatch,
        "expected sha256:",
    ),
    "no JSON": (lambda data: answered(b"<html>"), RegistryError, "no JSON object"),
    "no object": (lambda data: answered(b"[]"), RegistryError, "no JSON object"),
    "endless nesting": (lambda data: answered(b"[" * 100_000), RegistryError, "no JSON object"),
    "no manifest": (lambda data: answered(b"{}"), ImageError, "is no image manifest"),
    "negative size": (lambda data: edited_config(data, size=-1), ImageError, "is no image manifest"),
    "another algorithm": (
        lambda data: edited_config(data, digest="md5:" + "0" * 32),
        ImageError,
        "is no image manifest",
    ),
    "schema 1 by header": (
        lambda data: answered(data, "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        ImageError,
        "schema 1",
    ),
    "schema 1 by content": (
        lambda data: answered(b'{"schemaVersion": 1}', "application/json"),
        ImageError,
        "schema 1",
    ),
    "another type": (lambda data: edited(data, mediaType="text/plain"), ImageError, "which is no image"),
    "header against content": (lambda data: answered(data, INDEX), RegistryError, "under the header"),
    "both at once": (lambda data: edited(data, manifests=[]), RegistryError, "in two ways"),
    "too large": (lambda data: answered(data + b" " * (5 << 20)), RegistryError, "more than 4194304 bytes"),
    "huge config": (
        lambda data: edited_config(data, size=1 << 40),
        ImageError,
        "the config of .* has 1099511627776 bytes",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_manifest_that_is_wrong_is_refused(registry, client, stored, name_at, what) -> None:
    answer, kind, message = BROKEN[what]
    registry.fail_once("GET", "/manifests/", Fault(answer(stored.manifest_data)), times=3)  # a request may be repeated
    with pytest.raises(kind, match=message) as failed:
        client.pull(name_at(registry))
    assert type(failed.value) is kind


def test_a_manifest_that_is_not_the_one_that_was_pinned_is_refused(registry, client, stored, name_at, image_of) -> None:
    other = image_of(b"other").manifest_data
    registry.fail_once("GET", "/manifests/", Fault(answered(other)))
    with pytest.raises(DigestMismatch, match=f"expected {stored.descriptor.digest}"):
        client.pull(name_at(registry, f"team/model@{stored.descriptor.digest}"))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"size": 7}, "expected 7 of sha256"),
        ({"mediaType": INDEX}, "which is no image but application/vnd.oci.image.index"),
        ({"mediaType": "application/vnd.other"}, "which is no image but application/vnd.other"),
        ({"digest": sha256(b"absent")}, "HTTP 404"),
    ],
)
def test_an_index_with_a_wrong_entry_is_refused(registry, client, stored_index, name_at, entry, message) -> None:
    value = json.loads(stored_index.data)
    value["manifests"][0] |= entry
    registry.storage.add_manifest("team/model", INDEX, canonical_json(value), "1")
    with pytest.raises(ModelimgError, match=message):
        client.pull(name_at(registry))


def test_an_index_within_an_index_is_refused_even_where_it_hides(registry, client, stored_index, name_at) -> None:
    entry = Descriptor.of(MANIFEST, stored_index.data).to_dict()
    data = canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]})
    registry.storage.add_manifest("team/model", INDEX, data, "1")
    with pytest.raises(ImageError, match="an index where"):
        client.pull(name_at(registry))


def test_a_config_with_other_bytes_is_refused(registry, client, stored, name_at) -> None:
    blobs = registry.storage.blobs["team/model"]
    digest = str(stored.manifest.config.digest)
    blobs[digest] = blobs[digest][:-1] + b" "
    with pytest.raises(DigestMismatch):
        client.pull(name_at(registry))
