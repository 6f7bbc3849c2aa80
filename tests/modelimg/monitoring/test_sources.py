"""Documents come from files, standard input and URLs: whole, unpacked, and never without bounds."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from modelimg.errors import DocumentError
from modelimg.monitoring.sources import name_of, read

BODY = b'{"format_version": 1}' * 100


def test_a_file_is_read_packed_or_not(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(BODY)
    (tmp_path / "packed").write_bytes(gzip.compress(BODY))
    assert read(str(tmp_path / "plain")) == read(str(tmp_path / "packed")) == BODY


def test_standard_input_is_read(tmp_path: Path) -> None:
    assert read("-", stdin=io.BytesIO(gzip.compress(BODY))) == BODY


@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_a_url_without_a_path_is_that_of_the_document(loopback, answer, encoding: str | None) -> None:
    packed = answer(body=gzip.compress(BODY), headers={"content-encoding": "gzip"})
    loopback.answer("/monitor.json", packed if encoding else BODY)
    assert read(loopback.url) == read(f"{loopback.url}/") == read(f"{loopback.url}/monitor.json") == BODY


def test_a_gzipped_file_behind_a_url_is_unpacked(loopback) -> None:
    assert read(loopback.answer("/day.json.gz", gzip.compress(BODY))) == BODY


def test_a_redirect_within_the_host_is_followed(loopback, answer) -> None:
    loopback.answer("/real", BODY)
    assert read(loopback.answer("/old", answer(302, headers={"location": "/real"}))) == BODY


@pytest.mark.parametrize(
    "data", [BODY, gzip.compress(BODY), gzip.compress(bytes(10**6))], ids=["plain", "gzipped", "gzipped zeros"]
)
def test_what_is_longer_than_the_limit_is_refused_wherever_it_is(loopback, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    for source in (str(tmp_path / "file"), loopback.answer("/monitor.json", data)):
        with pytest.raises(DocumentError, match=r"is longer than 0.001 MB"):
            read(source, limit=1000)
    assert len(read(str(tmp_path / "file"), limit=10**6)) in (len(BODY), 10**6)


@pytest.mark.parametrize("cut", [3, 15, -1, -8])
def test_gzip_that_ends_too_early_is_named(tmp_path: Path, cut: int) -> None:
    (tmp_path / "file").write_bytes(gzip.compress(BODY)[:cut])
    with pytest.raises(DocumentError, match="damaged gzip"):
        read(str(tmp_path / "file"))


def test_gzip_with_a_flipped_byte_is_named(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(BODY))
    data[-6] ^= 1
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(DocumentError, match="damaged gzip"):
        read(str(tmp_path / "file"))


def test_answers_that_are_none_are_named(loopback, answer) -> None:
    problem = answer(
        404,
        b'{"detail": "this model is not monitored here"}',
        {"content-type": "application/problem+json"},
    )
    cases = {
        "/503": (answer(503, b"not ready"), "answered with HTTP 503", "ask again"),
        "/404": (problem, "HTTP 404: this model is not monitored here", None),
        "/odd": (answer(500, b"{", {"content-type": "application/json"}), "HTTP 500$", None),
        "/cut": (answer(body=BODY, cut_after=10), "cannot be read", None),
        "/elsewhere": (
            answer(302, headers={"location": "http://else.example/monitor.json"}),
            "another host",
            "ask that",
        ),
        "/round": (answer(302, headers={"location": "/round"}), "again and again", None),
    }
    for path, (said, message, hint) in cases.items():
        with pytest.raises(DocumentError, match=message) as caught:
            read(loopback.answer(path, said))
        assert (hint or "") in (caught.value.hint or ""), path


@pytest.mark.parametrize(
    "source", ["http://127.0.0.1:1", "http://nowhere.invalid/x", "http://[", "http://", "/nowhere/file", "/", "a\0b"]
)
def test_what_is_not_there_is_named(source: str) -> None:
    with pytest.raises(DocumentError, match="cannot be read"):
        read(source)


def test_messages_hold_no_credentials() -> None:
    with pytest.raises(DocumentError) as caught:
        read("http://me:secret@127.0.0.1:1/monitor.json")
    assert "127.0.0.1:1" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert name_of("https://me:secret@host/x") == "https://host/x"
