"""Where a registry sends those who read from it, and what goes along."""

from __future__ import annotations

import pytest

from modelimg.errors import RegistryError, Unauthorized
from registry_server import Fault, Reply
from small_images import everything_of


def test_blobs_on_another_host_are_read_without_credentials(registry, other, client, stored, name_at, log_in) -> None:
    registry.accounts = {"ada": "secret"}
    registry.blobs_at = other.url
    log_in(registry.host)
    pulled = client.pull(name_at(registry))
    assert everything_of(pulled) == everything_of(stored)
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
