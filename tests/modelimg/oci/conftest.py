"""Small tars and images, and the published schemas."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import referencing
import referencing.jsonschema

from modelimg.oci.blob import BytesBlob
from modelimg.oci.manifest import Image, ImageIndex
from small_images import write_blob, write_image, write_tar

SCHEMAS = Path(__file__).parents[2] / "data/oci-image-spec"


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

    registry: referencing.Registry[Any] = referencing.Registry(retrieve=retrieve)  # type: ignore[call-arg]

    def check(kind: str, data: bytes) -> None:
        schema = json.loads((SCHEMAS / f"{kind}-schema.json").read_bytes())
        jsonschema.Draft4Validator(schema, registry=registry).validate(json.loads(data))

    return check
