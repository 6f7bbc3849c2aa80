"""Compressing layers, and reading back layers that anyone compressed."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import os
import random
import subprocess
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from modelimg.errors import DigestMismatch, ImageError
from modelimg.oci import blob as media_types
from modelimg.oci import compression
from modelimg.oci.blob import LAYER, LAYER_GZIP, LAYER_ZSTD, BytesBlob, Descriptor, FileBlob
from modelimg.oci.compression import (
    BLOCK,
    GZIP_HEADER,
    Codec,
    codec_of,
    compress,
    decompressed,
    fingerprint,
    media_type,
)
from modelimg.oci.values import Digest

CODECS: tuple[Codec, ...] = get_args(Codec)
THREADS = (1, 2, 4)


def tar_like(size: int) -> bytes:
    """Bytes that compress about as well as a layer: noise, text and zeros by turns."""
    randomness = random.Random(size)
    pieces = []
    while sum(map(len, pieces)) < size:
        pieces += [randomness.randbytes(3000), b"import numpy as np\n" * 300, bytes(2000)]
    return b"".join(pieces)[:size]


SEVERAL_BLOCKS = tar_like(3 * BLOCK + 12345)


def packed(data: bytes, codec: Codec, *, step: int = 1 << 20, threads: int | None = None) -> bytes:
    out = io.BytesIO()
    chunks = (data[start : start + step] for start in range(0, len(data), step))
    done = compress(chunks, out, codec, threads=threads)
    assert (done.digest, done.size) == (Digest.of(out.getvalue()), len(out.getvalue()))
    return out.getvalue()


def as_blob(data: bytes, kind: str) -> BytesBlob:
    return BytesBlob(Descriptor.of(kind, data), data)


def read(blob: BytesBlob | FileBlob) -> bytes:
    with decompressed(blob) as stream:
        return stream.read()


def members(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The header and the content of each gzip member."""
    while data:
        inflate = zlib.decompressobj(wbits=31)
        content = inflate.decompress(data)
        assert inflate.eof
        yield data[: len(GZIP_HEADER)], content
        data = inflate.unused_data


def running() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("compress")]


# --- writing


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_compressed_reads_back(codec: Codec) -> None:
    data = packed(SEVERAL_BLOCKS, codec)
    assert read(as_blob(data, media_type(codec))) == SEVERAL_BLOCKS
    assert codec == "none" or len(data) < len(SEVERAL_BLOCKS)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [0, 1, 511, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK])
def test_sizes_around_a_block_read_back(codec: Codec, size: int) -> None:
    data = tar_like(size)
    assert read(as_blob(packed(data, codec), media_type(codec))) == data


@pytest.mark.parametrize("codec", CODECS)
def test_threads_and_chunks_do_not_show_in_the_bytes(codec: Codec) -> None:
    results = {
        packed(SEVERAL_BLOCKS, codec, step=step, threads=threads)
        for threads in THREADS
        for step in (4096, 65537, 1 << 20, BLOCK, len(SEVERAL_BLOCKS))
    }
    assert len(results) == 1


@settings(max_examples=60, deadline=None)
@given(
    data=st.binary(max_size=3000).map(lambda seed: seed * 7),
    cuts=st.lists(st.integers(0, 21_000), max_size=40),
    codec=st.sampled_from(CODECS),
    threads=st.sampled_from(THREADS),
)
def test_any_chunking_gives_the_bytes_of_the_whole(data: bytes, cuts: list[int], codec: Codec, threads: int) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[start:end] for start, end in itertools.pairwise(edges)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compression, "BLOCK", 1000)  # many blocks, few bytes
        whole, cut = io.BytesIO(), io.BytesIO()
        compress([data], whole, codec, threads=1)
        compress(chunks, cut, codec, threads=threads)
    assert cut.getvalue() == whole.getvalue()
    assert read(as_blob(cut.getvalue(), media_type(codec))) == data


def test_each_block_is_a_gzip_member_without_clock_name_or_system() -> None:
    found = list(members(packed(SEVERAL_BLOCKS, "gzip")))
    assert [len(content) for _, content in found] == [BLOCK, BLOCK, BLOCK, 12345]
    assert {header.hex() for header, _ in found} == {"1f8b08000000000000ff"}


def test_an_empty_stream_is_one_member_and_a_full_block_brings_no_empty_one() -> None:
    assert [content for _, content in members(packed(b"", "gzip"))] == [b""]
    assert len(list(members(packed(bytes(BLOCK), "gzip")))) == 1


def test_other_programs_read_our_gzip(tmp_path: Path) -> None:
    data = packed(SEVERAL_BLOCKS, "gzip")
    assert gzip.decompress(data) == SEVERAL_BLOCKS
    path = tmp_path / "layer.tar.gz"
    path.write_bytes(data)
    subprocess.run(["gzip", "--test", path], check=True)
    done = subprocess.run(["gzip", "--decompress", "--stdout", path], check=True, capture_output=True)
    assert done.stdout == SEVERAL_BLOCKS


def test_the_zstd_module_reads_our_zstd() -> None:
    assert zstd.decompress(packed(SEVERAL_BLOCKS, "zstd")) == SEVERAL_BLOCKS


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_another_process_makes_the_same_bytes_and_fingerprint(codec: Codec) -> None:
    program = (
        "import hashlib, io, sys; from modelimg.oci.compression import compress, fingerprint;"
        f"data = sys.stdin.buffer.read(); done = compress([data], io.BytesIO(), {codec!r});"
        f"print(done.digest, fingerprint({codec!r}))"
    )
    here = f"{Digest.of(packed(SEVERAL_BLOCKS, codec))} {fingerprint(codec)}"
    for number in range(2):
        environment = {**os.environ, "PYTHONHASHSEED": str(number), "TZ": "Asia/Kathmandu", "LC_ALL": "C"}
        done = subprocess.run(
            [sys.executable, "-c", program], input=SEVERAL_BLOCKS, env=environment, check=True, capture_output=True
        )
        assert done.stdout.decode().strip() == here


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("good", [0, 1, BLOCK // 1000, 4 * BLOCK // 1000])
def test_an_error_of_the_source_comes_through_and_stops_the_threads(codec: Codec, good: int) -> None:
    def source() -> Iterator[bytes]:
        yield from itertools.repeat(bytes(1000), good)
        raise LookupError("the wheel is gone")

    with pytest.raises(LookupError, match="the wheel is gone"):
        compress(source(), io.BytesIO(), codec)
    assert running() == []


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("room", [0, 1000, 1 << 18])
def test_an_error_of_the_output_comes_through_and_stops_the_threads(codec: Codec, room: int) -> None:
    class Full(io.BytesIO):
        def write(self, data: object, /) -> int:
            if self.tell() + len(data) > room:  # type: ignore[arg-type]
                raise OSError(28, "No space left on device")
            return super().write(data)  # type: ignore[arg-type]

    randomness = random.Random(0)
    with pytest.raises(OSError, match="No space left") as caught:
        compress((randomness.randbytes(1 << 20) for _ in range(30)), Full(), codec)
    assert running() == []
    assert caught.value.errno == 28


@pytest.mark.parametrize("codec", CODECS)
def test_a_source_is_read_no_further_than_a_few_blocks_ahead(codec: Codec) -> None:
    read_so_far, ahead = 0, []

    def source() -> Iterator[bytes]:
        nonlocal read_so_far
        for _ in range(20):
            read_so_far += BLOCK
            yield os.urandom(BLOCK)

    class Watching(io.BytesIO):
        def write(self, data: object, /) -> int:
            written = super().write(data)  # type: ignore[arg-type]
            ahead.append(read_so_far - self.tell())
            return written

    compress(source(), Watching(), codec, threads=2)
    assert max(ahead) <= 4 * BLOCK


MEMORY = """
import os, sys
from modelimg.oci.blob import Descriptor, FileBlob
from modelimg.oci.compression import compress, decompressed, media_type
from pathlib import Path
codec, path = sys.argv[1], Path(sys.argv[2])
piece = os.urandom(1 << 20)
with path.open("wb") as out:
    done = compress((piece for _ in range(300)), out, codec, threads=4)
with decompressed(FileBlob(Descriptor(media_type(codec), done.digest, done.size), path)) as stream:
    size = 0
    while chunk := stream.read(1 << 20):
        size += len(chunk)
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(size, int(peak.split()[1]) // 1024)
"""


@pytest.mark.parametrize("codec", CODECS)
def test_memory_does_not_grow_with_the_layer(codec: Codec, tmp_path: Path, show: Callable[[str], None]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, codec, tmp_path / "layer"], check=True, capture_output=True, text=True
    )
    size, megabytes = map(int, done.stdout.split())
    show(f"{codec}: 300 MB there and back with 4 threads, {megabytes} MB of memory")
    assert size == 300 << 20
    assert megabytes < 150


# --- the fingerprint


def test_every_codec_has_a_fingerprint_of_its_own() -> None:
    assert fingerprint("none") == "none"
    assert len({fingerprint(codec) for codec in CODECS}) == len(CODECS)
    assert fingerprint("gzip").startswith("gzip-5-2MiB-deflate-")
    assert fingerprint("zstd").startswith("zstd-3-2MiB-libzstd-")


@pytest.mark.parametrize(("codec", "constant"), [("gzip", "GZIP_LEVEL"), ("zstd", "ZSTD_LEVEL")])
def test_every_level_has_a_sample_of_its_own(codec: Codec, constant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = set()
    for level in (1, 2, 3, 4, 5, 6):
        monkeypatch.setattr(compression, constant, level)
        samples.add(fingerprint.__wrapped__(codec).rpartition("-")[2])
    assert len(samples) == 6


# --- media types


@pytest.mark.parametrize(
    ("kind", "codec"),
    [
        (media_types.LAYER, "none"),
        (media_types.LAYER_GZIP, "gzip"),
        (media_types.LAYER_ZSTD, "zstd"),
        (media_types.DOCKER_LAYER, "none"),
        (media_types.DOCKER_LAYER_GZIP, "gzip"),
    ],
)
def test_a_layers_media_type_says_how_it_is_compressed(kind: str, codec: Codec) -> None:
    assert codec_of(kind) == codec
    assert codec_of(media_type(codec)) == codec


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "application/octet-stream",
        "application/vnd.oci.image.layer.v1.tar+bzip2",
        "application/vnd.oci.image.layer.v1.tar+gzip ",
        "application/vnd.oci.image.layer.v1.TAR",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        media_types.MANIFEST,
        media_types.CONFIG,
    ],
)
def test_another_media_type_is_refused_by_name(kind: str) -> None:
    with pytest.raises(ImageError) as caught:
        read(as_blob(b"", kind))
    assert repr(kind) in caught.value.message


# --- reading what others wrote


def test_gzip_of_others_is_read() -> None:
    named = io.BytesIO()
    with gzip.GzipFile("layer.tar", "wb", fileobj=named, mtime=1_700_000_000) as stream:
        stream.write(SEVERAL_BLOCKS)
    for data in (named.getvalue(), named.getvalue() + gzip.compress(b"more")):
        assert read(as_blob(data, media_types.DOCKER_LAYER_GZIP)) == gzip.decompress(data)


def test_zstd_of_others_is_read() -> None:
    streamed = zstd.ZstdCompressor(options={zstd.CompressionParameter.checksum_flag: 1})
    data = streamed.compress(SEVERAL_BLOCKS) + streamed.flush()
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
    assert read(as_blob(skippable + data + zstd.compress(b"more"), LAYER_ZSTD)) == SEVERAL_BLOCKS + b"more"


@pytest.mark.parametrize("codec", CODECS)
def test_a_layer_is_read_out_of_a_larger_file(codec: Codec, tmp_path: Path) -> None:
    data = packed(SEVERAL_BLOCKS, codec)
    path = tmp_path / "archive"
    path.write_bytes(b"before" + data + b"behind")
    assert read(FileBlob(Descriptor.of(media_type(codec), data), path, 6)) == SEVERAL_BLOCKS


SAMPLE = tar_like(12_000)[2000:]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("stops_early", [False, True])
def test_every_flipped_byte_is_noticed(codec: Codec, stops_early: bool, show: Callable[[str], None]) -> None:
    data = packed(SAMPLE, codec)
    descriptor = Descriptor.of(media_type(codec), data)
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(DigestMismatch), decompressed(BytesBlob(descriptor, bytes(damaged))) as stream:
            stream.read(1 if stops_early else -1)
    show(f"{codec}, read {'one byte' if stops_early else 'to the end'}: {len(data)} flips, all noticed")


@pytest.mark.parametrize("codec", CODECS)
def test_every_truncation_and_every_other_size_is_noticed(codec: Codec, show: Callable[[str], None]) -> None:
    data = packed(SAMPLE, codec)
    descriptor = Descriptor.of(media_type(codec), data)
    for length in range(len(data)):
        with pytest.raises(DigestMismatch, match="too early"):
            read(BytesBlob(descriptor, data[:length]))
        with pytest.raises(DigestMismatch):
            read(BytesBlob(replace(descriptor, size=length), data))
    with pytest.raises(DigestMismatch, match="1 bytes too early"):
        read(BytesBlob(replace(descriptor, size=len(data) + 1), data))
    show(f"{codec}: {len(data)} truncations and {len(data) + 1} wrong sizes, all noticed")


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_what_was_published_damaged_is_an_error_of_ours(codec: Codec, show: Callable[[str], None]) -> None:
    """The digest is right here: only the decompressor can tell, and zstd without a checksum not always."""
    data = packed(SAMPLE, codec)
    outcomes: Counter[str] = Counter()
    variants = [data[:length] for length in range(1, len(data))]
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        variants.append(bytes(damaged))
    for variant in variants:
        try:
            plain = read(as_blob(variant, media_type(codec)))
            outcomes["unharmed" if plain == SAMPLE else "other bytes"] += 1
        except ImageError as error:
            outcomes["refused" if f"no intact {codec} stream" in error.message else error.message] += 1
    show(f"{codec}, published damaged: {dict(outcomes)}")
    assert outcomes["refused"] > len(data)
    assert set(outcomes) <= {"refused", "unharmed", "other bytes"}
    assert codec == "zstd" or "other bytes" not in outcomes


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
@pytest.mark.parametrize("junk", [b"plain text", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", hashlib.sha256(b"").digest() * 40])
def test_what_was_never_compressed_is_an_error_of_ours(codec: Codec, junk: bytes) -> None:
    with pytest.raises(ImageError, match=f"no intact {codec} stream"):
        read(as_blob(junk, media_type(codec)))


def test_bytes_behind_a_gzip_stream_are_refused() -> None:
    with pytest.raises(ImageError, match="no intact gzip stream"):
        read(as_blob(packed(SAMPLE, "gzip") + b"behind", LAYER_GZIP))


def test_the_readers_own_error_is_not_replaced() -> None:
    damaged = BytesBlob(Descriptor.of(LAYER, b"right"), b"wrong")
    with pytest.raises(KeyError, match="mine"), decompressed(damaged):
        raise KeyError("mine")


def test_an_error_of_the_blob_comes_through() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise ConnectionResetError("the registry hung up")

    class Remote:
        descriptor = Descriptor.of(LAYER_GZIP, b"")
        descriptor = replace(descriptor, size=10)

        def open(self) -> io.BytesIO:
            return Broken()

    with pytest.raises(ConnectionResetError), decompressed(Remote()) as stream:
        stream.read()
