"""Pushing: what is sent, in which order, and what is not sent at all."""

from __future__ import annotations

import pytest

from modelimg.errors import DigestMismatch, FetchError, NotFound, RegistryError, Unauthorized, UsageError
from modelimg.oci.blob import BytesBlob, Descriptor, FileBlob
from modelimg.oci.manifest import ImageIndex
from modelimg.oci.registry import PushResult
from modelimg.oci.values import Digest, Reference
from registry_server import Fault, Reply, ScriptedRegistry, error, sha256

pytestmark = pytest.mark.usefixtures("small_chunks")

ONE, TWO = b"one" * 1000, b"two" * 2000


def tag_of(server: ScriptedRegistry, tag: str = "1", name: str = "team/model") -> str | None:
    return server.storage.tags.get(name, {}).get(tag)


def test_blobs_come_before_the_manifest_and_the_tag_comes_last(registry, client, image_of, name_at) -> None:
    image = image_of(ONE, TWO)
    result = client.push(image, name_at(registry), tags=["latest"])
    digest = str(image.descriptor.digest)
    assert registry.lines("PUT")[-3:] == [f"PUT /v2/team/model/manifests/{x}" for x in (digest, "1", "latest")]
    assert tag_of(registry) == tag_of(registry, "latest") == digest
    assert result == PushResult(image.descriptor.digest, result.uploaded_bytes, uploaded=3, mounted=0, present=0)
    assert result.uploaded_bytes == registry.blob_bytes == 9000 + len(image.config_data)


def test_large_blobs_go_in_chunks_and_small_ones_in_one_piece(registry, client, image_of, name_at) -> None:
    client.push(image_of(b"x" * 2500, b"y" * 1024), name_at(registry))
    ranges = [r.headers["content-range"] for r in registry.requests if r.method == "PATCH"]
    assert ranges == ["0-1023", "1024-2047", "2048-2499"]
    assert [len(r.body) for r in registry.requests if r.method == "PUT" and "/blobs/" in r.path][:2] == [0, 1024]


def test_a_second_push_sends_no_blob_and_opens_no_layer(registry, client, image_of, name_at, lazy) -> None:
    layers = [lazy(ONE), lazy(TWO)]
    image = image_of(*layers)
    client.push(image, name_at(registry))
    registry.requests.clear()
    again = client.push(image, name_at(registry))
    assert registry.blob_bytes == 0
    assert again == PushResult(image.descriptor.digest, 0, uploaded=0, mounted=0, present=3)
    assert [layer.opened for layer in layers] == [1, 1]


def test_only_what_is_missing_is_opened(registry, client, image_of, name_at, lazy) -> None:
    there, absent = lazy(ONE), lazy(TWO)
    registry.storage.add_blob("team/model", ONE)
    result = client.push(image_of(there, absent), name_at(registry))
    assert (there.opened, absent.opened) == (0, 1)
    assert (result.present, result.uploaded) == (1, 2)


def test_a_layer_that_is_there_twice_is_sent_once(registry, client, image_of, name_at) -> None:
    result = client.push(image_of(ONE, TWO, ONE), name_at(registry))
    assert result.uploaded == 3
    assert registry.lines("HEAD").count(f"HEAD /v2/team/model/blobs/{sha256(ONE)}") == 1


def test_an_empty_layer_is_sent_too(registry, client, image_of, name_at) -> None:
    client.push(image_of(b"", ONE), name_at(registry))
    assert registry.storage.blobs["team/model"][sha256(b"")] == b""


def test_an_index_comes_after_its_images_and_shares_their_layers(registry, client, image_of, name_at) -> None:
    images = [image_of(ONE, TWO, architecture=arch) for arch in ("amd64", "arm64")]
    index = ImageIndex.assemble(images)
    result = client.push(index, name_at(registry))
    names = [*(str(image.descriptor.digest) for image in index.images), str(index.descriptor.digest), "1"]
    assert registry.lines("PUT")[-4:] == [f"PUT /v2/team/model/manifests/{name}" for name in names]
    assert (result.digest, result.uploaded) == (index.descriptor.digest, 4)


@pytest.mark.parametrize(
    ("rest", "tags", "expected"),
    [
        ("team/model:1", (), {"1"}),
        ("team/model:1", ("2", "1"), {"1", "2"}),
        ("team/model", (), {"latest"}),
        ("team/model", ("2",), {"2"}),
    ],
)
def test_all_tags_that_are_named_are_set_and_latest_where_none_is(
    registry, client, image_of, name_at, rest, tags, expected
) -> None:
    client.push(image_of(ONE), name_at(registry, rest), tags=tags)
    assert set(registry.storage.tags["team/model"]) == expected


def test_a_name_with_a_digest_sets_no_tag_and_has_to_be_right(registry, client, image_of, name_at) -> None:
    image = image_of(ONE)
    name = name_at(registry, "team/model")
    client.push(image, name.with_digest(image.descriptor.digest))
    assert registry.storage.tags == {}
    with pytest.raises(UsageError, match="has the digest"):
        client.push(image, name.with_digest(Digest.of(b"other")))
    with pytest.raises(UsageError, match="not a valid image tag"):
        client.push(image, name, tags=["not a tag"])


# Mounting.


def test_a_blob_of_another_repository_is_mounted_and_not_opened(registry, client, image_of, name_at, lazy) -> None:
    registry.storage.add_blob("team/base", ONE)
    layer = lazy(ONE)
    result = client.push(image_of(layer, TWO), name_at(registry), mount_from=[name_at(registry, "team/base:9")])
    assert (result.mounted, result.uploaded, layer.opened) == (1, 2, 0)
    assert registry.storage.blobs["team/model"][sha256(ONE)] == ONE


def test_a_pulled_layer_is_mounted_from_where_it_was_pulled(registry, client, image_of, name_at, put) -> None:
    put(registry, "team/base", image_of(ONE, TWO), "9")
    base = client.pull(name_at(registry, "team/base:9"))
    result = client.push(image_of(*base.layers, b"ours"), name_at(registry))
    assert (result.mounted, result.uploaded) == (2, 2)
    assert not [r for r in registry.requests if r.method == "GET" and sha256(ONE) in r.path]


def test_a_registry_that_does_not_mount_gets_the_blob_in_the_session_that_it_opened(
    registry, client, image_of, name_at
) -> None:
    registry.storage.add_blob("team/base", ONE)
    registry.mounting = False
    result = client.push(image_of(ONE), name_at(registry), mount_from=[name_at(registry, "team/base")])
    assert (result.mounted, result.uploaded) == (0, 2)
    posts = [r for r in registry.requests if r.method == "POST" and r.query.get("mount") == [sha256(ONE)]]
    assert len(posts) == 1
    assert len([r for r in registry.requests if r.method == "POST"]) == 2  # the second is the config's


@pytest.mark.parametrize(
    "refusal",
    [
        Fault(error(403, "DENIED")),
        Fault(error(401, "UNAUTHORIZED")),
        Fault(error(400, "NAME_INVALID")),
        Fault(error(404, "NAME_UNKNOWN")),
        Fault(error(405, "UNSUPPORTED")),
        Fault(error(500, "UNKNOWN")),
        Fault(reset="after"),
        Fault(Reply(202)),  # without Location
    ],
)
def test_a_mount_that_is_refused_in_whatever_way_means_sending(
    registry, client, image_of, name_at, refusal, pauses
) -> None:
    registry.storage.add_blob("team/base", ONE)
    registry.fault = lambda request: refusal if "mount" in request.query else None
    result = client.push(image_of(ONE), name_at(registry), mount_from=[name_at(registry, "team/base")])
    assert (result.mounted, result.uploaded) == (0, 2)
    assert tag_of(registry) == str(result.digest)
    assert pauses == []


def test_nothing_is_mounted_from_another_registry(registry, other, client, image_of, name_at) -> None:
    client.push(image_of(ONE), name_at(registry), mount_from=[name_at(other, "team/base"), Reference.parse("python")])
    assert not [r for r in registry.requests if "mount" in r.query]


# Going on after something broke.


@pytest.mark.parametrize("reset", ["before", "midway", "after"])
def test_an_upload_goes_on_where_the_connection_broke(registry, client, image_of, name_at, reset, pauses) -> None:
    sent = []

    def break_third_chunk(request):
        if request.method == "PATCH":
            sent.append(request.headers["content-range"])
            if len(sent) == 3:
                return Fault(reset=reset)
        return None

    registry.fault = break_third_chunk
    data = bytes(range(256)) * 20
    client.push(image_of(data), name_at(registry))
    assert registry.storage.blobs["team/model"][sha256(data)] == data
    resumed = {"before": "2048-3071", "midway": "2560-3071", "after": "3072-4095"}[reset]
    assert sent[3] == resumed
    assert sent.count("0-1023") == 1
    assert pauses == [0.5]


def test_an_upload_session_that_is_gone_is_begun_anew(registry, client, image_of, name_at) -> None:
    def forget(request):
        if request.method == "PATCH" and request.headers["content-range"].startswith("2048-"):
            registry.fault = lambda request: None
            registry.storage.uploads.clear()
            return Fault(reset="before")
        return None

    registry.fault = forget
    data = bytes(range(256)) * 12
    client.push(image_of(data), name_at(registry))
    assert registry.storage.blobs["team/model"][sha256(data)] == data


def test_an_upload_session_that_is_always_lost_ends_in_an_error(registry, client, image_of, name_at, pauses) -> None:
    lost = Fault(error(404, "BLOB_UPLOAD_UNKNOWN"))
    registry.fault = lambda request: lost if request.headers.get("content-range", "").startswith("1024-") else None
    with pytest.raises(RegistryError, match="in 5 tries: the registry has lost the upload session"):
        client.push(image_of(b"x" * 3000), name_at(registry))
    assert pauses == [0.5, 1, 2, 4]


def test_progress_renews_the_patience(registry, client, image_of, name_at, pauses) -> None:
    """Each chunk fails three times: more failures than tries, but never without progress in between."""
    seen: dict[str, int] = {}

    def fail(request):
        if request.method != "PATCH":
            return None
        number = seen[request.headers["content-range"]] = seen.get(request.headers["content-range"], 0) + 1
        return Fault(error(503, "BUSY")) if number < 4 else None

    registry.fault = fail
    client.push(image_of(b"x" * 3000), name_at(registry))
    assert pauses == [0.5, 1, 2] * 3


@pytest.mark.parametrize("status", [400, 404, 405, 413, 416, 501])
def test_a_registry_that_knows_no_chunks_gets_the_blob_whole(registry, client, image_of, name_at, status) -> None:
    registry.fault = lambda request: Fault(error(status, "UNSUPPORTED")) if request.method == "PATCH" else None
    client.push(image_of(b"x" * 3000, b"y" * 3000), name_at(registry))
    assert len(registry.lines("PATCH")) == 1  # the second blob is not even tried in chunks
    assert [len(r.body) for r in registry.requests if r.method == "PUT" and "/blobs/" in r.path][:2] == [3000, 3000]


def test_a_whole_blob_is_sent_again_after_the_connection_broke(registry, client, image_of, name_at, lazy) -> None:
    registry.fail_once("PUT", "/blobs/uploads/", Fault(reset="midway"))
    layer = lazy(b"x" * 900)
    client.push(image_of(layer), name_at(registry))
    assert registry.storage.blobs["team/model"][sha256(layer.data)] == layer.data
    assert layer.opened == 2


def test_a_blob_whose_last_answer_was_lost_is_not_sent_again(registry, client, image_of, name_at, lazy) -> None:
    registry.fail_once("PUT", "/blobs/uploads/", Fault(reset="after"))
    layer = lazy(b"x" * 900)
    client.push(image_of(layer), name_at(registry))
    assert layer.opened == 1


def test_a_registry_that_asks_for_patience_gets_it(registry, client, image_of, name_at, pauses) -> None:
    registry.fail_once("POST", "/uploads/", Fault(Reply(429, {"retry-after": "7"})), times=2)
    client.push(image_of(ONE), name_at(registry))
    assert pauses == [7, 7]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_registry_that_never_recovers_ends_in_one_error(registry, client, image_of, name_at, status, pauses) -> None:
    registry.fault = lambda request: Fault(error(status, "BUSY")) if request.method == "PUT" else None
    with pytest.raises(RegistryError, match=f"5 tries: HTTP {status}, BUSY: says the registry"):
        client.push(image_of(b"x"), name_at(registry))
    assert pauses == [0.5, 1, 2, 4]
    assert tag_of(registry) is None


# Refusals.


@pytest.mark.parametrize(
    ("status", "kind"), [(400, RegistryError), (403, Unauthorized), (404, NotFound), (409, RegistryError)]
)
def test_a_refusal_is_told_in_the_registrys_words_at_once(
    registry, client, image_of, name_at, status, kind, pauses
) -> None:
    registry.fail_once("PUT", "/manifests/1$", Fault(error(status, "DENIED", "quota\x1b[31m exceeded")))
    with pytest.raises(kind, match=f"HTTP {status}, DENIED: quota .31m exceeded") as failed:
        client.push(image_of(ONE), name_at(registry))
    assert type(failed.value) is kind
    assert pauses == []
    assert tag_of(registry) is None


def test_a_denied_push_says_where_to_log_in(registry, client, image_of, name_at) -> None:
    registry.fault = lambda request: Fault(error(403, "DENIED")) if request.method == "POST" else None
    with pytest.raises(Unauthorized) as failed:
        client.push(image_of(ONE), name_at(registry))
    assert failed.value.hint == f"docker login {registry.host}"


def test_an_error_page_of_any_length_is_cut(registry, client, image_of, name_at) -> None:
    page = b"<html>" + b"x" * (1 << 20)
    registry.fail_once("POST", "/uploads/", Fault(Reply(409, {}, page)))
    with pytest.raises(RegistryError, match=r"HTTP 409$") as failed:
        client.push(image_of(ONE), name_at(registry))
    assert len(str(failed.value)) < 500


def test_an_upload_without_an_address_is_refused(registry, client, image_of, name_at) -> None:
    def drop(reply: Reply) -> Reply:
        del reply.headers["location"]
        return reply

    registry.fail_once("POST", "/uploads/", Fault(edit=drop))
    with pytest.raises(RegistryError, match="no Location"):
        client.push(image_of(ONE), name_at(registry))
    assert tag_of(registry) is None


@pytest.mark.parametrize(
    "location", ["ftp://127.0.0.1/x", "file:///etc/passwd", "http://[::1", "https://", "http://127.0.0.1:99999/"]
)
def test_an_upload_to_an_odd_address_is_refused(registry, client, image_of, name_at, location) -> None:
    registry.fail_once("POST", "/uploads/", Fault(Reply(202, {"location": location})))
    with pytest.raises(RegistryError, match="as the next address"):
        client.push(image_of(ONE), name_at(registry))


def test_uploads_to_another_host_get_no_credentials(registry, other, client, image_of, name_at, log_in) -> None:
    registry.accounts = {"ada": "secret"}
    registry.uploads_at = other.uploads_at = other.url
    log_in(registry.host)
    image = image_of(ONE, b"small")
    client.push(image, name_at(registry))
    assert tag_of(registry) == str(image.descriptor.digest)
    assert len(other.requests) >= 5
    assert not [r for r in other.requests if "authorization" in r.headers]
    assert all(r.headers.get("authorization") for r in registry.requests[3:])


def test_another_host_that_asks_for_credentials_gets_none(registry, other, client, image_of, name_at, log_in) -> None:
    registry.accounts = other.accounts = {"ada": "secret"}
    registry.uploads_at = other.url
    log_in(registry.host)
    with pytest.raises(Unauthorized):
        client.push(image_of(b"small"), name_at(registry))
    assert not [r for r in other.requests if "authorization" in r.headers]
    assert other.lines() == [other.requests[0].line]


@pytest.mark.parametrize("hides", [True, False])
def test_what_the_registry_says_it_stored_is_compared(registry, client, image_of, name_at, hides) -> None:
    """A wrong header alone is looked into; a registry that sends none is asked."""
    registry.hides_digests = hides
    wrong = Fault(edit=lambda reply: Reply(reply.status, {**reply.headers, "docker-content-digest": sha256(b"")}))
    registry.fail_once("PUT", "/manifests/1$", wrong)
    image = image_of(ONE)
    assert client.push(image, name_at(registry)).digest == image.descriptor.digest


def test_a_registry_that_stores_another_manifest_is_found_out(registry, client, image_of, name_at) -> None:
    def store_other(request):
        if request.path.endswith("/manifests/1"):
            registry.storage.tags["team/model"] = {"1": registry.storage.add_manifest("team/model", "x", b"{}")}
            return Fault(Reply(201, {"docker-content-digest": sha256(b"{}")})) if request.method == "PUT" else None
        return None

    registry.fault = store_other
    with pytest.raises(DigestMismatch, match="stored it as sha256:"):
        client.push(image_of(ONE), name_at(registry))


def test_a_blob_that_the_registry_stored_under_another_digest_is_found_out(registry, client, image_of, name_at) -> None:
    wrong = Fault(edit=lambda reply: Reply(reply.status, {**reply.headers, "docker-content-digest": sha256(b"")}))
    registry.fail_once("PUT", "/blobs/uploads/", wrong)
    with pytest.raises(DigestMismatch, match="the registry stored it as sha256:"):
        client.push(image_of(b"small"), name_at(registry))


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"tampered", "has bytes of sha256:"), (b"short", "ended 3 bytes too early")],
)
@pytest.mark.parametrize("size", [1, 300])
def test_a_layer_that_is_not_what_it_says_is_not_pushed(
    registry, client, image_of, name_at, data, message, size
) -> None:
    good, bad = b"original" * size, b"original" * (size - 1) + data
    image = image_of(BytesBlob(Descriptor.of("x", good), bad))
    with pytest.raises(DigestMismatch, match=message):
        client.push(image, name_at(registry))
    assert sha256(bad) not in registry.storage.blobs.get("team/model", {})
    assert tag_of(registry) is None


def test_a_layer_that_cannot_be_read_is_named(registry, client, image_of, name_at, tmp_path) -> None:
    image = image_of(FileBlob(Descriptor.of("x", ONE), tmp_path / "absent"))
    with pytest.raises(FetchError, match="cannot be read: No such file"):
        client.push(image, name_at(registry))


def test_progress_is_reported(registry, make_client, image_of, name_at) -> None:
    lines: list[str] = []
    image = image_of(ONE)
    make_client(report=lines.append).push(image, name_at(registry))
    assert lines[0] == f"uploaded: {sha256(ONE)} (3000 bytes)"
    assert lines[-1] == f"pushed {registry.host}/team/model:1 ({image.descriptor.digest})"
