"""Pulling: everything that comes is checked, and nothing comes before it is wanted."""

from __future__ import annotations

import io
import json
import threading

import pytest

from modelimg.errors import DigestMismatch, ImageError, ModelimgError, NotFound, RegistryError, Unauthorized
from modelimg.oci.blob import (
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    INDEX,
    MANIFEST,
    Descriptor,
    canonical_json,
    copy_blob,
    read_blob,
)
from modelimg.oci.manifest import Image, ImageIndex
from modelimg.oci.registry import RegistryClient, RegistrySettings
from modelimg.oci.values import Digest, Platform
from registry_server import DIGEST, Fault, Reply, ScriptedRegistry, error, sha256

LAYER_DATA = bytes(range(256)) * 8000
AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")


@pytest.fixture
def stored(registry: ScriptedRegistry, image_of, put) -> Image:
    """An image in the registry, under the tag 1."""
    image = image_of(LAYER_DATA, b"small")
    put(registry, "team/model", image, "1")
    return image


@pytest.fixture
def stored_index(registry: ScriptedRegistry, image_of, put) -> ImageIndex:
    index = ImageIndex.assemble([image_of(b"all", a.encode(), architecture=a) for a in ("amd64", "arm64")])
    for image in index.images:
        put(registry, "team/model", image)
    registry.storage.add_manifest("team/model", INDEX, index.data, "1")
    return index


def test_an_image_comes_back_byte_for_byte(registry, client, stored, name_at) -> None:
    pulled = client.pull(name_at(registry))
    assert isinstance(pulled, Image)
    assert (pulled.manifest_data, pulled.config_data) == (stored.manifest_data, stored.config_data)
    assert [read_blob(layer) for layer in pulled.layers] == [LAYER_DATA, b"small"]


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


def broken_manifests(image: Image) -> dict[str, tuple[Reply, type[ModelimgError], str]]:
    data = image.manifest_data
    value = json.loads(data)

    def reply(body: bytes, media_type: str = MANIFEST, **headers: str) -> Reply:
        return Reply(200, {"content-type": media_type, DIGEST: sha256(body), **headers}, body)

    return {
        "other bytes than the header says": (
            Reply(200, {"content-type": MANIFEST, DIGEST: sha256(data)}, data + b" "),
            DigestMismatch,
            "expected sha256:",
        ),
        "no JSON": (reply(b"<html>"), RegistryError, "no JSON object"),
        "no object": (reply(b"[]"), RegistryError, "no JSON object"),
        "endless nesting": (reply(b"[" * 100_000), RegistryError, "no JSON object"),
        "no manifest": (reply(b"{}"), ImageError, "is no image manifest"),
        "negative size": (
            reply(canonical_json(value | {"config": value["config"] | {"size": -1}})),
            ImageError,
            "is no image manifest",
        ),
        "another algorithm": (
            reply(canonical_json(value | {"config": value["config"] | {"digest": "md5:" + "0" * 32}})),
            ImageError,
            "is no image manifest",
        ),
        "schema 1 by header": (
            reply(data, "application/vnd.docker.distribution.manifest.v1+prettyjws"),
            ImageError,
            "schema 1",
        ),
        "schema 1 by content": (reply(b'{"schemaVersion": 1}', "application/json"), ImageError, "schema 1"),
        "another type": (reply(canonical_json(value | {"mediaType": "text/plain"})), ImageError, "which is no image"),
        "header against content": (reply(data, INDEX), RegistryError, "under the header"),
        "both at once": (reply(canonical_json(value | {"manifests": []})), RegistryError, "in two ways"),
        "too large": (reply(data + b" " * (5 << 20)), RegistryError, "more than 4194304 bytes"),
        "huge config": (
            reply(canonical_json(value | {"config": value["config"] | {"size": 1 << 40}})),
            ImageError,
            "the config of .* has 1099511627776 bytes",
        ),
    }


@pytest.mark.parametrize(
    "what",
    [
        "other bytes than the header says",
        "no JSON",
        "no object",
        "endless nesting",
        "no manifest",
        "negative size",
        "another algorithm",
        "schema 1 by header",
        "schema 1 by content",
        "another type",
        "header against content",
        "both at once",
        "too large",
        "huge config",
    ],
)
def test_a_manifest_that_is_wrong_is_refused(registry, client, stored, name_at, what) -> None:
    reply, kind, message = broken_manifests(stored)[what]
    registry.fail_once("GET", "/manifests/", Fault(reply))
    with pytest.raises(kind, match=message) as failed:
        client.pull(name_at(registry))
    assert type(failed.value) is kind


def test_a_manifest_that_is_not_the_one_that_was_pinned_is_refused(registry, client, stored, name_at, image_of) -> None:
    other = image_of(b"other").manifest_data
    registry.fail_once(
        "GET", "/manifests/", Fault(Reply(200, {"content-type": MANIFEST, DIGEST: sha256(other)}, other))
    )
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


# Blobs.


@pytest.fixture
def layer(registry, client, stored, name_at):
    """The large layer, not yet opened, with the requests so far forgotten."""
    layer = client.pull(name_at(registry)).layers[0]
    registry.requests.clear()
    return layer


def test_a_blob_with_other_bytes_is_refused(registry, layer) -> None:
    registry.storage.blobs["team/model"][sha256(LAYER_DATA)] = LAYER_DATA[:-1] + b"!"
    with pytest.raises(DigestMismatch, match="has bytes of sha256:"):
        copy_blob(layer, io.BytesIO())


@pytest.mark.parametrize("data", [LAYER_DATA[:-1], LAYER_DATA + b"!", b""])
def test_a_blob_of_another_size_is_refused_before_it_is_read(registry, layer, data) -> None:
    registry.storage.blobs["team/model"][sha256(LAYER_DATA)] = data
    with pytest.raises(DigestMismatch, match=f"should have 2048000 bytes.*announces {len(data)}$"):
        layer.open()


def test_a_blob_without_an_announced_size_is_cut_off(registry, layer) -> None:
    chunked = {"transfer-encoding": "chunked"}
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(LAYER_DATA) + 9, LAYER_DATA + b"more data")
    registry.fault = lambda request: Fault(Reply(200, chunked, body))
    with layer.open() as stream:
        assert stream.read() == LAYER_DATA


@pytest.mark.parametrize("cut", [0, 1, 100_000, len(LAYER_DATA) - 1])
def test_a_download_that_breaks_goes_on_where_it_broke(registry, layer, cut, pauses) -> None:
    registry.fail_once("GET", "/blobs/", Fault(cut=cut))
    assert read_blob(layer) == LAYER_DATA
    assert [r.headers.get("range") for r in registry.requests] == [None, f"bytes={cut}-" if cut else None]
    assert pauses == [0.5]


def test_a_server_without_ranges_sends_it_again_from_the_beginning(registry, layer) -> None:
    cuts = [Fault(cut=100_000), Fault(Reply(200, {}, LAYER_DATA))]
    registry.fault = lambda request: cuts.pop(0) if cuts else None
    assert read_blob(layer) == LAYER_DATA


@pytest.mark.parametrize(
    "reply", [Reply(416), Reply(206, {"content-range": "bytes 7-2047999/2048000"}, LAYER_DATA[7:]), Reply(206)]
)
def test_a_server_that_continues_elsewhere_is_refused(registry, layer, reply) -> None:
    cuts = [Fault(cut=100_000), Fault(reply)]
    registry.fault = lambda request: cuts.pop(0) if cuts else None
    with pytest.raises(RegistryError, match="cannot continue at byte 100000"):
        read_blob(layer)


def test_a_blob_that_always_breaks_ends_in_one_error(registry, layer, pauses) -> None:
    registry.fault = lambda request: Fault(cut=10)
    with pytest.raises(RegistryError, match=r"reading the blob .* failed in 5 tries"):
        read_blob(layer)
    assert pauses == [0.5, 1, 2, 4]


def test_a_server_that_falls_silent_is_given_up(registry, layer, pauses) -> None:
    registry.fault = lambda request: Fault(delay=0.6)
    with pytest.raises(RegistryError, match=r"5 tries: .*timed out"):
        layer.open()
    assert len(pauses) == 4


def test_a_server_that_is_slow_once_is_asked_again(registry, layer) -> None:
    registry.fail_once("GET", "/blobs/", Fault(delay=0.6))
    assert read_blob(layer) == LAYER_DATA


def test_an_empty_blob_needs_no_request(registry, client, image_of, put, name_at) -> None:
    put(registry, "team/model", image_of(b""), "1")
    [layer] = client.pull(name_at(registry)).layers
    registry.requests.clear()
    assert read_blob(layer) == b""
    assert registry.requests == []


def test_a_stream_that_is_closed_early_frees_its_connection(registry, layer) -> None:
    for _ in range(150):  # more than the pool has
        with layer.open() as stream:
            assert stream.read(3) == LAYER_DATA[:3]


# Redirects.


def test_blobs_on_another_host_are_read_without_credentials(registry, other, client, stored, name_at, log_in) -> None:
    registry.accounts = {"ada": "secret"}
    registry.blobs_at = other.url
    log_in(registry.host)
    pulled = client.pull(name_at(registry))
    assert [read_blob(layer) for layer in pulled.layers] == [LAYER_DATA, b"small"]
    assert len(other.requests) == 3
    assert not [r for r in other.requests if "authorization" in r.headers]
    assert [r for r in registry.requests if "authorization" in r.headers]


def test_credentials_do_not_come_back_after_a_detour(registry, other, client, stored, name_at, log_in) -> None:
    registry.accounts = {"ada": "secret"}
    log_in(registry.host)
    [layer, _] = client.pull(name_at(registry)).layers
    registry.blobs_at, registry.requests[:] = other.url, []
    back = Fault(Reply(302, {"location": f"{registry.url}/v2/team/model/manifests/1"}))
    other.fault = lambda request: back
    with pytest.raises(Unauthorized):
        layer.open()
    assert [bool(r.headers.get("authorization")) for r in registry.requests[:2]] == [True, False]


def test_another_host_that_asks_for_credentials_gets_none(registry, other, client, stored, name_at, log_in) -> None:
    registry.accounts = other.accounts = {"ada": "secret"}
    registry.blobs_at = other.url
    log_in(registry.host)
    log_in(other.host)
    registry.accounts = None
    with pytest.raises(Unauthorized):
        client.pull(name_at(registry))
    assert not [r for r in other.requests if "authorization" in r.headers]


@pytest.mark.parametrize(
    ("location", "message"),
    [("ftp://127.0.0.1/x", "as the next address"), ("http://[", "as the next address"), ("/loop", "redirects")],
)
def test_a_redirect_to_nowhere_is_refused(registry, client, stored, name_at, location, message) -> None:
    registry.fault = lambda request: Fault(Reply(307, {"location": location}))
    with pytest.raises(RegistryError, match=message):
        client.pull(name_at(registry))
    assert len(registry.requests) <= 6


def test_the_secrets_of_an_address_are_not_shown(registry, other, client, stored, name_at) -> None:
    registry.blobs_at = other.url
    other.fault = lambda request: Fault(cut=0)
    with pytest.raises(RegistryError) as failed:
        client.pull(name_at(registry))
    assert "signature" not in str(failed.value)


# Mirrors.


@pytest.fixture
def mirrored(registry, other, make_client):
    """A client that asks another host before the registry, below a prefix."""
    other.storage = type(registry.storage)()
    lines: list[str] = []
    settings = RegistrySettings(mirrors={registry.host: (f"{other.host}/proxy",)})
    client = make_client(settings, report=lines.append)
    client.lines = lines
    return client


def test_a_mirror_is_asked_first(registry, other, mirrored, stored, image_of, put, name_at) -> None:
    put(other, "proxy/team/model", stored, "1")
    pulled = mirrored.pull(name_at(registry))
    assert [read_blob(layer) for layer in pulled.layers] == [LAYER_DATA, b"small"]
    assert registry.requests == []
    assert other.lines()[0] == "GET /v2/proxy/team/model/manifests/1"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(error(404, "MANIFEST_UNKNOWN")),
        Fault(error(401, "UNAUTHORIZED")),
        Fault(error(503, "BUSY")),
        Fault(reset="before"),
        Fault(garble=True),
        Fault(Reply(200, {"content-type": MANIFEST}, b"{}")),
        Fault(Reply(200, {"content-type": MANIFEST}, b"<html>")),
    ],
)
def test_a_mirror_that_fails_is_passed_over_without_much_patience(
    registry, other, mirrored, stored, name_at, fault, pauses
) -> None:
    other.fault = lambda request: fault
    name = name_at(registry, f"team/model@{stored.descriptor.digest}")
    pulled = mirrored.pull(name)
    assert pulled.manifest_data == stored.manifest_data
    assert read_blob(pulled.layers[1]) == b"small"
    assert mirrored.lines[0].startswith(f"the mirror {other.host} was passed over: ")
    assert len(other.requests) <= 2
    assert len(pauses) <= 1


def test_a_mirror_that_lacks_a_blob_leaves_it_to_the_registry(registry, other, mirrored, stored, put, name_at) -> None:
    put(other, "proxy/team/model", stored, "1")
    del other.storage.blobs["proxy/team/model"][sha256(LAYER_DATA)]
    pulled = mirrored.pull(name_at(registry))
    assert read_blob(pulled.layers[0]) == LAYER_DATA


def test_where_all_fail_the_registry_has_the_last_word(registry, other, mirrored, name_at) -> None:
    with pytest.raises(NotFound, match=f"of {registry.host}/team/model failed"):
        mirrored.pull(name_at(registry))


def test_nothing_is_pushed_to_a_mirror(registry, other, mirrored, image_of, name_at) -> None:
    mirrored.push(image_of(b"x"), name_at(registry))
    assert other.requests == []


# Several at once.


def test_blobs_are_downloaded_side_by_side(registry, make_client, image_of, put, name_at) -> None:
    image = image_of(*(bytes([n]) * 1000 for n in range(6)))
    put(registry, "team/model", image, "1")
    client = make_client(threads=3)
    threads: set[int] = set()
    taken: set[Digest] = set()

    def take(blob) -> None:
        threads.add(threading.get_ident())
        read_blob(blob)
        taken.add(blob.descriptor.digest)

    registry.fault = lambda request: Fault(delay=0.02)
    client.download(client.pull(name_at(registry)).layers, take)
    assert taken == {layer.descriptor.digest for layer in image.layers}
    assert 1 < len(threads) <= 3


def test_the_first_download_that_fails_stops_the_others(registry, http, image_of, put, name_at) -> None:
    image = image_of(*(bytes([n]) * 1000 for n in range(20)))
    put(registry, "team/model", image, "1")
    with RegistryClient(RegistrySettings(), client=http, threads=2) as client:
        layers = client.pull(name_at(registry)).layers
        absent, waiting = layers[0].descriptor.digest, layers[1].descriptor.digest
        registry.fault = lambda request: (
            Fault(error(404, "BLOB_UNKNOWN"), delay=0.1)
            if str(absent) in request.path
            else Fault(Reply(503, {"retry-after": "60"}))
            if str(waiting) in request.path
            else None
        )
        registry.requests.clear()
        with pytest.raises(NotFound):
            client.download(layers, read_blob)
    assert len(registry.requests) <= 3
