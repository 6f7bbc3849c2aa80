"""Where a repository is asked for: the registry's own host, its mirrors, and how far each is trusted."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from modelimg.errors import UsageError
from modelimg.oci.values import Reference

ENV_INSECURE = "MODELIMG_INSECURE_REGISTRIES"
ENV_MIRRORS = "MODELIMG_REGISTRY_MIRRORS"

DOCKER_HUB = "docker.io"
DOCKER_HUB_NAMES = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})
_DOCKER_HUB_API = "registry-1.docker.io"
_AUTHORITY = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]+)?")


@dataclass(frozen=True)
class RegistrySettings:
    """What the user says of registries.

    Attributes:
        insecure: hosts, each with or without a port, whose certificates are not verified and that may be spoken to over
            plain HTTP where they speak no TLS. Loopback needs no mention: plain HTTP is the rule there.
        mirrors: of a registry, ``docker.io`` for one, each as ``host[:port][/prefix]``; asked in order before the
            registry itself, and for pulls only.
        certificates: Docker's folder of private authorities, ``HOST/ca.crt`` in it.
    """

    insecure: frozenset[str] = frozenset()
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    certificates: Path = Path("/etc/docker/certs.d")

    @classmethod
    def from_environment(cls) -> RegistrySettings:
        """Read ``$MODELIMG_INSECURE_REGISTRIES`` and ``$MODELIMG_REGISTRY_MIRRORS``, lists parted by commas.

        Raises:
            UsageError: an entry that is no host, or no ``registry=mirror``.
        """
        mirrors: dict[str, tuple[str, ...]] = {}
        for entry in _entries(ENV_MIRRORS):
            registry, equals, mirror = entry.partition("=")
            host = mirror.partition("/")[0]
            if not (equals and _AUTHORITY.fullmatch(registry) and _AUTHORITY.fullmatch(host)):
                raise UsageError(
                    f"${ENV_MIRRORS} has {entry!r}", hint="say docker.io=mirror.example.com/prefix, without https://"
                )
            mirrors[registry] = (*mirrors.get(registry, ()), mirror.rstrip("/"))
        insecure = frozenset(_entries(ENV_INSECURE))
        for host in insecure:
            if not _AUTHORITY.fullmatch(host):
                raise UsageError(f"${ENV_INSECURE} has {host!r}", hint="say host or host:port, without http://")
        return cls(insecure, mirrors)

    def is_insecure(self, host: str) -> bool:
        """Whether the user declared ``host[:port]`` insecure."""
        return host in self.insecure or host_name(host) in self.insecure


def _entries(variable: str) -> list[str]:
    return [entry for part in os.environ.get(variable, "").split(",") if (entry := part.strip())]


@dataclass(frozen=True)
class Repository:
    """A repository where it is asked for.

    Attributes:
        registry: as people write it: ``docker.io``, ``ghcr.io``, ``127.0.0.1:5000``. Credentials are kept under it.
        path: ``library/python``; a mirror's prefix is part of it.
    """

    registry: str
    path: str

    @classmethod
    def of(cls, reference: Reference) -> Repository:
        """The repository that a name means; without a registry it is one of Docker Hub's."""
        if reference.registry and reference.registry not in DOCKER_HUB_NAMES:
            return cls(reference.registry, reference.repository)
        path = reference.repository if "/" in reference.repository else f"library/{reference.repository}"
        return cls(DOCKER_HUB, path)

    @classmethod
    def sources(cls, reference: Reference, settings: RegistrySettings) -> tuple[Repository, ...]:
        """Where to pull a name from: the mirrors in order, then the registry itself."""
        origin = cls.of(reference)
        places = (mirror.partition("/") for mirror in settings.mirrors.get(origin.registry, ()))
        mirrors = (cls(host, f"{prefix}/{origin.path}" if prefix else origin.path) for host, _, prefix in places)
        return (*mirrors, origin)

    @property
    def host(self) -> str:
        """``host[:port]`` of the registry's API."""
        return _DOCKER_HUB_API if self.registry == DOCKER_HUB else self.registry

    @property
    def name(self) -> str:
        """How messages name it."""
        return f"{self.registry}/{self.path}"

    def scope(self, *actions: str) -> str:
        """What a token has to allow, as https://distribution.github.io/distribution/spec/auth/scope/ writes it."""
        return f"repository:{self.path}:{','.join(actions)}"


def host_name(host: str) -> str:
    """``host[:port]`` without the port and an address's brackets."""
    return urlsplit(f"//{host}").hostname or ""


def is_loopback(host: str) -> bool:
    """Whether ``host[:port]`` never leaves this machine: ``localhost``, 127.0.0.0/8 or ::1."""
    name = host_name(host)
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
