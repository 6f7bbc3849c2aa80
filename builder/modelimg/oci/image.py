"""The image config of the OCI image spec, as a value with canonical bytes.

Sources: https://github.com/opencontainers/image-spec/blob/main/config.md, and Docker's ``Healthcheck`` field, which
that page reserves: https://github.com/moby/docker-image-spec.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelimg.errors import ImageError
from modelimg.oci.values import Digest, Platform

EPOCH = "1980-01-01T00:00:00Z"
"""What ``created`` says where neither SOURCE_DATE_EPOCH nor a commit says otherwise; never the clock."""

_NANOSECONDS = 1_000_000_000
_TIMES = ("Interval", "Timeout", "StartPeriod")


@dataclass(frozen=True)
class HealthCheck:
    """Docker's HEALTHCHECK in exec form; times in seconds."""

    command: tuple[str, ...]
    interval: int = 30
    timeout: int = 5
    start_period: int = 60
    retries: int = 3

    def to_dict(self) -> dict[str, Any]:
        """Docker's field names; times in nanoseconds."""
        return {
            "Test": ["CMD", *self.command],
            "Interval": self.interval * _NANOSECONDS,
            "Timeout": self.timeout * _NANOSECONDS,
            "StartPeriod": self.start_period * _NANOSECONDS,
            "Retries": self.retries,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> HealthCheck | None:
        """Read Docker's field; None for one that is off or in shell form, which images of ours never have."""
        test = value.get("Test") or []
        if test[:1] != ["CMD"]:
            return None
        interval, timeout, start = (int(value.get(key, 0)) // _NANOSECONDS for key in _TIMES)
        return cls(tuple(test[1:]), interval, timeout, start, int(value.get("Retries", 0)))


@dataclass(frozen=True)
class RunConfig:
    """How a container of the image runs: the ``config`` object of an image config."""

    env: tuple[str, ...] = ()
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    working_dir: str = ""
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    health: HealthCheck | None = None

    def to_dict(self) -> dict[str, Any]:
        """The spec's field names; what is empty is left out."""
        values: dict[str, Any] = {
            "Cmd": list(self.cmd),
            "Entrypoint": list(self.entrypoint),
            "Env": list(self.env),
            "ExposedPorts": {port: {} for port in self.exposed_ports},
            "Healthcheck": self.health.to_dict() if self.health else None,
            "Labels": dict(self.labels),
            "StopSignal": self.stop_signal,
            "User": self.user,
            "Volumes": {path: {} for path in self.volumes},
            "WorkingDir": self.working_dir,
        }
        return {key: value for key, value in values.items() if value}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> RunConfig:
        """Read the spec's field names; null counts as absent, as Docker writes it."""
        health = value.get("Healthcheck")
        return cls(
            env=tuple(value.get("Env") or ()),
            user=value.get("User") or "",
            entrypoint=tuple(value.get("Entrypoint") or ()),
            cmd=tuple(value.get("Cmd") or ()),
            working_dir=value.get("WorkingDir") or "",
            exposed_ports=tuple(sorted(value.get("ExposedPorts") or ())),
            volumes=tuple(sorted(value.get("Volumes") or ())),
            stop_signal=value.get("StopSignal") or "",
            labels=dict(value.get("Labels") or {}),
            health=HealthCheck.from_dict(health) if health else None,
        )


@dataclass(frozen=True)
class History:
    """One step of an image's history.

    Attributes:
        created_by: what made it.
        created: RFC 3339; empty where the image does not say.
        empty_layer: the step made no layer.
        comment: free text.
        author: of the step.
    """

    created_by: str
    created: str = ""
    empty_layer: bool = False
    comment: str = ""
    author: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The spec's field names; what is empty is left out."""
        values = {
            "created": self.created,
            "created_by": self.created_by,
            "author": self.author,
            "comment": self.comment,
            "empty_layer": self.empty_layer,
        }
        return {key: value for key, value in values.items() if value}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> History:
        """Read the spec's field names."""
        return cls(
            created_by=value.get("created_by") or "",
            created=value.get("created") or "",
            empty_layer=bool(value.get("empty_layer")),
            comment=value.get("comment") or "",
            author=value.get("author") or "",
        )


@dataclass(frozen=True)
class ImageConfig:
    """An image config.

    Attributes:
        platform: what the image runs on.
        run: how it runs.
        diff_ids: digests of the uncompressed layers, lowest first.
        history: one entry per layer, and one for each step without a layer.
        created: RFC 3339, UTC.
    """

    platform: Platform
    run: RunConfig
    diff_ids: tuple[Digest, ...]
    history: tuple[History, ...]
    created: str = EPOCH

    def to_json(self) -> bytes:
        """Canonical bytes: sorted keys, no white space."""
        value = {
            "architecture": self.platform.architecture,
            "os": self.platform.os,
            "created": self.created,
            "config": self.run.to_dict(),
            "rootfs": {"type": "layers", "diff_ids": [str(d) for d in self.diff_ids]},
            "history": [step.to_dict() for step in self.history],
        }
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def parse(cls, data: bytes) -> ImageConfig:
        """Read a config that anyone wrote.

        Raises:
            ImageError: it is no image config, or of a platform that modelimg does not know.
        """
        try:
            value = json.loads(data)
            return cls(
                platform=Platform(value["os"], value["architecture"]),
                run=RunConfig.from_dict(value.get("config") or {}),
                diff_ids=tuple(Digest.parse(text) for text in value["rootfs"]["diff_ids"]),
                history=tuple(History.from_dict(step) for step in value.get("history") or ()),
                created=value.get("created") or "",
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ImageError(f"this is no image config: {type(error).__name__}: {error}") from error

    @property
    def digest(self) -> Digest:
        """The image id, where these are the config's own bytes."""
        return Digest.of(self.to_json())
