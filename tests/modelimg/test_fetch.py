"""Fetching by digest, against a real server on loopback."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelimg import fetch
from modelimg.cache import Cache
from modelimg.errors import FetchError
from modelimg.fetch import Fetcher
from modelimg.oci.values import Digest

BODY = b"some wheel" * 1000
DIGEST = Digest.of(BODY)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch.time, "sleep", lambda seconds: None)


def test_a_blob_is_fetched_once_and_then_found(own: Fetcher, loopback) -> None:
    url = loopback.answer("/w.whl", BODY)
    assert own.blob(url, DIGEST, what="w.whl").read_bytes() == BODY
    assert own.blob(url, DIGEST, what="w.whl").read_bytes() == BODY
    assert loopback.requests == ["/w.whl"]


def test_a_file_url_is_read_and_checked(own: Fetcher, tmp_path: Path) -> None:
    (tmp_path / "w w.whl").write_bytes(BODY)
    assert own.blob((tmp_path / "w w.whl").as_uri(), DIGEST, what="w.whl").read_bytes() == BODY


@pytest.mark.parametrize("first", [500, 503, 429, 408])
def test_a_server_that_asks_for_patience_gets_it(own: Fetcher, loopback, answer, first: int) -> None:
    url = loopback.answer("/w.whl", answer(first), answer(body=BODY))
    assert own.blob(url, DIGEST, what="w.whl").read_bytes() == BODY


def test_a_cut_connection_is_tried_again(own: Fetcher, loopback, answer) -> None:
    url = loopback.answer("/w.whl", answer(body=BODY, cut_after=100), answer(body=BODY))
    assert own.blob(url, DIGEST, what="w.whl").read_bytes() == BODY


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ([{"body": BODY + b"!"}], "but the lock pins sha256:"),
        ([{"body": b""}], "but the lock pins sha256:"),
        ([{"status": 404}], "HTTP 404"),
        ([{"status": 403}], "HTTP 403"),
        ([{"status": 500}], "in 4 tries: HTTP 500"),
        ([{"body": BODY, "cut_after": 10}], "in 4 tries"),
        ([{"status": 302, "headers": {"location": "/loop"}}], "HTTP 404"),
    ],
)
def test_what_cannot_be_had_is_one_error_and_leaves_nothing(
    own: Fetcher, loopback, answer, script, message: str
) -> None:
    url = loopback.answer("/w.whl", *(answer(**a) for a in script))
    with pytest.raises(FetchError, match=message) as failed:
        own.blob(url, DIGEST, what="w.whl")
    assert "w.whl" in str(failed.value)
    assert [path for path in own.cache.root.rglob("*") if path.is_file()] == []


def test_offline_forbids_a_connection_but_not_the_cache(tmp_path: Path, loopback) -> None:
    cache = Cache(tmp_path)
    offline = Fetcher(cache, offline=True)
    with pytest.raises(FetchError, match="--offline forbids"):
        offline.blob(loopback.answer("/w.whl", BODY), DIGEST, what="w.whl")
    cache.add(BODY)
    assert offline.blob("http://nowhere.invalid/w.whl", DIGEST, what="w.whl").read_bytes() == BODY
    assert loopback.requests == []


def test_credentials_of_a_url_are_not_shown(own: Fetcher, loopback) -> None:
    url = loopback.url.replace("http://", "http://user:secret@") + "/absent.whl"
    with pytest.raises(FetchError) as failed:
        own.blob(url, DIGEST, what="absent.whl")
    assert "secret" not in str(failed.value)


def test_a_local_file_with_other_bytes_is_refused(own: Fetcher, tmp_path: Path) -> None:
    (tmp_path / "w.whl").write_bytes(b"other")
    with pytest.raises(FetchError, match="but the lock pins"):
        own.blob((tmp_path / "w.whl").as_uri(), DIGEST, what="w.whl")
    with pytest.raises(FetchError, match="could not be read"):
        own.blob((tmp_path / "absent.whl").as_uri(), DIGEST, what="absent.whl")
