"""Several blobs at once; the first that fails stops the rest."""

from __future__ import annotations

import threading

import pytest

from modelimg.errors import NotFound, Unauthorized
from modelimg.oci.blob import read_blob
from modelimg.oci.registry import RegistryClient, RegistrySettings
from modelimg.oci.values import Digest
from registry_server import Fault, Reply, error


def test_blobs_are_downloaded_side_by_side(registry, make_client, image_of, put, name_at) -> None:
    image = image_of(*(bytes([n]) * 1000 for n in range(6)))
    put(registry, "team/model", image, "1")
    client = make_client(threads=3)
    threads: set[int] = set()
    taken: set[Digest] = set()
    together = threading.Barrier(3, timeout=30)

    def take(blob) -> None:
        together.wait()
        threads.add(threading.get_ident())
        read_blob(blob)
        taken.add(blob.descriptor.digest)

    client.download(client.pull(name_at(registry)).layers, take)
    assert taken == {layer.descriptor.digest for layer in image.layers}
    assert len(threads) == 3


def test_the_first_download_that_fails_stops_the_others(registry, http, image_of, put, name_at) -> None:
    """One is refused while another waits a minute for the registry's patience."""
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
    assert registry.lines().count(f"GET /v2/team/model/blobs/{waiting}") <= 1  # after its minute it would ask again


def test_blobs_are_pushed_side_by_side(registry, make_client, image_of, name_at, lazy) -> None:
    together = threading.Barrier(4, timeout=60)

    class Awaiting(lazy):
        """A blob that opens when three others do; again, where it has to be sent again, at once."""

        def open(self):
            if not self.opened:
                together.wait()
            return super().open()

    image = image_of(*(Awaiting(bytes([n]) * 900) for n in range(8)))
    result = make_client(threads=4).push(image, name_at(registry))
    assert result.uploaded == 9
    assert registry.storage.tags["team/model"]["1"] == str(image.descriptor.digest)


def test_the_first_push_that_fails_stops_the_others(registry, http, image_of, name_at, lazy) -> None:
    """One layer is refused while another waits a minute for the registry's patience."""
    layers = [lazy(b"refused"), lazy(b"patient"), *(lazy(bytes([n]) * 900) for n in range(20))]

    def fault(request):
        if request.method != "HEAD":
            return None
        if layers[0].descriptor.digest.hex in request.path:
            return Fault(error(403, "DENIED"), delay=0.1)
        return Fault(Reply(429, {"retry-after": "60"}))

    registry.fault = fault
    with pytest.raises(Unauthorized), RegistryClient(RegistrySettings(), client=http, threads=2) as client:
        client.push(image_of(*layers), name_at(registry))
    asked = registry.lines("HEAD")
    assert len(asked) <= 3
    assert len(asked) == len(set(asked))  # after its minute it would ask again
