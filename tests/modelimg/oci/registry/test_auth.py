"""Challenges, tokens, and to whom credentials are shown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelimg.errors import RegistryError, Unauthorized
from modelimg.oci.registry import auth, upload
from modelimg.oci.registry.auth import Challenge, parse_challenges
from registry_server import Fault, Reply, ScriptedRegistry, error

TOKEN = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (['Basic realm="r"'], [Challenge("basic", {"realm": "r"})]),
        (["BASIC"], [Challenge("basic", {})]),
        (
            ['Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"'],
            [Challenge("bearer", {"realm": "https://a/t", "service": "s", "scope": "repository:x:pull,push"})],
        ),
        (['Bearer  Realm = plain , x="a\\"b\\\\"'], [Challenge("bearer", {"realm": "plain", "x": 'a"b\\'})]),
        (
            ['Basic realm="r", Bearer realm="t"', "Negotiate"],
            [Challenge("basic", {"realm": "r"}), Challenge("bearer", {"realm": "t"}), Challenge("negotiate", {})],
        ),
        (["Negotiate, Basic realm=r"], [Challenge("negotiate", {}), Challenge("basic", {"realm": "r"})]),
        ([], []),
        ([""], []),
        (['"quoted"'], []),
        (['Bearer realm="no end'], [Challenge("bearer", {})]),
        (["Negotiate abc==, Basic realm=r"], [Challenge("negotiate", {})]),
    ],
)
def test_challenges_are_read(headers, expected) -> None:
    assert parse_challenges(headers) == expected


def written(challenges: list[Challenge]) -> str:
    """A header by the rules."""

    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return ", ".join(
        f"{each.scheme} " + ", ".join(f"{name}={quoted(value)}" for name, value in each.parameters.items())
        for each in challenges
    )


@given(st.lists(st.tuples(TOKEN, st.dictionaries(TOKEN, VALUE, min_size=1, max_size=3)), max_size=3))
def test_what_is_written_by_the_rules_is_read_back(challenges) -> None:
    expected = [Challenge(scheme, parameters) for scheme, parameters in challenges]
    assert parse_challenges([written(expected)]) == expected


@given(st.text(max_size=200) | st.text('aB =",\\\t;é', max_size=60))
def test_whatever_a_header_holds_what_is_read_of_it_can_be_written_by_the_rules(header) -> None:
    challenges = parse_challenges([header])
    assert parse_challenges([written(challenges)]) == challenges


LONG: dict[str, tuple[Callable[[int], str], Callable[[int], list[Challenge]]]] = {
    "blanks": (lambda n: " " * n, lambda n: []),
    "a scheme": (lambda n: "a" * n, lambda n: [Challenge("a" * n, {})]),
    "commas": (lambda n: "Bearer " + ", " * n + "=", lambda n: [Challenge("bearer", {})]),
    "quoted": (lambda n: f'Bearer a="{"x" * n}"', lambda n: [Challenge("bearer", {"a": "x" * n})]),
    "quoted without end": (lambda n: 'Bearer a="' + "\\" * n, lambda n: [Challenge("bearer", {})]),
}


@pytest.mark.parametrize("case", LONG)
def test_a_header_a_hundred_times_as_long_is_read_in_as_many_steps(case: str) -> None:
    """A step takes no longer than the header, either: where a pattern went back and forth in it, this would not end."""
    header, expected = LONG[case]
    for length in (9_000, 900_000):
        assert parse_challenges([header(length)]) == expected(length)
    assert 0 < steps_of(header(900_000)) == steps_of(header(9_000))


def steps_of(header: str) -> int:
    """How often a pattern is tried while a header is read."""
    tried = 0

    def count(_frame: object, event: str, what: Any) -> None:
        nonlocal tried
        tried += event == "c_call" and what.__name__ == "match"

    sys.setprofile(count)
    try:
        parse_challenges([header])
    finally:
        sys.setprofile(None)
    return tried


@pytest.fixture
def guarded(registry: ScriptedRegistry, log_in: Callable[..., None]) -> ScriptedRegistry:
    """A registry that wants a login, which there is."""
    registry.accounts = {"ada": "secret"}
    log_in(registry.host)
    return registry


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_a_registry_that_asks_is_shown_credentials(guarded, client, image_of, name_at, scheme) -> None:
    guarded.scheme = scheme
    image = image_of(b"one", b"two")
    client.push(image, name_at(guarded))
    assert client.pull(name_at(guarded)).manifest_data == image.manifest_data
    assert "authorization" not in guarded.requests[0].headers


def test_a_registry_that_does_not_ask_is_shown_none(registry, client, image_of, name_at, log_in) -> None:
    log_in(registry.host)
    client.push(image_of(b"one"), name_at(registry))
    assert not [r for r in registry.requests if "authorization" in r.headers]


def test_a_push_asks_for_one_token_that_allows_it(guarded, client, image_of, name_at) -> None:
    client.push(image_of(b"one", b"two"), name_at(guarded), tags=["2"])
    asked = [r for r in guarded.requests if r.path == "/token"]
    assert [r.query["scope"] for r in asked] == [["repository:team/model:pull,push"]]
    assert asked[0].query["service"] == ["test"]


def test_a_mount_asks_for_the_other_repository_too(guarded, client, image_of, name_at) -> None:
    image = image_of(b"one")
    for blob in image.blobs:
        guarded.storage.add_blob("team/base", blob.open().read())
    assert client.push(image, name_at(guarded), mount_from=[name_at(guarded, "team/base")]).mounted == 2
    assert guarded.requests[-1].headers["authorization"] == "Bearer token-0"
    scopes = [r.query["scope"] for r in guarded.requests if r.path == "/token"]
    assert scopes[1:] == [["repository:team/model:pull,push", "repository:team/base:pull"]]


def test_a_mount_without_access_to_the_other_repository_becomes_an_upload(guarded, client, image_of, name_at) -> None:
    guarded.fault = lambda r: Fault(error(401, "DENIED")) if "base" in str(r.query.get("scope")) else None
    guarded.storage.add_blob("team/base", b"one")
    result = client.push(image_of(b"one"), name_at(guarded), mount_from=[name_at(guarded, "team/base")])
    assert (result.mounted, result.uploaded) == (0, 2)


@pytest.mark.parametrize("number", range(4, 20, 3))
def test_a_token_that_ends_in_mid_push_is_renewed(
    guarded, client, image_of, name_at, number, monkeypatch, pauses
) -> None:
    monkeypatch.setattr(upload, "CHUNK", 1024)

    def end(request):
        if request.number == number:
            guarded.tokens.clear()

    guarded.fault = end
    image = image_of(b"x" * 5000, b"y" * 3000)
    client.push(image, name_at(guarded))
    assert guarded.storage.tags["team/model"]["1"] == str(image.descriptor.digest)
    assert len([r for r in guarded.requests if r.path == "/token"]) == 2
    assert pauses == []


def test_a_token_is_renewed_shortly_before_its_end(guarded, client, image_of, name_at, monkeypatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(auth.time, "monotonic", lambda: now[0])
    guarded.token_life = 100
    client.push(image_of(b"one"), name_at(guarded))
    now[0] += 89
    client.push(image_of(b"one"), name_at(guarded))
    assert guarded.issued == 1
    now[0] += 2
    guarded.requests.clear()
    client.push(image_of(b"one"), name_at(guarded))
    assert guarded.issued == 2
    assert guarded.requests[0].path == "/token"  # without being told off first


def test_threads_share_a_token(guarded, make_client, image_of, name_at) -> None:
    make_client(threads=4).push(image_of(*(bytes([n]) * 10 for n in range(12))), name_at(guarded))
    assert guarded.issued == 1


def test_an_identity_token_is_posted(registry, client, image_of, name_at, log_in) -> None:
    registry.accounts, registry.identity_tokens = {}, {"refresh-me"}
    log_in(registry.host, identitytoken="refresh-me")
    client.push(image_of(b"one"), name_at(registry))
    [asked] = [r for r in registry.requests if r.path == "/token"]
    assert (asked.method, asked.query) == ("POST", {})
    assert b"scope=repository%3Ateam%2Fmodel%3Apull%2Cpush" in asked.body


def test_an_identity_token_is_no_password(registry, client, name_at, log_in) -> None:
    registry.accounts, registry.scheme = {}, "basic"
    log_in(registry.host, identitytoken="refresh-me")
    with pytest.raises(Unauthorized, match="wants a user name and a password"):
        client.resolve(name_at(registry))


def test_without_credentials_an_anonymous_token_is_tried(registry, client, image_of, name_at, put) -> None:
    put(registry, "team/model", image_of(b"one"), "1")
    registry.accounts = {}
    answered = Reply(200, {}, b'{"access_token": "anonymous"}')
    registry.tokens["anonymous"] = {("team/model", "pull")}
    registry.fault = lambda request: Fault(answered) if request.path == "/token" else None
    client.pull(name_at(registry))
    with pytest.raises(Unauthorized) as failed:
        client.push(image_of(b"two"), name_at(registry))
    assert failed.value.hint == f"docker login {registry.host}"
    assert not [r for r in registry.requests if r.headers.get("authorization", "").startswith("Basic")]


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
@pytest.mark.parametrize("password", ["wrong", None])
def test_a_login_that_is_wrong_or_missing_is_one_clear_error(
    registry, client, image_of, name_at, log_in, scheme, password, pauses
) -> None:
    registry.accounts, registry.scheme = {"ada": "secret"}, scheme
    if password:
        log_in(registry.host, password=password)
    with pytest.raises(Unauthorized, match=f"no access to {registry.host}/team/model") as failed:
        client.push(image_of(b"one"), name_at(registry))
    assert failed.value.hint == f"docker login {registry.host}"
    assert pauses == []
    assert len(registry.requests) <= 3


@pytest.mark.parametrize("header", [{}, {"www-authenticate": "Negotiate"}, {"www-authenticate": '"'}])
def test_a_challenge_that_nobody_knows_is_an_error(registry, client, name_at, header) -> None:
    registry.fault = lambda request: Fault(Reply(401, header))
    with pytest.raises(Unauthorized, match="modelimg knows basic and bearer"):
        client.resolve(name_at(registry))


@pytest.mark.parametrize(
    "realm", ["", "/token", "ftp://127.0.0.1/", "file:///etc/passwd", "http://user@127.0.0.1/", "https://[::1"]
)
def test_a_realm_that_is_no_address_is_an_error(guarded, client, name_at, realm) -> None:
    guarded.fault = lambda r: Fault(Reply(401, {"www-authenticate": f'Bearer realm="{realm}"'}))
    with pytest.raises(RegistryError, match="names no token server"):
        client.resolve(name_at(guarded))


def test_credentials_do_not_leave_the_machine_over_plain_http(guarded, client, name_at) -> None:
    guarded.fault = lambda r: Fault(Reply(401, {"www-authenticate": 'Bearer realm="http://auth.example.com/token"'}))
    with pytest.raises(RegistryError, match=r"over plain HTTP, to auth\.example\.com; they were not"):
        client.resolve(name_at(guarded))


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b'{"token": null}', b'{"token": ""}', b'{"token": 7}', b'{"token": "a\\r\\nX: y"}', b"\xff"],
)
def test_a_token_server_that_sends_no_token_is_an_error(guarded, client, name_at, body, pauses) -> None:
    guarded.fault = lambda request: Fault(Reply(200, {}, body)) if request.path == "/token" else None
    with pytest.raises(RegistryError, match="sent no token"):
        client.resolve(name_at(guarded))
    assert pauses == []


def test_a_token_server_that_redirects_is_not_followed(guarded, other, client, name_at) -> None:
    away = Fault(Reply(307, {"location": f"{other.url}/token"}))
    guarded.fault = lambda request: away if request.path == "/token" else None
    with pytest.raises(RegistryError, match="says HTTP 307"):
        client.resolve(name_at(guarded))
    assert other.requests == []


@pytest.mark.parametrize("fault", [Fault(Reply(503)), Fault(reset="before"), Fault(garble=True)])
def test_a_token_server_with_a_hiccup_is_asked_again(guarded, client, image_of, name_at, fault, pauses) -> None:
    guarded.fail_once("GET", "/token", fault)
    client.push(image_of(b"one"), name_at(guarded))
    assert pauses == [0.5]


def test_scopes_of_a_registrys_own_are_asked_for_besides(guarded, client, name_at) -> None:
    challenge = f'Bearer realm="{guarded.url}/token",scope="aws repository:team/model:pull"'
    guarded.fail_once("HEAD", "/manifests/", Fault(Reply(401, {"www-authenticate": challenge})))
    guarded.fault = lambda request: (
        Fault(Reply(401, {"www-authenticate": challenge}))
        if request.path != "/token"
        else Fault(Reply(200, {}, b'{"token": "t"}'))
    )
    with pytest.raises(Unauthorized):
        client.resolve(name_at(guarded))
    [asked] = [r for r in guarded.requests if r.path == "/token"]
    assert asked.query["scope"] == ["repository:team/model:pull", "aws"]
