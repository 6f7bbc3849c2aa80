"""Mirrors: asked first, passed over where they fail, and never pushed to."""

from __future__ import annotations

import pytest

from modelimg.errors import NotFound
from modelimg.oci.blob import MANIFEST, read_blob
from modelimg.oci.registry import RegistryClient, RegistrySettings
from registry_server import Fault, Reply, Storage, error
from small_images import everything_of


@pytest.fixture
def reports() -> list[str]:
    """What the client said."""
    return []


@pytest.fixture
def mirrored(registry, other, make_client, reports: list[str]) -> RegistryClient:
    """A client that asks another host before the registry, below a prefix."""
    other.storage = Storage()
    settings = RegistrySettings(mirrors={registry.host: (f"{other.host}/proxy",)})
    return make_client(settings, report=reports.append)


def test_a_mirror_is_asked_first(registry, other, mirrored, stored, put, name_at) -> None:
    put(other, "proxy/team/model", stored, "1")
    pulled = mirrored.pull(name_at(registry))
    assert everything_of(pulled) == everything_of(stored)
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
    registry, other, mirrored, stored, name_at, fault, pauses, reports
) -> None:
    other.fault = lambda request: fault
    name = name_at(registry, f"team/model@{stored.descriptor.digest}")
    pulled = mirrored.pull(name)
    assert pulled.manifest_data == stored.manifest_data
    assert read_blob(pulled.layers[1]) == b"small"
    assert reports[0].startswith(f"the mirror {other.host} was passed over: ")
    assert len(other.requests) <= 2
    assert len(pauses) <= 1


def test_a_mirror_that_lacks_a_blob_leaves_it_to_the_registry(registry, other, mirrored, stored, put, name_at) -> None:
    put(other, "proxy/team/model", stored, "1")
    large = stored.layers[0]
    del other.storage.blobs["proxy/team/model"][str(large.descriptor.digest)]
    pulled = mirrored.pull(name_at(registry))
    assert read_blob(pulled.layers[0]) == read_blob(large)


def test_where_all_fail_the_registry_has_the_last_word(registry, mirrored, name_at) -> None:
    with pytest.raises(NotFound, match=f"of {registry.host}/team/model failed"):
        mirrored.pull(name_at(registry))


def test_nothing_is_pushed_to_a_mirror(registry, other, mirrored, image_of, name_at) -> None:
    mirrored.push(image_of(b"x"), name_at(registry))
    assert other.requests == []
