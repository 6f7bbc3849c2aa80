"""Small tars and images, and the published schemas."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
import referencing.jsonschema

from modelimg.oci.blob import BytesBlob, Descriptor
from modelimg.oci.compression import Codec, compress, media_type
from modelimg.oci.image import EPOCH, History, ImageConfig, RunConfig
from modelimg.oci.manifest import Image, ImageIndex
from modelimg.oci.values import Digest, Platform

SCHEMAS = Path(__file__).parents[2] / "data/oci-image-spec"

Content = bytes | str | None
"""Of a member: a file's bytes, a symbolic link's target, or None for a folder."""


def write_tar(*members: tuple[str, Content] | tarfile.TarInfo, format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            name, content = member
            info = tarfile.TarInfo(name)
            info.mtime = 1_000_000_000
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, str):
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, content, 0o777
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content if isinstance(content, bytes) else b""))
    return out.getvalue()


def write_blob(tar: bytes, codec: Codec = "gzip") -> BytesBlob:
    out = io.BytesIO()
    done = compress([tar], out, codec)
    return BytesBlob(Descriptor(media_type(codec), done.digest, done.size), out.getvalue())


def write_image(*tars: bytes, codec: Codec = "gzip", platform: str = "linux/amd64", **run: Any) -> Image:
    config = ImageConfig(
        platform=Platform(*platform.split("/")),
        run=RunConfig(**run),
        diff_ids=tuple(Digest.of(tar) for tar in tars),
        history=tuple(History(f"layer {number}", created=EPOCH) for number, _ in enumerate(tars)),
    )
    return Image.assemble(config, [write_blob(tar, codec) for tar in tars])


@pytest.fixture(scope="session")
def make_tar() -> Callable[..., bytes]:
    """A tar of ``(name, content)`` and ``TarInfo`` without content."""
    return write_tar


@pytest.fixture(scope="session")
def make_blob() -> Callable[..., BytesBlob]:
    """A layer of a tar."""
    return write_blob


@pytest.fixture(scope="session")
def make_image() -> Callable[..., Image]:
    """An image of tars."""
    return write_image


@pytest.fixture(scope="session")
def image() -> Image:
    """Two layers; the same bytes in every run."""
    return write_image(write_tar(("etc", None), ("etc/one", b"1")), write_tar(("two", b"2" * 3000)), codec="none")


@pytest.fixture(scope="session")
def index(image: Image) -> ImageIndex:
    """Two platforms whose images share a layer."""
    tars = write_tar(("arm", b"")), write_tar(("two", b"2" * 3000))
    return ImageIndex.assemble([write_image(*tars, codec="none", platform="linux/arm64"), image])


@pytest.fixture(scope="session")
def hard_link() -> Callable[[str, str], tarfile.TarInfo]:
    """A tar's member that is a hard link: ``(name, target)``."""

    def make(name: str, target: str) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = tarfile.LNKTYPE, target
        return info

    return make


@pytest.fixture(scope="session")
def check_schema() -> Callable[[str, bytes], None]:
    """See that a document is valid by one of the published schemas: ``(kind, data)``."""

    def retrieve(uri: str) -> referencing.Resource[Any]:
        contents = json.loads((SCHEMAS / uri.rpartition("/")[2]).read_bytes())
        return referencing.Resource.from_contents(contents, referencing.jsonschema.DRAFT4)

    registry: referencing.Registry[Any] = referencing.Registry(retrieve=retrieve)

    def check(kind: str, data: bytes) -> None:
        schema = json.loads((SCHEMAS / f"{kind}-schema.json").read_bytes())
        jsonschema.Draft4Validator(schema, registry=registry).validate(json.loads(data))

    return check
