"""The image config of the OCI image spec, as a value with canonical bytes.

Source: https://github.com/opencontainers/image-spec/blob/main/config.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelimg.oci.values import Digest, Platform

EPOCH = "1980-01-01T00:00:00Z"
"""What ``created`` says where neither SOURCE_DATE_EPOCH nor a commit says otherwise; never the clock."""


@dataclass(frozen=True)
class RunConfig:
    """How a container of the image runs: the ``config`` object of an image config."""

    env: tuple[str, ...] = ()
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    working_dir: str = ""
    exposed_ports: tuple[str, ...] = ()
    stop_signal: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The spec's field names; what is empty is left out."""
        values: dict[str, Any] = {
            "Cmd": list(self.cmd),
            "Entrypoint": list(self.entrypoint),
            "Env": list(self.env),
            "ExposedPorts": {port: {} for port in self.exposed_ports},
            "Labels": dict(self.labels),
            "StopSignal": self.stop_signal,
            "User": self.user,
            "WorkingDir": self.working_dir,
        }
        return {key: value for key, value in values.items() if value}


@dataclass(frozen=True)
class ImageConfig:
    """An image config.

    Attributes:
        platform: what the image runs on.
        run: how it runs.
        diff_ids: digests of the uncompressed layers, lowest first.
        history: one ``created_by`` text per layer.
        created: RFC 3339, UTC.
    """

    platform: Platform
    run: RunConfig
    diff_ids: tuple[Digest, ...]
    history: tuple[str, ...]
    created: str = EPOCH

    def to_json(self) -> bytes:
        """Canonical bytes: sorted keys, no white space."""
        value = {
            "architecture": self.platform.architecture,
            "os": self.platform.os,
            "created": self.created,
            "config": self.run.to_dict(),
            "rootfs": {"type": "layers", "diff_ids": [str(d) for d in self.diff_ids]},
            "history": [{"created": self.created, "created_by": text} for text in self.history],
        }
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @property
    def digest(self) -> Digest:
        """The image id."""
        return Digest.of(self.to_json())
