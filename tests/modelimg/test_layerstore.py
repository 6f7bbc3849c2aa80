"""Layers are made once: what is known of them, and what happens when their bytes are gone."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
from pathlib import Path

import pytest

from modelimg.cache import Cache
from modelimg.errors import DigestMismatch, LayerError
from modelimg.fetch import Fetcher
from modelimg.layerstore import LayerStore
from modelimg.oci.blob import LAYER_GZIP, Descriptor, FileBlob, read_blob
from modelimg.oci.compression import Codec, fingerprint
from modelimg.oci.values import Digest
from modelimg.plan import BuildPlan


def blobs(cache: Cache) -> list[Path]:
    return [path for path in (cache.root / "blobs").rglob("*") if path.is_file()]


def test_a_layer_is_compressed_without_its_tar_being_kept(plan: BuildPlan, own: Fetcher) -> None:
    blob = LayerStore(own).blob(plan, plan.layers[-1])
    tar = gzip.decompress(read_blob(blob))
    assert Digest.of(tar) == blob.diff_id
    assert blob.descriptor.media_type == LAYER_GZIP
    assert own.cache.blob(blob.diff_id) is None


@pytest.mark.parametrize("codec", ["gzip", "zstd", "none"])
def test_a_tar_and_a_blob_are_of_the_same_layer(plan: BuildPlan, own: Fetcher, tmp_path: Path, codec) -> None:
    other = Fetcher(Cache(tmp_path / "other"))
    for layer in plan.layers:
        blob = LayerStore(own, codec).blob(plan, layer)
        made = LayerStore(other).tar(plan, layer)
        assert (made.diff_id, made.size) == (blob.diff_id, made.path.stat().st_size)
        assert LayerStore(other, codec).blob(plan, layer).descriptor == blob.descriptor


def test_what_is_known_is_not_made_again(plan: BuildPlan, own: Fetcher) -> None:
    first = [LayerStore(own).blob(plan, layer) for layer in plan.layers]
    shutil.rmtree(own.cache.root / "blobs")
    again = [LayerStore(own).blob(plan, layer) for layer in plan.layers]
    assert [blob.descriptor for blob in again] == [blob.descriptor for blob in first]
    assert not (own.cache.root / "blobs").exists()


def test_a_blob_that_is_gone_is_made_again_when_it_is_opened(plan: BuildPlan, own: Fetcher) -> None:
    blob = LayerStore(own).blob(plan, plan.layers[-1])
    shutil.rmtree(own.cache.root / "blobs")
    assert Digest.of(read_blob(blob)) == blob.descriptor.digest


def test_any_flipped_byte_of_the_cache_is_mended(plan: BuildPlan, own: Fetcher, show) -> None:
    store = LayerStore(own)
    layers = [plan.layers[0], plan.layers[-1]]
    first = {layer.name: read_blob(store.blob(plan, layer)) for layer in layers}
    flips = 0
    for path in sorted(p for p in own.cache.root.rglob("*") if p.is_file()):
        whole = path.read_bytes()
        for position in {0, len(whole) // 2, len(whole) - 1}:
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
            assert {layer.name: read_blob(store.blob(plan, layer)) for layer in layers} == first
            flips += 1
    show(f"flipped bytes of the cache: {flips}, every one mended")
    assert flips > 15


@pytest.mark.parametrize("codec", ["gzip", "none"])
def test_what_a_store_wrote_itself_is_not_read_again_unless_somebody_touched_it(
    plan: BuildPlan, own: Fetcher, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Digest] = []
    find = Cache.blob
    monkeypatch.setattr(Cache, "blob", lambda cache, digest: read.append(digest) or find(cache, digest))
    store, layer = LayerStore(own, codec), plan.layers[-1]
    blob = store.blob(plan, layer)
    whole = read_blob(blob)
    assert blob.descriptor.digest not in read
    path, status = blob.make(), blob.make().stat()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert read_blob(blob) == whole
    assert blob.descriptor.digest in read
    read.clear()
    assert read_blob(LayerStore(own, codec).blob(plan, layer)) == whole
    assert blob.descriptor.digest in read  # another store, as of another build, trusts nothing


def test_a_blob_that_comes_out_otherwise_than_it_was_remembered_is_refused(plan: BuildPlan, own: Fetcher) -> None:
    store = LayerStore(own)
    layer = plan.layers[-1]
    key = f"{store.blob(plan, layer).diff_id} {fingerprint('gzip')}"
    kept = own.cache.recall("compressed", key)
    own.cache.note("compressed", key, {**kept, "digest": f"sha256:{'0' * 64}"})
    with pytest.raises(LayerError, match="was remembered as sha256:0000"):
        store.blob(plan, layer).open()


def test_a_base_layer_that_is_a_plain_tar_is_compressed_like_ours(base, own: Fetcher) -> None:
    (plain,) = base.image.layers
    blob = LayerStore(own).compressed(plain)
    assert blob.descriptor.media_type == LAYER_GZIP
    assert Digest.of(gzip.decompress(read_blob(blob))) == plain.descriptor.digest
    assert LayerStore(own, "none").compressed(plain) is plain


def test_a_base_layer_that_is_compressed_stays_as_it_is(tmp_path: Path, own: Fetcher) -> None:
    data = gzip.compress(b"a tar")
    (tmp_path / "layer").write_bytes(data)
    theirs = FileBlob(Descriptor.of(LAYER_GZIP, data), tmp_path / "layer")
    assert LayerStore(own).compressed(theirs) is theirs


def test_a_wheel_of_other_bytes_makes_no_layer(plan: BuildPlan, own: Fetcher) -> None:
    (wheel,) = plan.layers[0].wheels
    plan.sources[wheel.digest].write_bytes(b"something else")
    with pytest.raises(DigestMismatch, match="but the lock pins") as caught:
        LayerStore(own).blob(plan, plan.layers[0])
    assert hashlib.sha256(b"something else").hexdigest() in str(caught.value)
    assert not LayerStore(own).knows(plan, plan.layers[0])
