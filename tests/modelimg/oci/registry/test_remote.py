"""Blobs in a registry: read when they are opened, from where it broke, and never with other bytes."""

from __future__ import annotations

import io

import pytest

from modelimg.errors import DigestMismatch, RegistryError
from modelimg.oci.blob import Blob, copy_blob, read_blob
from registry_server import Fault, Reply, sha256

LAYER_DATA = bytes(range(256)) * 8000


@pytest.fixture
def layer(registry, client, image_of, put, name_at) -> Blob:
    """A layer in the registry that nobody has opened; the requests so far are forgotten."""
    put(registry, "team/model", image_of(LAYER_DATA), "1")
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


def test_a_stream_that_is_closed_early_frees_its_connection(layer) -> None:
    for _ in range(150):  # more than the pool has
        with layer.open() as stream:
            assert stream.read(3) == LAYER_DATA[:3]
