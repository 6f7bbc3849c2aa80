"""Reading an image back: labels, contract, metrics and provenance, from the image alone and wherever it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from modelimg.errors import ImageError
from modelimg.fetch import Fetcher
from modelimg.images import Found, look_everywhere, open_image
from modelimg.labels import OCI, OWN
from modelimg.oci.files import ImageFiles
from modelimg.oci.manifest import Image
from modelimg.oci.names import ImageName
from modelimg.oci.values import Platform
from modelimg_runtime import contract

_MANIFEST_PATH = f"{contract.MODEL_PATH}/{contract.MANIFEST}"
_READ = (contract.MANIFEST, contract.METRICS, contract.PROVENANCE, contract.EXAMPLES)


@dataclass(frozen=True)
class ImageReport:
    """What an image says of itself.

    Attributes:
        reference: how it was asked for.
        image_id: digest of its config.
        manifest_digest: of its manifest; None in a daemon and a ``docker-archive:``, which have none.
        platform: ``os/arch``.
        size: bytes of its layers: uncompressed in a daemon, as they are stored elsewhere.
        layers: diff_ids, lowest first.
        labels: all of them.
        files: the JSON files of the model package in it, by name.
    """

    reference: str
    image_id: str
    manifest_digest: str | None
    platform: str
    size: int
    layers: tuple[str, ...]
    labels: Mapping[str, str]
    files: Mapping[str, Any]

    @property
    def metrics(self) -> Mapping[str, Mapping[str, Any]]:
        """Split → metric → value."""
        found: Mapping[str, Mapping[str, Any]] = self.files.get(contract.METRICS, {})
        return found

    @property
    def schemas(self) -> Mapping[str, Any]:
        """``input`` and ``output``: the serialised schema, or the text of ``schemas.py``."""
        references = self.files[contract.MANIFEST]["schemas"]
        return {side: self.files.get(reference.partition(":")[0]) for side, reference in references.items()}

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "reference": self.reference,
            "image_id": self.image_id,
            "manifest_digest": self.manifest_digest,
            "platform": self.platform,
            "size": self.size,
            "layers": list(self.layers),
            "labels": dict(self.labels),
            "contract": dict(self.schemas),
            "metrics": dict(self.metrics),
            "provenance": self.files.get(contract.PROVENANCE, {}),
            "package": self.files[contract.MANIFEST],
        }


def inspect_image(name: ImageName, platform: Platform | None, fetcher: Fetcher) -> ImageReport:
    """Read an image wherever it is; nothing of it runs. A plain name is asked of the daemon, then of its registry.

    Args:
        name: of the image.
        platform: that it must have; of an index, by default this machine's.
        fetcher: gets an image of a registry; its cache keeps what was read.

    Raises:
        ImageError: there is none of this name or for this platform, or modelimg did not build it.
        EngineUnavailable: ``docker-daemon:`` was asked for and none answers.
        FetchError: the registry does not give it.
    """
    return look_everywhere(
        name, lambda: _in_daemon(name, platform), lambda: _report(name, open_image(name, platform, fetcher))
    )


def _in_daemon(name: ImageName, platform: Platform | None) -> ImageReport | None:
    """Read an image of the daemon's; None where it has none of this name.

    Raises:
        EngineUnavailable: no daemon answers.
    """
    import docker.errors

    from modelimg.daemon import connect, image_files

    client = connect()
    try:
        facts = client.api.inspect_image(str(name.reference))
    except docker.errors.ImageNotFound:
        return None
    found = f"{facts['Os']}/{facts['Architecture']}"
    if platform and found != str(platform):
        raise ImageError(f"{name} is for {found} in the daemon, not for {platform}")
    labels = facts["Config"].get("Labels") or {}
    _check_ours(name, labels)
    with image_files(client, facts["Id"]) as reader:
        files = _read_files(name, reader.read)
    return ImageReport(
        reference=str(name).removeprefix("docker-daemon:"),
        image_id=facts["Id"],
        manifest_digest=None,
        platform=found,
        size=facts["Size"],
        layers=tuple(facts["RootFS"]["Layers"]),
        labels=dict(sorted(labels.items())),
        files=files,
    )


def _report(name: ImageName, found: Found) -> ImageReport:
    config = found.image.config
    _check_ours(name, config.run.labels)
    return ImageReport(
        reference=str(name),
        image_id=str(found.image_id),
        manifest_digest=str(found.manifest_digest) if found.manifest_digest else None,
        platform=str(config.platform),
        size=sum(layer.descriptor.size for layer in found.image.layers),
        layers=tuple(map(str, config.diff_ids)),
        labels=dict(sorted(config.run.labels.items())),
        files=_read_files(name, package_reader(found.image)),
    )


def package_reader(image: Image) -> Callable[[str], bytes | None]:
    """Reads the model package's files from as few layers as hold it: the model is the last one, others are large."""
    for lowest in reversed(range(len(image.layers))):
        reader = ImageFiles(image.layers[lowest:])
        if reader.exists(_MANIFEST_PATH):
            return reader.read
    return lambda _: None


def _check_ours(name: ImageName, labels: Mapping[str, str]) -> None:
    if OWN + "version" not in labels:
        raise ImageError(
            f"{name} carries no {OWN}version label: modelimg did not build it",
            hint="`docker inspect` and `skopeo inspect` read any image",
        )


def _read_files(name: ImageName, read: Callable[[str], bytes | None]) -> dict[str, Any]:
    """The package's JSON files and its schemas; the model itself is not read."""
    data = read(_MANIFEST_PATH)
    if data is None:
        raise ImageError(f"{name} has the labels of a model image, but no {_MANIFEST_PATH}")

    def parsed(file: str) -> Any:
        content = read(f"{contract.MODEL_PATH}/{file}")
        return None if content is None else json.loads(content) if file.endswith(".json") else content.decode()

    try:
        schemas = contract.PackageManifest.from_json(data).schemas.values()
        wanted = sorted({*_READ, *(reference.partition(":")[0] for reference in schemas)})
        found = {file: parsed(file) for file in wanted}
    except ValueError as error:
        raise ImageError(f"{name} holds a damaged model package: {error}") from error
    return {file: value for file, value in found.items() if value is not None}


def split_labels_by_prefix(labels: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """``standard``, ``modelimg`` and ``other``, prefixes kept."""
    groups: dict[str, dict[str, str]] = {"standard": {}, "modelimg": {}, "other": {}}
    for key, value in labels.items():
        groups["standard" if key.startswith(OCI) else "modelimg" if key.startswith(OWN) else "other"][key] = value
    return groups
