"""Reading an image back: labels, contract, metrics and provenance, from the image alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import docker
import docker.errors

from modelimg.daemon import image_files
from modelimg.errors import ImageError
from modelimg.labels import OCI, OWN
from modelimg_runtime import contract

_READ = (contract.MANIFEST, contract.METRICS, contract.PROVENANCE, contract.EXAMPLES)


@dataclass(frozen=True)
class ImageReport:
    """What an image says of itself.

    Attributes:
        reference: how it was asked for.
        image_id: digest of its config.
        platform: ``os/arch``.
        size: bytes on disk, uncompressed.
        layers: diff_ids, lowest first.
        labels: all of them.
        files: the JSON files of the model package in it, by name.
    """

    reference: str
    image_id: str
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
            "platform": self.platform,
            "size": self.size,
            "layers": list(self.layers),
            "labels": dict(self.labels),
            "contract": dict(self.schemas),
            "metrics": dict(self.metrics),
            "provenance": self.files.get(contract.PROVENANCE, {}),
            "package": self.files[contract.MANIFEST],
        }


def inspect_daemon_image(client: docker.DockerClient, reference: str) -> ImageReport:
    """Read an image of a Docker daemon; nothing of it runs.

    Raises:
        ImageError: there is none of this name, or modelimg did not build it.
    """
    try:
        facts = client.api.inspect_image(reference)
    except docker.errors.ImageNotFound as error:
        raise ImageError(
            f"the daemon has no image {reference}", hint="`docker images` lists what it has; pull or build it first"
        ) from error
    labels = facts["Config"].get("Labels") or {}
    if OWN + "version" not in labels:
        raise ImageError(
            f"{reference} carries no {OWN}version label: modelimg did not build it",
            hint="`docker inspect` reads any image",
        )
    files = _read_files(client, facts["Id"])
    if contract.MANIFEST not in files:
        raise ImageError(
            f"{reference} has the labels of a model image, but no {contract.MODEL_PATH}/{contract.MANIFEST}"
        )
    return ImageReport(
        reference=reference,
        image_id=facts["Id"],
        platform=f"{facts['Os']}/{facts['Architecture']}",
        size=facts["Size"],
        layers=tuple(facts["RootFS"]["Layers"]),
        labels=dict(sorted(labels.items())),
        files=files,
    )


def _read_files(client: docker.DockerClient, image_id: str) -> dict[str, Any]:
    """The package's JSON files and its schemas; the model itself is not read."""
    with image_files(client, image_id) as reader:

        def read(name: str) -> Any:
            data = reader.read(f"{contract.MODEL_PATH}/{name}")
            return None if data is None else json.loads(data) if name.endswith(".json") else data.decode()

        found = {name: read(name) for name in _READ}
        schemas = (found[contract.MANIFEST] or {}).get("schemas", {})
        found |= {name: read(name) for name in {reference.partition(":")[0] for reference in schemas.values()}}
    return {name: value for name, value in found.items() if value is not None}


def split_labels_by_prefix(labels: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """``standard``, ``modelimg`` and ``other``, prefixes kept."""
    groups: dict[str, dict[str, str]] = {"standard": {}, "modelimg": {}, "other": {}}
    for key, value in labels.items():
        groups["standard" if key.startswith(OCI) else "modelimg" if key.startswith(OWN) else "other"][key] = value
    return groups
