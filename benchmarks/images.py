"""How large an image is: on disk as the daemon counts it, and compressed as a registry would keep it."""

from __future__ import annotations

import io
import json
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import docker

_LEVEL = 6
_CHUNK = 1 << 20


@dataclass(frozen=True)
class LayerSize:
    """Bytes of a layer's tar, and of that tar after ``gzip -6``."""

    tar: int
    compressed: int


def layer_count(client: docker.DockerClient, image: str) -> int:
    """How many layers the image has."""
    return len(client.api.inspect_image(image)["RootFS"]["Layers"])


def layer_sizes(client: docker.DockerClient, image: str) -> list[LayerSize]:
    """The image's layers, lowest first, from one pass over what ``docker save`` sends.

    Both layouts are read: ``ID/layer.tar`` of Docker 20.10, where a layer that occurs twice is a link, and
    ``blobs/sha256/…`` of Docker 25 and later. ``manifest.json`` names the layers in order and comes last.
    """
    sizes: dict[str, LayerSize] = {}
    links: dict[str, str] = {}
    manifest: list[dict[str, Any]] = []
    with tarfile.open(fileobj=io.BufferedReader(_Chunks(client.api.get_image(image))), mode="r|") as archive:
        for member in archive:
            if member.issym():
                links[member.name] = "/".join(member.linkname.split("/")[-2:])
            elif stream := archive.extractfile(member):
                if member.name == "manifest.json":
                    manifest = json.load(stream)
                else:
                    sizes[member.name] = LayerSize(member.size, _compressed(stream))
    return [sizes[links.get(name, name)] for name in manifest[0]["Layers"]]


def _compressed(stream: IO[bytes]) -> int:
    compressor = zlib.compressobj(_LEVEL, wbits=31)
    size = 0
    while chunk := stream.read(_CHUNK):
        size += len(compressor.compress(chunk))
    return size + len(compressor.flush())


class _Chunks(io.RawIOBase):
    """The read side of a file over chunks of bytes, which is what the SDK gives."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks: Iterator[bytes] = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill what one chunk can fill; 0 at the end."""
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
