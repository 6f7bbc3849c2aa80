"""Blobs: what is checked while it is copied, and what was checked before."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from modelimg.errors import DigestMismatch
from modelimg.oci.blob import LAYER, BytesBlob, Descriptor, FileBlob, LazyBlob, copy_blob, read_blob

DATA = bytes(range(256)) * 3000
"""Longer than one chunk."""
WHOLE = Descriptor.of(LAYER, DATA)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "blob"
    path.write_bytes(DATA)
    return path


def test_a_blob_is_copied_whole_from_bytes_a_file_a_run_of_one_and_a_cache(file: Path, tmp_path: Path) -> None:
    member = tmp_path / "archive"
    member.write_bytes(b"before" + DATA + b"after")
    blobs = (BytesBlob(WHOLE, DATA), FileBlob(WHOLE, file), FileBlob(WHOLE, member, 6), LazyBlob(WHOLE, lambda: file))
    assert [read_blob(blob) for blob in blobs] == [DATA] * 4


@pytest.mark.parametrize("at", [0, len(DATA) // 2, len(DATA) - 1])
def test_one_other_byte_is_found_while_copying(file: Path, at: int) -> None:
    damaged = bytearray(DATA)
    damaged[at] ^= 1
    file.write_bytes(damaged)
    for blob in (FileBlob(WHOLE, file), BytesBlob(WHOLE, bytes(damaged))):
        with pytest.raises(DigestMismatch, match=r"has bytes of sha256"):
            copy_blob(blob, io.BytesIO())


@pytest.mark.parametrize("left", [0, 1, len(DATA) - 1])
def test_a_blob_that_ends_early_is_refused_also_where_it_was_hashed_before(file: Path, left: int) -> None:
    file.write_bytes(DATA[:left])
    for blob in (FileBlob(WHOLE, file), LazyBlob(WHOLE, lambda: file)):
        with pytest.raises(DigestMismatch, match=f"ended {len(DATA) - left} bytes too early"):
            copy_blob(blob, io.BytesIO())


def test_who_finds_a_lazy_blob_has_hashed_it_and_the_copy_does_not_again(file: Path) -> None:
    other = bytes(len(DATA))
    file.write_bytes(other)
    # Were it hashed while it is copied, this would be refused: a cache's own check is what keeps such a file out.
    assert read_blob(LazyBlob(WHOLE, lambda: file)) == other
