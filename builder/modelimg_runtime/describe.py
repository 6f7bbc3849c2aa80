"""What a package says of itself, as plain data: ``/info``, ``/schema`` and the ``info`` command."""

from __future__ import annotations

import json
from typing import Any

from modelimg_runtime import contract
from modelimg_runtime.package import Package

_SHOWN = ("name", "version", "task", "classes", "target", "python", "platforms", "schemas", "metadata")


def info(package: Package) -> dict[str, Any]:
    """Provenance, metrics and digests of a package; nothing of the server.

    Raises:
        PackageUnreadable: a file is missing or was changed.
    """
    manifest = package.manifest
    model = manifest.model
    return {
        **{name: getattr(manifest, name) for name in _SHOWN},
        "model": {"file": model.file, "format": model.format, "estimator": model.estimator, "sha256": model.sha256},
        "provenance": _optional(package, contract.PROVENANCE),
        "metrics": _optional(package, contract.METRICS),
        "files": dict(manifest.files),
    }


def _optional(package: Package, name: str) -> Any:
    return json.loads(package.read(name)) if name in package.manifest.files else None
