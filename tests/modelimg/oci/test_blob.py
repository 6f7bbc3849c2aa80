"""Blobs: what is checked while it is copied, and what was checked before."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from modelimg.errors import DigestMismatch, ImageError
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


class Keeper:
    """A place like a cache: it knows a file, and whoever asks for the blob gets it, or another if it is not right."""

    def __init__(self, folder: Path, found: bytes | None) -> None:
        self.path, self.found, self.asked = folder / "kept", found, 0
        if found is not None:
            self.path.write_bytes(found)

    def make(self) -> Path:
        self.asked += 1
        if self.found != DATA:
            self.path.unlink(missing_ok=True)
            self.path.write_bytes(DATA)  # often with the number of the file that went
        return self.path

    @property
    def blob(self) -> LazyBlob:
        return LazyBlob(WHOLE, self.make, peek=lambda: self.path if self.found is not None else None)


@pytest.mark.parametrize(
    ("found", "asked"),
    [
        (DATA, 1),
        (None, 1),
        (b"", 2),
        (DATA[:-1], 2),
        (DATA + b"x" * len(DATA), 2),
        (bytes(len(DATA)), 2),
        (DATA[:-1] + b"x", 2),
    ],
    ids=["right", "absent", "empty", "short", "long", "zeros", "one byte"],
)
def test_what_was_copied_while_it_was_checked_is_copied_again_if_it_was_not_right(
    tmp_path: Path, found: bytes | None, asked: int
) -> None:
    keeper = Keeper(tmp_path, found)
    with (tmp_path / "out").open("w+b") as out:
        out.write(b"before")
        copy_blob(keeper.blob, out)
        out.write(b"after")
    assert (tmp_path / "out").read_bytes() == b"before" + DATA + b"after"
    assert keeper.asked == asked


@pytest.mark.parametrize("found", [DATA, bytes(len(DATA))], ids=["right", "zeros"])
def test_a_stream_that_cannot_be_rewound_gets_what_was_checked_before(tmp_path: Path, found: bytes) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation

        tell = truncate = seek

    out = Pipe()
    copy_blob(Keeper(tmp_path, found).blob, out)
    assert out.getvalue() == DATA


def test_a_file_that_cannot_be_opened_is_left_to_who_makes_it(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path, DATA)
    assert read_blob(LazyBlob(WHOLE, keeper.make, peek=lambda: tmp_path)) == DATA
    assert read_blob(LazyBlob(WHOLE, keeper.make, peek=lambda: tmp_path / "gone")) == DATA


def test_who_cannot_make_a_blob_is_heard_and_so_is_a_disk_that_is_full(tmp_path: Path) -> None:
    def refuse() -> Path:
        raise ImageError("not to be had")

    keeper = Keeper(tmp_path, DATA)
    with pytest.raises(ImageError, match="not to be had"):
        copy_blob(LazyBlob(WHOLE, refuse, peek=lambda: keeper.path), io.BytesIO())
    with Path("/dev/full").open("r+b", buffering=0) as full, pytest.raises(OSError, match="No space left"):
        copy_blob(keeper.blob, full)
