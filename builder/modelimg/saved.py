"""An image of a Docker daemon's as blobs, the way ``docker save`` gives it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from modelimg.cache import Cache
from modelimg.errors import EngineError, ImageError
from modelimg.oci.archive import open_docker_archive
from modelimg.oci.blob import Blob, LazyBlob, copy_blob
from modelimg.oci.manifest import Image
from modelimg.oci.values import Digest

if TYPE_CHECKING:
    import docker  # the caller has a client, and so has imported it


def save_image(client: docker.DockerClient, name: str, cache: Cache) -> Image | None:
    """Copy an image out of a daemon; None where it has none of this name.

    Args:
        client: of the daemon.
        name: of the image, or its id.
        cache: keeps the layers, which are plain tars.

    Raises:
        EngineError: the daemon breaks off.
        ImageError: what it sent is no image.
    """
    import docker.errors
    import requests.exceptions

    try:
        image_id = client.api.inspect_image(name)["Id"]
        with cache.writing() as (stream, path):
            for chunk in client.api.get_image(image_id):
                stream.write(chunk)
            stream.flush()
            image = open_docker_archive(path)
            return replace(image, layers=tuple(_kept(layer, cache) for layer in image.layers))
    except docker.errors.ImageNotFound:
        return None
    except (docker.errors.APIError, requests.exceptions.RequestException) as error:
        raise EngineError(f"the daemon could not save the image {name}: {error}") from error


def _kept(layer: Blob, cache: Cache) -> LazyBlob:
    digest = layer.descriptor.digest
    if cache.blob(digest) is None:
        with cache.writing() as (stream, path):
            copy_blob(layer, stream)
            stream.flush()
            cache.adopt(path, digest)
    return LazyBlob(layer.descriptor, lambda: _find(digest, cache), peek=lambda: cache.path(digest))


def _find(digest: Digest, cache: Cache) -> Path:
    path = cache.blob(digest)
    if path is None:
        raise ImageError(f"the layer {digest} is no longer in the cache", hint="try again: the daemon gives it anew")
    return path
