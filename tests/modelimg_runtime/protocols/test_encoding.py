"""Content encodings of requests."""

from __future__ import annotations

import gzip
import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols.encoding import coding_of, decoded

COMPRESS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}


def refused(body: bytes, coding: str, limit: int = 1000) -> tuple[int, str]:
    with pytest.raises(PayloadError) as error:
        decoded(body, coding, limit)
    return error.value.status, str(error.value)


@given(st.binary(max_size=1000), st.sampled_from(sorted(COMPRESS)))
def test_what_was_compressed_comes_out_again(body, coding):
    assert decoded(COMPRESS[coding](body), coding, 1000) == body


@pytest.mark.parametrize("header", [None, "", "identity", " Identity "])
def test_without_a_coding_there_is_nothing_to_do(header):
    assert coding_of(header) is None


@pytest.mark.parametrize("header", ["br", "zstd", "gzip, gzip", "gzip,deflate", "compress", "*", "x" * 5000])
def test_another_coding_and_several_are_415(header):
    with pytest.raises(PayloadError) as error:
        coding_of(header)
    assert error.value.status == 415
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_the_limit_is_of_what_comes_out(coding):
    assert len(decoded(COMPRESS[coding](bytes(1000)), coding, 1000)) == 1000
    assert refused(COMPRESS[coding](bytes(1001)), coding) == (
        413,
        "the body is longer than 1000 bytes once it is decoded",
    )
    assert refused(COMPRESS[coding](bytes(10**8)), coding)[0] == 413


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_body_that_is_damaged_is_400(coding):
    good = COMPRESS[coding](os.urandom(500))
    for body, says in (
        (b"", "ends in the middle"),
        (b"{}", "not what its content encoding says|ends in the middle"),
        (good[:-1], "ends in the middle"),
        (good[:100], "ends in the middle"),
        (good[:-4] + b"abcd", "not what its content encoding says"),
        (good + b"x", "bytes follow"),
        (good + good, "bytes follow"),
        (
            zlib.compress(b"x")[2:-4] if coding == "deflate" else zlib.compress(b"x"),
            "not what its content encoding says",
        ),
    ):
        status, message = refused(body, coding)
        assert status == 400
        assert any(part in message for part in says.split("|")), (body[:20], message)
