"""The packed profiles of a model: from its package, or from an image that holds it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from modelimg.errors import ImageError, PackageError
from modelimg.fetch import Fetcher
from modelimg.images import look_everywhere, open_image
from modelimg.inspect import package_reader
from modelimg.oci.names import ImageName
from modelimg_runtime import contract
from modelimg_runtime.errors import PackageUnreadable
from modelimg_runtime.monitor import Baseline, NoBaseline
from modelimg_runtime.package import open_package

_FILES = (contract.MANIFEST, contract.INPUT_PROFILE, contract.OUTPUT_PROFILE)


def baseline_of(text: str, fetcher: Fetcher) -> Baseline:
    """The profiles of a model package, or of an image; nothing of it runs.

    Args:
        text: a folder, or the name of an image as `ImageName` reads it.
        fetcher: gets an image of a registry.

    Raises:
        PackageError: no model package, one that was changed, or one without profiles.
        ImageError, FetchError, EngineUnavailable, UsageError: as `modelimg.inspect.inspect_image`.
    """
    folder = Path(text)
    if folder.is_dir():
        return _of_folder(folder, text)
    if text.startswith((".", "/")):
        raise PackageError(f"there is no model package at {text}")
    files = _in_image(ImageName.parse(text), fetcher)
    with tempfile.TemporaryDirectory(prefix="modelimg-") as name:
        for file, data in files.items():
            (Path(name) / file).write_bytes(data)
        return _of_folder(Path(name), text)


def _of_folder(folder: Path, text: str) -> Baseline:
    try:
        found = Baseline.of(open_package(folder))
    except NoBaseline as error:
        raise PackageError(
            f"{text} has nothing to compare with: {error}", hint="pack the model again; modelimg packs profiles"
        ) from error
    except PackageUnreadable as error:
        raise PackageError(f"{text}: {error}") from error
    return found


def _in_image(name: ImageName, fetcher: Fetcher) -> Mapping[str, bytes]:
    return look_everywhere(
        name,
        lambda: _in_daemon(name),
        lambda: _read(name, package_reader(open_image(name, None, fetcher).image)),
    )


def _in_daemon(name: ImageName) -> Mapping[str, bytes] | None:
    import docker.errors

    from modelimg.daemon import connect, image_files

    client = connect()
    try:
        found = client.api.inspect_image(str(name.reference))
    except docker.errors.ImageNotFound:
        return None
    with image_files(client, found["Id"]) as reader:
        return _read(name, reader.read)


def _read(name: ImageName, read: Callable[[str], bytes | None]) -> Mapping[str, bytes]:
    found = {file: read(f"{contract.MODEL_PATH}/{file}") for file in _FILES}
    if found[contract.MANIFEST] is None:
        raise ImageError(
            f"{name} holds no {contract.MODEL_PATH}/{contract.MANIFEST}: it is no model image of modelimg's"
        )
    return {file: data for file, data in found.items() if data is not None}
