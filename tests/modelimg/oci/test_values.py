"""Digests, platforms and references."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelimg.errors import UsageError
from modelimg.oci.values import Digest, Platform, Reference, check_tag

SHA = "a" * 64


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag"),
    [
        ("name", "", "name", None),
        ("name:1.0", "", "name", "1.0"),
        ("team/name:1.0", "", "team/name", "1.0"),
        ("localhost/name", "localhost", "name", None),
        ("localhost:5000/a/b:t", "localhost:5000", "a/b", "t"),
        ("127.0.0.1:5000/name", "127.0.0.1:5000", "name", None),
        ("[::1]:5000/name:t", "[::1]:5000", "name", "t"),
        ("ghcr.io/org/na__me:T_-.1", "ghcr.io", "org/na__me", "T_-.1"),
    ],
)
def test_a_reference_is_read_and_written_the_same(text: str, registry: str, repository: str, tag: str | None) -> None:
    reference = Reference.parse(text)
    assert (reference.registry, reference.repository, reference.tag) == (registry, repository, tag)
    assert str(reference) == text


def test_a_pinned_reference_keeps_tag_and_digest() -> None:
    assert str(Reference.parse("r.io/n:1").with_digest(Digest(SHA))) == f"r.io/n:1@sha256:{SHA}"
    assert Reference.parse(f"r.io/n:1@sha256:{SHA}").digest == Digest(SHA)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "Name",
        "a//b",
        "a/-b",
        "name:",
        "name:bad tag",
        "name:-x",
        "name@sha256:12",
        "name@md5:" + SHA,
        "é",
        "a b",
        "r.io/",
        "-r.io/n",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Reference.parse(text)


@given(st.text(max_size=140))
def test_any_text_is_a_reference_or_a_usage_error(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except UsageError:
        return
    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize("tag", ["", ".1", "-1", "1.0+local", "a" * 129, "a b", "ü"])
def test_what_is_no_tag_is_refused(tag: str) -> None:
    with pytest.raises(UsageError, match="not a valid image tag"):
        check_tag(tag)


@pytest.mark.parametrize("tag", ["1.0.0", "_x", "V1-rc.2", "a" * 128])
def test_a_valid_tag_comes_back_unchanged(tag: str) -> None:
    assert check_tag(tag) == tag


@pytest.mark.parametrize("text", ["sha256:" + "A" * 64, "sha256:" + "a" * 63, "sha512:" + "a" * 64, "a" * 64, ""])
def test_what_is_no_sha256_digest_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a sha256 digest"):
        Digest.parse(text)


def test_a_digest_is_that_of_the_bytes() -> None:
    assert str(Digest.of(b"")) == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("text", ["linux", "windows/amd64", "linux/s390x", "", "linux/amd64/v2"])
def test_an_unknown_platform_is_refused_with_those_that_are_known(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        Platform.parse(text)
    assert "linux/arm64" in str(refused.value)


def test_a_reference_is_completed_as_docker_completes_it() -> None:
    for text, full in (
        ("python", "docker.io/library/python:latest"),
        ("team/model:1", "docker.io/team/model:1"),
        ("docker.io/python:3", "docker.io/library/python:3"),
        ("localhost/x", "localhost/x:latest"),
        ("example.com:5000/a/b:2", "example.com:5000/a/b:2"),
    ):
        assert Reference.parse(text).full_name == full
